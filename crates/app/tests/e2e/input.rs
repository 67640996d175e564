//! Input that is not what the contract says: a clear 4xx, nothing changed, never a failure of ours.

use serde_json::{Value, json};

use crate::harness::{Answer, Api, World, new_key, on_every_store};

on_every_store!(
    amounts_that_are_none,
    ids_that_are_none,
    json_that_is_not_one_plain_object,
    bodies_that_are_too_large_or_too_deep,
    idempotency_keys_that_are_none,
    months_times_and_pages_that_are_none,
    text_comes_back_as_it_was_or_is_refused,
    paths_methods_and_media_types_that_are_none,
);

/// A caller with a funded account and a reservation, whom nothing may change.
async fn untouched(world: &World) -> crate::harness::Server {
    let server = world.start();
    server.api.add_services(&[(1, "a")]).await;
    server.api.deposit(1, 100).await;
    server.api.reserve(1, 1, 1, 40).await;
    server
}

async fn assert_untouched(api: &Api) {
    assert_eq!(api.balance(1).await, (60, 40));
    assert_eq!(api.history(1).await.len(), 2);
    assert_eq!(api.get("/users/2/balance").await.status, 404);
}

/// A refusal that says where.
#[track_caller]
fn assert_refused(answer: &Answer, what: &str) -> Value {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?} {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    let body = answer.json();
    assert_eq!(body["executed"], "no", "{what}: {body}");
    assert!(!body["code"].as_str().unwrap().is_empty(), "{what}: {body}");
    body
}

const AMOUNTS: [&str; 22] = [
    "0",
    "-1",
    "-0",
    "0.15",
    "1.0",
    "1e2",
    "1E2",
    "1e400",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "100000000000000000000000000000",
    "\"1\"",
    "\"\"",
    "true",
    "null",
    "[]",
    "[1]",
    "{}",
    "\"NaN\"",
    "\"१\"",
];

async fn amounts_that_are_none(world: World) {
    let server = untouched(&world).await;
    let api = &server.api;
    let order = "\"user_id\":1,\"service_id\":1,\"order_id\":";
    for amount in AMOUNTS {
        for (path, rest) in [
            ("/users/1/deposits", String::new()),
            ("/users/1/withdrawals", String::new()),
            ("/transfers", ",\"from_user_id\":1,\"to_user_id\":2".into()),
            ("/reservations", format!(",{order}2")),
            ("/reservations/capture", format!(",{order}1")),
            ("/reservations/refund", format!(",{order}1")),
        ] {
            let text = format!("{{\"amount\":{amount}{rest}}}");
            let body = assert_refused(&api.post_text(path, text.clone()).await, &format!("{path} {text}"));
            assert_eq!(body["code"], "invalid_amount", "{path} {text}: {body}");
            assert_eq!(body["errors"][0]["pointer"], "/amount", "{path} {text}: {body}");
        }
    }
    for text in
        ["{\"amount\":NaN}", "{\"amount\":+1}", "{\"amount\":01}", "{\"amount\":0x1}", "{\"amount\":}"]
    {
        assert_refused(&api.post_text("/users/1/deposits", text).await, text);
    }
    assert_untouched(api).await;
}

async fn ids_that_are_none(world: World) {
    let server = untouched(&world).await;
    let api = &server.api;
    let no_numbers = ["0", "-1", "1.5", "9223372036854775808", "null", "true", "[1]"];
    let no_digits =
        [r#""0""#, r#""-1""#, r#""+1""#, r#"" 1""#, r#""1.0""#, r#""""#, r#""9223372036854775808""#];
    for id in no_numbers.into_iter().chain(no_digits) {
        for field in ["user_id", "service_id", "order_id"] {
            let mut body = json!({"user_id": 1, "service_id": 1, "order_id": 2, "amount": 1});
            body[field] = serde_json::from_str(id).unwrap();
            let refused = assert_refused(&api.post("/reservations", body).await, &format!("{field} {id}"));
            assert_eq!(refused["code"], "invalid_id", "{refused}");
            assert_eq!(refused["errors"][0]["pointer"], format!("/{field}"), "{refused}");
        }
    }
    for id in ["0", "-1", "abc", "1.5", "9223372036854775808", "%00", "1%20", "+1", "0x1", "%D9%A1"] {
        assert_refused(&api.get(&format!("/users/{id}/balance")).await, id);
        assert_refused(&api.post(&format!("/users/{id}/deposits"), json!({"amount": 1})).await, id);
        assert_refused(&api.delete(&format!("/users/{id}")).await, id);
        assert_refused(&api.get(&format!("/reservations?user_id={id}&service_id=1&order_id=1")).await, id);
    }
    let largest = i64::MAX;
    api.deposit(largest, 1).await;
    assert_eq!(api.balance(largest).await, (1, 0));
    assert_untouched(api).await;
}

async fn json_that_is_not_one_plain_object(world: World) {
    let server = untouched(&world).await;
    let api = &server.api;
    let bodies: [&[u8]; 24] = [
        b"",
        b" ",
        b"null",
        b"1",
        b"\"amount\"",
        b"[]",
        b"[{\"amount\":1}]",
        b"{",
        b"{}",
        b"{\"amount\":1",
        b"{\"amount\":1}}",
        b"{\"amount\":1} x",
        b"{\"amount\":1}{\"amount\":1}",
        b"{\"amount\":1,}",
        b"{'amount':1}",
        b"{amount:1}",
        b"{\"amount\":1,\"amount\":1}",
        b"{\"amount\":1,\"amount\":2}",
        b"{\"amount\":1,\"amoun\\u0074\":2}",
        b"{\"amount\":1,\"Amount\":1}",
        b"{\"amount\":1,\"comment\":7}",
        b"{\"amount\":1,\"user_id\":2}",
        b"\xef\xbb\xbf{\"amount\":1}",
        b"{\"amount\":1,\"comment\":\"\xff\xfe\"}",
    ];
    for bytes in bodies {
        let answer = api.post_text("/users/1/deposits", bytes).await;
        assert_refused(&answer, &String::from_utf8_lossy(bytes));
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let many = assert_refused(
        &api.post_text("/reservations", "{\"amount\":0,\"user_id\":0,\"service_id\":\"x\",\"extra\":1}")
            .await,
        "several",
    );
    assert!(
        many["errors"].as_array().unwrap().len() >= 3,
        "everything that is wrong is reported at once: {many}"
    );
    assert_untouched(api).await;
}

async fn bodies_that_are_too_large_or_too_deep(world: World) {
    let server = untouched(&world).await;
    let api = &server.api;
    let large = format!("{{\"amount\":1,\"comment\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(assert_refused(&api.post_text("/users/1/deposits", large).await, "large")["status"], 413);
    let large = format!("{{\"mode\":\"atomic\",\"commands\":[],\"x\":\"{}\"}}", "x".repeat(1_100_000));
    assert_eq!(assert_refused(&api.post_text("/batches", large).await, "large batch")["status"], 413);
    for depth in [100, 1_000, 30_000] {
        let deep = format!("{{\"amount\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_refused(&api.post_text("/users/1/deposits", deep).await, "deep array");
        let deep = format!("{}1{}", "{\"a\":".repeat(depth / 3), "}".repeat(depth / 3));
        assert_refused(&api.post_text("/users/1/deposits", deep).await, "deep object");
    }
    let command = json!({"kind": "deposit", "idempotency_key": "k", "user_id": 2, "amount": 1});
    for count in [0, 1_001] {
        let commands = vec![command.clone(); count];
        let body = json!({"mode": "independent", "commands": commands});
        assert_refused(&api.post("/batches", body).await, &format!("{count} commands"));
    }
    assert_untouched(api).await;
}

async fn idempotency_keys_that_are_none(world: World) {
    let server = untouched(&world).await;
    let api = &server.api;
    let longest = "k".repeat(255);
    for key in ["", " ", "a b", "ключ", "\t", &format!("{longest}k")] {
        let request = api.request(reqwest::Method::POST, "/api/v1/users/2/deposits");
        let request = request.header("Idempotency-Key", key.as_bytes()).json(&json!({"amount": 1}));
        assert_refused(&Api::send(request).await, key);
    }
    let twice = api.keyed("/users/2/deposits", "a", &json!({"amount": 1})).header("Idempotency-Key", "b");
    assert_refused(&Api::send(twice).await, "two keys");
    assert_untouched(api).await;
    for key in [longest.as_str(), "!", "~", "a/b?c#d%20", "';--", "\"quoted\""] {
        api.post_as("/users/3/deposits", key, json!({"amount": 1})).await.expect(201);
    }
    assert_eq!(api.balance(3).await, (6, 0));
}

async fn months_times_and_pages_that_are_none(world: World) {
    let server = untouched(&world).await;
    let api = &server.api;
    for month in [
        "",
        "2026",
        "2026-13",
        "2026-00",
        "2026-1",
        "26-01",
        "2026-01-01",
        "2026/01",
        "10000-01",
        "-001-01",
        "２０２６-01",
    ] {
        assert_refused(&api.post("/reports/revenue", json!({"month": month})).await, month);
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=x",
        "limit=1&limit=2",
        "sort=up",
        "sort=",
        "kind=theft",
        "from=yesterday",
        "from=2026-01-01",
        "from=2026-01-01T00:00:60Z",
        "from=2026-13-01T00:00:00Z",
        "to=2026-02-30T00:00:00Z",
        "to=99999-01-01T00:00:00Z",
        "min_amount=0",
        "max_amount=1.5",
        "service_id=0",
        "order_id=x",
        "cursor=x",
        "cursor=AAAA",
        "unknown=1",
    ] {
        assert_refused(&api.get(&format!("/users/1/operations?{query}")).await, query);
    }
    let cursor =
        api.get("/users/1/operations?limit=1").await.expect(200)["next_cursor"].as_str().unwrap().to_owned();
    let other_order = format!("/users/1/operations?sort=amount&cursor={cursor}");
    assert_refused(&api.get(&other_order).await, "a cursor of another order");
    assert_untouched(api).await;
}

/// Text is either refused, or both stores give it back byte for byte.
async fn text_comes_back_as_it_was_or_is_refused(world: World) {
    let server = untouched(&world).await;
    let api = &server.api;
    let emoji = "🦀".repeat(256);
    for text in [
        "",
        " ",
        "за такси",
        "出租车",
        "تاكسي",
        "\u{202e}rtl",
        "\u{feff}bom",
        "e\u{301}",
        "é",
        "İı",
        "\u{10ffff}",
        "two\nlines\ttab",
        "'; drop table accounts; --",
        "<script>alert(1)</script>",
        "{\"json\":true}",
        "\\u0000",
        "%00",
        "${jndi:ldap://x}",
        &emoji,
    ] {
        let made = api.post("/users/3/deposits", json!({"amount": 1, "comment": text})).await.expect(201);
        assert_eq!(made["comment"], *text);
    }
    for (read, text) in api.history(3).await.iter().zip(["", " ", "за такси", "出租车", "تاكسي"])
    {
        assert_eq!(read["comment"], text);
    }
    let too_long = "я".repeat(513);
    for comment in
        ["\\u0000", "a\\u001bb", "\\u0085", "\\u007f", "\\ud800", "\\udc00\\ud800", "\\r", &too_long]
    {
        let body = format!("{{\"amount\":1,\"comment\":\"{comment}\"}}");
        assert_refused(&api.post_text("/users/2/deposits", body).await, comment);
    }
    for name in ["", " a", "a ", "a\tb", "a\u{0}b", &"я".repeat(128)] {
        let body = json!({"services": [{"id": 9, "name": name}]});
        assert_refused(&api.post("/services", body).await, name);
    }
    assert_untouched(api).await;
}

async fn paths_methods_and_media_types_that_are_none(world: World) {
    use reqwest::Method;

    let server = untouched(&world).await;
    let api = &server.api;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/users/1/balance",
        "/api/v1/users/1/balance/",
        "/api/v1//users/1/balance",
        "/api/v1/users",
        "/swagger/../../etc/passwd",
        "/swagger/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/reports/revenue/..%2f..%2fbalance.db.csv",
        "/api/v1/reports/revenue/2026-01.csv.csv",
        "/.env",
        "/swagger/no-such-file",
    ] {
        let answer = api.get_raw(path).await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
    for (method, path) in [
        (Method::PUT, "/api/v1/users/1/balance"),
        (Method::POST, "/api/v1/users/1/balance"),
        (Method::DELETE, "/api/v1/users/1/deposits"),
        (Method::GET, "/api/v1/users/1/deposits"),
        (Method::PATCH, "/api/v1/users/1"),
        (Method::TRACE, "/api/v1/users/1/balance"),
    ] {
        let answer = Api::send(api.request(method.clone(), path)).await;
        assert!([404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
    }
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""] {
        let request =
            api.request(Method::POST, "/api/v1/users/1/deposits").header("Idempotency-Key", new_key());
        let request = request.header("Content-Type", media_type).body("{\"amount\":1}");
        assert_eq!(Api::send(request).await.status, 415, "{media_type}");
    }
    // No decompression: a small body can never become a large one.
    let packed = api.request(Method::POST, "/api/v1/users/1/deposits").header("Idempotency-Key", new_key());
    let packed = packed.header("Content-Type", "application/json").header("Content-Encoding", "gzip");
    let packed =
        Api::send(packed.body(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0])).await;
    assert_refused(&packed, "gzip");
    assert_untouched(api).await;
}
