//! What a run reports: figures, seeds, and how much zero failures prove.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::checker::{Facts, Verdict};

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Which run, and on what.
    pub run: String,
    /// Everything random followed from it.
    pub seed: u64,
    /// How many faults were injected (or calls made, where none were).
    pub trials: u64,
    /// What a trial was.
    pub trial: &'static str,
    /// Trials after which something was wrong.
    pub failures: u64,
    /// With 95 % confidence, the rate of failure is below this: 3/N when none failed.
    pub rate_below: Option<f64>,
    /// How often `balance audit` ran; every one was clean unless `problems` says otherwise.
    pub audits: u64,
    /// How long it took until calls were accepted again, in milliseconds.
    pub recovery_ms: Option<Quantiles>,
    /// What else was measured, by name.
    pub figures: std::collections::BTreeMap<&'static str, u64>,
    /// What the checker saw.
    pub facts: Facts,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// Nothing is wrong.
    pub passed: bool,
}

/// Quantiles of times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// Collects a report.
pub struct Reporter {
    run: String,
    seed: u64,
    trial: &'static str,
    started: Instant,
    trials: u64,
    failures: u64,
    audits: u64,
    recoveries: Vec<Duration>,
    figures: std::collections::BTreeMap<&'static str, u64>,
    facts: Facts,
    problems: Vec<String>,
}

impl Reporter {
    /// A run begins. `trial` says what is counted.
    pub fn new(run: impl Into<String>, seed: u64, trial: &'static str) -> Self {
        Self {
            run: run.into(),
            seed,
            trial,
            started: Instant::now(),
            trials: 0,
            failures: 0,
            audits: 0,
            recoveries: Vec::new(),
            figures: std::collections::BTreeMap::new(),
            facts: Facts::default(),
            problems: Vec::new(),
        }
    }

    /// The name of the run, as part of a file name.
    pub fn file_stem(&self) -> String {
        self.run
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect()
    }

    /// Counts injected faults.
    pub fn trials(&mut self, count: u64) {
        self.trials += count;
    }

    /// Calls are accepted again after this long.
    pub fn recovered(&mut self, after: Duration) {
        self.recoveries.push(after);
    }

    /// Adds to a figure.
    pub fn figure(&mut self, name: &'static str, count: u64) {
        *self.figures.entry(name).or_default() += count;
    }

    /// Something is wrong.
    pub fn problem(&mut self, what: impl Into<String>) {
        self.failures += 1;
        self.problems.push(what.into());
    }

    /// Something that helps to understand a problem.
    pub fn note(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    /// An audit ended.
    pub fn audited(&mut self, result: anyhow::Result<()>) {
        self.audits += 1;
        if let Err(error) = result {
            self.problem(format!("{error:#}"));
        }
    }

    /// A history was checked.
    pub fn checked(&mut self, verdict: &Verdict) {
        self.facts.add(&verdict.facts);
        if !verdict.is_clean() {
            self.failures += 1;
            self.problems.push(format!("conditions broken: {:?}", verdict.broken));
            let words = verdict.violations.iter().take(10);
            self.problems
                .extend(words.map(|violation| format!("{}: {}", violation.condition, violation.what)));
        }
    }

    /// The run is over.
    pub fn finish(mut self) -> RunReport {
        self.recoveries.sort_unstable();
        let at = |share: usize| {
            let last = self.recoveries.len().checked_sub(1)?;
            let recovery = self.recoveries.get((self.recoveries.len() * share / 100).min(last))?;
            u64::try_from(recovery.as_millis()).ok()
        };
        let quantiles = || Some(Quantiles { p50: at(50)?, p99: at(99)?, max: at(100)? });
        #[expect(clippy::cast_precision_loss, reason = "a bound for people")]
        let rate_below = (self.failures == 0 && self.trials > 0).then(|| 3.0 / self.trials as f64);
        RunReport {
            recovery_ms: quantiles(),
            rate_below,
            passed: self.failures == 0 && self.trials > 0,
            seconds: self.started.elapsed().as_secs_f64(),
            run: self.run,
            seed: self.seed,
            trials: self.trials,
            trial: self.trial,
            failures: self.failures,
            audits: self.audits,
            figures: self.figures,
            facts: self.facts,
            problems: self.problems,
        }
    }
}
