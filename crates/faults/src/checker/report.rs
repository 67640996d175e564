//! C9: the report of a month is the sum of the captures and refunds whose time lies in it, half-open, in the
//! accounting zone.

use std::collections::BTreeMap;

use balance_domain::{OperationKind, Timestamp};

use crate::{
    checker::{Condition, Rules, Verdict, evidence::Evidence},
    history::ReportView,
};

type Sums = BTreeMap<i64, (i128, i128)>;

pub(super) fn check(evidence: &Evidence<'_>, rules: &Rules, verdict: &mut Verdict) {
    for report in &evidence.finals.reports {
        let (recounted, served) = (recount(evidence, rules, &report.month), served(evidence, report));
        if recounted != served {
            let what =
                format!("report of {}: served {served:?}, the operations say {recounted:?}", report.month);
            verdict.report(Condition::Report, what);
        }
    }
}

fn recount(evidence: &Evidence<'_>, rules: &Rules, month: &str) -> Sums {
    let mut sums = Sums::new();
    for op in evidence.users.values().flatten() {
        let sign = match op.kind {
            OperationKind::Capture => (1, 0),
            OperationKind::Refund => (0, 1),
            _ => continue,
        };
        let Ok(at) = Timestamp::from_micros(op.at) else { continue };
        if rules.zone.month_of(at).to_string() == month {
            let sum = sums.entry(op.view.service_id.unwrap_or_default()).or_default();
            sum.0 += i128::from(op.view.amount) * sign.0;
            sum.1 += i128::from(op.view.amount) * sign.1;
        }
    }
    sums
}

/// Only the services of this run: other runs on the same database have their own.
fn served(evidence: &Evidence<'_>, report: &ReportView) -> Sums {
    let ours = |id: &i64| evidence.finals.services.contains(id);
    let lines = report.lines.iter().filter(|line| ours(&line.service_id));
    lines.map(|line| (line.service_id, (line.captured, line.refunded))).collect()
}
