//! A lane: a queue, and the runners that empty it batch by batch.
//!
//! A lane has no task while it is idle. The call that finds a free slot starts a runner; the runner takes all
//! that waits, runs it as one batch, answers, and goes on until the queue is empty. A slot is given back only
//! under the lock that sees the queue empty, so no call is ever left without a runner.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use balance_domain::ports::RepoError;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task,
    time::Instant,
};

use crate::{
    metrics::{LaneMetrics, number},
    queue::{Call, Limits, Queue, Size, Turn},
    spans::{CallSpan, Spans},
    unwind::caught,
};

/// How a batch of requests is run.
pub(crate) trait Work: Send + Sync + 'static {
    /// What a caller asks.
    type Request: Send + 'static;
    /// What a caller gets.
    type Answer: Send + 'static;
    /// What this is called in traces.
    const NAME: &'static str;

    /// Runs the requests together: one answer each, in order. Must not panic.
    fn run(
        &self,
        requests: Vec<Self::Request>,
    ) -> impl Future<Output = Vec<Result<Self::Answer, RepoError>>> + Send;

    /// The error for a caller whose request was taken by a runner that panicked or was dropped.
    fn lost() -> RepoError;
}

/// The error after [`Lane::close`].
pub(crate) fn closed() -> RepoError {
    RepoError::Unavailable("the service is shutting down".into())
}

/// The error of an unavailable store, by its last answer: if a batch was bisected, the last part is the latest news.
fn unavailable_error<A>(last: &Result<A, RepoError>) -> Option<RepoError> {
    last.as_ref().err().filter(|error| matches!(error, RepoError::Unavailable(_))).cloned()
}

type CallOf<W> = Call<<W as Work>::Request, <W as Work>::Answer>;
type TurnOf<W> = Turn<<W as Work>::Request, <W as Work>::Answer>;
type AnswerOf<W> = Result<<W as Work>::Answer, RepoError>;

pub(crate) struct Lane<W: Work> {
    work: W,
    limits: Limits,
    metrics: LaneMetrics,
    spans: Spans,
    runtime: Handle,
    state: Mutex<State<W>>,
    became_idle: Notify,
}

/// Behind a plain mutex: it is held for a push or for moving the queue's head out, never across an await.
struct State<W: Work> {
    queue: Queue<W::Request, W::Answer>,
    /// Slots in use. While the queue is not empty, at least one is.
    in_flight: usize,
    is_closed: bool,
    /// The error of the last batch, if the store was unavailable: calls that waited meanwhile get the same.
    away: Option<RepoError>,
}

/// Where an admitted call waits or runs.
enum Admission<W: Work> {
    /// A slot was free and is now the caller's.
    Run(Slot<W>, W::Request, CallSpan),
    /// It waits its turn, or was refused.
    Wait(Waiting<W>),
}

/// A request that was queued, or why not.
pub(crate) struct Waiting<W: Work>(Result<oneshot::Receiver<AnswerOf<W>>, RepoError>);

impl<W: Work> Waiting<W> {
    pub(crate) async fn answer(self) -> AnswerOf<W> {
        self.0?.await.unwrap_or_else(|_| Err(W::lost()))
    }
}

impl<W: Work> Lane<W> {
    pub(crate) fn new(work: W, limits: Limits, metrics: LaneMetrics, runtime: Handle) -> Arc<Self> {
        let state = State { queue: Queue::default(), in_flight: 0, is_closed: false, away: None };
        Arc::new(Self {
            work,
            limits,
            metrics,
            spans: Spans::of(W::NAME),
            runtime,
            state: Mutex::new(state),
            became_idle: Notify::new(),
        })
    }

    /// Queues the request for a runner, which executes it even if the caller goes away.
    pub(crate) async fn submit(self: &Arc<Self>, request: W::Request, size: Size) -> AnswerOf<W> {
        self.queue(request, size).answer().await
    }

    /// The same, without waiting for the answer yet.
    pub(crate) fn queue(self: &Arc<Self>, request: W::Request, size: Size) -> Waiting<W> {
        let span = self.spans.call(size.count);
        let mut state = self.lock();
        let reply = self.enqueue(&mut state, request, size, span);
        if reply.is_ok() && state.in_flight < self.limits.in_flight_max {
            state.in_flight += 1;
            drop(state);
            self.start_runner();
        }
        Waiting(reply)
    }

    /// Refuses a request of this size if it would not be accepted now; the refusal is counted and traced as its end.
    pub(crate) fn admit_or_refuse(&self, size: Size) -> Result<(), RepoError> {
        let room = self.require_room(&self.lock(), size, Instant::now());
        room.map_err(|error| self.spans.call(size.count).refused(error))
    }

    /// Runs the request in the caller's own task if a slot is free: no hand-over, no wait. For work that may be
    /// cancelled with its caller. The slot is in use until the caller has polled the future to its end or dropped
    /// it, so a caller must not set one aside and wait for another meanwhile.
    pub(crate) async fn direct_or_submit(self: &Arc<Self>, request: W::Request, size: Size) -> AnswerOf<W> {
        match self.admit(request, size) {
            Admission::Wait(waiting) => waiting.answer().await,
            Admission::Run(_slot, request, span) => {
                let started_at = Instant::now();
                let answers = self.work.run(vec![request]).await;
                self.record_batch(size.count, started_at, started_at);
                let answer = answers.into_iter().next().unwrap_or_else(|| Err(W::lost()));
                span.answered(&answer);
                answer
            }
        }
    }

    /// Refuses calls from now on.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Waits until nothing runs, which means that nothing waits either.
    pub(crate) async fn idle(&self) {
        loop {
            // Made before looking, so that a lane that becomes idle right after is not missed.
            let became_idle = self.became_idle.notified();
            if self.lock().in_flight == 0 {
                return;
            }
            became_idle.await;
        }
    }

    fn admit(self: &Arc<Self>, request: W::Request, size: Size) -> Admission<W> {
        let span = self.spans.call(size.count);
        let mut state = self.lock();
        if !state.is_closed && state.in_flight < self.limits.in_flight_max {
            state.in_flight += 1;
            return Admission::Run(Slot::new(self.clone(), false), request, span);
        }
        Admission::Wait(Waiting(self.enqueue(&mut state, request, size, span)))
    }

    fn enqueue(
        &self,
        state: &mut State<W>,
        request: W::Request,
        size: Size,
        span: CallSpan,
    ) -> Result<oneshot::Receiver<AnswerOf<W>>, RepoError> {
        let queued_at = Instant::now();
        if let Err(error) = self.require_room(state, size, queued_at) {
            return Err(span.refused(error));
        }
        let (reply, answer) = oneshot::channel();
        state.queue.push(Call { request, size, queued_at, reply, span });
        self.metrics.queued.set(number(state.queue.count()));
        Ok(answer)
    }

    /// Why a request of this size cannot be queued. A refusal is counted.
    fn require_room(&self, state: &State<W>, size: Size, now: Instant) -> Result<(), RepoError> {
        if state.is_closed {
            return Err(closed());
        }
        if !state.queue.has_room(size, now, &self.limits) {
            self.metrics.overloaded.increment(1);
            return Err(RepoError::Overloaded);
        }
        Ok(())
    }

    /// Hands a slot that is already counted to a new task.
    fn start_runner(self: &Arc<Self>) {
        let slot = Slot::new(self.clone(), true);
        self.runtime.spawn(slot.run());
    }

    /// The next batch, and the error for calls that waited too long; `None` once nothing waits: then the slot is
    /// given back.
    fn next_turn(&self) -> Option<(TurnOf<W>, RepoError)> {
        let mut state = self.lock();
        if state.queue.is_empty() {
            self.give_back(&mut state);
            return None;
        }
        let away = state.away.take();
        let turn = state.queue.take(Instant::now(), &self.limits, away.is_some());
        self.metrics.queued.set(number(state.queue.count()));
        Some((turn, away.unwrap_or(RepoError::Overloaded)))
    }

    fn give_back(&self, state: &mut State<W>) {
        state.in_flight -= 1;
        if state.in_flight == 0 {
            self.became_idle.notify_waiters();
        }
    }

    fn refuse_too_old(&self, calls: Vec<CallOf<W>>, why: &RepoError) {
        for call in calls {
            if matches!(why, RepoError::Overloaded) {
                self.metrics.overloaded.increment(1);
            }
            call.refuse(why.clone());
        }
    }

    async fn run_batch(&self, batch: Vec<CallOf<W>>) {
        let Some(oldest) = batch.first().map(|call| call.queued_at) else { return };
        let started_at = Instant::now();
        let count = batch.iter().map(|call| call.size.count).sum();
        let (mut requests, mut callers) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for call in batch {
            requests.push(call.request);
            callers.push((call.reply, call.span));
        }
        let batch_span = self.spans.batch(count, callers.iter_mut().map(|(_, span)| span));

        let answers = self.work.run(requests).await;

        batch_span.ended(&answers);
        self.record_batch(count, oldest, started_at);
        self.lock().away = answers.last().and_then(unavailable_error);
        for ((reply, span), answer) in callers.into_iter().zip(answers) {
            span.answered(&answer);
            // The caller may have gone away; its work is done and stored.
            let _ = reply.send(answer);
        }
    }

    fn record_batch(&self, count: usize, queued_at: Instant, started_at: Instant) {
        self.metrics.batch_count.record(number(count));
        self.metrics.wait_seconds.record(started_at - queued_at);
        self.metrics.duration_seconds.record(started_at.elapsed());
    }

    /// No code that holds this lock leaves the state half changed, so poisoning does not matter.
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run one batch at a time. However its holder ends, the queue behind it is still served.
struct Slot<W: Work> {
    lane: Arc<Lane<W>>,
    /// Held by a runner, not by a caller.
    is_runner: bool,
    /// False once it was given back.
    is_held: bool,
}

impl<W: Work> Slot<W> {
    fn new(lane: Arc<Lane<W>>, is_runner: bool) -> Self {
        Self { lane, is_runner, is_held: true }
    }

    /// Runs batch after batch until nothing waits. A panic fails its batch, not those behind it.
    async fn run(mut self) {
        while let Err(panic) = caught(self.run_turns()).await {
            tracing::error!(panic, "a group commit runner panicked and goes on");
        }
        self.is_held = false;
    }

    async fn run_turns(&self) {
        while let Some((turn, why)) = self.lane.next_turn() {
            self.lane.refuse_too_old(turn.too_old, &why);
            self.lane.run_batch(turn.batch).await;
            // Lets callers that were just answered join the next batch, and keeps a lane whose store never waits
            // from occupying a thread of the runtime for ever. Not a delay: it returns as soon as the other ready
            // tasks have run. `examples/overhead.rs` measures the gain.
            task::yield_now().await;
        }
    }
}

impl<W: Work> Drop for Slot<W> {
    fn drop(&mut self) {
        if !self.is_held {
            return;
        }
        let mut state = self.lane.lock();
        // A runner survives its panics, so only a runtime that shuts down drops one. Another runner would be
        // dropped as well: nothing is left to execute what waits.
        let orphans = if self.is_runner { state.queue.take_all() } else { VecDeque::new() };
        if state.queue.is_empty() {
            self.lane.give_back(&mut state);
            drop(state);
        } else {
            drop(state);
            self.lane.start_runner();
        }
        for call in orphans {
            call.refuse(closed());
        }
    }
}

#[cfg(test)]
mod tests;
