//! One request at a time on an idle service: what is left of its time when the parts that no service can avoid
//! are taken off. They are measured on the same folder and server, right before and right after.

use std::time::Duration;

use super::{
    Findings, Group, TargetsArgs,
    line::{Bound, Line},
};
use crate::{
    measure::Session,
    place::Place,
    probe,
    report::{Row, median},
    subject::Subject,
    workload::Workload,
};

/// Milliseconds that a request may take beside its physical parts.
const OWN_MS_MAX: f64 = 0.5;

/// What one request must wait for.
struct Parts {
    flush_ms: f64,
    round_trip_ms: f64,
}

impl Parts {
    fn probe(place: &Place) -> anyhow::Result<Self> {
        let flush = probe::fdatasync(&place.flushed_folder())?;
        let round_trip = place.server_url().map_or(Ok(Duration::ZERO), |url| probe::round_trip(&url))?;
        Ok(Self { flush_ms: flush.as_secs_f64() * 1000.0, round_trip_ms: round_trip.as_secs_f64() * 1000.0 })
    }

    fn between(self, other: &Self) -> Self {
        Self {
            flush_ms: f64::midpoint(self.flush_ms, other.flush_ms),
            round_trip_ms: f64::midpoint(self.round_trip_ms, other.round_trip_ms),
        }
    }

    /// What is left of a request's time.
    fn own_ms(&self, p50_ms: f64) -> f64 {
        p50_ms - 2.0 * self.round_trip_ms - self.flush_ms
    }
}

pub(super) fn measure(
    args: &TargetsArgs,
    session: &mut Session,
    subject: &Subject,
    place: &Place,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let roofline = session.roofline(Workload::Deposit, 1)?;
    let mut row = Row::new(subject.name, Workload::Deposit, 1);
    let mut parts = Vec::new();
    for _ in 0..session.rounds() {
        let before = Parts::probe(place)?;
        session.round(subject, &mut row, &roofline, None)?;
        parts.push(before.between(&Parts::probe(place)?));
    }
    let own: Vec<f64> = parts.iter().zip(row.p50_ms()).map(|(parts, p50)| parts.own_ms(*p50)).collect();
    let own = median(&own);
    let flush = median(&parts.iter().map(|parts| parts.flush_ms).collect::<Vec<_>>());
    let round_trip = median(&parts.iter().map(|parts| parts.round_trip_ms).collect::<Vec<_>>());
    findings.lines.push(Line {
        name: "One deposit alone, p50 without two round trips to the database and one flush".into(),
        wanted: format!("≤ {OWN_MS_MAX} ms"),
        measured: format!(
            "{own:.2} ms: {:.2} ms in all, a round trip {round_trip:.3} ms, a flush {flush:.3} ms",
            median(row.p50_ms())
        ),
        ratio: None,
        met: Bound::AtMost(OWN_MS_MAX).is_met_by(own),
        command: args.command(Group::Alone),
    });
    findings.keep(&[row]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_owes_its_time_to_two_round_trips_and_one_flush() {
        let before = Parts { flush_ms: 0.1, round_trip_ms: 0.04 };
        let parts = before.between(&Parts { flush_ms: 0.3, round_trip_ms: 0.06 });
        assert!((parts.own_ms(0.95) - 0.65).abs() < 1e-9);
    }
}
