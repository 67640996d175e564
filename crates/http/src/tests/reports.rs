//! Monthly revenue.

use std::sync::Arc;

use balance_domain::{
    Month, RevenueReport,
    ports::{ReportDraft, ReportSink, SinkError, Spreadsheet, SpreadsheetLanguage},
};
use serde_json::{Value, json};

use super::world::{Reply, TestApp, World, call, get, post};

async fn build(app: &TestApp, month: &str) -> Reply {
    call(app, post("/api/v1/reports/revenue", "-", &json!({ "month": month }))).await
}

async fn with_revenue() -> (World, TestApp) {
    let world = World::new().await;
    let app = world.app().await;
    let ids = |more: Value| {
        let mut body = json!({ "user_id": 1, "service_id": 7, "order_id": 1 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 1000 }))).await;
    call(&app, post("/api/v1/reservations", "r", &ids(json!({ "amount": 500 })))).await;
    call(&app, post("/api/v1/reservations/capture", "c", &ids(json!({})))).await;
    call(&app, post("/api/v1/reservations/refund", "f", &ids(json!({ "amount": 200 })))).await;
    (world, app)
}

#[actix_web::test]
async fn a_report_is_built_and_read_as_json_and_as_a_file() {
    let (world, app) = with_revenue().await;
    for path in ["/api/v1/reports/revenue/2026-11", "/api/v1/reports/revenue/2026-11.csv"] {
        assert_eq!(call(&app, get(path)).await.refusal(), (404, "report_not_found".to_owned()), "{path}");
    }
    let built = build(&app, "2026-11").await;
    assert_eq!(built.status, 201);
    assert_eq!(built.header("location"), "/api/v1/reports/revenue/2026-11");
    let sha256 = "0".repeat(64);
    let url = "/api/v1/reports/revenue/2026-11.csv";
    assert_eq!(
        built.json(),
        json!({ "month": "2026-11", "url": url, "rows": 1, "total": 300, "final": false, "sha256": sha256 })
    );
    let file = call(&app, get(url)).await;
    assert_eq!((file.status, file.text.as_str()), (200, "service;revenue\nDelivery;300\n"));
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"revenue-2026-11.csv\"");
    let report = call(&app, get("/api/v1/reports/revenue/2026-11")).await.json();
    assert_eq!(
        report["services"],
        json!([{ "service_id": 7, "name": "Delivery", "captured": 500, "refunded": 200, "net": 300 }])
    );
    world.pass(30 * 24 * 3600);
    assert_eq!(build(&app, "2026-11").await.json()["final"], true);
}

#[actix_web::test]
async fn months_to_come_have_no_report() {
    let world = World::new().await;
    let app = world.app().await;
    assert_eq!(build(&app, "2026-12").await.refusal(), (409, "month_not_begun".to_owned()));
    assert_eq!(build(&app, "2020-02").await.json()["rows"], 0);
}

/// A folder on a disk that is full.
struct FullDisk;

impl ReportSink for FullDisk {
    fn begin(&self, _: Month) -> Result<Box<dyn ReportDraft>, SinkError> {
        Err(SinkError("No space left on device: /srv/reports/revenue-2026-10.csv".into()))
    }

    fn spreadsheet(&self, _: &RevenueReport, _: SpreadsheetLanguage) -> Result<Spreadsheet, SinkError> {
        Err(SinkError("never asked for".into()))
    }
}

#[actix_web::test]
async fn a_file_that_could_not_be_written_is_a_failure_without_a_path() {
    let world = World::with(|ports| ports.sink = Arc::new(FullDisk), |_| {}).await;
    let app = world.app().await;
    let reply = build(&app, "2026-10").await;
    assert_eq!(reply.refusal(), (503, "report_not_published".to_owned()));
    assert!(!reply.text.contains("/srv") && !reply.text.contains("device"), "{reply:?}");
}

#[actix_web::test]
async fn months_stand_side_by_side_without_being_built() {
    let (world, app) = with_revenue().await;
    let months = |from: &str, to: &str| get(&format!("/api/v1/reports/revenue?from={from}&to={to}"));
    let shown = call(&app, months("2026-10", "2026-11")).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let line = json!({ "service_id": 7, "name": "Delivery", "captured": 500, "refunded": 200, "net": 300 });
    let shown = shown.json();
    let sums = |at: usize| (shown["months"][at]["captured"].clone(), shown["months"][at]["net"].clone());
    assert_eq!((sums(0), sums(1)), ((json!(0), json!(0)), (json!(500), json!(300))));
    assert_eq!(shown["months"][1]["services"], json!([line]));
    assert_eq!((&shown["months"][0]["final"], &shown["months"][1]["final"]), (&json!(true), &json!(false)));
    // Nothing was published, but the month that is over is kept.
    assert_eq!(call(&app, get("/api/v1/reports/revenue/2026-11")).await.status, 404);
    assert_eq!(call(&app, get("/api/v1/reports/revenue/2026-10")).await.json()["final"], true);
    for (from, to, refusal) in [
        ("2026-11", "2026-10", (400, "invalid_month")),
        ("2023-11", "2026-11", (400, "invalid_month")),
        ("2026-11", "2026-12", (409, "month_not_begun")),
        ("2026-11", "now", (400, "invalid_month")),
    ] {
        let (status, code) = call(&app, months(from, to)).await.refusal();
        assert_eq!((status, code.as_str()), refusal, "{from} to {to}");
    }
    assert_eq!(call(&app, get("/api/v1/reports/revenue?from=2026-11")).await.code(), "missing_parameter");
    world.pass(30 * 24 * 3600);
    assert_eq!(call(&app, months("2026-11", "2026-11")).await.json()["months"][0]["final"], true);
}

#[actix_web::test]
async fn a_month_is_a_file_for_excel_too() {
    let (_world, app) = with_revenue().await;
    build(&app, "2026-11").await;
    let file = call(&app, get("/api/v1/reports/revenue/2026-11.csv?for=excel")).await;
    assert_eq!((file.status, file.text.as_str()), (200, "\u{feff}2026-11;300"));
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"2026-11-excel.csv\"");
    let refused = call(&app, get("/api/v1/reports/revenue/2026-11.csv?for=numbers")).await;
    assert_eq!(refused.refusal(), (400, "invalid_for".to_owned()));
}
