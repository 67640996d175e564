//! Every call against every kind of key. The calls come from the OpenAPI document, so a new one is in.

use actix_web::{http::Method, test::TestRequest};
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Scope, SecretHash, Timestamp,
    ports::{ApiKeyRepo, ApiKeys, MockApiKeyRepo, RepoError},
};
use serde_json::{Value, json};

use super::world::{START, TestApp, World, call, get};
use crate::{AccessMode, openapi::document};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn key(number: u8, scopes: &[Scope]) -> ApiKey {
    ApiKey {
        id: ApiKeyId::new(format!("{number:012x}")).unwrap(),
        name: format!("key {number}"),
        scopes: scopes.to_vec(),
        secret_hash: SecretHash::of(SECRET),
        created_at: Timestamp::from_micros(START - 10).unwrap(),
        expires_at: None,
        parent_id: None,
        revoked_at: None,
        last_used_at: None,
    }
}

fn text(key: &ApiKey) -> String {
    format!("bal_{}_{SECRET}", key.id)
}

/// A call of the document that is well formed: method, path, body, scopes.
struct Documented {
    id: String,
    method: Method,
    path: String,
    body: Option<Value>,
    scopes: Vec<Scope>,
}

impl Documented {
    fn request(&self, key: Option<&str>) -> TestRequest {
        let mut request = TestRequest::default().method(self.method.clone()).uri(&self.path);
        if let Some(body) = &self.body {
            request = request
                .insert_header(("content-type", "application/json"))
                .insert_header(("idempotency-key", "k"))
                .set_payload(body.to_string());
        }
        match key {
            Some(key) => request.insert_header(("authorization", format!("Bearer {key}"))),
            None => request,
        }
    }
}

fn every_call() -> Vec<Documented> {
    let document = document();
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let reference =
                operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            let example = reference.map(|reference| {
                let schema = &document["components"]["schemas"][reference.rsplit('/').next().unwrap()];
                assert!(!schema["example"].is_null(), "{reference} has an example");
                schema["example"].clone()
            });
            let mut path = path.clone();
            for (name, value) in [
                ("user_id", "42"),
                ("service_id", "7"),
                ("month", "2026-10"),
                ("key", "k"),
                ("key_id", "0123456789ab"),
            ] {
                path = path.replace(&format!("{{{name}}}"), value);
            }
            if operation["operationId"] == "getReservation" {
                path += "?user_id=42&service_id=7&order_id=1001";
            }
            let mut scopes: Vec<Scope> = operation["x-required-scopes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|scope| scope.as_str().unwrap().parse().unwrap())
                .collect();
            if operation["operationId"] == "executeBatch" {
                scopes = vec![Scope::Deposit, Scope::Reserve];
            }
            calls.push(Documented {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path,
                body: example,
                scopes,
            });
        }
    }
    calls
}

async fn world_with(keys: &[ApiKey]) -> World {
    let world = World::new().await;
    for key in keys {
        world.store.add_api_key(key.clone(), Actor::CommandLine).await.unwrap();
    }
    world.shared.api.access.refresh().await.unwrap();
    world
}

#[actix_web::test]
async fn every_call_against_every_kind_of_key() {
    let mut expired = key(1, &[Scope::Admin]);
    expired.expires_at = Some(Timestamp::from_micros(START).unwrap());
    let mut revoked = key(2, &[Scope::Admin]);
    revoked.revoked_at = Some(Timestamp::from_micros(START - 1).unwrap());
    let admin = key(3, &[Scope::Admin]);
    let calls = every_call();
    assert_eq!(calls.len(), 30, "a call was added or removed: look at this table again");
    for call_of_api in &calls {
        let right = key(4, &call_of_api.scopes);
        let others: Vec<Scope> = Scope::ALL
            .into_iter()
            .filter(|scope| !call_of_api.scopes.contains(scope) && *scope != Scope::Admin)
            .collect();
        let wrong = key(5, &others);
        let world =
            world_with(&[expired.clone(), revoked.clone(), admin.clone(), right.clone(), wrong.clone()])
                .await;
        let app = world.app().await;
        let id = &call_of_api.id;

        let never_made = format!("bal_{:012x}_{SECRET}", 99);
        let other_secret = text(&admin).replace("01234567", "12345678");
        let (expired, revoked) = (text(&expired), text(&revoked));
        for (bad, code) in [
            (None, "unauthenticated"),
            (Some(""), "unauthenticated"),
            (Some("nonsense"), "unauthenticated"),
            (Some(&*never_made), "unauthenticated"),
            (Some(&*other_secret), "unauthenticated"),
            (Some(&*expired), "key_expired"),
            (Some(&*revoked), "key_revoked"),
        ] {
            let reply = call(&app, call_of_api.request(bad)).await;
            assert_eq!(reply.refusal(), (401, code.to_owned()), "{id} with {bad:?}");
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"balance\"");
        }
        if !call_of_api.scopes.is_empty() {
            let refused = call(&app, call_of_api.request(Some(&text(&wrong)))).await;
            assert_eq!(refused.refusal(), (403, "forbidden".to_owned()), "{id}");
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(
                call_of_api.scopes.iter().any(|scope| detail.contains(scope.as_str())),
                "{id} names what is missing: {detail}"
            );
        }
        for good in [&right, &admin] {
            let reply = call(&app, call_of_api.request(Some(&text(good)))).await;
            assert!(![401, 403].contains(&reply.status), "{id} with {}: {reply:?}", good.name);
        }
    }
}

/// A visit of the console is a child key.
#[actix_web::test]
async fn a_child_key_ends_with_its_parent() {
    let mut parent = key(1, &[Scope::Admin]);
    let child = ApiKey { parent_id: Some(parent.id), ..key(2, &[Scope::Admin]) };
    let orphan = ApiKey { parent_id: Some(key(9, &[]).id), ..key(3, &[Scope::Admin]) };
    let world = world_with(&[parent.clone(), child.clone(), orphan.clone()]).await;
    let app = world.app().await;
    let status = async |of: &ApiKey| {
        call(&app, super::world::get("/api/v1/services").insert_header(("x-api-key", text(of)))).await.status
    };
    assert_eq!((status(&child).await, status(&orphan).await), (200, 401));
    let access = &world.shared.api.access;
    assert!(access.admit(Some(&text(&child)), None).is_ok());
    assert_eq!(access.admit(None, None), Err(crate::Denied::Unauthenticated));
    parent.revoked_at = Some(Timestamp::from_micros(START).unwrap());
    world.store.revoke_api_key(parent.id, Actor::CommandLine, parent.revoked_at.unwrap()).await.unwrap();
    access.refresh().await.unwrap();
    assert_eq!(status(&child).await, 401);
    assert_eq!(access.admit(Some(&text(&child)), None), Err(crate::Denied::Unauthenticated));
}

#[actix_web::test]
async fn a_batch_needs_the_scope_of_every_kind_in_it() {
    let some = key(1, &[Scope::Deposit, Scope::Withdraw, Scope::Transfer, Scope::Refund]);
    let world = world_with(std::slice::from_ref(&some)).await;
    let app = world.app().await;
    let order = json!({ "user_id": 1, "service_id": 7, "order_id": 1 });
    for (kind, scope) in [("release", "reserve"), ("capture", "reserve"), ("refund", "")] {
        let mut command = order.clone();
        command["kind"] = json!(kind);
        command["idempotency_key"] = json!(kind);
        let body = json!({ "mode": "independent", "commands": [
            { "kind": "deposit", "idempotency_key": "d", "user_id": 1, "amount": 5 }, command,
        ] });
        let request =
            super::world::post("/api/v1/batches", "-", &body).insert_header(("x-api-key", text(&some)));
        let reply = call(&app, request).await;
        if scope.is_empty() {
            assert_eq!(reply.status, 200, "{reply:?}");
        } else {
            assert_eq!(reply.refusal(), (403, "forbidden".to_owned()), "{kind}");
            assert!(reply.json()["detail"].as_str().unwrap().ends_with(scope));
        }
    }
}

#[actix_web::test]
async fn a_key_that_lost_its_scope_gets_no_answer_again() {
    let mut owner = key(1, &[Scope::Deposit]);
    let world = world_with(std::slice::from_ref(&owner)).await;
    let app = world.app().await;
    let request = || {
        super::world::post("/api/v1/users/1/deposits", "k", &json!({ "amount": 5 }))
            .insert_header(("x-api-key", text(&owner)))
    };
    assert_eq!(call(&app, request()).await.status, 201);
    world
        .store
        .revoke_api_key(owner.id, Actor::CommandLine, Timestamp::from_micros(START).unwrap())
        .await
        .unwrap();
    assert_eq!(call(&app, request()).await.status, 201, "until the keys are read again");
    world.shared.api.access.refresh().await.unwrap();
    assert_eq!(call(&app, request()).await.refusal(), (401, "key_revoked".to_owned()));
    assert_eq!(world.shared.api.access.mode(), AccessMode::Keys, "a revoked key does not open the door");
    owner.scopes.clear();
}

#[actix_web::test]
async fn nobody_is_let_in_before_the_keys_could_be_read() {
    let world = World::with(
        |ports| {
            let mut keys = MockApiKeyRepo::new();
            keys.expect_api_keys().returning(|| Err(RepoError::Unavailable("connection refused".into())));
            ports.keys = std::sync::Arc::new(keys);
        },
        |_| {},
    )
    .await;
    assert_eq!(world.shared.api.access.mode(), AccessMode::Unknown);
    let app = world.app().await;
    for documented in every_call() {
        let reply = call(&app, documented.request(None)).await;
        assert_eq!(reply.refusal(), (503, "unavailable".to_owned()), "{}", documented.id);
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(status(&app, get("/health/ready")).await, 503, "ready means that calls are served");
    assert_eq!(status(&app, get("/health/live")).await, 200);
}

async fn status(app: &TestApp, request: TestRequest) -> u16 {
    call(app, request).await.status
}

#[actix_web::test]
async fn both_headers_carry_a_key() {
    let reader = key(1, &[Scope::BalanceRead]);
    let world = world_with(std::slice::from_ref(&reader)).await;
    let app = world.app().await;
    let services = || get("/api/v1/services");
    let key = text(&reader);
    assert_eq!(status(&app, services().insert_header(("authorization", format!("Bearer {key}")))).await, 200);
    assert_eq!(status(&app, services().insert_header(("authorization", format!("bearer {key}")))).await, 200);
    assert_eq!(status(&app, services().insert_header(("x-api-key", key.clone()))).await, 200);
    assert_eq!(status(&app, services().insert_header(("authorization", format!("Basic {key}")))).await, 401);
    assert_eq!(status(&app, services().insert_header(("authorization", key.clone()))).await, 401);
    assert_eq!(status(&app, get(&format!("/api/v1/services?api_key={key}"))).await, 401);
}

#[actix_web::test]
async fn access_is_looked_at_before_anything_else() {
    let world = world_with(&[key(1, &[Scope::Admin])]).await;
    let app = world.app().await;
    let nonsense = super::world::post_text("/api/v1/users/zero/deposits?x=1", "k", "{");
    assert_eq!(call(&app, nonsense).await.refusal(), (401, "unauthenticated".to_owned()));
    for open in ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/swagger/index.html"] {
        assert_eq!(call(&app, get(open)).await.status, 200, "{open}");
    }
}

#[actix_web::test]
async fn each_key_has_a_rate_of_its_own() {
    let (one, two) = (key(1, &[Scope::Admin]), key(2, &[Scope::Admin]));
    let world = World::with(|_| {}, |settings| settings.commands_per_second = 3).await;
    for key in [&one, &two] {
        world.store.add_api_key(key.clone(), Actor::CommandLine).await.unwrap();
    }
    world.shared.api.access.refresh().await.unwrap();
    let app = world.app().await;
    let request = |key: &ApiKey| get("/api/v1/services").insert_header(("x-api-key", text(key)));
    for _ in 0..3 {
        assert_eq!(call(&app, request(&one)).await.status, 200);
    }
    let refused = call(&app, request(&one)).await;
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(call(&app, request(&two)).await.status, 200);
}

/// A running service does not open when keys vanish, and what it cannot understand is a key, too.
#[actix_web::test]
async fn keys_that_vanish_open_nothing() {
    for left in
        [ApiKeys::default(), ApiKeys { had_keys: true, faults: vec!["damaged".into()], ..ApiKeys::default() }]
    {
        let mut reads =
            vec![left, ApiKeys { keys: vec![key(1, &[Scope::Admin])], faults: Vec::new(), had_keys: true }];
        let world = World::with(
            |ports| {
                let mut keys = MockApiKeyRepo::new();
                keys.expect_api_keys().times(2).returning(move || Ok(reads.pop().unwrap()));
                ports.keys = std::sync::Arc::new(keys);
            },
            |_| {},
        )
        .await;
        let app = world.app().await;
        world.shared.api.access.refresh().await.unwrap();
        assert_eq!(world.shared.api.access.mode(), AccessMode::Keys);
        assert_eq!(call(&app, get("/api/v1/services")).await.refusal(), (401, "unauthenticated".to_owned()));
    }
}

/// Without keys: only who names this machine, as a browser does that a foreign page has sent.
#[actix_web::test]
async fn without_keys_only_this_machine_is_served() {
    let world = World::new().await;
    let app = world.app().await;
    for (host, origin, is_served) in [
        ("localhost", None, true),
        ("127.0.0.1:8080", None, true),
        ("[::1]:8080", Some("http://[::1]:8080"), true),
        ("localhost:8080", Some("http://localhost:3000"), true),
        ("evil.example", None, false),
        ("evil.example:8080", None, false),
        ("192.168.0.7", None, false),
        ("", None, false),
        ("localhost", Some("http://evil.example"), false),
        ("localhost", Some("null"), false),
    ] {
        for path in ["/api/v1/services", "/metrics", "/swagger/index.html", "/nix"] {
            let mut request = get(path);
            if let Some(origin) = origin {
                request = request.insert_header(("origin", origin));
            }
            let reply = super::world::call_at(host, &app, request).await;
            if is_served {
                assert_ne!(reply.status, 403, "{host} {origin:?} {path}");
            } else {
                assert_eq!(reply.refusal(), (403, "host_not_allowed".to_owned()), "{host} {origin:?} {path}");
            }
        }
    }
    let absolute = get("http://evil.example/api/v1/services");
    assert_eq!(call(&app, absolute).await.status, 403);
    world.store.add_api_key(key(1, &[Scope::Admin]), Actor::CommandLine).await.unwrap();
    world.shared.api.access.refresh().await.unwrap();
    let named = get("/api/v1/services").insert_header(("x-api-key", text(&key(1, &[]))));
    assert_eq!(
        super::world::call_at("balance.example", &app, named).await.status,
        200,
        "with keys any name will do"
    );
}

#[actix_web::test]
async fn a_batch_of_a_key_without_any_command_scope_is_refused_by_its_head() {
    let reporter = key(1, &[Scope::Report, Scope::BalanceRead]);
    let world = world_with(std::slice::from_ref(&reporter)).await;
    let app = world.app().await;
    let nonsense =
        super::world::post_text("/api/v1/batches", "k", "{").insert_header(("x-api-key", text(&reporter)));
    assert_eq!(call(&app, nonsense).await.refusal(), (403, "forbidden".to_owned()));
}

#[actix_web::test]
async fn the_rate_counts_commands() {
    let world = World::with(|_| {}, |settings| settings.commands_per_second = 25).await;
    let app = world.app().await;
    let batch = |commands: usize, round: usize| {
        let commands: Vec<_> = (0..commands)
            .map(|n| json!({ "kind": "deposit", "idempotency_key": format!("{round}-{n}"), "user_id": 1, "amount": 1 }))
            .collect();
        super::world::post("/api/v1/batches", "-", &json!({ "mode": "independent", "commands": commands }))
    };
    assert_eq!(call(&app, batch(15, 1)).await.status, 200);
    assert_eq!(call(&app, batch(15, 2)).await.refusal(), (429, "rate_limited".to_owned()));
    let never = call(&app, batch(60, 3)).await;
    assert_eq!(never.status, 429);
    assert!(never.json()["detail"].as_str().unwrap().contains("split"), "{never:?}");
}

/// Failing is limited by address; a caller with the right key is let in all the same.
#[actix_web::test]
async fn failures_are_limited_and_do_not_lock_out_who_has_a_key() {
    let admin = key(1, &[Scope::Admin]);
    let world = world_with(std::slice::from_ref(&admin)).await;
    let app = world.app().await;
    let wrong = text(&admin).replace("01234567", "12345678");
    let mut statuses = Vec::new();
    for bad in [wrong.as_str(), "bal_000000000009_0", "nonsense"].into_iter().cycle().take(1_500) {
        statuses.push(status(&app, get("/api/v1/services").insert_header(("x-api-key", bad))).await);
    }
    assert_eq!(statuses[0], 401);
    assert!(statuses.iter().filter(|status| **status == 429).count() > 500, "{statuses:?}");
    assert_eq!(status(&app, get("/api/v1/services").insert_header(("x-api-key", text(&admin)))).await, 200);
    // The console asks otherwise, about the same.
    let access = &world.shared.api.access;
    let log_in = |token| access.admit(token, None);
    let limited = |denied| matches!(denied, Err(crate::Denied::RateLimited(1..)));
    assert!((0..1_000).any(|_| limited(log_in(Some(&wrong)))));
    let right = text(&admin);
    assert!(log_in(Some(&right)).is_ok());
    assert_eq!(log_in(None), Err(crate::Denied::Unauthenticated), "no token is no failure");
}

/// The key is judged when the request begins, and again once a body that took its time is there.
#[actix_web::test]
async fn a_key_that_is_revoked_while_the_body_comes_is_refused() {
    let admin = key(1, &[Scope::Admin]);
    let world = world_with(std::slice::from_ref(&admin)).await;
    let access = world.shared.api.access.clone();
    assert!(access.check_again(Some(&admin)).is_ok());
    let now = Timestamp::from_micros(START).unwrap();
    world.store.revoke_api_key(admin.id, Actor::CommandLine, now).await.unwrap();
    access.refresh().await.unwrap();
    assert_eq!(access.check_again(Some(&admin)).unwrap_err().code().as_str(), "key_revoked");
}
