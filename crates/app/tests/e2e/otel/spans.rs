//! What is in the spans of a request, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::json;

use crate::{
    harness::{Api, World, on_every_store},
    otel::collector::{Collector, Span},
};

on_every_store!(
    a_deposit_is_traced_from_its_caller_to_its_batch,
    calls_of_one_batch_are_linked_to_it_and_it_to_them,
    no_secret_and_no_text_of_a_caller_is_sent,
);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const SECRET: &str = "ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a";
const SERVER: i32 = 2;

fn attributes(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn a_deposit_is_traced_from_its_caller_to_its_batch(world: World) {
    let collector = Collector::start();
    let world = world
        .with("BALANCE_OTEL__ENDPOINT", &collector.endpoint)
        .with("BALANCE_OTEL__SERVICE_NAME", "money")
        .with("BALANCE_ADMIN_KEY", &format!("bal_0123456789ab_{SECRET}"));
    let server = world.start();
    let api = server.api.with_token(&format!("bal_0123456789ab_{SECRET}"));
    let request = api
        .keyed("/users/7/deposits", "a", &json!({"amount": 5}))
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .header("X-Request-Id", "request-1");
    Api::send(request).await.expect(201);
    // What was not sent yet is sent by the stop.
    assert!(server.stop().success());

    let request = collector.span("POST /api/v1/users/{user_id}/deposits");
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, CALLER));
    assert_eq!((request.kind, request.is_error), (SERVER, false));
    let expected = attributes(&[
        ("http.request.method", "\"POST\""),
        ("http.route", "\"/api/v1/users/{user_id}/deposits\""),
        ("http.response.status_code", "201"),
        ("url.scheme", "\"http\""),
        ("network.protocol.name", "\"http\""),
        ("network.protocol.version", "\"1.1\""),
        ("balance.request_id", "\"request-1\""),
        ("balance.user_id", "7"),
        ("balance.operation_seq", "1"),
        ("balance.key_id", "\"0123456789ab\""),
    ]);
    assert_eq!(request.attributes, expected);

    let commit = collector.span("commit");
    assert_eq!((&commit.trace, &commit.parent), (&request.trace, &request.id));
    assert_eq!(commit.attributes, attributes(&[("balance.call.size", "1")]));
    let batch = collector.span("batch");
    assert!(batch.trace != TRACE && batch.parent.is_empty(), "{batch:#?}");
    assert_eq!((&commit.links, &batch.links), (&vec![batch.id.clone()], &vec![commit.id.clone()]));
    let expected =
        [("balance.batch.work", "\"commit\""), ("balance.batch.size", "1"), ("balance.batch.calls", "1")];
    assert_eq!(batch.attributes, attributes(&expected));
    let times =
        [request.nanos.0, commit.nanos.0, batch.nanos.0, batch.nanos.1, commit.nanos.1, request.nanos.1];
    assert!(times.is_sorted(), "{times:?}");
    assert!(batch.nanos.1 > batch.nanos.0, "a transaction takes its time");

    for resource in collector.resources() {
        assert_eq!(resource["service.name"], "\"money\"");
        assert_eq!(resource["service.version"], format!("{:?}", env!("CARGO_PKG_VERSION")));
    }
}

async fn calls_of_one_batch_are_linked_to_it_and_it_to_them(world: World) {
    const CALLS: usize = 60;
    let collector = Collector::start();
    let world = world.with("BALANCE_OTEL__ENDPOINT", &collector.endpoint);
    let server = world.start();
    let calls: Vec<_> = (1..)
        .take(CALLS)
        .map(|user| {
            let api = server.api.clone();
            tokio::spawn(async move { api.deposit(user, 1).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(server.stop().success());

    let spans = collector.spans();
    let named = |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let (commits, batches) = (named("commit"), named("batch"));
    assert_eq!(commits.len(), CALLS);
    assert!(batches.len() < CALLS, "{} batches: nothing was merged", batches.len());
    let there: BTreeSet<_> =
        commits.iter().flat_map(|span| span.links.iter().map(|link| (&span.id, link))).collect();
    let back: BTreeSet<_> =
        batches.iter().flat_map(|span| span.links.iter().map(|link| (link, &span.id))).collect();
    assert_eq!(there.len(), CALLS);
    assert_eq!(there, back);
    let requests: BTreeSet<_> =
        spans.iter().filter(|span| span.kind == SERVER).map(|span| &span.id).collect();
    assert!(requests.len() == CALLS && commits.iter().all(|span| requests.contains(&span.parent)));
}

async fn no_secret_and_no_text_of_a_caller_is_sent(world: World) {
    let collector = Collector::start();
    let token = format!("bal_0123456789ab_{SECRET}");
    let world = world.with("BALANCE_OTEL__ENDPOINT", &collector.endpoint).with("BALANCE_ADMIN_KEY", &token);
    let server = world.start();
    let api = server.api.with_token(&token);
    api.add_services(&[(1, "canary-service")]).await;
    let body = json!({"amount": 5, "comment": "canary-comment"});
    api.post_as("/users/1/deposits", "canary-key", body).await.expect(201);
    api.get("/users/1/operations/by-key/canary-key").await.expect(200);
    api.post("/users/1/withdrawals", json!({"amount": 6})).await.refused(422, "insufficient_funds");
    api.post_text("/users/1/deposits", "{\"amount\":\"canary-value\"}").await.refused(400, "invalid_amount");
    api.get("/users/1/operations?cursor=canary-cursor").await.expect(400);
    api.get("/canary-path?canary-query").await.expect(404);
    server.api.with_token(&token.replace("a4a7", "a4a8")).get("/users/1/balance").await.expect(401);
    let odd = Method::from_bytes(b"CANARY").unwrap();
    assert_eq!(Api::send(api.request(odd, "/api/v1/users/1")).await.status, 405);
    assert!(server.stop().success());

    let refused = collector.span("POST /api/v1/users/{user_id}/withdrawals");
    assert_eq!(refused.attributes["http.response.status_code"], "422");
    assert!(!refused.is_error, "a rule that says no is no failure");
    let by_key = collector.span("GET /api/v1/users/{user_id}/operations/by-key/{key}");
    assert_eq!(by_key.attributes["http.response.status_code"], "200");
    let odd = collector.span("HTTP /api/v1/users/{user_id}");
    assert_eq!(odd.attributes["http.request.method"], "\"_OTHER\"");
    assert!(!collector.span("GET").attributes.contains_key("http.route"));
    assert_eq!(collector.spans().iter().filter(|span| span.kind == SERVER).count(), 9);
    let sent = String::from_utf8_lossy(&collector.bytes()).to_lowercase();
    for canary in ["canary", &SECRET[..12]] {
        assert!(!sent.contains(canary), "{canary} was sent: {:#?}", collector.spans());
    }
}
