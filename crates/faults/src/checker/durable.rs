//! C5: every accepted call is in the books, as requested and as answered; the look-up by key agrees.

use crate::{
    checker::{
        Condition, Verdict,
        evidence::{Asked, Evidence, Op, Scope},
    },
    history::{AnswerBody, MoneyAction},
};

pub(super) fn check(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    for (scope, asked) in &evidence.asked {
        match evidence.operation_of(*scope) {
            Some(op) => found(*scope, asked, op, verdict),
            None if asked.is_accepted() => {
                let what = format!("user {}: {:?} was acknowledged and is lost", scope.0, asked.call);
                verdict.report(Condition::Durable, what);
            }
            None => {}
        }
        by_key(evidence, *scope, verdict);
    }
}

fn found(scope: Scope<'_>, asked: &Asked<'_>, op: &Op<'_>, verdict: &mut Verdict) {
    if !is_as_asked(asked, op) {
        let what = format!("user {}: asked {:?}, recorded {:?}", scope.0, asked.call, op.view);
        verdict.report(Condition::Durable, what);
    }
    for record in &asked.attempts {
        if let Some(AnswerBody::Operation(answer)) = record.outcome.answer()
            && answer != op.view
        {
            let what = format!("user {}: answered {answer:?}, recorded {:?}", scope.0, op.view);
            verdict.report(Condition::Durable, what);
        }
    }
}

fn is_as_asked(asked: &Asked<'_>, op: &Op<'_>) -> bool {
    let action = &asked.call.action;
    let counterparty = match action {
        MoneyAction::Transfer { to_user_id, .. } => Some(*to_user_id),
        _ => None,
    };
    op.view.kind == action.kind()
        && action.amount().is_none_or(|amount| amount == op.view.amount)
        && op.order() == action.order()
        && op.view.counterparty_user_id == counterparty
        && op.view.comment.as_deref() == Some(&asked.call.comment)
}

fn by_key(evidence: &Evidence<'_>, scope: Scope<'_>, verdict: &mut Verdict) {
    let Some(read) = evidence.finals.by_key.get(&scope.0).and_then(|keys| keys.get(scope.1)) else { return };
    let recorded = evidence.operation_of(scope).map(|op| op.view);
    if read.as_ref() != recorded {
        let what = format!("user {}, key {}: read {read:?}, recorded {recorded:?}", scope.0, scope.1);
        verdict.report(Condition::Durable, what);
    }
}
