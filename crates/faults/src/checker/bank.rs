//! C7: at every point of the serial order, what users hold plus revenue plus what was paid out is what was
//! paid in, and no balance is negative.

use balance_domain::OperationKind;

use crate::checker::{
    Condition, Verdict,
    evidence::{Evidence, Op},
};

#[derive(Debug, Default)]
struct Totals {
    paid_in: i128,
    paid_out: i128,
    revenue: i128,
    held: i128,
}

impl Totals {
    const fn difference(&self) -> i128 {
        self.paid_in - self.paid_out - self.revenue - self.held
    }

    fn post(&mut self, op: &Op<'_>, before: (i64, i64)) {
        let amount = i128::from(op.view.amount);
        match op.kind {
            OperationKind::Deposit => self.paid_in += amount,
            OperationKind::Withdrawal => self.paid_out += amount,
            OperationKind::Capture => self.revenue += amount,
            OperationKind::Refund => self.revenue -= amount,
            _ => {}
        }
        self.held += total(op.after()) - total(before);
    }
}

fn total(balances: (i64, i64)) -> i128 {
    i128::from(balances.0) + i128::from(balances.1)
}

/// `serial` lists the nodes in an order that explains the history.
pub(super) fn check(evidence: &Evidence<'_>, serial: &[usize], verdict: &mut Verdict) {
    let mut by_node: Vec<Vec<(&Op<'_>, (i64, i64))>> = vec![Vec::new(); evidence.nodes.len()];
    for ops in evidence.users.values() {
        let mut before = (0, 0);
        for op in ops {
            by_node[op.node].push((op, before));
            before = op.after();
        }
    }
    let mut books = Totals::default();
    let mut known_difference = 0;
    for node in serial {
        for (op, before) in &by_node[*node] {
            if op.view.available_after < 0 || op.view.reserved_after < 0 {
                verdict.report(Condition::Bank, format!("a negative balance: {:?}", op.view));
            }
            books.post(op, *before);
        }
        if books.difference() != known_difference {
            known_difference = books.difference();
            let last = by_node[*node].last().map(|(op, _)| op.view);
            verdict
                .report(Condition::Bank, format!("{known_difference} are missing after {last:?}: {books:?}"));
        }
    }
}
