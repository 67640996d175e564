//! A span per request for OpenTelemetry, by its conventions for HTTP servers. The caller's `traceparent` is its
//! parent, if there is one.
//!
//! Around [`trace`](crate::trace), so that it sees each request as it was answered. Never in a span: bodies, keys,
//! comments, and the path and query string, which can carry them; the route's template and the user's number say
//! as much.

use std::{borrow::Cow, rc::Rc, sync::LazyLock};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, Version, header::HeaderMap},
    middleware::Next,
};
use opentelemetry::{
    Context as Trace, KeyValue,
    context::FutureExt as _,
    global::{self, BoxedTracer},
    propagation::Extractor,
    trace::{SpanBuilder, SpanKind, SpanRef, Status, TraceContextExt as _, Tracer as _},
};

use crate::context::{Context, X_REQUEST_ID};

/// Of the provider that the app has installed before it serves.
static TRACER: LazyLock<BoxedTracer> = LazyLock::new(|| global::tracer(env!("CARGO_PKG_NAME")));

/// Answers a request inside its span.
pub(crate) async fn observe<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let caller = global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Trace::new(), &Headers(request.headers()))
    });
    let trace = caller.with_span(TRACER.build_with_context(begun(&request), &caller));
    if !trace.span().is_recording() {
        return next.call(request).await;
    }
    let mut answering = Answering { trace: trace.clone(), is_answered: false };
    let outcome = next.call(request).with_context(trace).await;
    match &outcome {
        Ok(response) => answering.answered(Some(response.request()), response.status(), response.headers()),
        Err(error) => {
            let answer = error.error_response();
            answering.answered(None, answer.status(), answer.headers());
        }
    }
    outcome
}

/// What is known before a request is routed. The name is completed once the route is known.
fn begun(request: &ServiceRequest) -> SpanBuilder {
    let method = method(request.method());
    SpanBuilder::from_name(named(method)).with_kind(SpanKind::Server).with_attributes([
        KeyValue::new("http.request.method", method),
        // What is spoken here. A proxy in front may speak TLS.
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("network.protocol.name", "http"),
        KeyValue::new("network.protocol.version", version(request.version())),
    ])
}

/// A request that has a span. Ends it however the request ends.
struct Answering {
    trace: Trace,
    is_answered: bool,
}

impl Answering {
    fn answered(&mut self, request: Option<&HttpRequest>, status: StatusCode, headers: &HeaderMap) {
        self.is_answered = true;
        let span = self.trace.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
        if let Some(id) = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()) {
            span.set_attribute(KeyValue::new("balance.request_id", id.to_owned()));
        }
        if let Some(request) = request {
            tell(&span, request);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let span = self.trace.span();
        if !self.is_answered {
            // The connection is gone, and what its caller asked for goes on without it.
            span.set_attribute(KeyValue::new("error.type", "caller_gone"));
        }
        span.end();
    }
}

/// Tells what answering the request has found out.
fn tell(span: &SpanRef<'_>, request: &HttpRequest) {
    let extensions = request.extensions();
    let context = extensions.get::<Rc<Context>>();
    let operation = context.and_then(|context| context.operation.get());
    let route: Option<Cow<'static, str>> = match operation {
        Some(operation) => Some(operation.path.into()),
        None => request.match_pattern().map(Into::into),
    };
    if let Some(route) = route {
        span.update_name(format!("{} {route}", named(method(request.method()))));
        span.set_attribute(KeyValue::new("http.route", route));
    }
    let Some(context) = context else { return };
    if let Some(user_id) = context.user_id.get() {
        span.set_attribute(KeyValue::new("balance.user_id", user_id.get()));
    }
    if let Some(seq) = context.operation_seq.get() {
        span.set_attribute(KeyValue::new("balance.operation_seq", seq));
    }
    if let Some(key) = context.key.get() {
        span.set_attribute(KeyValue::new("balance.key_id", key.id.as_str().to_owned()));
    }
}

/// Methods as the conventions have them: a caller must not be able to make new names.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

/// A method as the beginning of a span's name.
fn named(method: &'static str) -> &'static str {
    if method == "_OTHER" { "HTTP" } else { method }
}

fn version(version: Version) -> &'static str {
    if version == Version::HTTP_10 { "1.0" } else { "1.1" }
}

/// Where a propagator finds what a caller says of its trace.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(actix_web::http::header::HeaderName::as_str).collect()
    }
}
