//! C6: every key has at most one effect; a call that was refused or not executed has none; and nothing
//! happened without a request.

use balance_domain::OperationKind;

use crate::checker::{
    Condition, Verdict,
    evidence::{Evidence, Op},
};

pub(super) fn check(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    for (scope, positions) in &evidence.keyed {
        if positions.len() > 1 {
            let what = format!("user {}, key {}: {} effects", scope.0, scope.1, positions.len());
            verdict.report(Condition::Keys, what);
        }
        match evidence.asked.get(scope) {
            None => {
                verdict.report(Condition::Keys, format!("nobody sent key {} of user {}", scope.1, scope.0));
            }
            Some(asked) if !asked.may_have_effect() => {
                let what = format!("user {} got a refusal of {:?}, yet it happened", scope.0, asked.call);
                verdict.report(Condition::Keys, what);
            }
            Some(_) => {}
        }
    }
    unasked(evidence, verdict);
}

/// Operations without a key are the other half of a request, or an expiry.
fn unasked(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    for ops in evidence.users.values() {
        let mut before: Option<&Op<'_>> = None;
        for op in ops {
            let is_explained = op.view.idempotency_key.is_some()
                || match op.kind {
                    OperationKind::Expire | OperationKind::TransferIn => true,
                    OperationKind::Release => before.is_some_and(|before| before.node == op.node),
                    _ => false,
                };
            if !is_explained {
                verdict.report(Condition::Keys, format!("nobody asked for {:?}", op.view));
            }
            before = Some(op);
        }
    }
}
