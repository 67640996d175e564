//! What goes wrong, and the frame around every answer: headers, and pages that say what went wrong.

use std::fmt;

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
            LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY,
        },
    },
    middleware::Next,
    web::Data,
};
use askama::Template;
use balance_domain::{CatalogueError, Invalid, ReportError, Scope, ports::RepoError};

use crate::{console::Console, language::Language, session::Refused, shell::Shell, text::T, words};

/// Why a page is not shown or a deed not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody is logged in.
    LogIn,
    /// The key lacks this scope.
    Forbidden(Scope),
    /// The console only shows things.
    ReadOnly,
    /// A page of somebody else sent this.
    ForeignOrigin,
    /// There is no such thing.
    NotFound(T),
    /// The address or the form makes no sense.
    Malformed(T),
    /// Too many requests; seconds to wait.
    RateLimited(u32),
    /// The catalogue said no.
    Catalogue(CatalogueError),
    /// The store failed.
    Repo(RepoError),
    /// The report could not be made.
    Report(T),
    /// A defect of ours.
    Internal,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::LogIn => StatusCode::SEE_OTHER,
            Self::Forbidden(_) | Self::ReadOnly | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Catalogue(_) => StatusCode::CONFLICT,
            Self::Repo(RepoError::Internal(_)) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Repo(_) | Self::Report(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Without a body: the frame knows the visitor's language and writes it.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

impl Failure {
    /// What to tell the visitor.
    fn said(&self, language: Language) -> String {
        let text = match self {
            Self::Forbidden(scope) => return words::lacks_scope(*scope, language),
            Self::Catalogue(error) => return words::catalogue(error, language),
            Self::RateLimited(seconds) => return words::too_many(*seconds, language),
            Self::NotFound(text) | Self::Malformed(text) | Self::Report(text) => *text,
            Self::LogIn => T::LogInFirst,
            Self::ReadOnly => T::OnlyLooking,
            Self::ForeignOrigin => T::ForeignOrigin,
            Self::Repo(RepoError::Unknown(_)) => T::OutcomeUnknown,
            Self::Repo(RepoError::Internal(_)) | Self::Internal => T::OurFault,
            Self::Repo(_) => T::StoreAway,
        };
        language.say(text).to_owned()
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        Self::Repo(error)
    }
}

impl From<CatalogueError> for Failure {
    fn from(error: CatalogueError) -> Self {
        Self::Catalogue(error)
    }
}

impl From<Invalid> for Failure {
    fn from(_: Invalid) -> Self {
        Self::Malformed(T::Malformed)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unauthenticated => Self::LogIn,
            Refused::RateLimited(seconds) => Self::RateLimited(seconds),
            Refused::Failed(error) => Self::Repo(error),
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::NotBegun(_) => Self::Malformed(T::MonthNotBegun),
            ReportError::NotBuilt(_) => Self::NotFound(T::ReportNotBuilt),
            ReportError::Repo(error) => Self::Repo(error),
            ReportError::Sink(error) => {
                tracing::warn!(cause = %error.0, "a report could not be published");
                Self::Report(T::ReportNotPublished)
            }
        }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page could not be rendered");
        Self::Internal
    }
}

/// Scripts and styles come from here only, none stands in a page, nothing is framed, and forms go nowhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The frame of every answer below `/console`.
pub(crate) async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    // Forms that say themselves what is wrong with them are left alone.
    let is_page = response.headers().contains_key(CONTENT_TYPE);
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    let mut response = if is_refused && !is_page {
        explained(response)
    } else if response.response().error().is_some() {
        to_log_in(response)
    } else {
        response
    };
    set_headers(response.headers_mut());
    Ok(response)
}

fn set_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(VARY, HeaderValue::from_static("cookie, accept-language"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Leads to the page where one logs in, and back afterwards.
fn to_log_in(response: ServiceResponse) -> ServiceResponse {
    let (request, _) = response.into_parts();
    let back = request.uri().path_and_query().map_or("/console", |address| address.as_str());
    let back = if request.method() == actix_web::http::Method::GET { back } else { "/console" };
    let answer = HttpResponse::SeeOther()
        .insert_header((LOCATION, format!("/console/login?to={}", words::escaped(back))))
        .finish();
    ServiceResponse::new(request, answer)
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    shell: Shell,
    said: String,
    may_repeat: bool,
}

/// Gives a refusal or failure its page.
fn explained(response: ServiceResponse) -> ServiceResponse {
    let (request, response) = response.into_parts();
    let by_status = match response.status() {
        StatusCode::NOT_FOUND => Failure::NotFound(T::NoSuchPage),
        status if status.is_client_error() => Failure::Malformed(T::Malformed),
        _ => Failure::Internal,
    };
    let failure = response.error().and_then(Error::as_error::<Failure>).unwrap_or(&by_status);
    if let Failure::Repo(error) = failure {
        tracing::warn!(%error, "a page could not be shown");
    }
    let Some(console) = request.app_data::<Data<Console>>().cloned() else {
        return ServiceResponse::new(request, response);
    };
    let language = Language::of(&request);
    let key = request.extensions().get().cloned();
    let page = FailurePage {
        said: failure.said(language),
        may_repeat: matches!(failure, Failure::Repo(_) | Failure::Report(_) | Failure::RateLimited(_)),
        shell: Shell::of_failure(&console, language, key, request.path()),
    };
    let mut answer = HttpResponse::build(failure.status_code());
    answer.content_type("text/html; charset=utf-8");
    match failure {
        Failure::RateLimited(seconds) => answer.insert_header((RETRY_AFTER, *seconds)),
        Failure::Repo(_) => answer.insert_header((RETRY_AFTER, 2)),
        _ => &mut answer,
    };
    let answer = answer.body(page.render().unwrap_or_default());
    ServiceResponse::new(request, answer)
}
