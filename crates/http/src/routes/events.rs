//! The feed: pages, long polls and streams.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, Responder, body::BoxBody, http::header, web::Bytes};
use balance_domain::{EventPage, EventPosition, EventQuery};
use futures::stream;
use paperclip::{
    actix::{OperationModifier, api_v2_operation},
    v2::{
        models::{DefaultOperationRaw, DefaultSchemaRaw},
        schema::Apiv2Schema,
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    answer::Ok as Answered,
    events::{Follower, Reader},
    extract::{Accepts, Caller, Query, invalid_cursor},
    operations::ListEvents,
    problem::Problem,
    wire::{EventBody, EventPageBody, EventParameters, cursor_of},
};

/// How often a waiting call looks for news.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A stream shows with a comment that it lives.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// A stream ends, and its reader opens another: balancers and keys have their say again.
const STREAM_MAX: Duration = Duration::from_hours(1);

/// Follow everything that happens.
///
/// All operations and facts in one order: complete, at least once, for ever; each account's operations in the order of
/// `seq`. Send `next_cursor` as `cursor` for what follows; it is never null, and a page may be empty while more
/// follows. With `wait` the answer waits for an event. With `Accept: text/event-stream` it is a stream of server-sent
/// events, whose `id` is the cursor: `Last-Event-ID` goes on from there. `cursor_ahead` says that what the reader saw
/// was taken back by a restore or a fail-over.
#[api_v2_operation]
pub(super) async fn list(
    caller: Caller<ListEvents>,
    accepts: Accepts,
    query: Query<EventParameters>,
) -> Result<EventsAnswer, Problem> {
    let reader = caller.reader().await?;
    let parameters = query.0;
    let cursor = accepts.last_event_id.or(parameters.cursor.as_ref().map(|cursor| cursor.0.0.clone()));
    let query = EventQuery {
        after: reader.place(cursor.as_deref()).await?.ok_or_else(invalid_cursor)?,
        filter: parameters.filter(),
        limit: parameters.limit.as_ref().map(|limit| limit.0).unwrap_or_default(),
    };
    if accepts.stream {
        let follower = reader.follower()?;
        // What is wrong is an answer of its own, not a stream that breaks.
        let first = reader.page(query.clone()).await?;
        return Ok(EventsAnswer::Stream(Box::new(Stream::new(reader, follower, query, first))));
    }
    let wait = parameters.wait.map_or(Duration::ZERO, |wait| Duration::from_secs(wait.0.0.into()));
    let page = if wait.is_zero() {
        reader.page(query).await?
    } else {
        let _follower = reader.follower()?;
        next_events(&reader, query, Instant::now() + wait).await?
    };
    Ok(EventsAnswer::Page(reader.body(page)))
}

/// The next page with events, or an empty one at the deadline.
async fn next_events(
    reader: &Reader,
    mut query: EventQuery,
    deadline: Instant,
) -> Result<EventPage, Problem> {
    loop {
        let page = reader.page(query.clone()).await?;
        if !page.events.is_empty() || Instant::now() >= deadline || reader.is_stopping() {
            return Ok(page);
        }
        query.after = page.next;
        if page.is_end {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// A page, or a stream of them.
pub(crate) enum EventsAnswer {
    Page(EventPageBody),
    Stream(Box<Stream>),
}

impl Responder for EventsAnswer {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        match self {
            Self::Page(page) => Answered::new(page).respond_to(request),
            Self::Stream(stream) => HttpResponse::Ok()
                .insert_header((header::CONTENT_TYPE, "text/event-stream"))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .insert_header(("X-Accel-Buffering", "no"))
                .streaming(stream::unfold(*stream, |mut stream| async move {
                    let bytes = stream.next().await?;
                    Some((Ok::<_, actix_web::Error>(bytes), stream))
                })),
        }
    }
}

impl Apiv2Schema for EventsAnswer {
    fn name() -> Option<String> {
        EventPageBody::name()
    }

    fn raw_schema() -> DefaultSchemaRaw {
        EventPageBody::raw_schema()
    }
}

impl OperationModifier for EventsAnswer {
    fn update_response(operation: &mut DefaultOperationRaw) {
        Answered::<EventPageBody>::update_response(operation);
    }

    fn update_definitions(map: &mut std::collections::BTreeMap<String, DefaultSchemaRaw>) {
        Answered::<EventPageBody>::update_definitions(map);
    }
}

/// One reader's stream.
pub(crate) struct Stream {
    reader: Reader,
    _follower: Follower,
    query: EventQuery,
    waiting: Option<EventPage>,
    ends_at: Instant,
}

impl Stream {
    fn new(reader: Reader, follower: Follower, query: EventQuery, first: EventPage) -> Self {
        Self {
            reader,
            _follower: follower,
            query,
            waiting: Some(first),
            ends_at: Instant::now() + STREAM_MAX,
        }
    }

    /// The next events, or a comment; `None` where the stream ends. A failure ends it, too, as does a key that is
    /// revoked: the reader comes back with the last id that it saw.
    async fn next(&mut self) -> Option<Bytes> {
        let comment_at = Instant::now() + COMMENT_EVERY;
        loop {
            if Instant::now() >= self.ends_at || self.reader.is_stopping() {
                return None;
            }
            let page = match self.waiting.take() {
                Some(page) => page,
                None => self.reader.page(self.query.clone()).await.ok()?,
            };
            self.query.after = page.next;
            if !page.events.is_empty() {
                return Some(self.written(page));
            }
            if Instant::now() >= comment_at {
                // The place moves although nothing was wanted.
                return Some(comment(&page.next, &self.reader.source));
            }
            if page.is_end {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    fn written(&self, page: EventPage) -> Bytes {
        let source = &self.reader.source;
        let mut text = Vec::new();
        for event in page.events {
            let id = cursor_of(&event.position, source);
            text.extend_from_slice(format!("id: {id}\nevent: {}\ndata: ", event.kind()).as_bytes());
            // JSON has no line breaks of its own.
            text.extend(serde_json::to_vec(&EventBody::new(event, source)).unwrap_or_default());
            text.extend_from_slice(b"\n\n");
        }
        text.into()
    }
}

/// A comment, and an id without an event.
fn comment(place: &EventPosition, source: &str) -> Bytes {
    format!(": alive\nid: {}\n\n", cursor_of(place, source)).into()
}
