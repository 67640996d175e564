//! Logging in and out, and the choice of a language.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use askama::Template;
use cookie::{Cookie, SameSite, time::Duration};

use crate::{
    console::Console,
    failure::Failure,
    fields::{Fields, Form, Query},
    language::{COOKIE, Language},
    session::{Refused, cookie, is_of_this_origin, no_cookie, set_cookie},
    shell::{Shell, page, see_other},
    text::T,
    visit::{Visit, peer},
};

#[derive(Template)]
#[template(path = "log_in.html")]
struct LogInPage {
    shell: Shell,
    to: String,
    is_refused: bool,
}

/// Where one logs in. A visitor of a service that is open to everybody has nothing to do here.
pub(super) async fn form(request: HttpRequest, query: Query) -> Result<HttpResponse, Failure> {
    let console = console(&request)?;
    match console.gate.admit(None, peer(&request)).await {
        Ok(None) => Ok(see_other("/console")),
        Ok(Some(_)) | Err(Refused::Unauthenticated) => show(&request, &console, &query.0, false),
        Err(refused) => Err(refused.into()),
    }
}

/// Turns the key into a visit.
pub(super) async fn log_in(request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    let console = console(&request)?;
    if !is_of_this_origin(request.headers()) {
        return Err(Failure::ForeignOrigin);
    }
    let fields = Fields(form.into_inner());
    match console.gate.begin(fields.get("key"), peer(&request)).await {
        Ok(session) => {
            let mut answer = see_other(inside(fields.get("to")));
            set_cookie(&mut answer, &cookie(&session, console.is_behind_tls))?;
            Ok(answer)
        }
        Err(Refused::Unauthenticated) => show(&request, &console, &fields, true),
        Err(refused) => Err(refused.into()),
    }
}

fn show(
    request: &HttpRequest,
    console: &Console,
    fields: &Fields,
    is_refused: bool,
) -> Result<HttpResponse, Failure> {
    let shell = Shell::of_nobody(console, Language::of(request), "/console/login");
    let mut answer = page(&LogInPage { shell, to: inside(fields.get("to")).to_owned(), is_refused })?;
    if is_refused {
        *answer.status_mut() = actix_web::http::StatusCode::UNAUTHORIZED;
    }
    Ok(answer)
}

/// Revokes the child key of the visit.
pub(super) async fn log_out(visit: Visit) -> Result<HttpResponse, Failure> {
    if let Some(key) = &visit.key {
        visit.console.gate.end(key).await?;
    }
    let mut answer = see_other("/console/login");
    set_cookie(&mut answer, &no_cookie(visit.console.is_behind_tls))?;
    Ok(answer)
}

/// Keeps the choice for a year, and goes back.
pub(super) async fn choose_language(code: Path<String>, query: Query) -> Result<HttpResponse, Failure> {
    let language = Language::of_code(&code).ok_or(Failure::NotFound(T::NoSuchPage))?;
    let mut answer = see_other(inside(query.0.get("to")));
    let chosen = Cookie::build((COOKIE, language.code()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(Duration::days(365))
        .build();
    set_cookie(&mut answer, &chosen)?;
    Ok(answer)
}

fn console(request: &HttpRequest) -> Result<Data<Console>, Failure> {
    request.app_data::<Data<Console>>().cloned().ok_or(Failure::Internal)
}

/// An address of the console; anything else would lead people away from here.
fn inside(address: &str) -> &str {
    let is_inside =
        address == "/console" || address.starts_with("/console/") || address.starts_with("/console?");
    let is_plain = address.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_inside && is_plain { address } else { "/console" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away() {
        for (asked, to) in [
            ("/console/users/1?a=b", "/console/users/1?a=b"),
            ("/console", "/console"),
            ("//evil.example", "/console"),
            ("https://evil.example/console/", "/console"),
            ("/console.evil.example", "/console"),
            ("/console/\r\nset-cookie: a=b", "/console"),
            ("/swagger/index.html", "/console"),
            ("", "/console"),
        ] {
            assert_eq!(inside(asked), to, "{asked:?}");
        }
    }
}
