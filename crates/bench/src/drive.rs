//! Drives one server over many connections for a time, and counts latency correctly.
//!
//! Closed loop: each connection sends its next request when the last is answered. Open loop: requests are due at
//! fixed times, and latency counts from the time a request was due, not from when it could be sent, so that a
//! stall of the server is seen in full (no coordinated omission).

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::{
    client::Connection,
    workload::{Requests, Workload},
};

/// What to send, to whom, for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) authority: String,
    pub(crate) authorization: Option<String>,
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
    pub(crate) users: u64,
    pub(crate) duration: Duration,
    /// Requests per second over all connections; `None` is a closed loop.
    pub(crate) rate: Option<f64>,
    /// The first lane; see [`Requests::new`].
    pub(crate) lane: u64,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    /// Answers 200 and 201.
    pub(crate) accepted: u64,
    /// All other answers.
    pub(crate) refused: u64,
    /// The body of one of those, to show what went wrong.
    pub(crate) refusal: Option<String>,
    /// Microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        // From a microsecond to a minute, three digits.
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        Ok(Self { elapsed: Duration::ZERO, accepted: 0, refused: 0, refusal: None, latency })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.refusal = self.refusal.take().or(other.refusal);
        self.latency += other.latency;
    }
}

/// Runs the load on the calling thread.
pub(crate) fn drive(load: &Load) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..load.connections {
            connections.push(Connection::open(&load.authority).await?);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, connection) in connections.into_iter().enumerate() {
            let lane = load.lane + number as u64;
            let requests = Requests::new(load.workload, load.users, lane, load.authorization.as_deref());
            tasks.spawn(converse(
                connection,
                requests,
                Pace::new(load, number, start),
                start + load.duration,
            ));
        }
        let mut outcome = Outcome::new()?;
        while let Some(task) = tasks.join_next().await {
            outcome.add(task?.with_context(|| format!("a connection to {} broke", load.authority))?);
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    })
}

async fn converse(
    mut connection: Connection,
    mut requests: Requests,
    mut pace: Pace,
    end: Instant,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::new()?;
    loop {
        let due = pace.next().await;
        if due >= end {
            return Ok(outcome);
        }
        let answer = connection.call(requests.next()).await?;
        let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        outcome.latency.saturating_record(micros);
        if matches!(answer.status, 200 | 201) {
            outcome.accepted += 1;
        } else {
            outcome.refused += 1;
            if outcome.refusal.is_none() {
                let body = String::from_utf8_lossy(connection.body(answer)).into_owned();
                outcome.refusal = Some(format!("{} {body}", answer.status));
            }
        }
    }
}

/// When a connection's next request is due.
enum Pace {
    Closed,
    Open { next: Instant, interval: Duration },
}

impl Pace {
    fn new(load: &Load, number: usize, start: Instant) -> Self {
        let Some(rate) = load.rate else { return Self::Closed };
        let interval = Duration::from_secs_f64(load.connections as f64 / rate);
        // Spread the connections over one interval instead of sending in bursts.
        let offset = interval.mul_f64(number as f64 / load.connections as f64);
        Self::Open { next: start + offset, interval }
    }

    async fn next(&mut self) -> Instant {
        match self {
            Self::Closed => Instant::now(),
            Self::Open { next, interval } => {
                let due = *next;
                *next += *interval;
                tokio::time::sleep_until(due.into()).await;
                due
            }
        }
    }
}
