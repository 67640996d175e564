//! The figures: a table to read, JSON to keep. The median of the rounds is what counts; the ratio is taken
//! within each round, between neighbours in time.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    RunArgs,
    drive::Outcome,
    run::{Cpu, commands_per_second},
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
    refused: u64,
    cpu_micros: Vec<[f64; 3]>,
    resident_mib: f64,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) subject: &'static str,
    pub(crate) workload: String,
    pub(crate) connections: usize,
    /// Accepted commands per second: requests, or the commands in batches.
    pub(crate) commands_per_second: f64,
    pub(crate) requests_per_second: f64,
    /// The same requests against a constant answer, in the same run.
    pub(crate) roofline_requests_per_second: f64,
    /// Requests per second over roofline requests per second.
    pub(crate) ratio: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) refused: u64,
    /// CPU microseconds per request.
    pub(crate) service_cpu_us: f64,
    pub(crate) database_cpu_us: f64,
    pub(crate) generator_cpu_us: f64,
    pub(crate) service_resident_mib: f64,
}

/// A whole run.
#[derive(Serialize)]
pub(crate) struct Report {
    store: String,
    data: String,
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
            refused: 0,
            cpu_micros: Vec::new(),
            resident_mib: 0.0,
        }
    }

    /// Adds a round: a measurement, and the roofline that was measured right before it.
    pub(crate) fn add(&mut self, outcome: &Outcome, roofline: &Outcome, cpu: Cpu, resident_mib: f64) {
        self.commands_per_second.push(commands_per_second(outcome, self.workload));
        self.requests_per_second.push(outcome.per_second());
        self.roofline_per_second.push(roofline.per_second());
        self.refused += outcome.refused;
        let requests = (outcome.accepted + outcome.refused).max(1) as f64;
        self.cpu_micros
            .push([cpu.service, cpu.database, cpu.generator].map(|seconds| seconds * 1e6 / requests));
        self.resident_mib = self.resident_mib.max(resident_mib);
        match &mut self.latency {
            None => self.latency = Some(outcome.latency.clone()),
            Some(latency) => *latency += &outcome.latency,
        }
    }

    fn figures(&self) -> Figures {
        let quantile =
            |q| self.latency.as_ref().map_or(0.0, |latency| latency.value_at_quantile(q) as f64 / 1000.0);
        let ratios: Vec<f64> = self
            .requests_per_second
            .iter()
            .zip(&self.roofline_per_second)
            .map(|(ours, most)| ours / most)
            .collect();
        let cpu = |at: usize| median(self.cpu_micros.iter().map(|cpu| cpu[at]).collect());
        Figures {
            subject: self.subject,
            workload: self.workload.name(),
            connections: self.connections,
            commands_per_second: median(self.commands_per_second.clone()),
            requests_per_second: median(self.requests_per_second.clone()),
            roofline_requests_per_second: median(self.roofline_per_second.clone()),
            ratio: median(ratios),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            refused: self.refused,
            service_cpu_us: cpu(0),
            database_cpu_us: cpu(1),
            generator_cpu_us: cpu(2),
            service_resident_mib: self.resident_mib,
        }
    }
}

impl Report {
    pub(crate) fn new(args: &RunArgs, rows: &[Row], before: Duration, after: Duration) -> Self {
        Self {
            store: format!("{:?}", args.store).to_lowercase(),
            data: format!("{:?}", args.data).to_lowercase(),
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
             | CPU µs/request: service | database | generator | MiB |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
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
                f.ratio,
                f.p50_ms,
                f.p99_ms,
                f.p999_ms,
                f.refused,
                f.service_cpu_us,
                f.database_cpu_us,
                f.generator_cpu_us,
                f.service_resident_mib,
            )?;
        }
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
