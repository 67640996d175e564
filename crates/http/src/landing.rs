//! What a browser finds at `/`: the console, or the page of the API. A program finds nothing there, as before.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, LOCATION},
    web::{self, ServiceConfig},
};

use crate::problem::{Code, Problem};

/// Mounts `/`.
pub(crate) fn mount(app: &mut ServiceConfig, has_console: bool) {
    let place = if has_console { "/console" } else { "/swagger/index.html" };
    app.route(
        "/",
        web::get().to(move |request: HttpRequest| {
            let answer = lead(&request, place);
            async move { answer }
        }),
    );
}

fn lead(request: &HttpRequest, place: &'static str) -> Result<HttpResponse, Problem> {
    let accepts =
        request.headers().get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        Ok(HttpResponse::SeeOther().insert_header((LOCATION, place)).finish())
    } else {
        Err(Problem::new(Code::RouteNotFound))
    }
}
