//! Which form of the feed a caller wants.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};
use paperclip::{actix::OperationModifier, v2::schema::Apiv2Schema};

use crate::problem::Problem;

/// The headers `Accept` and `Last-Event-ID` of a reader of the feed.
pub(crate) struct Accepts {
    /// A stream of server-sent events.
    pub(crate) stream: bool,
    /// The last event of the stream that broke.
    pub(crate) last_event_id: Option<String>,
}

impl FromRequest for Accepts {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let media = text(header::ACCEPT.as_str()).unwrap_or_default();
        let mut kinds = media.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let stream = kinds.any(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
        let last_event_id = text("last-event-id").filter(|id| stream && !id.is_empty()).map(str::to_owned);
        ready(Ok(Self { stream, last_event_id }))
    }
}

impl Apiv2Schema for Accepts {}
impl OperationModifier for Accepts {}
