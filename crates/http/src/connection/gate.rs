//! What the stream of a connection, the answering of its requests and its deadlines know of each other.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::time::Instant;

use super::deadlines::{LINGER, Timeouts};

/// Registers the help texts, and begins every series, so that an alarm sees it grow.
pub(crate) fn describe() {
    describe_gauge!("balance_http_connections", "Open connections.");
    describe_counter!(
        "balance_http_connections_ended_total",
        "Connections that the service ended, by reason."
    );
    for reason in ["malformed", "head_too_large", "head_timeout", "body_timeout", "unread"] {
        counter!("balance_http_connections_ended_total", "reason" => reason).increment(0);
    }
}

/// The state of one connection. Lives on one worker thread.
pub(crate) struct Gate {
    timeouts: Timeouts,
    /// What the caller has to do next, and until when.
    awaited: Cell<Awaited>,
    input_until: Cell<Option<Instant>>,
    /// Until when the caller has to take some of its answer.
    output_until: Cell<Option<Instant>>,
    /// A handler has got the request.
    is_begun: Cell<bool>,
    /// The answer was made to its end.
    is_answered: Cell<bool>,
    /// The answer has left to its end.
    is_free: Cell<bool>,
    /// Bytes behind the open request wait in the socket.
    has_more: Cell<bool>,
    /// The head has to be refused for its slowness.
    is_overdue: Cell<bool>,
}

/// What a caller has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// Begin a request, or go.
    Request,
    /// Send a head to its end.
    Head,
    /// Send a body to its end, whatever it was answered.
    Body,
    /// Nothing: it is the service's turn.
    Nothing,
    /// Go.
    End,
}

/// What to do about a deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Answer before closing.
    Answer,
    /// Close.
    Close,
}

impl Gate {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        gauge!("balance_http_connections").increment(1.0);
        Self {
            timeouts,
            // A caller that connects and sends nothing is closed without an answer: it may have connected for later,
            // and must not take that answer for the one to its request.
            awaited: Cell::new(Awaited::Request),
            input_until: Cell::new(Some(Instant::now() + timeouts.head)),
            output_until: Cell::new(None),
            is_begun: Cell::new(false),
            is_answered: Cell::new(false),
            is_free: Cell::new(false),
            has_more: Cell::new(false),
            is_overdue: Cell::new(false),
        }
    }

    /// A handler takes the request on.
    pub(crate) fn begin(gate: &Rc<Self>) -> Turn {
        gate.is_begun.set(true);
        Turn(Rc::clone(gate))
    }

    pub(super) fn wait_for_head(&self) {
        if self.awaited.get() == Awaited::Request {
            self.awaited.set(Awaited::Head);
            self.input_until.set(Some(Instant::now() + self.timeouts.head));
        }
    }

    pub(super) fn wait_for_body(&self) {
        if self.awaited.get() != Awaited::Body {
            self.awaited.set(Awaited::Body);
            // A handler that waits for the body gives up first, and can say so.
            self.input_until.set(Some(Instant::now() + self.timeouts.body + LINGER));
        }
    }

    /// The request was read to its end. It may have been answered before.
    pub(super) fn request_is_whole(&self) {
        self.awaited.set(Awaited::Nothing);
        self.input_until.set(None);
        if self.is_free.get() {
            self.wait_for_request();
        }
    }

    fn wait_for_request(&self) {
        self.awaited.set(Awaited::Request);
        self.input_until.set(Some(Instant::now() + self.timeouts.keep_alive));
    }

    pub(super) fn is_free(&self) -> bool {
        self.is_free.get()
    }

    /// The next request begins.
    pub(super) fn next(&self) {
        self.is_begun.set(false);
        self.is_answered.set(false);
        self.is_free.set(false);
        self.has_more.set(false);
    }

    pub(super) fn more_is_there(&self) {
        self.has_more.set(true);
    }

    pub(super) fn has_more(&self) -> bool {
        self.has_more.get()
    }

    pub(super) fn wait_for_reader(&self) {
        if self.output_until.get().is_none() {
            self.output_until.set(Some(Instant::now() + self.timeouts.unread));
        }
    }

    /// Something is being written. Where no handler has got a request, that is the decoder's refusal.
    pub(super) fn writes(&self) {
        if !self.is_begun.get() && self.awaited.get() != Awaited::End {
            self.end("malformed");
        }
    }

    /// Everything that was made so far has left. Whether that was the rest of an answer.
    pub(super) fn flushed(&self) -> bool {
        self.output_until.set(None);
        if !self.is_answered.get() || self.is_free.replace(true) {
            return false;
        }
        if self.awaited.get() == Awaited::Nothing {
            self.wait_for_request();
        }
        true
    }

    /// The connection has to end soon.
    pub(super) fn end(&self, reason: &'static str) {
        counter!("balance_http_connections_ended_total", "reason" => reason).increment(1);
        self.awaited.set(Awaited::End);
        self.input_until.set(Some(Instant::now() + LINGER));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.input_until.get(), self.output_until.get()) {
            (Some(input), Some(output)) => Some(input.min(output)),
            (input, output) => input.or(output),
        }
    }

    /// What becomes of a connection whose deadline has passed. Who is to be answered has a little more time.
    pub(super) fn overdue(&self, now: Instant) -> Overdue {
        if self.output_until.get().is_some_and(|until| until <= now) {
            self.end("unread");
            return Overdue::Close;
        }
        match self.awaited.get() {
            Awaited::Head => {
                self.is_overdue.set(true);
                self.awaited.set(Awaited::End);
                self.input_until.set(Some(now + LINGER));
                return Overdue::Answer;
            }
            Awaited::Body => self.end("body_timeout"),
            Awaited::Request | Awaited::Nothing | Awaited::End => {}
        }
        Overdue::Close
    }

    /// Whether the head has to be refused for its slowness: true once.
    pub(super) fn take_overdue(&self) -> bool {
        self.is_overdue.replace(false)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        gauge!("balance_http_connections").decrement(1.0);
    }
}

/// A request that is being answered, until the answer was made to its end.
pub(crate) struct Turn(Rc<Gate>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.is_answered.set(true);
    }
}

/// The body of an answer, which ends the turn. Without a turn where there is no connection.
pub(crate) struct Turned<B> {
    body: B,
    _turn: Option<Turn>,
}

impl<B> Turned<B> {
    pub(crate) fn new(body: B, turn: Option<Turn>) -> Self {
        Self { body, _turn: turn }
    }
}

impl<B: MessageBody + Unpin> MessageBody for Turned<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
