//! C4: every read returns the state of the operation with its version in the history, and nothing of that state was due
//! when it was read: expiries are recorded before they are returned.

use std::collections::BTreeMap;

use balance_domain::OperationKind;

use crate::{
    checker::{
        Condition, Verdict,
        evidence::{Evidence, Op},
    },
    history::{AnswerBody, BalanceView, Call, OperationView, OrderRef, Outcome, micros_of},
};

/// A read, placed: it saw the account after `base` recorded operations.
pub(super) struct PlacedRead {
    pub(super) user_id: i64,
    pub(super) base: usize,
    pub(super) invoked_ns: u64,
    pub(super) returned_ns: u64,
}

/// A balance that was read. Invoked and returned; `None` for the final read, which comes after everything.
type BalanceRead<'a> = (&'a BalanceView, Option<(u64, u64)>);

pub(super) fn check(evidence: &Evidence<'_>, verdict: &mut Verdict) -> Vec<PlacedRead> {
    let mut placed = Vec::new();
    let mut balances: BTreeMap<i64, Vec<BalanceRead<'_>>> = BTreeMap::new();
    for (user_id, balance) in &evidence.finals.balances {
        add(&mut balances, *user_id, balance.as_ref(), None, verdict);
    }
    for record in evidence.records {
        let Outcome::Ok { answer, .. } = &record.outcome else { continue };
        let window = (record.invoked_ns, record.returned_ns);
        match (&record.call, answer) {
            (Call::Balance { user_id }, AnswerBody::Balance(None)) => {
                placed.push(read_at(*user_id, 0, window));
            }
            (Call::Balance { user_id }, AnswerBody::Balance(balance)) => {
                add(&mut balances, *user_id, balance.as_ref(), Some(window), verdict);
            }
            (Call::Operations { user_id }, AnswerBody::Operations(rows)) => {
                place_page(evidence, *user_id, rows, window, &mut placed, verdict);
            }
            _ => {}
        }
    }
    for (user_id, seen) in balances {
        place_balances(evidence, user_id, seen, &mut placed, verdict);
    }
    placed
}

const fn read_at(user_id: i64, base: usize, (invoked_ns, returned_ns): (u64, u64)) -> PlacedRead {
    PlacedRead { user_id, base, invoked_ns, returned_ns }
}

fn add<'a>(
    balances: &mut BTreeMap<i64, Vec<BalanceRead<'a>>>,
    user_id: i64,
    balance: Option<&'a BalanceView>,
    window: Option<(u64, u64)>,
    verdict: &mut Verdict,
) {
    let Some(balance) = balance else { return };
    if balance.user_id != user_id
        || micros_of(&balance.as_of).is_none()
        || balance.total != balance.available + balance.reserved
        || balance.available < 0
        || balance.reserved < 0
    {
        verdict.report(Condition::Reads, format!("user {user_id}: a balance that cannot be: {balance:?}"));
    }
    balances.entry(user_id).or_default().push((balance, window));
}

/// A page of the newest operations must be the end of the history as it was at some version.
fn place_page(
    evidence: &Evidence<'_>,
    user_id: i64,
    rows: &[OperationView],
    window: (u64, u64),
    placed: &mut Vec<PlacedRead>,
    verdict: &mut Verdict,
) {
    let newest = rows.first().map_or(0, |row| row.seq);
    let base = usize::try_from(newest).unwrap_or_default();
    let recorded = evidence.users.get(&user_id).and_then(|ops| ops.get(..base)).unwrap_or_default();
    let same = rows.iter().zip(recorded.iter().rev()).all(|(row, op)| row == op.view);
    if !same || (base > 0 && recorded.is_empty()) || rows.len() > recorded.len() {
        verdict.report(Condition::Reads, format!("user {user_id}: a page from {newest} is not the history"));
    }
    placed.push(read_at(user_id, base, window));
}

fn place_balances(
    evidence: &Evidence<'_>,
    user_id: i64,
    seen: Vec<BalanceRead<'_>>,
    placed: &mut Vec<PlacedRead>,
    verdict: &mut Verdict,
) {
    let ops = evidence.users.get(&user_id).map_or(&[][..], Vec::as_slice);
    let states = states(evidence, ops);
    for (balance, window) in seen {
        let base = usize::try_from(balance.version).unwrap_or(usize::MAX);
        let state = states.get(base);
        let is_state = state.is_some_and(|state| state.balances == (balance.available, balance.reserved));
        let as_of = micros_of(&balance.as_of).unwrap_or_default();
        if !is_state {
            let what = format!("user {user_id}: operation {base} leaves {state:?}, and read was {balance:?}");
            verdict.report(Condition::Reads, what);
        } else if state.and_then(|state| state.next_due).is_some_and(|deadline| deadline <= as_of) {
            let what =
                format!("user {user_id}: something was due and not recorded when {balance:?} was read");
            verdict.report(Condition::Reads, what);
        } else if let Some(window) = window {
            placed.push(read_at(user_id, base, window));
        } else if ops[base..].iter().any(|op| op.kind != OperationKind::Expire) {
            let what = format!("user {user_id}: the balance at the end is that of number {base}");
            verdict.report(Condition::Reads, what);
        }
    }
}

/// An account after one of its operations.
#[derive(Debug)]
struct State {
    balances: (i64, i64),
    /// The earliest deadline of what is set aside, as far as deadlines are certain.
    next_due: Option<i64>,
}

/// The states of an account, the empty one first.
fn states(evidence: &Evidence<'_>, ops: &[Op<'_>]) -> Vec<State> {
    let mut held: BTreeMap<OrderRef, (i64, Option<i64>)> = BTreeMap::new();
    let mut states = vec![State { balances: (0, 0), next_due: None }];
    for op in ops {
        if let Some(order) = op.order() {
            match op.kind {
                OperationKind::Reserve => {
                    held.insert(order, (op.view.amount, evidence.deadline(op)));
                }
                OperationKind::Capture | OperationKind::Release | OperationKind::Expire => {
                    if let Some((remaining, _)) = held.get_mut(&order) {
                        *remaining -= op.view.amount;
                    }
                }
                _ => {}
            }
        }
        held.retain(|_, (remaining, _)| *remaining > 0);
        let next_due = held.values().filter_map(|(_, deadline)| *deadline).min();
        states.push(State { balances: op.after(), next_due });
    }
    states
}
