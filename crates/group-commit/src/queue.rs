//! A bounded first-in-first-out queue of calls: what may enter, and what leaves together.

use std::{collections::VecDeque, time::Duration};

use balance_domain::ports::RepoError;
use tokio::{sync::oneshot, time::Instant};

use crate::spans::CallSpan;

/// The bounds of one lane.
#[expect(clippy::struct_field_names, reason = "every field is a bound, and its name says so")]
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Batches side by side.
    pub(crate) in_flight_max: usize,
    /// Units (commands or users) per batch.
    pub(crate) batch_count_max: usize,
    /// Units in the queue.
    pub(crate) queue_count_max: usize,
    /// Approximate bytes in the queue.
    pub(crate) queue_bytes_max: usize,
    /// Waiting time of one call.
    pub(crate) queue_age_max: Duration,
}

/// How much a call weighs, or all calls of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Commands or users.
    pub(crate) count: usize,
    /// Approximate bytes.
    pub(crate) bytes: usize,
}

/// A call that waits for its turn.
pub(crate) struct Call<R, A> {
    pub(crate) request: R,
    pub(crate) size: Size,
    pub(crate) queued_at: Instant,
    pub(crate) reply: oneshot::Sender<Result<A, RepoError>>,
    pub(crate) span: CallSpan,
}

impl<R, A> Call<R, A> {
    /// Answers without executing. The caller may have gone away.
    pub(crate) fn refuse(self, error: RepoError) {
        let _ = self.reply.send(Err(self.span.refused(error)));
    }
}

/// What one turn takes from the queue.
pub(crate) struct Turn<R, A> {
    /// Leaves together; empty only if the queue holds nothing else.
    pub(crate) batch: Vec<Call<R, A>>,
    /// Waited too long: to be refused.
    pub(crate) too_old: Vec<Call<R, A>>,
}

pub(crate) struct Queue<R, A> {
    calls: VecDeque<Call<R, A>>,
    size: Size,
}

impl<R, A> Default for Queue<R, A> {
    fn default() -> Self {
        Self { calls: VecDeque::new(), size: Size::default() }
    }
}

impl<R, A> Queue<R, A> {
    /// Whether a call of this size may wait here. An empty queue takes any, or a large one would never run. Age
    /// counts only for calls that the next batch has no room for: see [`Queue::is_backed_up`].
    pub(crate) fn has_room(&self, size: Size, now: Instant, limits: &Limits) -> bool {
        let Some(oldest) = self.calls.front() else { return true };
        self.size.count.saturating_add(size.count) <= limits.queue_count_max
            && self.size.bytes.saturating_add(size.bytes) <= limits.queue_bytes_max
            && (now - oldest.queued_at <= limits.queue_age_max
                || self.size.count.saturating_add(size.count) <= limits.batch_count_max)
    }

    /// Whether the backlog exceeds one batch. Only then is an old call a sign of overload: a queue that leaves whole
    /// with the next batch waited for one slow commit (a flush, a lock), and refusing it would turn a delay into an
    /// error without saving the store any work.
    fn is_backed_up(&self, limits: &Limits) -> bool {
        self.size.count > limits.batch_count_max
    }

    pub(crate) fn push(&mut self, call: Call<R, A>) {
        self.size.count += call.size.count;
        self.size.bytes += call.size.bytes;
        self.calls.push_back(call);
    }

    /// Takes the next batch: the longest head of the queue within the batch bound, at least one call. Old calls are
    /// taken out to be refused if the backlog exceeds a batch, or if the store is unavailable.
    pub(crate) fn take(&mut self, now: Instant, limits: &Limits, is_store_away: bool) -> Turn<R, A> {
        let mut turn = Turn {
            batch: Vec::with_capacity(self.calls.len().min(limits.batch_count_max)),
            too_old: Vec::new(),
        };
        let mut count = 0;
        let may_be_refused = is_store_away || self.is_backed_up(limits);
        let is_too_old = |call: &Call<R, A>| may_be_refused && now - call.queued_at > limits.queue_age_max;
        while let Some(call) = self.pop_if(|call| {
            count == 0 || call.size.count.saturating_add(count) <= limits.batch_count_max || is_too_old(call)
        }) {
            if is_too_old(&call) {
                turn.too_old.push(call);
            } else {
                count += call.size.count;
                turn.batch.push(call);
            }
        }
        turn
    }

    /// Empties the queue.
    pub(crate) fn take_all(&mut self) -> VecDeque<Call<R, A>> {
        self.size = Size::default();
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Units that wait.
    pub(crate) fn count(&self) -> usize {
        self.size.count
    }

    fn pop_if(&mut self, may_leave: impl FnOnce(&Call<R, A>) -> bool) -> Option<Call<R, A>> {
        let call = self.calls.pop_front_if(|call| may_leave(call))?;
        self.size.count -= call.size.count;
        self.size.bytes -= call.size.bytes;
        Some(call)
    }
}
