//! A caller of the HTTP contract.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

/// An idempotency key that no other call of this process has.
pub(crate) fn new_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Talks to one server.
#[derive(Clone)]
pub(crate) struct Api {
    http: Client,
    origin: String,
    token: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null if there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    /// A header as text, empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Insists on a status and gives the body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// Insists on a refusal that has the shape the contract promises.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["executed"], "no", "{body}");
        assert!(body["request_id"].is_string() && body["detail"].is_string(), "{body}");
    }
}

impl Api {
    pub(crate) fn new(origin: String) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { http, origin, token: None }
    }

    /// The same caller with an API key.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// `http://address:port`
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// A request to a path of the origin, with the API key if there is one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.origin));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends, or says why there was no answer.
    pub(crate) async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, bytes: response.bytes().await?.to_vec() })
    }

    pub(crate) async fn send(request: RequestBuilder) -> Answer {
        Self::try_send(request).await.unwrap()
    }

    /// `GET` below `/api/v1`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, &format!("/api/v1{path}"))).await
    }

    /// `GET` anywhere.
    pub(crate) async fn get_raw(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    /// `DELETE` below `/api/v1`.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request(Method::DELETE, &format!("/api/v1{path}"))).await
    }

    /// `PATCH` below `/api/v1`.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::PATCH, &format!("/api/v1{path}")).json(&body)).await
    }

    /// `POST` below `/api/v1` under a key.
    pub(crate) fn keyed(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, &format!("/api/v1{path}")).header("Idempotency-Key", key).json(body)
    }

    /// `POST` below `/api/v1` under a new key.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_as(path, &new_key(), body).await
    }

    /// `POST` below `/api/v1` under this key.
    pub(crate) async fn post_as(&self, path: &str, key: &str, body: Value) -> Answer {
        Self::send(self.keyed(path, key, &body)).await
    }

    /// `POST` with this text as JSON body, whatever it is.
    pub(crate) async fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, &format!("/api/v1{path}"));
        let request = request.header("Idempotency-Key", new_key()).header("Content-Type", "application/json");
        Self::send(request.body(body)).await
    }

    /// Waits until the service says so about itself.
    pub(crate) async fn until_ready(&self, status: u16) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.get_raw("/health/ready").await.status != status {
            assert!(Instant::now() < deadline, "/health/ready does not become {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn deposit(&self, user: i64, amount: i64) -> Value {
        self.post(&format!("/users/{user}/deposits"), json!({"amount": amount})).await.expect(201)
    }

    pub(crate) async fn add_services(&self, services: &[(i64, &str)]) {
        let services: Vec<_> = services.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
        self.post("/services", json!({"services": services})).await.expect(201);
    }

    /// Available and reserved money.
    pub(crate) async fn balance(&self, user: i64) -> (i64, i64) {
        let balance = self.get(&format!("/users/{user}/balance")).await.expect(200);
        (balance["available"].as_i64().unwrap(), balance["reserved"].as_i64().unwrap())
    }

    /// Reserves for the first service of an order.
    pub(crate) async fn reserve(&self, user: i64, service: i64, order: i64, amount: i64) -> Value {
        let body = json!({"user_id": user, "service_id": service, "order_id": order, "amount": amount});
        self.post("/reservations", body).await.expect(201)
    }

    /// The whole history, oldest first, page by page.
    pub(crate) async fn history(&self, user: i64) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/users/{user}/operations?sort=created_at&limit=200{cursor}");
            let page = self.get(&path).await.expect(200);
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}
