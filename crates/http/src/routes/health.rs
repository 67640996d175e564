//! What operators and orchestrators ask. Needs no key and stands outside the contract.

use actix_web::{
    HttpResponse,
    http::header::CONTENT_TYPE,
    web::{self, Data, ServiceConfig},
};

use crate::{
    api::Shared,
    problem::{Code, Problem},
    server::MetricsText,
};

/// The format that Prometheus reads.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Mounts liveness and readiness, and the metrics if there are any.
pub(crate) fn mount(app: &mut ServiceConfig, metrics: Option<MetricsText>) {
    app.route("/health/live", web::get().to(live)).route("/health/ready", web::get().to(ready));
    if let Some(metrics) = metrics {
        let render = move || {
            let text = metrics();
            async move { HttpResponse::Ok().insert_header((CONTENT_TYPE, METRICS_TEXT)).body(text) }
        };
        app.route("/metrics", web::get().to(render));
    }
}

/// The process answers.
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "live" }))
}

/// The store can be reached and has the schema that this binary knows, the API keys were read lately, and no stop is
/// near: calls are served.
async fn ready(shared: Data<Shared>) -> Result<HttpResponse, Problem> {
    if shared.drain.has_begun() {
        return Err(Problem::with_detail(Code::Unavailable, "the service is about to stop"));
    }
    shared.readiness.check(&shared.api).await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "status": "ready" })))
}
