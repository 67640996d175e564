//! What a check found.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// C0: without faults every call is decided.
    Answered,
    /// C1: each account's operations are numbered 1, 2, 3 … without a gap.
    Sequence,
    /// C2: adding the operations up gives every balance that they state, and the balance read at the end.
    Replay,
    /// C3: one serial order agrees with every account's order and with real time.
    RealTimeOrder,
    /// C4: each read returns the state at its version.
    Reads,
    /// C5: every accepted call is in the books, exactly as requested and as answered.
    Durable,
    /// C6: every key has at most one effect, and a refused call has none.
    Keys,
    /// C7: money is neither made nor lost, and no balance is negative, at every point of the serial order.
    Bank,
    /// C8: captured, released and expired money is what was reserved; refunds stay within captures; deadlines
    /// are exact.
    Reservations,
    /// C9: the report is the sum of the month's captures and refunds.
    Report,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{} {self:?}", *self as u8)
    }
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which condition.
    pub condition: Condition,
    /// What was seen.
    pub what: String,
}

/// What was checked, as counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Calls recorded, repeats included.
    pub calls: u64,
    /// Accepted calls, repeats included.
    pub accepted: u64,
    /// Accepted calls that the service called repeats.
    pub replayed: u64,
    /// Calls that a rule refused.
    pub rejected: u64,
    /// Calls whose outcome stayed unknown to the caller at the time.
    pub unknown: u64,
    /// Calls that the service did not execute, and said so or was never reached.
    pub never_sent: u64,
    /// Keys that had an unknown call.
    pub keys_unknown: u64,
    /// Those of them that turned out to have an effect.
    pub keys_unknown_effective: u64,
    /// Operations in the books.
    pub operations: u64,
    /// Accounts in the books.
    pub accounts: u64,
}

impl Facts {
    /// Adds another check's counts.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.rejected += other.rejected;
        self.unknown += other.unknown;
        self.never_sent += other.never_sent;
        self.keys_unknown += other.keys_unknown;
        self.keys_unknown_effective += other.keys_unknown_effective;
        self.operations += other.operations;
        self.accounts += other.accounts;
    }
}

/// The outcome of a check, or of several added up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// What was checked.
    pub facts: Facts,
    /// How often each condition was broken; conditions that hold are absent.
    pub broken: BTreeMap<Condition, u64>,
    /// The first [`Verdict::WORDS_MAX`] violations in words.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// How many violations are kept in words; all are counted.
    pub const WORDS_MAX: usize = 50;

    /// Whether everything holds.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    /// Whether this condition is broken.
    pub fn breaks(&self, condition: Condition) -> bool {
        self.broken.contains_key(&condition)
    }

    /// Records a violation.
    pub fn report(&mut self, condition: Condition, what: impl Into<String>) {
        *self.broken.entry(condition).or_default() += 1;
        if self.violations.len() < Self::WORDS_MAX {
            self.violations.push(Violation { condition, what: what.into() });
        }
    }

    /// Adds another verdict.
    pub fn add(&mut self, other: Self) {
        self.facts.add(&other.facts);
        for (condition, count) in other.broken {
            *self.broken.entry(condition).or_default() += count;
        }
        self.violations.extend(other.violations);
        self.violations.truncate(Self::WORDS_MAX);
    }
}
