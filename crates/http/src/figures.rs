//! The metrics of requests, by method, route and status. Looking a metric up by its labels costs more than counting
//! does, so each worker keeps what it has looked up.

use std::{cell::RefCell, ptr, time::Duration};

use actix_web::http::{Method, StatusCode};
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Registers the help texts of the metrics of this crate with the installed recorder.
pub(crate) fn describe() {
    describe_counter!("balance_http_requests_total", Unit::Count, "Answered requests.");
    describe_histogram!("balance_http_request_duration_seconds", Unit::Seconds, "Time of requests.");
    describe_counter!("balance_dry_runs_total", Unit::Count, "Calls that only asked what would happen.");
    describe_gauge!("balance_events_followers", Unit::Count, "Callers that wait for events.");
    describe_counter!("balance_events_read_total", Unit::Count, "Events that were shown.");
    describe_counter!("balance_rejections_total", Unit::Count, "Commands that a rule refused, by code.");
    // Shown before anybody asks or follows.
    counter!("balance_dry_runs_total").increment(0);
    gauge!("balance_events_followers").set(0.0);
    counter!("balance_events_read_total").increment(0);
}

/// The figures that one worker has counted so far: one per method, route and status, all closed sets, so a short list.
#[derive(Default)]
pub(crate) struct Figures(RefCell<Vec<Figure>>);

struct Figure {
    method: &'static str,
    route: &'static str,
    status: StatusCode,
    requests: Counter,
    seconds: Histogram,
}

impl Figures {
    /// Counts an answered request.
    pub(crate) fn count(
        &self,
        method: &'static str,
        route: &'static str,
        status: StatusCode,
        elapsed: Duration,
    ) {
        let mut figures = self.0.borrow_mut();
        // By address: the same text at another address only makes an entry more.
        let is_same = |figure: &Figure| {
            figure.status == status && ptr::eq(figure.route, route) && ptr::eq(figure.method, method)
        };
        let at = figures.iter().position(is_same).unwrap_or_else(|| {
            figures.push(Figure::new(method, route, status));
            figures.len() - 1
        });
        figures[at].requests.increment(1);
        figures[at].seconds.record(elapsed);
    }
}

impl Figure {
    fn new(method: &'static str, route: &'static str, status: StatusCode) -> Self {
        let text = status_text(status);
        Self {
            method,
            route,
            status,
            requests: counter!("balance_http_requests_total", "method" => method, "route" => route, "status" => text),
            seconds: histogram!("balance_http_request_duration_seconds", "method" => method, "route" => route),
        }
    }
}

/// Routes outside of the contract as a closed set: a caller must not be able to make new series.
pub(crate) fn other_route(path: &str) -> &'static str {
    const PLACES: [&str; 4] = ["/health/live", "/health/ready", "/metrics", "/openapi.json"];
    const PAGES: [&str; 3] = [CONSOLE, "/docs", "/swagger"];
    let is_below =
        |page: &&str| path.strip_prefix(*page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let place = PLACES.into_iter().find(|place| *place == path);
    place.or_else(|| PAGES.into_iter().find(is_below)).unwrap_or(UNMATCHED)
}

/// Every page of the console, and what is done there.
pub(crate) const CONSOLE: &str = "/console";

/// The route of a request that nothing is served for.
pub(crate) const UNMATCHED: &str = "other";

/// Methods as a closed set: a caller must not be able to make new series.
pub(crate) fn method_name(method: &Method) -> &'static str {
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

/// Statuses that this service answers.
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
