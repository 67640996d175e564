//! C4: every read returns the state at its version. A balance may already count reservations as expired whose
//! expiry is written down later; then it is the recorded state of some earlier version plus what was due.

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

/// How many reservations with an unknown deadline are tried in all combinations.
const UNCERTAIN_MAX: usize = 10;

/// A balance that was read.
struct BalanceRead<'a> {
    balance: &'a BalanceView,
    as_of: i64,
    /// Invoked and returned; `None` for the final read, which comes after everything.
    window: Option<(u64, u64)>,
}

/// What is left of a reservation, and its deadline if that is certain.
struct Held {
    remaining: i64,
    deadline: Option<i64>,
}

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
    let as_of = micros_of(&balance.as_of);
    if balance.user_id != user_id
        || as_of.is_none()
        || balance.total != balance.available + balance.reserved
        || balance.available < 0
        || balance.reserved < 0
    {
        verdict.report(Condition::Reads, format!("user {user_id}: a balance that cannot be: {balance:?}"));
    }
    let seen = BalanceRead { balance, as_of: as_of.unwrap_or_default(), window };
    balances.entry(user_id).or_default().push(seen);
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
    let mut by_version: BTreeMap<i64, Vec<(BalanceRead<'_>, Option<usize>)>> = BTreeMap::new();
    for seen in seen {
        by_version.entry(seen.balance.version).or_default().push((seen, None));
    }
    let ops = evidence.users.get(&user_id).map_or(&[][..], Vec::as_slice);
    let mut held: BTreeMap<OrderRef, Held> = BTreeMap::new();
    let mut recorded = (0, 0);
    for base in 0..=ops.len() {
        if let Some(op) = base.checked_sub(1).and_then(|position| ops.get(position)) {
            recorded = op.after();
            follow(evidence, &mut held, op);
        }
        let version = i64::try_from(base).unwrap_or(i64::MAX);
        let farthest = version.saturating_add(i64::try_from(held.len()).unwrap_or(i64::MAX));
        for (seen, found) in by_version.range_mut(version..=farthest).flat_map(|(_, seen)| seen) {
            if explains(version, recorded, &held, seen) {
                *found = Some(base);
            }
        }
    }
    for (seen, base) in by_version.into_values().flatten() {
        match (base, seen.window) {
            (None, _) => {
                let what = format!("user {user_id}: no state is like {:?}", seen.balance);
                verdict.report(Condition::Reads, what);
            }
            (Some(base), Some(window)) => placed.push(read_at(user_id, base, window)),
            (Some(base), None) if base != ops.len() => {
                let what = format!("user {user_id}: the balance at the end is that of number {base}");
                verdict.report(Condition::Reads, what);
            }
            (Some(_), None) => {}
        }
    }
}

/// Keeps track of what is set aside.
fn follow<'a>(evidence: &Evidence<'a>, held: &mut BTreeMap<OrderRef, Held>, op: &Op<'a>) {
    let Some(order) = op.order() else { return };
    match op.kind {
        OperationKind::Reserve => {
            held.insert(order, Held { remaining: op.view.amount, deadline: evidence.deadline(op) });
        }
        OperationKind::Capture | OperationKind::Release | OperationKind::Expire => {
            if let Some(entry) = held.get_mut(&order) {
                entry.remaining -= op.view.amount;
                if entry.remaining <= 0 {
                    held.remove(&order);
                }
            }
        }
        _ => {}
    }
}

/// Whether the recorded state with what was due then is what was read.
fn explains(
    version: i64,
    recorded: (i64, i64),
    held: &BTreeMap<OrderRef, Held>,
    seen: &BalanceRead<'_>,
) -> bool {
    let mut missing_count = seen.balance.version - version;
    let mut missing_sum = recorded.1 - seen.balance.reserved;
    let mut uncertain = Vec::new();
    if seen.balance.available != recorded.0 + missing_sum {
        return false;
    }
    for entry in held.values() {
        match entry.deadline {
            Some(deadline) if deadline <= seen.as_of => {
                missing_count -= 1;
                missing_sum -= entry.remaining;
            }
            Some(_) => {}
            None => uncertain.push(entry.remaining),
        }
    }
    if missing_count <= 0 || missing_sum < 0 {
        return missing_count == 0 && missing_sum == 0;
    }
    if uncertain.len() > UNCERTAIN_MAX {
        return true;
    }
    (0_u32..1 << uncertain.len()).any(|chosen| {
        let is_chosen = |position: &usize| chosen >> position & 1 == 1;
        let sum: i64 = (0..uncertain.len()).filter(is_chosen).map(|position| uncertain[position]).sum();
        i64::from(chosen.count_ones()) == missing_count && sum == missing_sum
    })
}
