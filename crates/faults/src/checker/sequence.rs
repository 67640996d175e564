//! C1: each account's operations are numbered 1, 2, 3 … without a gap, and no time runs backwards.

use crate::checker::{Condition, Verdict, evidence::Evidence};

pub(super) fn check(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    for (user_id, ops) in &evidence.users {
        let mut last_at = i64::MIN;
        for (expected, op) in (1..).zip(ops) {
            if op.view.seq != expected || op.view.user_id != *user_id {
                let what = format!("user {user_id}: number {expected} is {:?}", op.view);
                verdict.report(Condition::Sequence, what);
                break;
            }
            if op.at < last_at {
                let what = format!("user {user_id}: number {expected} is earlier than the one before it");
                verdict.report(Condition::Sequence, what);
            }
            last_at = op.at;
        }
    }
}
