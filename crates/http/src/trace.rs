//! The outermost layer: gives every request an id, completes problems, sets the headers that every answer
//! carries, and leaves one log event and two metrics per request.
//!
//! Never logged: bodies, keys, comments, query strings.

use std::{panic::AssertUnwindSafe, rc::Rc, time::Instant};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
};
use futures::FutureExt;

use crate::{
    context::{Context, X_REQUEST_ID},
    problem::Problem,
};

/// Runs a request inside its context.
pub(crate) async fn trace(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let context = Rc::new(Context::of(request.headers()));
    request.extensions_mut().insert(Rc::clone(&context));
    let http_request = request.request().clone();

    let outcome = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    let response = match outcome {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        Ok(Err(error)) => ServiceResponse::from_err(error, http_request),
        Err(_) => ServiceResponse::from_err(Problem::panicked(), http_request),
    };
    let mut response = if response.status().is_client_error() || response.status().is_server_error() {
        complete(response, &context)
    } else {
        response
    };
    set_headers(response.headers_mut(), &context);
    record(&response, &context, started);
    Ok(response)
}

/// Gives a refusal or failure its body, whoever made it.
fn complete(response: ServiceResponse, context: &Context) -> ServiceResponse {
    let status = response.status();
    let own = response.response().error().and_then(Error::as_error::<Problem>);
    let by_status;
    let problem = match own {
        Some(problem) => problem,
        None => {
            by_status = Problem::of_status(status);
            &by_status
        }
    };
    log_cause(problem, context);
    let mut answer = problem.answer(response.request().path(), context.request_id());
    if let Some(allow) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    ServiceResponse::new(response.request().clone(), answer)
}

/// What a driver said, for the operator.
fn log_cause(problem: &Problem, context: &Context) {
    let (code, request_id) = (problem.code().as_str(), context.request_id());
    match problem.cause() {
        Some(cause) if problem.code().status() == 500 => {
            tracing::error!(target: "balance::request", request_id, code, %cause, "a request failed");
        }
        Some(cause) => {
            tracing::warn!(target: "balance::request", request_id, code, %cause, "a request failed");
        }
        None => {}
    }
}

fn set_headers(headers: &mut HeaderMap, context: &Context) {
    headers.insert(X_REQUEST_ID, context.request_id.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
    }
}

fn record(response: &ServiceResponse, context: &Context, started: Instant) {
    let elapsed = started.elapsed();
    let method = method_name(response.request().method());
    let route = context.operation.get().map_or("other", |operation| operation.path);
    let status = status_text(response.status());
    metrics::counter!("balance_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    metrics::histogram!("balance_http_request_duration_seconds", "method" => method, "route" => route)
        .record(elapsed.as_secs_f64());
    tracing::info!(
        target: "balance::request",
        request_id = context.request_id(),
        method,
        route,
        status = response.status().as_u16(),
        duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        user_id = context.user_id.get().map(balance_domain::UserId::get),
        operation_seq = context.operation_seq.get(),
        key_id = context.key.get().map(|key| key.id.as_str()),
        "request"
    );
}

/// Methods as a closed set: a caller must not be able to make new series.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Statuses that this service answers, without an allocation per request.
fn status_text(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        201 => "201",
        204 => "204",
        307 => "307",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        410 => "410",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}
