//! Ends a connection whose caller does not do its part in time, in whatever state the dispatcher is.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::gate::{Gate, Overdue};

/// How long a connection that is to be closed may take to notice.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// How long callers may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// To send a head.
    pub(crate) head: Duration,
    /// To send a body, whatever was answered before it was there.
    pub(crate) body: Duration,
    /// To begin the next request.
    pub(crate) keep_alive: Duration,
    /// To take some of an answer: what the system buffers, or all of it.
    pub(crate) unread: Duration,
}

/// Runs the dispatcher of a connection until it ends or is out of time; then everything of the connection is dropped.
///
/// The timer is only reset where a deadline lies before the one that it waits for, or once it has fired. So a
/// connection on which everything goes well sets it once per `keep_alive`, not once per request.
pub(super) async fn keep<T>(dispatcher: impl Future<Output = T>, gate: &Gate) -> Option<T> {
    let mut dispatcher = pin!(dispatcher);
    let mut armed_for = gate.deadline().unwrap_or_else(Instant::now);
    let mut timer = pin!(sleep_until(armed_for));
    let mut is_armed = false;
    poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = dispatcher.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            let Some(deadline) = gate.deadline() else { return Poll::Pending };
            if is_armed && deadline >= armed_for && !timer.is_elapsed() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if deadline <= now {
                match gate.overdue(now) {
                    Overdue::Answer => continue,
                    Overdue::Close => return Poll::Ready(None),
                }
            }
            timer.as_mut().reset(deadline);
            armed_for = deadline;
            is_armed = true;
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}
