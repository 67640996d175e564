//! Random histories: a store against the model, and a store against itself with its batches cut otherwise.
//!
//! Everything follows from a seed. Each seed has users and services of its own, so that thousands of histories
//! share one store, and a failing seed can be run alone with the same ids.

mod differential;
mod generator;
mod metamorphic;
mod namespace;
mod observe;
mod reply;
mod script;

use std::{
    collections::BTreeMap,
    ops::{AddAssign, RangeInclusive},
};

pub use differential::differential;
pub use metamorphic::metamorphic;

/// How many histories share a store.
const SEQUENCES_PER_STORE: usize = 100;

/// Which random histories to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the first history; the others follow.
    pub first_seed: u64,
    /// How many histories.
    pub sequences: u64,
    /// How many commands each of them has, about.
    pub commands: RangeInclusive<usize>,
    /// The shell command that runs one seed again, with `{seed}` as a placeholder.
    pub replay: String,
}

impl Plan {
    /// From what a test file reads of its environment: `sequences` of 50 to 200 commands from seed 1, unless
    /// configured otherwise; a seed alone runs one.
    ///
    /// # Panics
    ///
    /// If a setting is not a number.
    pub fn new(sequences: u64, asked: Option<&str>, seed: Option<&str>, package: &str) -> Self {
        let number = |text: &str| -> u64 {
            text.parse().unwrap_or_else(|error| panic!("{text:?} is not a number: {error}"))
        };
        let default = if seed.is_some() { 1 } else { sequences };
        Self {
            first_seed: seed.map_or(1, number),
            sequences: asked.map_or(default, number),
            commands: 50..=200,
            replay: format!("BALANCE_CONFORMANCE_SEED={{seed}} cargo test -p {package} random_histories"),
        }
    }

    /// The same histories in parts, each for a fresh store: a store of many histories is slow to read where a
    /// question is about all of it.
    pub fn parts(&self) -> Vec<Self> {
        let starts = self.seeds().step_by(SEQUENCES_PER_STORE);
        let part = |first_seed: u64| {
            let sequences = (self.seeds().end - first_seed).min(SEQUENCES_PER_STORE as u64);
            Self { first_seed, sequences, ..self.clone() }
        };
        starts.map(part).collect()
    }

    fn seeds(&self) -> std::ops::Range<u64> {
        self.first_seed..self.first_seed + self.sequences
    }

    fn replay(&self, seed: u64) -> String {
        self.replay.replace("{seed}", &seed.to_string())
    }
}

/// What a run went through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Histories.
    pub sequences: u64,
    /// Commands in them.
    pub commands: u64,
    /// Commands that were accepted for the first time.
    pub accepted: u64,
    /// Commands that were answered as repeats.
    pub replayed: u64,
    /// Submissions that were rejected, by the code of the rejection.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Submissions that the store failed on.
    pub failed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sequences += other.sequences;
        self.commands += other.commands;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.failed += other.failed;
        for (code, count) in other.rejected {
            *self.rejected.entry(code).or_default() += count;
        }
    }
}
