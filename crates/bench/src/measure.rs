//! Measures alternately: every round of a workload follows the roofline that it is divided by.

use std::{process::Command, time::Duration};

use indicatif::ProgressBar;

use crate::{
    drive::{Load, Outcome, drive},
    process::{Served, cpu_seconds},
    report::Row,
    subject::Subject,
    workload::{Users, Workload},
};

/// What measurements of one run have in common.
pub(crate) struct Meter {
    roofline: Served,
    database_pid: Option<u32>,
    duration: Duration,
    rounds: usize,
    /// A number that no earlier run on the same books has used, so that keys stay new.
    lane: u64,
    bar: ProgressBar,
}

impl Meter {
    pub(crate) fn start(
        database_pid: Option<u32>,
        duration: Duration,
        rounds: usize,
        bar: ProgressBar,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("roofline");
        let roofline = Served::start(command, None)?;
        bar.enable_steady_tick(Duration::from_millis(500));
        Ok(Self {
            roofline,
            database_pid,
            duration,
            rounds,
            lane: rand::random_range(0..400_000_u64) & !0x3ff,
            bar,
        })
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds
    }

    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// All rounds of a workload: the roofline, then each subject, then again. A row per subject.
    pub(crate) fn measure(
        &mut self,
        subjects: &[&Subject],
        workload: Workload,
        connections: usize,
        rate: Option<f64>,
    ) -> anyhow::Result<Vec<Row>> {
        let mut rows: Vec<Row> =
            subjects.iter().map(|subject| Row::new(subject.name, workload, connections)).collect();
        for _ in 0..self.rounds {
            let ceiling = self.roofline(workload, connections)?;
            for (subject, row) in subjects.iter().zip(&mut rows) {
                self.round(subject, row, &ceiling, rate)?;
            }
        }
        Ok(rows)
    }

    /// The same requests against a constant answer.
    pub(crate) fn roofline(&mut self, workload: Workload, connections: usize) -> anyhow::Result<Outcome> {
        let outcome = drive(&Load {
            authority: self.roofline.authority.clone(),
            // As long as a real one.
            authorization: Some("Bearer x".repeat(10)),
            workload,
            connections,
            users: Users::first(100_000),
            duration: self.duration,
            rate: None,
            lane: self.lane,
            stop: None,
        });
        self.bar.inc(1);
        outcome
    }

    /// One measurement, added to a row beside its roofline.
    pub(crate) fn round(
        &mut self,
        subject: &Subject,
        row: &mut Row,
        ceiling: &Outcome,
        rate: Option<f64>,
    ) -> anyhow::Result<()> {
        let load = Load { rate, ..self.load(subject, row.workload(), row.connections()) };
        let cpu = Cpu::read(subject, self.database_pid);
        let outcome = drive(&load)?;
        let cpu = Cpu::read(subject, self.database_pid).since(&cpu);
        if let Some(refusal) = &outcome.refusal {
            let what = row.workload().name();
            self.bar.suspend(|| eprintln!("{} {what}: {refusal}", subject.name));
        }
        row.add(&outcome, ceiling, cpu, subject.served().resident_mb());
        self.bar.inc(1);
        Ok(())
    }

    /// A closed loop on a subject, with keys that are new.
    pub(crate) fn load(&mut self, subject: &Subject, workload: Workload, connections: usize) -> Load {
        let lane = self.lane;
        self.lane += connections as u64;
        Load {
            authority: subject.authority().to_owned(),
            authorization: Some(subject.authorization.clone()),
            workload,
            connections,
            users: subject.asked(),
            duration: self.duration,
            rate: None,
            lane,
            stop: None,
        }
    }
}

/// CPU seconds by process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) service: f64,
    pub(crate) database: f64,
    pub(crate) generator: f64,
}

impl Cpu {
    fn read(subject: &Subject, database_pid: Option<u32>) -> Self {
        Self {
            service: cpu_seconds(subject.served().pid()),
            database: database_pid.map_or(0.0, cpu_seconds),
            generator: own_cpu_seconds(),
        }
    }

    fn since(self, earlier: &Self) -> Self {
        Self {
            service: self.service - earlier.service,
            database: self.database - earlier.database,
            generator: self.generator - earlier.generator,
        }
    }
}

/// CPU seconds of this process without its children.
fn own_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(") ") else { return 0.0 };
    let ticks: u64 = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
