//! What every answer carries, and what is answered outside the documented calls.

use actix_web::{http::Method, test::TestRequest};
use serde_json::json;

use super::world::{World, call, get, post};

#[actix_web::test]
async fn every_answer_carries_its_headers() {
    let world = World::new().await;
    let app = world.app().await;
    let good = post("/api/v1/users/1/deposits", "k", &json!({ "amount": 1 }));
    let (missing, refused) = (get("/nowhere"), get("/api/v1/users/9/balance"));
    for request in
        [good, missing, refused, get("/health/live"), get("/openapi.json"), get("/swagger/index.html")]
    {
        let reply = call(&app, request.insert_header(("x-request-id", "abc-123"))).await;
        assert_eq!(reply.header("x-request-id"), "abc-123");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{reply:?}");
        assert!(!reply.header("cache-control").is_empty());
        assert_eq!(reply.header("server"), "");
    }
    let balance = call(&app, get("/api/v1/users/1/balance")).await;
    assert_eq!(balance.header("cache-control"), "no-store");
    assert_eq!(balance.header("content-type"), "application/json");
    let made = call(&app, get("/api/v1/users/1/balance").insert_header(("x-request-id", "a b"))).await;
    assert_eq!(made.header("x-request-id").len(), 36);
}

#[actix_web::test]
async fn unknown_places_and_methods_are_problems_too() {
    let world = World::new().await;
    let app = world.app().await;
    for path in [
        "/",
        "/nowhere",
        "/api/v1",
        "/api/v1/users",
        "/api/v1/users/1/deposits/",
        "/swagger/nothing.js",
        "/api/v1/users/1/operations/by-key/",
    ] {
        let reply = call(&app, get(path)).await;
        assert_eq!(reply.refusal(), (404, "route_not_found".to_owned()), "{path}");
        assert_eq!(reply.json()["instance"], path);
    }
    for (method, path, allow) in [
        (Method::GET, "/api/v1/users/1/deposits", "POST"),
        (Method::PUT, "/api/v1/reservations", "POST"),
        (Method::POST, "/api/v1/users/1", "DELETE"),
        (Method::DELETE, "/api/v1/users/1/balance", "HEAD"),
        (Method::PATCH, "/api/v1/batches", "POST"),
    ] {
        let reply = call(&app, TestRequest::default().method(method.clone()).uri(path)).await;
        assert_eq!(reply.refusal(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        assert!(reply.header("allow").split(", ").any(|allowed| allowed == allow), "{path}: {reply:?}");
    }
}

#[actix_web::test]
async fn health_metrics_document_and_page_are_there() {
    let world = World::new().await;
    let app = world.app().await;
    assert_eq!(call(&app, get("/health/live")).await.json(), json!({ "status": "live" }));
    assert_eq!(call(&app, get("/health/ready")).await.json(), json!({ "status": "ready" }));
    assert_eq!(call(&app, get("/metrics")).await.text, "balance_up 1\n");
    assert_eq!(call(&app, get("/openapi.json")).await.text, crate::openapi_json());
    let page = call(&app, get("/swagger/index.html")).await;
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("connect-src 'self'"), "{policy}");
    let moved = call(&app, get("/swagger")).await;
    assert_eq!((moved.status, moved.header("location")), (307, "/swagger/index.html"));
    assert_eq!(call(&app, get("/swagger/")).await.status, 200);
}

#[actix_web::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let world = World::new().await;
    let app = world.app().await;
    for file in ["index.html", "start.js", "page.css"] {
        let reply = call(&app, get(&format!("/swagger/{file}"))).await;
        assert_eq!((reply.status, reply.header("content-encoding")), (200, ""), "{file}");
        assert!(!reply.text.contains("://"), "{file}: {}", reply.text);
    }
    // It would start the page with an API of its authors.
    assert_eq!(call(&app, get("/swagger/swagger-initializer.js")).await.status, 404);
    let page = call(&app, get("/swagger/index.html")).await.text;
    for wanted in ["name=\"viewport\"", "href=\"/docs\"", "lang=\"en\""] {
        assert!(page.contains(wanted), "{wanted}");
    }
}

#[actix_web::test]
async fn files_are_compressed_for_those_who_ask_only() {
    let world = World::new().await;
    let app = world.app().await;
    for path in ["/openapi.json", "/swagger/index.html", "/swagger/swagger-ui.css", "/docs/api"] {
        let plain = call(&app, get(path)).await;
        let asked = call(&app, get(path).insert_header(("accept-encoding", "gzip, br"))).await;
        assert_eq!((plain.status, asked.status), (200, 200), "{path}");
        assert_eq!((plain.header("content-encoding"), asked.header("content-encoding")), ("", "gzip"));
        assert_eq!(plain.header("vary"), "accept-encoding");
        assert!(asked.length < plain.length, "{path}");
        assert!(plain.text.is_ascii() || !plain.text.contains('\u{fffd}'), "{path} is text");
    }
}

#[actix_web::test]
async fn head_answers_as_get_does_without_the_body() {
    let world = World::new().await;
    let app = world.app().await;
    call(&app, post("/api/v1/users/1/deposits", "k", &json!({ "amount": 1 }))).await;
    for path in [
        "/api/v1/users/1/balance",
        "/api/v1/users/1/operations",
        "/api/v1/services",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/swagger/index.html",
        "/docs/api",
    ] {
        let got = call(&app, get(path)).await;
        let head = call(&app, TestRequest::default().method(Method::HEAD).uri(path)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
        assert_eq!(head.length, got.length, "{path}");
    }
    let head = |path: &str| TestRequest::default().method(Method::HEAD).uri(path);
    assert_eq!(call(&app, head("/api/v1/users/9/balance")).await.status, 404);
    let refused = call(&app, head("/api/v1/users/1/deposits")).await;
    assert_eq!((refused.status, refused.header("allow")), (405, "POST"));
    let refused = call(&app, TestRequest::post().uri("/api/v1/users/1/balance")).await;
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"));
}

#[actix_web::test]
async fn the_documentation_is_served() {
    let world = World::new().await;
    let app = world.app().await;
    let moved = call(&app, get("/docs")).await;
    assert_eq!((moved.status, moved.header("location")), (307, "/docs/api"));
    let page = call(&app, get("/docs/api")).await;
    assert!(page.text.contains("insufficient_funds") && page.text.contains("<table>"));
    assert!(!page.header("content-security-policy").contains("script"), "{page:?}");
    assert_eq!(call(&app, get("/docs/style.css")).await.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(call(&app, get("/docs/nothing")).await.refusal(), (404, "route_not_found".to_owned()));
}
