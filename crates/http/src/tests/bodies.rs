//! What is and what is not one JSON object of a request, and how precisely that is reported.

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use super::world::{Reply, TestApp, World, call, get, post_text};

const DEPOSITS: &str = "/api/v1/users/1/deposits";

/// Pointers and codes of everything that was wrong.
fn faults(reply: &Reply) -> Vec<(String, String)> {
    let problem = reply.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
}

async fn expect(app: &TestApp, path: &str, body: &str, expected: &[(&str, &str)]) {
    let reply = call(app, post_text(path, "k", body)).await;
    assert_eq!(reply.status, 400, "{body}: {reply:?}");
    assert_eq!(reply.code(), expected[0].1, "{body}");
    let expected: Vec<_> =
        expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect();
    assert_eq!(faults(&reply), expected, "{body}");
}

#[actix_web::test]
async fn only_one_strict_object_is_a_body() {
    let world = World::new().await;
    let app = world.app().await;
    let too_long = format!(r#"{{"amount":1,"comment":"{}"}}"#, "я".repeat(513));
    let deep = format!(r#"{{"amount":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let table: &[(&str, &[(&str, &str)])] = &[
        ("", &[("", "invalid_json")]),
        ("null", &[("", "invalid_json")]),
        ("[]", &[("", "invalid_json")]),
        ("[1]", &[("", "invalid_json")]),
        ("\"x\"", &[("", "invalid_json")]),
        ("{", &[("", "invalid_json")]),
        ("{\"amount\":1,}", &[("", "invalid_json")]),
        ("{\"amount\":1} x", &[("", "invalid_json")]),
        ("{\"amount\":1}{\"amount\":1}", &[("", "invalid_json")]),
        ("\u{feff}{\"amount\":1}", &[("", "invalid_json")]),
        ("{'amount':1}", &[("", "invalid_json")]),
        ("{\"amount\":01}", &[("", "invalid_json")]),
        ("{\"amount\":NaN}", &[("", "invalid_json")]),
        ("{\"amount\":1,\"comment\":\"\u{1}\"}", &[("", "invalid_json")]),
        (&deep, &[("/amount", "invalid_amount")]),
        ("{}", &[("/amount", "missing_field")]),
        ("{\"amount\":1,\"amount\":1}", &[("/amount", "duplicate_field")]),
        ("{\"amount\":1,\"tip\":2}", &[("/tip", "unknown_field")]),
        ("{\"amount\":1,\"a/b~c\":2}", &[("/a~1b~0c", "unknown_field")]),
        ("{\"Amount\":1}", &[("/amount", "missing_field"), ("/Amount", "unknown_field")]),
        ("{\"amount\":1,\"comment\":null}", &[("/comment", "invalid_comment")]),
        ("{\"amount\":1,\"comment\":5}", &[("/comment", "invalid_comment")]),
        ("{\"amount\":1,\"comment\":\"\\u0000\"}", &[("/comment", "invalid_comment")]),
        ("{\"amount\":1,\"comment\":\"\\ud800\"}", &[("/comment", "invalid_comment")]),
        (&too_long, &[("/comment", "invalid_comment")]),
        (
            "{\"amount\":-1,\"comment\":5,\"x\":0}",
            &[("/amount", "invalid_amount"), ("/comment", "invalid_comment"), ("/x", "unknown_field")],
        ),
    ];
    for (body, expected) in table {
        expect(&app, DEPOSITS, body, expected).await;
    }
    let balance = call(&app, get("/api/v1/users/1/balance")).await;
    assert_eq!(balance.status, 404, "no refused body may have had an effect");
}

#[actix_web::test]
async fn bytes_that_are_not_utf_8_are_no_body() {
    let world = World::new().await;
    let app = world.app().await;
    let body: &[u8] = b"{\"amount\":1,\"comment\":\"\xff\"}";
    let request = TestRequest::post()
        .uri(DEPOSITS)
        .insert_header(("idempotency-key", "k"))
        .insert_header(("content-type", "application/json"))
        .set_payload(body);
    assert_eq!(call(&app, request).await.status, 400);
}

#[actix_web::test]
async fn every_request_type_tells_its_faults() {
    let world = World::new().await;
    let app = world.app().await;
    let three = r#""user_id":0,"service_id":"07","order_id":1.5"#;
    let ids = [("/user_id", "invalid_id"), ("/service_id", "invalid_id"), ("/order_id", "invalid_id")];
    for path in ["release", "capture", "refund"] {
        expect(&app, &format!("/api/v1/reservations/{path}"), &format!("{{{three}}}"), &ids).await;
    }
    let with = |more: &[(&'static str, &'static str)]| [&ids[..], more].concat();
    let ttl = ("/expires_in_seconds", "invalid_expires_in_seconds");
    for ttl_value in ["0", "2592001", "-1", "1.5", "\"60\"", "4294967297"] {
        let body = format!(r#"{{{three},"amount":1,"expires_in_seconds":{ttl_value}}}"#);
        expect(&app, "/api/v1/reservations", &body, &with(&[ttl])).await;
        let body = format!(r#"{{{three},"expires_in_seconds":{ttl_value}}}"#);
        expect(&app, "/api/v1/reservations/extend", &body, &with(&[ttl])).await;
    }
    let body = format!(r#"{{{three},"final":"yes"}}"#);
    expect(&app, "/api/v1/reservations/capture", &body, &with(&[("/final", "invalid_type")])).await;
    expect(&app, "/api/v1/reports/revenue", r#"{"month":"2026-13"}"#, &[("/month", "invalid_month")]).await;
    expect(&app, "/api/v1/services", r#"{"services":[]}"#, &[("/services", "invalid_items")]).await;
    expect(&app, "/api/v1/services", r#"{"services":{}}"#, &[("/services", "invalid_items")]).await;
    expect(&app, "/api/v1/services", r#"{"services":[[1,"x"]]}"#, &[("/services/0", "invalid_type")]).await;
    expect(
        &app,
        "/api/v1/services",
        r#"{"services":[{"id":1,"name":"ok"},{"id":0,"name":" "}]}"#,
        &[("/services/1/id", "invalid_id"), ("/services/1/name", "invalid_service_name")],
    )
    .await;
}

#[actix_web::test]
async fn an_array_of_values_is_no_object() {
    // Derived code would read `[1, "x"]` as the fields of a struct in their order.
    let world = World::new().await;
    let app = world.app().await;
    expect(&app, DEPOSITS, "[1,\"x\"]", &[("", "invalid_json")]).await;
}

#[actix_web::test]
async fn bodies_must_be_said_to_be_json() {
    let world = World::new().await;
    let app = world.app().await;
    let request = |media_type: Option<&str>| {
        let request = TestRequest::post().uri(DEPOSITS).insert_header(("idempotency-key", "k"));
        let request = request.set_payload("{\"amount\":1}");
        match media_type {
            Some(media_type) => request.insert_header(("content-type", media_type)),
            None => request,
        }
    };
    for media_type in [None, Some("text/plain"), Some("application/json; charset=latin1")] {
        let reply = call(&app, request(media_type)).await;
        assert_eq!(reply.refusal(), (415, "unsupported_media_type".to_owned()), "{media_type:?}");
    }
    let packed = request(Some("application/json")).insert_header(("content-encoding", "gzip"));
    assert_eq!(call(&app, packed).await.refusal(), (415, "unsupported_media_type".to_owned()));
    let missing = TestRequest::post().uri(DEPOSITS).insert_header(("idempotency-key", "k"));
    assert_eq!(call(&app, missing).await.refusal(), (415, "unsupported_media_type".to_owned()));
    assert_eq!(call(&app, request(Some("application/json; charset=utf-8"))).await.status, 201);
}

#[actix_web::test]
async fn large_bodies_are_refused() {
    let world = World::new().await;
    let app = world.app().await;
    let padded = |bytes: usize| format!("{{\"amount\":1{}}}", " ".repeat(bytes - 12));
    assert_eq!(call(&app, post_text(DEPOSITS, "k", &padded(64 * 1024))).await.status, 201);
    let reply = call(&app, post_text(DEPOSITS, "l", &padded(64 * 1024 + 1))).await;
    assert_eq!(reply.refusal(), (413, "payload_too_large".to_owned()));
    let batch = |bytes: usize| {
        let body = r#"{"mode":"atomic","commands":[{"kind":"deposit","idempotency_key":"b","user_id":1,"amount":1}]}"#;
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    assert_eq!(call(&app, post_text("/api/v1/batches", "-", &batch(1024 * 1024))).await.status, 200);
    let reply = call(&app, post_text("/api/v1/batches", "-", &batch(1024 * 1024 + 1))).await;
    assert_eq!(reply.refusal(), (413, "payload_too_large".to_owned()));
}

#[actix_web::test]
async fn query_strings_are_as_strict_as_bodies() {
    let world = World::new().await;
    let app = world.app().await;
    let table: &[(&str, &[(&str, &str)])] = &[
        ("/api/v1/users/1/balance?x=1", &[("x", "unknown_parameter")]),
        ("/api/v1/users/1/operations?limit=0", &[("limit", "invalid_limit")]),
        ("/api/v1/users/1/operations?limit=201", &[("limit", "invalid_limit")]),
        ("/api/v1/users/1/operations?limit=1&limit=1", &[("limit", "duplicate_parameter")]),
        ("/api/v1/users/1/operations?limit=", &[("limit", "invalid_limit")]),
        ("/api/v1/users/1/operations?sort=price", &[("sort", "invalid_sort")]),
        ("/api/v1/users/1/operations?kind=gift", &[("kind", "invalid_kind")]),
        ("/api/v1/users/1/operations?from=yesterday", &[("from", "invalid_time")]),
        ("/api/v1/users/1/operations?to=2026-11-24T09:30:60Z", &[("to", "invalid_time")]),
        ("/api/v1/users/1/operations?min_amount=1.5", &[("min_amount", "invalid_amount")]),
        ("/api/v1/users/1/operations?max_amount=0", &[("max_amount", "invalid_amount")]),
        (
            "/api/v1/users/1/operations?service_id=-1&order_id=x",
            &[("service_id", "invalid_id"), ("order_id", "invalid_id")],
        ),
        ("/api/v1/users/1/operations?cursor=abc", &[("cursor", "invalid_cursor")]),
        ("/api/v1/users/1/operations?cursor=%FF", &[("cursor", "invalid_cursor")]),
        (
            "/api/v1/users/1/reservations?state=lost&Limit=1",
            &[("state", "invalid_state"), ("Limit", "unknown_parameter")],
        ),
        (
            "/api/v1/reservations?user_id=1",
            &[("service_id", "missing_parameter"), ("order_id", "missing_parameter")],
        ),
        ("/api/v1/services?after=1", &[("after", "unknown_parameter")]),
        ("/api/v1/users/0/balance", &[("user_id", "invalid_id")]),
        ("/api/v1/users/9223372036854775808/balance", &[("user_id", "invalid_id")]),
        ("/api/v1/users/+1/balance", &[("user_id", "invalid_id")]),
        ("/api/v1/users/abc/balance", &[("user_id", "invalid_id")]),
        ("/api/v1/users/%31%zz/balance", &[("user_id", "invalid_id")]),
        ("/api/v1/services/x", &[("service_id", "invalid_id")]),
        ("/api/v1/reports/revenue/2026-1", &[("month", "invalid_month")]),
        ("/api/v1/reports/revenue/2026-13.csv", &[("month", "invalid_month")]),
        ("/api/v1/users/1/operations/by-key/a%20b", &[("key", "invalid_idempotency_key")]),
    ];
    for (path, expected) in table {
        let reply = call(&app, get(path)).await;
        assert_eq!(reply.status, 400, "{path}: {reply:?}");
        let expected: Vec<_> =
            expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect();
        assert_eq!(faults(&reply), expected, "{path}");
    }
}

#[actix_web::test]
async fn keys_are_needed_where_money_moves() {
    let world = World::new().await;
    let app = world.app().await;
    let ids = json!({ "user_id": 1, "service_id": 7, "order_id": 1 });
    let moving = [
        DEPOSITS,
        "/api/v1/users/1/withdrawals",
        "/api/v1/transfers",
        "/api/v1/reservations",
        "/api/v1/reservations/capture",
        "/api/v1/reservations/release",
        "/api/v1/reservations/refund",
    ];
    let bare = |path: &str| {
        TestRequest::post()
            .uri(path)
            .insert_header(("content-type", "application/json"))
            .set_payload(ids.to_string())
    };
    for path in moving {
        let reply = call(&app, bare(path)).await;
        assert_eq!(reply.refusal(), (400, "idempotency_key_required".to_owned()), "{path}");
        for key in ["", "a b", "ключ", &"k".repeat(256)] {
            let reply = call(&app, bare(path).insert_header(("idempotency-key", key))).await;
            assert_eq!(reply.refusal(), (400, "invalid_idempotency_key".to_owned()), "{path} {key:?}");
        }
        let twice =
            bare(path).append_header(("idempotency-key", "a")).append_header(("idempotency-key", "a"));
        let reply = call(&app, twice).await;
        assert_eq!(reply.refusal(), (400, "invalid_idempotency_key".to_owned()), "{path}");
    }
    let extend = TestRequest::post()
        .uri("/api/v1/reservations/extend")
        .insert_header(("content-type", "application/json"))
        .set_payload(r#"{"user_id":1,"service_id":7,"order_id":1,"expires_in_seconds":60}"#);
    assert_eq!(call(&app, extend).await.refusal(), (404, "account_not_found".to_owned()));
}
