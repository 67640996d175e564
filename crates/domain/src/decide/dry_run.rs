//! What submissions would do, without doing it.

use crate::{
    Account, Moment, Submission,
    decide::{Decided, Rows, decide_batch},
    ports::Reply,
};

/// What submissions would be answered, and what the accounts would hold: as of now, and no promise.
#[derive(Debug)]
pub struct DryRun {
    /// One per submission, in order.
    pub replies: Vec<Reply>,
    /// The accounts of all submissions as they are, due reservations expired; those of new users are left out.
    pub before: Vec<Account>,
    /// The same accounts as they would be, and those that would appear.
    pub after: Vec<Account>,
}

/// Decides the submissions on loaded rows as [`decide_batch`] does, and throws away what would be written.
pub fn dry_run(rows: Rows, submissions: &[Submission], moment: Moment) -> DryRun {
    let due = decide_batch(rows.clone(), &[], moment).changes.accounts;
    let before = overlaid(rows.accounts.clone(), &due);
    let Decided { replies, changes } = decide_batch(rows, submissions, moment);
    let after = overlaid(before.clone(), &changes.accounts);
    DryRun { replies, before, after }
}

/// The accounts with those that were written in place of their earlier ones.
fn overlaid(accounts: Vec<Account>, written: &[Account]) -> Vec<Account> {
    let is_written = |account: &Account| written.iter().any(|other| other.user_id == account.user_id);
    let mut all: Vec<Account> = accounts.into_iter().filter(|account| !is_written(account)).collect();
    all.extend(written);
    all.sort_unstable_by_key(|account| account.user_id);
    all
}
