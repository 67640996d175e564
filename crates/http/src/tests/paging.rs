//! Histories: filters, orders, and pages that neither skip nor repeat.

use serde_json::{Value, json};

use super::world::{TestApp, World, call, get, post};

async fn filled() -> (World, TestApp) {
    let world = World::new().await;
    let app = world.app().await;
    for (number, amount) in [30, 10, 20, 10, 40, 10, 50].into_iter().enumerate() {
        let body = json!({ "amount": amount });
        call(&app, post("/api/v1/users/1/deposits", &format!("k{number}"), &body)).await;
        world.pass(60);
    }
    (world, app)
}

/// All rows of a list, page by page; `between` runs after each page.
async fn pages(app: &TestApp, path: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = call(app, get(&format!("{path}&limit={limit}{cursor}"))).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        rows.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn column<'a>(rows: &'a [Value], name: &str) -> Vec<&'a Value> {
    rows.iter().map(|row| &row[name]).collect()
}

#[actix_web::test]
async fn every_order_pages_through_everything_once() {
    let (_world, app) = filled().await;
    for limit in [1, 2, 3, 7, 200] {
        let seqs = |sort: &'static str| {
            let app = &app;
            async move {
                let rows = pages(app, &format!("/api/v1/users/1/operations?sort={sort}"), limit).await;
                column(&rows, "seq").into_iter().map(|seq| seq.as_i64().unwrap()).collect::<Vec<_>>()
            }
        };
        assert_eq!(seqs("-created_at").await, [7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(seqs("created_at").await, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(seqs("-amount").await, [7, 5, 1, 3, 6, 4, 2]);
        assert_eq!(seqs("amount").await, [2, 4, 6, 3, 1, 5, 7]);
    }
}

#[actix_web::test]
async fn filters_combine_and_periods_are_half_open() {
    let (_world, app) = filled().await;
    let seqs = async |query: &str| {
        let rows = pages(&app, &format!("/api/v1/users/1/operations?sort=created_at&{query}"), 2).await;
        column(&rows, "seq").into_iter().map(|seq| seq.as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seqs("min_amount=20&max_amount=40").await, [1, 3, 5]);
    assert_eq!(seqs("from=2026-11-24T09:31:00Z&to=2026-11-24T09:33:00Z").await, [2, 3]);
    assert_eq!(seqs("from=2026-11-24T12:31:00%2B03:00&to=2026-11-24T09:33:00Z").await, [2, 3]);
    assert_eq!(seqs("kind=deposit&max_amount=10").await, [2, 4, 6]);
    assert_eq!(seqs("kind=refund").await, [0; 0]);
    assert_eq!(seqs("service_id=7&order_id=1").await, [0; 0]);
}

#[actix_web::test]
async fn pages_hold_still_while_others_write() {
    let (_world, app) = filled().await;
    let first = call(&app, get("/api/v1/users/1/operations?limit=3")).await.json();
    call(&app, post("/api/v1/users/1/deposits", "later", &json!({ "amount": 60 }))).await;
    let next = first["next_cursor"].as_str().unwrap();
    let rest = pages(&app, &format!("/api/v1/users/1/operations?cursor={next}"), 200).await;
    assert_eq!(column(&rest, "seq"), [4, 3, 2, 1]);
}

#[actix_web::test]
async fn a_cursor_is_refused_with_other_parameters() {
    let (_world, app) = filled().await;
    call(&app, post("/api/v1/users/2/deposits", "k", &json!({ "amount": 1 }))).await;
    let page = call(&app, get("/api/v1/users/1/operations?sort=amount&limit=1")).await.json();
    let next = page["next_cursor"].as_str().unwrap();
    for path in [
        format!("/api/v1/users/1/operations?cursor={next}"),
        format!("/api/v1/users/1/operations?sort=amount&kind=deposit&cursor={next}"),
        format!("/api/v1/users/2/operations?sort=amount&cursor={next}"),
        format!("/api/v1/users/1/reservations?cursor={next}"),
        format!("/api/v1/services?cursor={next}"),
        format!("/api/v1/users/1/operations?sort=amount&cursor={next}A"),
        format!("/api/v1/users/1/operations?sort=amount&cursor={}", &next[1..]),
    ] {
        let reply = call(&app, get(&path)).await;
        assert_eq!(reply.refusal(), (400, "invalid_cursor".to_owned()), "{path}");
    }
    let again =
        call(&app, get(&format!("/api/v1/users/1/operations?sort=amount&limit=9&cursor={next}"))).await;
    assert_eq!(again.json()["data"].as_array().unwrap().len(), 6, "the size of a page may change");
}

#[actix_web::test]
async fn reservations_page_latest_first() {
    let world = World::new().await;
    let app = world.app().await;
    call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 100 }))).await;
    for order in 1..=5 {
        let body = json!({ "user_id": 1, "service_id": 7, "order_id": order, "amount": 1 });
        call(&app, post("/api/v1/reservations", &format!("r{order}"), &body)).await;
        world.pass(1);
    }
    let rows = pages(&app, "/api/v1/users/1/reservations?state=active", 2).await;
    assert_eq!(column(&rows, "order_id"), [5, 4, 3, 2, 1]);
    let unknown = call(&app, get("/api/v1/users/9/reservations")).await;
    assert_eq!(unknown.refusal(), (404, "account_not_found".to_owned()));
}
