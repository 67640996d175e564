//! Every way to say no, as RFC 9457 `application/problem+json`.
//!
//! A handler returns a [`Problem`]; the tracing middleware completes it with the request's id and path and
//! writes the body. What a driver said travels along for the log and never reaches a caller.

mod code;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
};
use balance_domain::{
    CatalogueError, Invalid, Rejection, ReportError,
    ports::{Cause, FeedError, RepoError, SubmitError},
};
use paperclip::{
    actix::{Apiv2Schema, OperationModifier},
    v2::{
        models::{DefaultOperationRaw, DefaultSchemaRaw},
        schema::Apiv2Errors,
    },
};
use serde::Serialize;

use crate::context::Context;

pub(crate) use code::Code;

/// The media type of every refusal and failure.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Whether a refused or failed request had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Executed {
    /// It certainly had none.
    No,
    /// It may have had one; a repeat under the same key is safe and tells.
    Unknown,
}

impl Executed {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// A refusal or failure, boxed so that the way of success stays slim.
#[derive(Debug)]
pub(crate) struct Problem(Box<Details>);

#[derive(Debug)]
struct Details {
    code: Code,
    detail: Cow<'static, str>,
    executed: Executed,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u32>,
    cause: Option<Cause>,
}

/// One thing that is wrong with the input.
#[derive(Clone, Debug, Serialize, Apiv2Schema)]
pub(crate) struct FieldError {
    /// Where: a JSON pointer into the body, or the name of a parameter or header.
    pub(crate) pointer: String,
    /// What is wrong, as a stable code.
    pub(crate) code: &'static str,
    /// What is wrong, for people.
    pub(crate) detail: String,
}

/// The body of every refusal and failure.
#[derive(Serialize, Apiv2Schema)]
#[openapi(rename = "Problem")]
pub(crate) struct ProblemBody<'a> {
    /// Identifies the kind of problem: `urn:balance:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What happened, the same words for every occurrence.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: &'a str,
    /// The path of the request.
    instance: &'a str,
    /// The stable code to branch on.
    code: &'a str,
    /// The id to tell an operator.
    request_id: &'a str,
    /// `no`: the request had no effect. `unknown`: it may have had one; repeat it under the same key.
    executed: &'a str,
    /// `true` in the answer to a dry run; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    /// For malformed input: everything that is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [FieldError]>,
}

impl Problem {
    /// A problem that is said with the title of its code.
    pub(crate) fn new(code: Code) -> Self {
        Self::with_detail(code, code.title())
    }

    /// A problem with words of its own.
    pub(crate) fn with_detail(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Details {
            code,
            detail: detail.into(),
            executed: Executed::No,
            errors: Vec::new(),
            retry_after_seconds: None,
            cause: None,
        }))
    }

    /// Malformed input. Its code is that of the first error.
    pub(crate) fn input(code: Code, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} things are wrong with the request; see errors", several.len()),
        };
        let mut problem = Self::with_detail(code, detail);
        problem.0.errors = errors;
        problem
    }

    /// One malformed value at `pointer`.
    pub(crate) fn invalid(pointer: impl Into<String>, invalid: Invalid) -> Self {
        Self::at(pointer, invalid.into(), invalid.to_string())
    }

    /// One thing that is wrong at `pointer`.
    pub(crate) fn at(pointer: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self::input(
            code,
            vec![FieldError { pointer: pointer.into(), code: code.as_str(), detail: detail.into() }],
        )
    }

    /// A temporary problem: retry after `after_seconds`.
    pub(crate) fn retry(code: Code, after_seconds: u32) -> Self {
        let mut problem = Self::new(code);
        problem.0.retry_after_seconds = Some(after_seconds);
        problem
    }

    /// What a dry run would be refused with: no refusal that counts.
    pub(crate) fn foreseen(error: SubmitError) -> Self {
        match error {
            SubmitError::Rejected { rejection, .. } => {
                Self::with_detail((&rejection).into(), rejection.to_string())
            }
            failed => failed.into(),
        }
    }

    /// A bug of ours whose effect is unknown.
    pub(crate) fn panicked() -> Self {
        let mut problem = Self::new(Code::Internal);
        problem.0.executed = Executed::Unknown;
        problem
    }

    /// The problem that an answer of the framework itself stands for.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        Self::new(match status {
            StatusCode::NOT_FOUND => Code::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            status if status.is_client_error() => Code::BadRequest,
            _ => Code::Internal,
        })
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn executed(&self) -> Executed {
        self.0.executed
    }

    /// Seconds to wait before the next attempt.
    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        self.0.retry_after_seconds
    }

    /// What is underneath, for the log.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        self.0.cause.as_ref()
    }

    /// The same problem, said of one command of a batch.
    pub(crate) fn of_command(mut self, index: usize) -> Self {
        self.0.errors = vec![FieldError {
            pointer: format!("/commands/{index}"),
            code: self.0.code.as_str(),
            detail: self.0.detail.to_string(),
        }];
        self
    }

    /// The whole answer.
    pub(crate) fn answer(&self, instance: &str, context: &Context) -> HttpResponse {
        let details = &self.0;
        let body = ProblemBody {
            kind: format!("urn:balance:problem:{}", details.code.as_str()),
            title: details.code.title(),
            status: details.code.status(),
            detail: &details.detail,
            instance,
            code: details.code.as_str(),
            request_id: context.request_id(),
            executed: details.executed.as_str(),
            dry_run: context.is_dry_run.get().then_some(true),
            errors: (!details.errors.is_empty()).then_some(&details.errors),
        };
        let mut answer = HttpResponseBuilder::new(self.status_code());
        answer.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        if let Some(seconds) = details.retry_after_seconds {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        if details.code.status() == 401 {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"balance\""));
        }
        if details.code == Code::RequestTimeout {
            answer.force_close();
        }
        answer.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Without a body: the tracing middleware knows the request and writes it.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// Which statuses a call answers stands in the table of operations; here is only what their bodies look like.
impl Apiv2Errors for Problem {
    const ERROR_MAP: &'static [(u16, &'static str)] = &[];

    fn update_error_definitions(_: &mut DefaultOperationRaw) {}

    fn update_definitions(map: &mut BTreeMap<String, DefaultSchemaRaw>) {
        <ProblemBody<'_> as OperationModifier>::update_definitions(map);
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Ahead => Self::new(Code::CursorAhead),
            FeedError::NoOrder(why) => Self::with_detail(Code::EventsUnordered, why),
            FeedError::Failed(error) => error.into(),
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::with_detail(invalid.into(), invalid.to_string())
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        metrics::counter!("balance_rejections_total", "code" => rejection.code()).increment(1);
        Self::with_detail((&rejection).into(), rejection.to_string())
    }
}

/// Seconds to wait while the store is away.
const UNAVAILABLE_RETRY_SECONDS: u32 = 2;

/// Seconds to wait under load: one to three, so that callers do not come back all at once.
pub(crate) fn overloaded_retry_seconds() -> u32 {
    1 + u32::from(uuid::Uuid::now_v7().as_bytes()[15] % 3)
}

impl From<RepoError> for Problem {
    fn from(error: RepoError) -> Self {
        let (code, executed, retry, cause) = match error {
            RepoError::Unavailable(cause) => {
                (Code::Unavailable, Executed::No, Some(UNAVAILABLE_RETRY_SECONDS), Some(cause))
            }
            RepoError::Overloaded => (Code::Overloaded, Executed::No, Some(overloaded_retry_seconds()), None),
            RepoError::Unknown(cause) => {
                (Code::OutcomeUnknown, Executed::Unknown, Some(UNAVAILABLE_RETRY_SECONDS), Some(cause))
            }
            RepoError::ClockUnsafe(cause) => {
                (Code::ClockUnsafe, Executed::No, Some(UNAVAILABLE_RETRY_SECONDS), Some(cause.into()))
            }
            RepoError::Internal(cause) => (Code::Internal, Executed::No, None, Some(cause)),
        };
        let mut problem = Self::new(code);
        problem.0.executed = executed;
        problem.0.retry_after_seconds = retry;
        problem.0.cause = cause;
        problem
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Rejected { rejection, .. } => rejection.into(),
            SubmitError::Failed(error) => error.into(),
            // The ledger has submitted it again until it gave up.
            SubmitError::Postponed(_) => RepoError::Overloaded.into(),
        }
    }
}

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        let code = match &error {
            CatalogueError::IdTaken(_) => Code::ServiceExists,
            CatalogueError::NameTaken(_) => Code::ServiceNameTaken,
            CatalogueError::NotFound(_) => Code::ServiceNotFound,
        };
        Self::with_detail(code, error.to_string())
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        let detail = error.to_string();
        match error {
            ReportError::NotBegun(_) => Self::with_detail(Code::MonthNotBegun, detail),
            ReportError::NotBuilt(_) => Self::with_detail(Code::ReportNotFound, detail),
            ReportError::Repo(error) => error.into(),
            ReportError::Sink(error) => {
                let mut problem = Self::retry(Code::ReportNotPublished, UNAVAILABLE_RETRY_SECONDS);
                problem.0.cause = Some(error.0);
                problem
            }
        }
    }
}
