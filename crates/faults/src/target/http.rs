//! The service behind HTTP, as a careful client sees it: an answer is trusted, anything else is
//! unknown unless the service says that it did nothing or was never reached.

use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    history::{
        AnswerBody, BalanceView, Call, MoneyAction, MoneyCall, OperationView, OrderRef, Outcome,
        ReportLineView, ReportView, ReservationView,
    },
    target::Target,
};

/// One instance of the service.
#[derive(Clone)]
pub struct HttpTarget {
    client: Client,
    base: String,
    api_key: String,
}

/// A page of anything.
#[derive(Deserialize)]
struct PageBody<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

/// What the feed answered.
pub enum Feed {
    /// A page.
    Page(FeedPage),
    /// No, for good.
    Refused(String),
}

/// A page of the feed.
pub struct FeedPage {
    /// Account and number of each operation, in the order of the feed.
    pub operations: Vec<(i64, i64)>,
    /// Where the next page starts.
    pub next_cursor: String,
}

#[derive(Deserialize)]
struct FeedBody {
    data: Vec<EventBody>,
    next_cursor: String,
}

#[derive(Deserialize)]
struct EventBody {
    id: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    user_id: i64,
    seq: i64,
}

/// What a problem document says about the effect of the call.
#[derive(Deserialize)]
struct Problem {
    code: String,
    executed: String,
}

impl HttpTarget {
    /// The instance at `base` (`http://127.0.0.1:port`). A call that takes longer than `timeout` is unknown.
    pub fn new(base: &str, api_key: &str, timeout: Duration) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(Duration::from_secs(2))
            .pool_max_idle_per_host(64)
            .build()
            .context("building the client")?;
        Ok(Self { client, base: format!("{base}/api/v1"), api_key: api_key.to_owned() })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).header("X-Api-Key", &self.api_key)
    }

    /// An answer that must come: reads after the faults are over.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let response = self.request(Method::GET, path).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(status.is_success(), "GET {path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(Some(serde_json::from_slice(&body).with_context(|| format!("GET {path}"))?))
    }

    /// Operations behind a place of the feed. An error may be asked again.
    pub async fn events(&self, cursor: &str, limit: u32, wait_seconds: u32) -> anyhow::Result<Feed> {
        let path =
            format!("/events?types=balance.operation.*&cursor={cursor}&limit={limit}&wait={wait_seconds}");
        let response = self.request(Method::GET, &path).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED {
            return Ok(Feed::Refused(format!("{status} {}", String::from_utf8_lossy(&body))));
        }
        ensure!(status.is_success(), "GET {path}: {status} {}", String::from_utf8_lossy(&body));
        let page: FeedBody = serde_json::from_slice(&body).with_context(|| format!("GET {path}"))?;
        let mut operations = Vec::new();
        for EventBody { id, data: EventData { user_id, seq } } in page.data {
            ensure!(id == format!("{user_id}-{seq}"), "the event {id} is operation {seq} of user {user_id}");
            operations.push((user_id, seq));
        }
        Ok(Feed::Page(FeedPage { operations, next_cursor: page.next_cursor }))
    }

    async fn all<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let Some(page) = self.get::<PageBody<T>>(&format!("{path}limit=200{cursor}")).await? else {
                return Ok(rows);
            };
            rows.extend(page.data);
            let Some(next) = page.next_cursor else { return Ok(rows) };
            cursor = format!("&cursor={next}");
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
        parse: fn(&[u8]) -> serde_json::Result<AnswerBody>,
    ) -> Outcome {
        let (status, replayed, body) = match exchange(request).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if !status.is_success() {
            return refused(status, &body);
        }
        match parse(&body) {
            Ok(answer) => Outcome::Ok { answer, replayed },
            Err(error) => Outcome::Unknown { why: format!("unreadable answer: {error}") },
        }
    }
}

/// Status, whether it is a repeated answer, and the body; or what the failure means.
async fn exchange(request: RequestBuilder) -> Result<(StatusCode, bool, Vec<u8>), Outcome> {
    let failed = |error: reqwest::Error| {
        let why = format!("{error:?}");
        if error.is_connect() { Outcome::NeverSent { why } } else { Outcome::Unknown { why } }
    };
    let response = request.send().await.map_err(failed)?;
    let (status, replayed) = (
        response.status(),
        response.headers().get("idempotency-replayed").is_some_and(|value| value == "true"),
    );
    let body = response.bytes().await.map_err(|error| Outcome::Unknown { why: format!("{error:?}") })?;
    Ok((status, replayed, body.to_vec()))
}

fn refused(status: StatusCode, body: &[u8]) -> Outcome {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return Outcome::Unknown { why: format!("{status} without a problem document") };
    };
    let why = format!("{status} {}", problem.code);
    if problem.executed != "no" {
        Outcome::Unknown { why }
    } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Outcome::NeverSent { why }
    } else {
        Outcome::Rejected { code: problem.code }
    }
}

fn operation(body: &[u8]) -> serde_json::Result<AnswerBody> {
    serde_json::from_slice(body).map(AnswerBody::Operation)
}

fn reservation(body: &[u8]) -> serde_json::Result<AnswerBody> {
    serde_json::from_slice(body).map(AnswerBody::Reservation)
}

fn balance(body: &[u8]) -> serde_json::Result<AnswerBody> {
    serde_json::from_slice(body).map(|balance| AnswerBody::Balance(Some(balance)))
}

fn operations(body: &[u8]) -> serde_json::Result<AnswerBody> {
    serde_json::from_slice::<PageBody<OperationView>>(body).map(|page| AnswerBody::Operations(page.data))
}

/// An unknown user reads as nothing, not as a refusal.
fn or_nothing(outcome: Outcome, nothing: AnswerBody) -> Outcome {
    match outcome {
        Outcome::Rejected { code } if code == "account_not_found" => {
            Outcome::Ok { answer: nothing, replayed: false }
        }
        outcome => outcome,
    }
}

#[async_trait]
impl Target for HttpTarget {
    async fn call(&self, call: &Call) -> Outcome {
        match call {
            Call::Money(money) => {
                let (path, body) = route(money);
                let request = self.request(Method::POST, &path).header("Idempotency-Key", &money.key);
                let parse = if money.action.order().is_some() { reservation } else { operation };
                self.send(request.json(&body), parse).await
            }
            Call::Extend { order, expires_in_seconds } => {
                let body = with_order(*order, json!({ "expires_in_seconds": expires_in_seconds }));
                self.send(self.request(Method::POST, "/reservations/extend").json(&body), reservation).await
            }
            Call::Balance { user_id } => {
                let request = self.request(Method::GET, &format!("/users/{user_id}/balance"));
                or_nothing(self.send(request, balance).await, AnswerBody::Balance(None))
            }
            Call::Operations { user_id } => {
                let request = self.request(Method::GET, &format!("/users/{user_id}/operations?limit=20"));
                or_nothing(self.send(request, operations).await, AnswerBody::Operations(Vec::new()))
            }
        }
    }

    async fn batch(&self, calls: &[MoneyCall], atomic: bool) -> Vec<Outcome> {
        let mode = if atomic { "atomic" } else { "independent" };
        let commands: Vec<Value> = calls.iter().map(batch_command).collect();
        let request =
            self.request(Method::POST, "/batches").json(&json!({ "mode": mode, "commands": commands }));
        let (status, _, body) = match exchange(request).await {
            Ok(answer) => answer,
            Err(outcome) => return vec![outcome; calls.len()],
        };
        if !status.is_success() {
            return vec![refused(status, &body); calls.len()];
        }
        batch_outcomes(&body, calls.len())
    }

    async fn add_services(&self, ids: &[i64]) -> anyhow::Result<()> {
        let services: Vec<Value> =
            ids.iter().map(|id| json!({ "id": id, "name": format!("service {id}") })).collect();
        let request = self.request(Method::POST, "/services").json(&json!({ "services": services }));
        let response = request.send().await?;
        let status = response.status();
        ensure!(status.is_success(), "adding services: {status} {}", response.text().await?);
        Ok(())
    }

    async fn balance(&self, user_id: i64) -> anyhow::Result<Option<BalanceView>> {
        self.get(&format!("/users/{user_id}/balance")).await
    }

    async fn operations(&self, user_id: i64) -> anyhow::Result<Vec<OperationView>> {
        self.all(&format!("/users/{user_id}/operations?sort=created_at&")).await
    }

    async fn operation_by_key(&self, user_id: i64, key: &str) -> anyhow::Result<Option<OperationView>> {
        self.get(&format!("/users/{user_id}/operations/by-key/{key}")).await
    }

    async fn reservations(&self, user_id: i64) -> anyhow::Result<Vec<ReservationView>> {
        self.all(&format!("/users/{user_id}/reservations?")).await
    }

    async fn report(&self, month: &str) -> anyhow::Result<ReportView> {
        let request = self.request(Method::POST, "/reports/revenue").json(&json!({ "month": month }));
        let response = request.send().await?;
        let status = response.status();
        ensure!(status.is_success(), "building the report: {status} {}", response.text().await?);
        let report: Value = self.get(&format!("/reports/revenue/{month}")).await?.context("no report")?;
        report_view(month, &report).with_context(|| format!("unexpected report: {report}"))
    }
}

fn with_order(order: OrderRef, mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.insert("user_id".into(), order.user_id.into());
        fields.insert("service_id".into(), order.service_id.into());
        fields.insert("order_id".into(), order.order_id.into());
        fields.retain(|_, value| !value.is_null());
    }
    body
}

/// Path and body of a movement as a request of its own.
fn route(call: &MoneyCall) -> (String, Value) {
    let comment = &call.comment;
    match call.action {
        MoneyAction::Deposit { user_id, amount } => {
            (format!("/users/{user_id}/deposits"), json!({ "amount": amount, "comment": comment }))
        }
        MoneyAction::Withdraw { user_id, amount } => {
            (format!("/users/{user_id}/withdrawals"), json!({ "amount": amount, "comment": comment }))
        }
        MoneyAction::Transfer { from_user_id, to_user_id, amount } => (
            "/transfers".to_owned(),
            json!({ "from_user_id": from_user_id, "to_user_id": to_user_id, "amount": amount, "comment": comment }),
        ),
        MoneyAction::Reserve { order, amount, expires_in_seconds } => (
            "/reservations".to_owned(),
            with_order(
                order,
                json!({ "amount": amount, "expires_in_seconds": expires_in_seconds, "comment": comment }),
            ),
        ),
        MoneyAction::Capture { order, amount, is_final } => (
            "/reservations/capture".to_owned(),
            with_order(order, json!({ "amount": amount, "final": is_final, "comment": comment })),
        ),
        MoneyAction::Release { order } => {
            ("/reservations/release".to_owned(), with_order(order, json!({ "comment": comment })))
        }
        MoneyAction::Refund { order, amount } => (
            "/reservations/refund".to_owned(),
            with_order(order, json!({ "amount": amount, "comment": comment })),
        ),
    }
}

/// A movement as a command of a batch: the same fields, its kind and its key.
fn batch_command(call: &MoneyCall) -> Value {
    let (_, mut body) = route(call);
    let kind = match call.action {
        MoneyAction::Deposit { .. } => "deposit",
        MoneyAction::Withdraw { .. } => "withdrawal",
        MoneyAction::Transfer { .. } => "transfer",
        MoneyAction::Reserve { .. } => "reserve",
        MoneyAction::Capture { .. } => "capture",
        MoneyAction::Release { .. } => "release",
        MoneyAction::Refund { .. } => "refund",
    };
    if let Value::Object(fields) = &mut body {
        fields.insert("kind".into(), kind.into());
        fields.insert("idempotency_key".into(), call.key.as_str().into());
        if call.action.order().is_none() && !fields.contains_key("from_user_id") {
            fields.insert("user_id".into(), call.action.user_id().into());
        }
    }
    body
}

/// One outcome per result of a batch.
fn batch_outcomes(body: &[u8], commands: usize) -> Vec<Outcome> {
    let unreadable = |why: String| vec![Outcome::Unknown { why }; commands];
    let results = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(mut fields)) => fields.remove("results"),
        _ => None,
    };
    let Some(Value::Array(results)) = results else { return unreadable("no results".to_owned()) };
    if results.len() != commands {
        return unreadable(format!("{} results for {commands} commands", results.len()));
    }
    results.iter().map(batch_outcome).collect()
}

fn batch_outcome(result: &Value) -> Outcome {
    let replayed = result.get("replayed").and_then(Value::as_bool).unwrap_or_default();
    let part = |name: &str| result.get(name).filter(|part| !part.is_null()).cloned();
    let answer = match (part("operation"), part("reservation")) {
        (Some(operation), _) => serde_json::from_value(operation).map(AnswerBody::Operation),
        (_, Some(reservation)) => serde_json::from_value(reservation).map(AnswerBody::Reservation),
        _ => {
            let status =
                result.get("status").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let status = status.and_then(|code| StatusCode::from_u16(code).ok());
            let body = serde_json::to_vec(result).unwrap_or_default();
            return refused(status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), &body);
        }
    };
    match answer {
        Ok(answer) => Outcome::Ok { answer, replayed },
        Err(error) => Outcome::Unknown { why: format!("unreadable result: {error}") },
    }
}

fn report_view(month: &str, report: &Value) -> Option<ReportView> {
    let number = |value: &Value| {
        value.as_i64().map(i128::from).or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    };
    let line = |line: &Value| {
        Some(ReportLineView {
            service_id: line.get("service_id")?.as_i64()?,
            captured: number(line.get("captured")?)?,
            refunded: number(line.get("refunded")?)?,
        })
    };
    let lines = report.get("services")?.as_array()?;
    Some(ReportView { month: month.to_owned(), lines: lines.iter().map(line).collect::<Option<_>>()? })
}
