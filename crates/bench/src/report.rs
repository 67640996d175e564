//! The figures: a table to read, JSON to keep. The median of the rounds is what counts; the ratio is taken
//! within each round, between neighbours in time.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    RunArgs, Store,
    drive::{Outcome, quantile_ms},
    measure::Cpu,
    workload::Workload,
};

/// All rounds of one workload at one number of connections.
pub(crate) struct Row {
    subject: &'static str,
    workload: Workload,
    connections: usize,
    commands_per_second: Vec<f64>,
    requests_per_second: Vec<f64>,
    roofline_per_second: Vec<f64>,
    latency: Option<Histogram<u64>>,
    /// The quantile 0.99 of each round, in milliseconds.
    p99_ms: Vec<f64>,
    others_p99_ms: Vec<f64>,
    refused: u64,
    cpu_micros: Vec<[f64; 3]>,
    resident_mb: f64,
}

/// One line of the table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) subject: String,
    pub(crate) workload: String,
    pub(crate) connections: usize,
    /// Accepted commands per second: requests, or the commands in batches.
    pub(crate) commands_per_second: f64,
    pub(crate) requests_per_second: f64,
    /// The same requests against a constant answer, in the same run.
    pub(crate) roofline_requests_per_second: f64,
    /// Requests per second over roofline requests per second; see [`ratio`].
    pub(crate) ratio: Option<f64>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) refused: u64,
    /// CPU microseconds per request.
    pub(crate) service_cpu_us: f64,
    pub(crate) database_cpu_us: f64,
    pub(crate) generator_cpu_us: f64,
    pub(crate) service_resident_mb: f64,
}

/// A whole run.
#[derive(Serialize)]
pub(crate) struct Report {
    store: &'static str,
    data: &'static str,
    seconds: f64,
    rounds: usize,
    rate: Option<f64>,
    users: u64,
    settings: Vec<String>,
    fdatasync_before_us: u128,
    fdatasync_after_us: u128,
    pub(crate) figures: Vec<Figures>,
}

impl Row {
    pub(crate) fn new(subject: &'static str, workload: Workload, connections: usize) -> Self {
        Self {
            subject,
            workload,
            connections,
            commands_per_second: Vec::new(),
            requests_per_second: Vec::new(),
            roofline_per_second: Vec::new(),
            latency: None,
            p99_ms: Vec::new(),
            others_p99_ms: Vec::new(),
            refused: 0,
            cpu_micros: Vec::new(),
            resident_mb: 0.0,
        }
    }

    /// Adds a round: a measurement, and the roofline that was measured right before it.
    pub(crate) fn add(&mut self, outcome: &Outcome, roofline: &Outcome, cpu: Cpu, resident_mb: f64) {
        let commands = self.workload.commands_per_request() as f64;
        self.commands_per_second.push(outcome.per_second() * commands);
        self.p99_ms.push(quantile_ms(&outcome.latency, 0.99));
        self.others_p99_ms.push(quantile_ms(&outcome.others, 0.99));
        self.requests_per_second.push(outcome.per_second());
        self.roofline_per_second.push(roofline.per_second());
        self.refused += outcome.refused;
        let requests = (outcome.accepted + outcome.refused).max(1) as f64;
        self.cpu_micros
            .push([cpu.service, cpu.database, cpu.generator].map(|seconds| seconds * 1e6 / requests));
        self.resident_mb = self.resident_mb.max(resident_mb);
        match &mut self.latency {
            None => self.latency = Some(outcome.latency.clone()),
            Some(latency) => *latency += &outcome.latency,
        }
    }

    pub(crate) fn workload(&self) -> Workload {
        self.workload
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// Requests per second of each round.
    pub(crate) fn requests_per_second(&self) -> &[f64] {
        &self.requests_per_second
    }

    pub(crate) fn commands_per_second(&self) -> &[f64] {
        &self.commands_per_second
    }

    /// The quantile 0.99 of each round, in milliseconds.
    pub(crate) fn p99_ms(&self) -> &[f64] {
        &self.p99_ms
    }

    /// The same of the calls on other accounts than the hot one.
    pub(crate) fn others_p99_ms(&self) -> &[f64] {
        &self.others_p99_ms
    }

    pub(crate) fn figures(&self) -> Figures {
        let quantile = |q| self.latency.as_ref().map_or(0.0, |latency| quantile_ms(latency, q));
        let cpu = |at: usize| median(&self.cpu_micros.iter().map(|cpu| cpu[at]).collect::<Vec<_>>());
        Figures {
            subject: self.subject.to_owned(),
            workload: self.workload.name(),
            connections: self.connections,
            commands_per_second: median(&self.commands_per_second),
            requests_per_second: median(&self.requests_per_second),
            roofline_requests_per_second: median(&self.roofline_per_second),
            ratio: ratio(&self.requests_per_second, &self.roofline_per_second),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            refused: self.refused,
            service_cpu_us: cpu(0),
            database_cpu_us: cpu(1),
            generator_cpu_us: cpu(2),
            service_resident_mb: self.resident_mb,
        }
    }
}

impl Report {
    pub(crate) fn new(args: &RunArgs, store: Store, rows: &[Row], before: Duration, after: Duration) -> Self {
        Self {
            store: store.name(),
            data: args.data.name(),
            seconds: args.seconds,
            rounds: args.rounds,
            rate: args.rate,
            users: args.users,
            settings: args.settings.clone(),
            fdatasync_before_us: before.as_micros(),
            fdatasync_after_us: after.as_micros(),
            figures: rows.iter().map(Row::figures).collect(),
        }
    }

    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Prints the table, in Markdown.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let mut text = format!(
            "\n{} on {}, {} users, median of {} rounds of {} s; 8 kB fdatasync {} µs before, {} µs after\n\n",
            self.store,
            self.data,
            self.users,
            self.rounds,
            self.seconds,
            self.fdatasync_before_us,
            self.fdatasync_after_us
        );
        text.push_str(
            "| subject | workload | conn. | commands/s | requests/s | roofline/s | ratio | p50 ms | p99 ms | p99.9 ms | refused \
             | CPU µs/request: service | database | generator | MB |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for f in &self.figures {
            writeln!(
                text,
                "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.1} | {:.1} | {:.1} | {:.0} |",
                f.subject,
                f.workload,
                f.connections,
                f.commands_per_second,
                f.requests_per_second,
                f.roofline_requests_per_second,
                f.ratio.unwrap_or(f64::NAN),
                f.p50_ms,
                f.p99_ms,
                f.p999_ms,
                f.refused,
                f.service_cpu_us,
                f.database_cpu_us,
                f.generator_cpu_us,
                f.service_resident_mb,
            )?;
        }
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

/// The median of what each round gave; of an even number of rounds the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (length, middle) if length % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        (_, middle) => values[middle],
    }
}

/// The median of the ratios of the rounds: each is taken between neighbours in time, so that a machine that gets
/// slower from round to round does not change it. `None` where nothing was answered that it could be taken to.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    Some(median(&ratios)).filter(|ratio| ratio.is_finite())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine halved its speed after the first round and doubled it after the second; we are at half of it.
        assert!((ratio(&[10.0, 5.0, 10.0], &[20.0, 10.0, 20.0]).unwrap() - 0.5).abs() < 1e-9);
        // The ratio of the medians would be 1.
        assert!((ratio(&[1.0, 4.0, 4.0], &[4.0, 4.0, 8.0]).unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        for ours in [0.0, 9.0] {
            assert_eq!(ratio(&[ours], &[0.0]), None);
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert!((median(&[4.0, 1.0]) - 2.5).abs() < 1e-9);
        assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    fn outcome(accepted: u64, refused: u64, latency: Duration) -> Outcome {
        let mut outcome = Outcome::new().unwrap();
        for _ in 0..accepted {
            outcome.record(201, latency, false, String::new);
        }
        for _ in 0..refused {
            outcome.record(503, latency, false, String::new);
        }
        outcome.elapsed = Duration::from_secs(2);
        outcome
    }

    #[test]
    fn figures_are_of_accepted_requests_and_commands_and_cpu_of_all() {
        let mut row = Row::new("balance", Workload::Batch100, 4);
        let cpu = Cpu { service: 0.1, database: 0.2, generator: 0.3 };
        row.add(&outcome(80, 20, Duration::from_millis(5)), &outcome(400, 0, Duration::ZERO), cpu, 40.0);
        let figures = row.figures();
        assert!((figures.requests_per_second - 40.0).abs() < 1e-9);
        assert!((figures.commands_per_second - 4000.0).abs() < 1e-9);
        assert!((figures.roofline_requests_per_second - 200.0).abs() < 1e-9);
        assert!(figures.ratio.is_some_and(|ratio| (ratio - 0.2).abs() < 1e-9));
        assert!((figures.p50_ms - 5.0).abs() < 0.01, "{}", figures.p50_ms);
        assert!((figures.service_cpu_us - 1000.0).abs() < 1e-6);
        assert_eq!(figures.refused, 20);
    }

    #[test]
    fn figures_beside_a_roofline_that_answered_nothing_are_kept_and_read_again() {
        let mut row = Row::new("balance", Workload::Deposit, 4);
        for accepted in [0, 9] {
            let cpu = Cpu::default();
            row.add(&outcome(accepted, 0, Duration::ZERO), &outcome(0, 0, Duration::ZERO), cpu, 40.0);
        }
        let kept = serde_json::to_string(&row.figures()).unwrap();
        assert_eq!(serde_json::from_str::<Figures>(&kept).unwrap().ratio, None);
    }
}
