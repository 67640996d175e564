//! One request at a time on an idle service: its time without the parts that no service can avoid. A round trip
//! and a flush are measured right after every request, because those change from one second to the next.

use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;

use super::{
    Findings, Group, TargetsArgs,
    line::{Bound, Line},
};
use crate::{
    client::Connection,
    drive::{Load, quantile_ms},
    environment::Environment,
    measure::Meter,
    probe::{Flush, RoundTrip},
    report::median,
    subject::Subject,
    workload::{Requests, Workload},
};

/// Milliseconds that a request may take beside its physical parts.
const OWN_MS_MAX: f64 = 0.5;

/// Medians of one round, in milliseconds.
struct Timings {
    request: f64,
    round_trip: f64,
    flush: f64,
}

impl Timings {
    /// What is left of a request's time.
    fn own(&self) -> f64 {
        self.request - 2.0 * self.round_trip - self.flush
    }
}

pub(super) fn measure(
    args: &TargetsArgs,
    meter: &mut Meter,
    subject: &Subject,
    environment: &Environment,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..meter.rounds() {
        rounds.push(round(&meter.load(subject, Workload::Deposit, 1), environment)?);
        meter.bar().inc(1);
    }
    let middle = |part: fn(&Timings) -> f64| median(&rounds.iter().map(part).collect::<Vec<_>>());
    let own = middle(Timings::own);
    findings.lines.push(Line {
        name: "One deposit alone, p50 without two round trips to the database and one flush".into(),
        wanted: format!("≤ {OWN_MS_MAX} ms"),
        measured: format!(
            "{own:.2} ms: {:.2} ms in all, a round trip {:.3} ms, a flush {:.3} ms",
            middle(|parts| parts.request),
            middle(|parts| parts.round_trip),
            middle(|parts| parts.flush)
        ),
        ratio: None,
        met: is_met(own),
        command: args.command(Group::Alone),
    });
    Ok(())
}

/// A request that took less than its parts only proves that the disk was not steady.
fn is_met(own_ms: f64) -> bool {
    Bound::AtLeast(0.0).is_met_by(own_ms) && Bound::AtMost(OWN_MS_MAX).is_met_by(own_ms)
}

/// A request, a round trip, a flush, and again.
fn round(load: &Load, environment: &Environment) -> anyhow::Result<Timings> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut flush = Flush::in_folder(&environment.flushed_folder())?;
    let mut requests = Requests::new(load.workload, load.users, load.lane, load.authorization.as_deref());
    let histogram = || Histogram::<u64>::new_with_bounds(1, 60_000_000, 3);
    let (mut request, mut round_trip, mut flushed) = (histogram()?, histogram()?, histogram()?);
    runtime.block_on(async {
        let mut connection = Connection::open(&load.authority).await?;
        let database = match environment.server_url() {
            Some(url) => Some(RoundTrip::to(&url).await?),
            None => None,
        };
        let end = Instant::now() + load.duration;
        while Instant::now() < end {
            let start = Instant::now();
            let answer = connection.call(requests.next()).await?;
            record(&mut request, start.elapsed());
            ensure!(answer.status == 201, "a deposit was answered with {}", answer.status);
            if let Some(database) = &database {
                record(&mut round_trip, database.time().await?);
            }
            record(&mut flushed, flush.time()?);
        }
        anyhow::Ok(())
    })?;
    let half = |times: &Histogram<u64>| quantile_ms(times, 0.5);
    Ok(Timings { request: half(&request), round_trip: half(&round_trip), flush: half(&flushed) })
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_owes_its_time_to_two_round_trips_and_one_flush() {
        let parts = Timings { request: 0.95, round_trip: 0.05, flush: 0.2 };
        assert!((parts.own() - 0.65).abs() < 1e-9);
    }

    #[test]
    fn less_than_nothing_is_not_met() {
        assert!(is_met(0.0) && is_met(0.5));
        assert!(!is_met(0.51) && !is_met(-0.01) && !is_met(f64::NAN));
    }
}
