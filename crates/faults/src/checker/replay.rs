//! C2: the operations add up to every balance that they state.

use crate::checker::{Condition, Verdict, evidence::Evidence};

pub(super) fn check(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    for (user_id, ops) in &evidence.users {
        let mut balances = (0_i64, 0_i64);
        for op in ops {
            let expected = (balances.0 + op.effect.0, balances.1 + op.effect.1);
            if op.after() != expected {
                let what = format!(
                    "user {user_id}: number {} says {:?} after it, the sum is {expected:?}",
                    op.view.seq,
                    op.after()
                );
                verdict.report(Condition::Replay, what);
            }
            balances = op.after();
        }
    }
}
