//! When we fail: every failure has a status of its own, says whether the request was executed, and keeps what
//! is underneath for the log.

use std::sync::Arc;

use balance_domain::ports::{MockBalanceRepo, MockReportRepo, MockServiceRepo, RepoError, SubmitError};
use serde_json::{Value, json};

use super::world::{Reply, World, call, get, post};

/// What a driver might say, and no caller may read.
const SECRET: &str =
    "db error at postgres://balance:hunter2@10.0.0.5/balance: relation accounts, /var/lib/pg";

type Failure = fn() -> RepoError;

const FAILURES: [(Failure, u16, &str, &str, bool); 4] = [
    (|| RepoError::Unavailable(SECRET.into()), 503, "unavailable", "no", true),
    (|| RepoError::Overloaded, 503, "overloaded", "no", true),
    (|| RepoError::Unknown(SECRET.into()), 503, "outcome_unknown", "unknown", true),
    (|| RepoError::Internal(SECRET.into()), 500, "internal", "no", false),
];

fn check(reply: &Reply, status: u16, code: &str, executed: &str, is_temporary: bool) {
    assert_eq!(reply.refusal(), (status, code.to_owned()));
    assert_eq!(reply.json()["executed"], executed);
    let seconds: Option<u32> = reply.header("retry-after").parse().ok();
    assert_eq!(seconds.is_some(), is_temporary, "{reply:?}");
    assert!(seconds.is_none_or(|seconds| (1..=3).contains(&seconds)));
    check_silence(reply);
}

/// No word of the driver is in the answer.
fn check_silence(reply: &Reply) {
    for word in ["postgres", "hunter2", "db error", "relation", "/var/lib"] {
        assert!(!reply.text.contains(word), "{word}: {reply:?}");
        assert!(!format!("{:?}", reply.headers).contains(word), "{word}: {reply:?}");
    }
}

async fn failing(failure: Failure) -> World {
    World::with(
        move |ports| {
            let mut ledger = MockBalanceRepo::new();
            ledger.expect_execute().returning(move |_| Err(failure()));
            ledger.expect_accounts().returning(move |_| Err(failure()));
            ledger.expect_reservation().returning(move |_| Err(failure()));
            ledger.expect_reservations().returning(move |_| Err(failure()));
            ledger.expect_operation_by_key().returning(move |_, _| Err(failure()));
            ledger.expect_ready().returning(move || Err(failure()));
            ports.ledger = Arc::new(ledger);
            let mut services = MockServiceRepo::new();
            services.expect_add_services().returning(move |_| Err(failure()));
            services.expect_services().returning(move |_, _| Err(failure()));
            ports.services = Arc::new(services);
            let mut reports = MockReportRepo::new();
            reports.expect_report().returning(move |_| Err(failure()));
            ports.reports = Arc::new(reports);
        },
        |_| {},
    )
    .await
}

#[actix_web::test]
async fn defect_14_every_failure_has_its_own_status_and_no_text_of_a_driver() {
    let ids = json!({ "user_id": 1, "service_id": 7, "order_id": 1 });
    let batch = json!({ "mode": "independent", "commands": [
        { "kind": "deposit", "idempotency_key": "k", "user_id": 1, "amount": 1 },
    ] });
    for (failure, status, code, executed, is_temporary) in FAILURES {
        let world = failing(failure).await;
        let app = world.app().await;
        let mut atomic = batch.clone();
        atomic["mode"] = json!("atomic");
        for request in [
            post("/api/v1/users/1/deposits", "k", &json!({ "amount": 1 })),
            post("/api/v1/reservations/release", "k", &ids),
            post("/api/v1/batches", "k", &batch),
            post("/api/v1/batches", "k", &atomic),
            post("/api/v1/services", "k", &json!({ "services": [{ "id": 1, "name": "x" }] })),
            post("/api/v1/reports/revenue", "k", &json!({ "month": "2026-10" })),
            get("/api/v1/users/1/balance"),
            get("/api/v1/users/1/operations"),
            get("/api/v1/users/1/operations/by-key/k"),
            get("/api/v1/users/1/reservations"),
            get("/api/v1/reservations?user_id=1&service_id=7&order_id=1"),
            get("/api/v1/services"),
            get("/api/v1/reports/revenue/2026-10"),
            get("/api/v1/reports/revenue/2026-10.csv"),
            get("/health/ready"),
        ] {
            check(&call(&app, request).await, status, code, executed, is_temporary);
        }
        assert_eq!(call(&app, get("/health/live")).await.status, 200, "the process itself is well");
    }
}

#[actix_web::test]
async fn a_command_that_fails_alone_fails_alone() {
    for (failure, status, code, executed, _) in FAILURES {
        let world = World::with(
            move |ports| {
                let mut ledger = MockBalanceRepo::new();
                ledger.expect_execute().returning(move |submissions| {
                    Ok(submissions.iter().map(|_| Err(SubmitError::Failed(failure()))).collect())
                });
                ports.ledger = Arc::new(ledger);
            },
            |_| {},
        )
        .await;
        let app = world.app().await;
        let single = call(&app, post("/api/v1/users/1/deposits", "k", &json!({ "amount": 1 }))).await;
        assert_eq!(single.refusal(), (status, code.to_owned()));
        assert_eq!(single.json()["executed"], executed);
        let body = json!({ "mode": "independent", "commands": [
            { "kind": "deposit", "idempotency_key": "k", "user_id": 1, "amount": 1 },
        ] });
        let batch = call(&app, post("/api/v1/batches", "k", &body)).await;
        assert_eq!(batch.status, 200);
        check_silence(&batch);
        let result = &batch.json()["results"][0];
        let expected: [(&str, Value); 3] =
            [("status", json!(status)), ("code", json!(code)), ("executed", json!(executed))];
        for (name, value) in expected {
            assert_eq!(result[name], value, "{result}");
        }
    }
}

#[actix_web::test]
async fn a_store_that_gives_too_few_replies_is_a_failure_of_ours() {
    let world = World::with(
        |ports| {
            let mut ledger = MockBalanceRepo::new();
            ledger.expect_execute().returning(|_| Ok(vec![]));
            ports.ledger = Arc::new(ledger);
        },
        |_| {},
    )
    .await;
    let app = world.app().await;
    let body = json!({ "mode": "independent", "commands": [
        { "kind": "deposit", "idempotency_key": "k", "user_id": 1, "amount": 1 },
    ] });
    for request in
        [post("/api/v1/users/1/deposits", "k", &json!({ "amount": 1 })), post("/api/v1/batches", "k", &body)]
    {
        assert_eq!(call(&app, request).await.refusal(), (500, "internal".to_owned()));
    }
}

#[actix_web::test]
async fn a_panic_is_answered_and_its_outcome_unknown() {
    let world = World::with(
        |ports| {
            let mut ledger = MockBalanceRepo::new();
            ledger.expect_execute().returning(|_| panic!("{SECRET}"));
            ports.ledger = Arc::new(ledger);
        },
        |_| {},
    )
    .await;
    let app = world.app().await;
    let reply = call(&app, post("/api/v1/users/1/deposits", "k", &json!({ "amount": 1 }))).await;
    check(&reply, 500, "internal", "unknown", false);
    assert_eq!(call(&app, get("/health/live")).await.status, 200);
}
