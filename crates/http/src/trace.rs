//! The outermost layer: gives every request an id, completes problems, sets the headers that every answer
//! carries, and leaves one log event and two metrics per request.
//!
//! Health checks, scrapes and static pages are logged at DEBUG only: they come all day and say nothing of money. A
//! path is logged where it is no call of the contract, so that a mistyped address can be found.
//!
//! Never logged: bodies, keys, comments, query strings.

use std::{
    convert::Infallible, fmt, panic::AssertUnwindSafe, pin::Pin, rc::Rc, sync::Arc, task, time::Instant,
};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method, StatusCode, Uri,
        header::{
            ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    web::{Bytes, Data},
};
use balance_domain::ApiKey;
use futures::FutureExt;

use crate::{
    api::Shared,
    connection::{Gate, Turned},
    context::{Context, X_REQUEST_ID, peer_of},
    figures::{CONSOLE, Figures, UNMATCHED, method_name, other_route},
    mailbox::Mailbox,
    problem::{Code, Problem},
    refusals::{Kind, Refusals},
};

/// How much of a path is logged that nothing is served for, in bytes.
const PATH_BYTES_MAX: usize = 200;

/// What one worker keeps from request to request.
pub(crate) struct Worker {
    mailbox: Mailbox,
    figures: Figures,
    shared: Data<Shared>,
    is_for_operators: bool,
}

/// Runs a request inside its context.
pub(crate) async fn trace(
    worker: Rc<Worker>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Turned<BoxBody>>, Error> {
    let started = Instant::now();
    // Until the answer has been made, or this request given up.
    let turn = request.conn_data::<Rc<Gate>>().map(Gate::begin);
    let api = &worker.shared.api;
    let socket = request.peer_addr().map(|address| address.ip());
    let peer = peer_of(socket, request.headers(), api.settings.behind_proxy);
    let context = Rc::new(Context::of(request.headers(), peer));
    request.extensions_mut().insert(Rc::clone(&context));
    if !worker.is_for_operators
        && let Err(problem) = api.access.check_place(request.uri(), request.headers())
    {
        let mut response = complete(request.error_response(problem), &context, &api.refusals);
        set_headers(response.headers_mut(), &context);
        let request = response.request();
        worker.record((request.method(), request.uri()), response.status(), &context, started);
        return Ok(response.map_body(|_, body| Turned::new(body, turn)));
    }
    // The router needs the request for itself alone; what is kept here are two small copies.
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let is_head = method == Method::HEAD;
    if is_head {
        // HEAD works wherever GET does and answers the same, without the body.
        request.head_mut().method = Method::GET;
    }

    let outcome = AssertUnwindSafe(worker.mailbox.receive(next.call(request))).catch_unwind().await;
    let problem = match outcome {
        Ok(Ok(response)) => {
            // Pages say in their own words what went wrong.
            let is_page = response
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
            let mut response = if response.status().as_u16() < 400 || is_page {
                response.map_into_boxed_body()
            } else {
                complete(response.map_into_boxed_body(), &context, &api.refusals)
            };
            if let Some(key) = response.request().extensions().get::<Arc<ApiKey>>() {
                // A page let its caller in by itself.
                let _ = context.key.set(Arc::clone(key));
            }
            set_headers(response.headers_mut(), &context);
            if worker.shared.drain.has_begun() {
                response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            }
            worker.record((&method, &uri), response.status(), &context, started);
            return Ok(response.map_body(|_, body| {
                let body = if is_head { Unsent(body.size()).boxed() } else { body };
                Turned::new(body, turn)
            }));
        }
        Ok(Err(error)) => Problem::of_status(error.as_response_error().status_code()),
        Err(_) => Problem::panicked(),
    };
    context.code.set(Some(problem.code()));
    worker.record((&method, &uri), problem.status_code(), &context, started);
    Err(Unanswered { problem, path: uri.path().to_owned(), context }.into())
}

impl Worker {
    pub(crate) fn new(shared: Data<Shared>) -> Self {
        Self { mailbox: Mailbox::default(), figures: Figures::default(), shared, is_for_operators: false }
    }

    /// Where others may reach the listener, since nothing of the API is there.
    pub(crate) fn for_operators(self) -> Self {
        Self { is_for_operators: true, ..self }
    }

    /// One log event, unless there are too many of its kind, and two metrics.
    fn record(
        &self,
        (method, uri): (&Method, &Uri),
        status: StatusCode,
        context: &Context,
        started: Instant,
    ) {
        let elapsed = started.elapsed();
        let method = method_name(method);
        let operation = context.operation.get();
        let route = operation.map_or_else(|| other_route(uri.path()), |operation| operation.path);
        self.figures.count(method, route, status, elapsed);
        let code = context.code.get();
        let kind = match code {
            // A defect of ours has a line each time.
            Some(Code::Internal) => None,
            Some(code) => Some(Kind::Refused(code)),
            None if operation.is_none() && context.key.get().is_none() => Some(Kind::Public),
            None => None,
        };
        if kind.is_some_and(|kind| !self.shared.api.refusals.has_line(kind)) {
            return;
        }
        let key_id = context.key.get().map(|key| key.id.as_str());
        // The level of an event is fixed where it is written.
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    target: "balance::request",
                    request_id = context.request_id(),
                    method,
                    route,
                    path = (route == UNMATCHED).then(|| shortened(uri.path())),
                    status = status.as_u16(),
                    code = code.map(Code::as_str),
                    duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
                    user_id = context.user_id.get().map(balance_domain::UserId::get),
                    operation_seq = context.operation_seq.get(),
                    key_id = key_id.or(context.refused_key_id.get().map(String::as_str)),
                    peer = code.and(context.peer).map(tracing::field::display),
                    "request"
                )
            };
        }
        if operation.is_some() || matches!(route, UNMATCHED | CONSOLE) { log!(info) } else { log!(debug) }
    }
}

/// As much of a path as is worth a log line.
fn shortened(path: &str) -> &str {
    &path[..path.floor_char_boundary(PATH_BYTES_MAX)]
}

/// The body of an answer to HEAD: only its length is said.
struct Unsent(BodySize);

impl MessageBody for Unsent {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Bytes, Infallible>>> {
        task::Poll::Ready(None)
    }
}

/// A request that no handler answered. The framework makes the answer of it, whole.
struct Unanswered {
    problem: Problem,
    path: String,
    context: Rc<Context>,
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.problem, f)
    }
}

impl ResponseError for Unanswered {
    fn status_code(&self) -> StatusCode {
        self.problem.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = self.problem.answer(&self.path, &self.context);
        set_headers(answer.headers_mut(), &self.context);
        answer
    }
}

/// Gives a refusal or failure its body, whatever layer made it.
fn complete(response: ServiceResponse, context: &Context, refusals: &Refusals) -> ServiceResponse {
    let (request, response) = response.into_parts();
    let own = response.error().and_then(Error::as_error::<Problem>);
    let by_status = Problem::of_status(response.status());
    let problem = own.unwrap_or(&by_status);
    context.code.set(Some(problem.code()));
    log_cause(problem, context, refusals);
    let mut answer = problem.answer(request.path(), context);
    if let Some(allow) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, with_head(allow));
    }
    ServiceResponse::new(request, answer)
}

/// HEAD is allowed wherever GET is.
fn with_head(allow: &HeaderValue) -> HeaderValue {
    let mut methods = allow.to_str().unwrap_or_default().to_owned();
    if methods.split(", ").any(|method| method == "GET") {
        methods.push_str(", HEAD");
    }
    HeaderValue::from_str(&methods).unwrap_or_else(|_| allow.clone())
}

/// What a driver said, for the operator; of an outage that strikes every request, a few times a second.
pub(crate) fn log_cause(problem: &Problem, context: &Context, refusals: &Refusals) {
    let Some(cause) = problem.cause() else { return };
    let (code, request_id) = (problem.code(), context.request_id());
    if code.status() == 500 {
        tracing::error!(target: "balance::request", request_id, code = code.as_str(), %cause, "a request failed");
    } else if refusals.has_line(Kind::Cause(code)) {
        tracing::warn!(target: "balance::request", request_id, code = code.as_str(), %cause, "a request failed");
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
