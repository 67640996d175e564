//! C0: without injected faults no call may end as "unknown" or "not executed"; and once the faults
//! are over, everything can be read and every key decided.

use crate::checker::{Condition, Rules, Verdict, evidence::Evidence};

pub(super) fn check(evidence: &Evidence<'_>, rules: &Rules, verdict: &mut Verdict) {
    for what in &evidence.finals.unreadable {
        verdict.report(Condition::Answered, format!("not readable at the end: {what}"));
    }
    for (scope, asked) in &evidence.asked {
        if !asked.attempts.iter().any(|record| record.outcome.is_definite())
            && asked.attempts.iter().any(|record| record.outcome.is_unknown())
        {
            let what = format!("user {}, key {}: never decided", scope.0, scope.1);
            verdict.report(Condition::Answered, what);
        }
    }
    if rules.is_faultless {
        for record in evidence.records.iter().filter(|record| !record.outcome.is_definite()) {
            verdict.report(Condition::Answered, format!("{:?} got {:?}", record.call, record.outcome));
        }
    }
}
