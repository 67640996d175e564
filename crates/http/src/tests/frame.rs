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
        (Method::DELETE, "/api/v1/users/1/balance", "GET"),
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
    for file in ["index.html", "swagger-initializer.js"] {
        let reply =
            call(&app, get(&format!("/swagger/{file}")).insert_header(("accept-encoding", "identity"))).await;
        assert_eq!(reply.status, 200, "{file}");
        assert!(!reply.text.contains("://"), "{file}: {}", reply.text);
    }
    let script = call(&app, get("/swagger/swagger-initializer.js")).await.text;
    assert!(script.contains("/openapi.json") && script.contains("\"validatorUrl\": \"none\""), "{script}");
}
