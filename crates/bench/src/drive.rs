//! Drives one server over many connections for a time, and counts latency correctly.
//!
//! Closed loop: each connection sends its next request when the last is answered. Open loop: requests are due at
//! fixed times, and latency counts from the time a request was due, not from when it could be sent, so that a
//! stall of the server is seen in full (no coordinated omission). The timer of an open loop is up to a millisecond
//! late, and that is part of its figures.
//!
//! All connections are served by one thread and counted in one place: five sixths of what a request costs here is
//! the kernel's sending and receiving, and a histogram per connection would be most of the rest, in cache misses.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::task::LocalSet;

use crate::{
    client::Connection,
    workload::{Requests, Users, Workload},
};

/// What to send, to whom, for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) authority: String,
    pub(crate) authorization: Option<String>,
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
    pub(crate) users: Users,
    pub(crate) duration: Duration,
    /// Requests per second over all connections; `None` is a closed loop.
    pub(crate) rate: Option<f64>,
    /// The first lane; see [`Requests::new`].
    pub(crate) lane: u64,
    /// Ends the load before its time.
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

/// What came back.
#[derive(Clone, Debug)]
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
    /// Microseconds, of calls on other accounts than the hot one; empty where there is none.
    pub(crate) others: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // From a microsecond to a minute, three digits.
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        let others = latency.clone();
        Ok(Self { elapsed: Duration::ZERO, accepted: 0, refused: 0, refusal: None, latency, others })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// Counts one answer.
    pub(crate) fn record(
        &mut self,
        status: u16,
        latency: Duration,
        is_other: bool,
        body: impl Fn() -> String,
    ) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros);
        if is_other {
            self.others.saturating_record(micros);
        }
        if matches!(status, 200 | 201) {
            self.accepted += 1;
        } else {
            self.refused += 1;
            self.refusal.get_or_insert_with(|| format!("{status} {}", body()));
        }
    }
}

/// A quantile in milliseconds.
pub(crate) fn quantile_ms(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1000.0
}

/// Runs the load on the calling thread.
pub(crate) fn drive(load: &Load) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut connections = Vec::new();
        for _ in 0..load.connections {
            connections.push(Connection::open(&load.authority).await?);
        }
        let outcome = Rc::new(RefCell::new(Outcome::new()?));
        let start = Instant::now();
        let mut tasks = Vec::new();
        for (number, connection) in connections.into_iter().enumerate() {
            let lane = load.lane + number as u64;
            let conversation = Conversation {
                connection,
                requests: Requests::new(load.workload, load.users, lane, load.authorization.as_deref()),
                pace: Pace::new(load, number, start),
                end: start + load.duration,
                stop: load.stop.clone(),
                outcome: Rc::clone(&outcome),
            };
            tasks.push(tokio::task::spawn_local(conversation.hold()));
        }
        for task in tasks {
            task.await?.with_context(|| format!("a connection to {} broke", load.authority))?;
        }
        let mut outcome = outcome.replace(Outcome::new()?);
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    })
}

/// One connection and what it says.
struct Conversation {
    connection: Connection,
    requests: Requests,
    pace: Pace,
    end: Instant,
    stop: Option<Arc<AtomicBool>>,
    outcome: Rc<RefCell<Outcome>>,
}

impl Conversation {
    async fn hold(mut self) -> anyhow::Result<()> {
        loop {
            let due = self.pace.next().await;
            if due >= self.end || self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Ok(());
            }
            let answer = self.connection.call(self.requests.next()).await?;
            let latency = due.elapsed();
            self.outcome.borrow_mut().record(answer.status, latency, self.requests.is_other(), || {
                String::from_utf8_lossy(self.connection.body(answer)).into_owned()
            });
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

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";

    /// Answers every request at once, but the tenth of each connection only after a stall.
    fn serve(stall: Duration, status: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || answer(stream, stall, status));
            }
        });
        authority
    }

    fn answer(mut stream: TcpStream, stall: Duration, status: &[u8]) {
        let mut request = [0; 4096];
        for number in 1.. {
            if stream.read(&mut request).unwrap_or(0) == 0 {
                return;
            }
            if number == 10 {
                std::thread::sleep(stall);
            }
            if stream.write_all(status).is_err() {
                return;
            }
        }
    }

    fn load(authority: String, workload: Workload, rate: Option<f64>) -> Load {
        Load {
            authority,
            authorization: None,
            workload,
            connections: 1,
            users: Users::first(100),
            duration: Duration::from_millis(600),
            rate,
            lane: 0,
            stop: None,
        }
    }

    #[test]
    fn an_open_loop_counts_every_request_that_a_stall_held_up() {
        let authority = serve(Duration::from_millis(300), ANSWER);
        let open = drive(&load(authority, Workload::Deposit, Some(200.0))).unwrap();
        // 300 ms of 600 were a stall: half of all requests were due in it and waited 150 ms on average.
        let (half, total) = (open.latency.value_at_quantile(0.75), open.latency.len());
        assert_eq!(total, 120, "every request that was due is counted");
        assert!(half > 100_000, "the upper quartile must show the stall, not {half} µs");
    }

    #[test]
    fn a_closed_loop_sends_the_next_request_only_after_the_answer() {
        let authority = serve(Duration::from_millis(300), ANSWER);
        let closed = drive(&load(authority, Workload::Deposit, None)).unwrap();
        assert!(closed.latency.value_at_quantile(0.75) < 100_000, "one stall is one request");
        assert!(closed.latency.max() >= 300_000);
    }

    #[test]
    fn others_are_the_calls_on_accounts_that_are_not_hot() {
        let authority = serve(Duration::ZERO, ANSWER);
        let hot = drive(&load(authority.clone(), Workload::HotAccount, None)).unwrap();
        let share = hot.others.len() as f64 / hot.latency.len() as f64;
        assert!(hot.latency.len() > 1000 && (0.05..0.15).contains(&share), "a tenth, not {share}");
        let uniform = drive(&load(authority, Workload::Deposit, None)).unwrap();
        assert_eq!(uniform.others.len(), 0, "without a hot account there are no others");
    }

    #[test]
    fn what_is_not_accepted_does_not_count_as_throughput() {
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull";
        let refused = drive(&load(serve(Duration::ZERO, refusal), Workload::Deposit, None)).unwrap();
        assert_eq!((refused.accepted, refused.per_second()), (0, 0.0));
        assert!(refused.refused > 100);
        assert_eq!(refused.refusal.as_deref(), Some("503 full"));
    }

    #[test]
    fn a_load_can_be_stopped() {
        let stop = Arc::new(AtomicBool::new(true));
        let load = Load {
            stop: Some(stop),
            duration: Duration::from_mins(10),
            ..load(serve(Duration::ZERO, ANSWER), Workload::Deposit, None)
        };
        assert_eq!(drive(&load).unwrap().latency.len(), 0);
    }
}
