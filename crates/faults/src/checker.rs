//! Judges a recorded history together with the final state of the service: is there one serial order of all
//! operations that explains every answer, and is every account exact at each point of it?
//!
//! Nothing here calls the service's rules; of the domain only the direction in which each kind of operation
//! moves money and the calendar of the accounting zone are used. Cost: O(n log n) in calls and operations.

mod answered;
mod bank;
mod durable;
mod evidence;
mod graph;
mod keys;
mod order;
mod reads;
mod replay;
mod report;
mod reservations;
mod sequence;
#[cfg(test)]
mod tests;
mod verdict;

use balance_domain::AccountingZone;

use crate::{final_state::FinalState, history::Record};
use evidence::Evidence;
pub use verdict::{Condition, Facts, Verdict, Violation};

/// What a run promises, and so what its history is held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The zone in which months begin and end.
    pub zone: AccountingZone,
    /// No fault was injected, so every call must have been decided.
    pub is_faultless: bool,
}

/// Checks everything.
pub fn check(records: &[Record], finals: &FinalState, rules: &Rules) -> Verdict {
    let mut verdict = Verdict::default();
    let evidence = Evidence::new(records, finals, &mut verdict);
    answered::check(&evidence, rules, &mut verdict);
    sequence::check(&evidence, &mut verdict);
    replay::check(&evidence, &mut verdict);
    let reads = reads::check(&evidence, &mut verdict);
    let serial = order::check(&evidence, &reads, &mut verdict);
    durable::check(&evidence, &mut verdict);
    keys::check(&evidence, &mut verdict);
    bank::check(&evidence, &serial, &mut verdict);
    reservations::check(&evidence, &mut verdict);
    report::check(&evidence, rules, &mut verdict);
    verdict
}
