//! The history and the final state, indexed: which call asked for which operation, and which operations
//! happened together.

use std::collections::{BTreeMap, HashMap, HashSet};

use balance_domain::{Amount, OperationKind};

use crate::{
    checker::{Condition, Verdict},
    final_state::FinalState,
    history::{Call, MoneyAction, MoneyCall, OperationView, OrderRef, Outcome, Record, micros_of},
};

/// One operation of the final history.
pub(super) struct Op<'a> {
    pub(super) view: &'a OperationView,
    pub(super) kind: OperationKind,
    /// Microseconds.
    pub(super) at: i64,
    /// What the kind adds to (available, reserved).
    pub(super) effect: (i64, i64),
    /// The transaction it belongs to: an index into [`Evidence::nodes`].
    pub(super) node: usize,
}

impl Op<'_> {
    pub(super) fn order(&self) -> Option<OrderRef> {
        let (service_id, order_id) = (self.view.service_id?, self.view.order_id?);
        Some(OrderRef { user_id: self.view.user_id, service_id, order_id })
    }

    pub(super) fn after(&self) -> (i64, i64) {
        (self.view.available_after, self.view.reserved_after)
    }
}

/// Operations that were decided together: what one request did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    /// When the first call that asked for it left.
    pub(super) invoked_ns: Option<u64>,
    /// When the first answer that confirmed it came.
    pub(super) returned_ns: Option<u64>,
}

/// A key and the user whose key it is.
pub(super) type Scope<'a> = (i64, &'a str);

/// What the load asked under one key.
pub(super) struct Asked<'a> {
    pub(super) call: &'a MoneyCall,
    pub(super) attempts: Vec<&'a Record>,
}

impl Asked<'_> {
    pub(super) fn is_accepted(&self) -> bool {
        self.attempts.iter().any(|record| matches!(record.outcome, Outcome::Ok { .. }))
    }

    pub(super) fn may_have_effect(&self) -> bool {
        self.attempts
            .iter()
            .any(|record| matches!(record.outcome, Outcome::Ok { .. } | Outcome::Unknown { .. }))
    }
}

/// What a transfer's payment says: node, amount, time.
type Payment = (usize, i64, i64);

/// Everything, indexed.
pub(super) struct Evidence<'a> {
    pub(super) records: &'a [Record],
    pub(super) finals: &'a FinalState,
    pub(super) users: BTreeMap<i64, Vec<Op<'a>>>,
    pub(super) nodes: Vec<Node>,
    pub(super) asked: HashMap<Scope<'a>, Asked<'a>>,
    /// Where the operations of a key are: positions in the user's history.
    pub(super) keyed: HashMap<Scope<'a>, Vec<usize>>,
    /// Orders whose deadline may have been moved.
    pub(super) extended: HashSet<OrderRef>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(records: &'a [Record], finals: &'a FinalState, verdict: &mut Verdict) -> Self {
        let mut evidence = Self {
            records,
            finals,
            users: BTreeMap::new(),
            nodes: Vec::new(),
            asked: asked(records),
            keyed: HashMap::new(),
            extended: extended(records),
        };
        evidence.read_operations(verdict);
        evidence.join_transfers(verdict);
        evidence.join_final_captures();
        evidence.count(verdict);
        evidence
    }

    /// The deadline that a reservation was made with, in microseconds; `None` if it may have been moved.
    pub(super) fn deadline(&self, reserve: &Op<'a>) -> Option<i64> {
        let order = reserve.order()?;
        let scope = (reserve.view.user_id, reserve.view.idempotency_key.as_deref()?);
        match self.asked.get(&scope)?.call.action {
            MoneyAction::Reserve { expires_in_seconds, .. } if !self.extended.contains(&order) => {
                Some(reserve.at + i64::from(expires_in_seconds) * 1_000_000)
            }
            _ => None,
        }
    }

    /// The operation of a key, if there is exactly one or the first of several.
    pub(super) fn operation_of(&self, scope: Scope<'a>) -> Option<&Op<'a>> {
        let position = *self.keyed.get(&scope)?.first()?;
        self.users.get(&scope.0)?.get(position)
    }

    fn read_operations(&mut self, verdict: &mut Verdict) {
        for (user_id, views) in &self.finals.operations {
            let mut ops = Vec::with_capacity(views.len());
            for view in views {
                let Some(mut op) = parse(view) else {
                    verdict.report(Condition::Replay, format!("unreadable operation: {view:?}"));
                    continue;
                };
                op.node = self.nodes.len();
                self.nodes.push(self.window(view));
                if let Some(key) = &view.idempotency_key {
                    self.keyed.entry((*user_id, key)).or_default().push(ops.len());
                }
                ops.push(op);
            }
            self.users.insert(*user_id, ops);
        }
    }

    /// The interval in which the operation happened, according to the calls.
    fn window(&self, view: &OperationView) -> Node {
        let scope = view.idempotency_key.as_deref().map(|key| (view.user_id, key));
        let Some(asked) = scope.and_then(|scope| self.asked.get(&scope)) else { return Node::default() };
        let may = |record: &&&Record| matches!(record.outcome, Outcome::Ok { .. } | Outcome::Unknown { .. });
        let accepted = |record: &&&Record| matches!(record.outcome, Outcome::Ok { .. });
        Node {
            invoked_ns: asked.attempts.iter().filter(may).map(|record| record.invoked_ns).min(),
            returned_ns: asked.attempts.iter().filter(accepted).map(|record| record.returned_ns).min(),
        }
    }

    /// The n-th `transfer_out` from one user to another belongs to the n-th `transfer_in` there.
    fn join_transfers(&mut self, verdict: &mut Verdict) {
        let mut sent: HashMap<(i64, i64), Vec<Payment>> = HashMap::new();
        for op in self.users.values().flatten().filter(|op| op.kind == OperationKind::TransferOut) {
            let pair = (op.view.user_id, op.view.counterparty_user_id.unwrap_or_default());
            sent.entry(pair).or_default().push((op.node, op.view.amount, op.at));
        }
        let mut taken: HashMap<(i64, i64), usize> = HashMap::new();
        for op in self.users.values_mut().flatten().filter(|op| op.kind == OperationKind::TransferIn) {
            let pair = (op.view.counterparty_user_id.unwrap_or_default(), op.view.user_id);
            let position = taken.entry(pair).or_default();
            match sent.get(&pair).and_then(|sent| sent.get(*position)) {
                Some(&(node, amount, at)) if (amount, at) == (op.view.amount, op.at) => op.node = node,
                other => verdict.report(
                    Condition::Replay,
                    format!("income {:?} has no payment beside it, but {other:?}", op.view),
                ),
            }
            *position += 1;
        }
        for (pair, sent) in &sent {
            let arrived = taken.get(pair).copied().unwrap_or_default();
            if self.users.contains_key(&pair.1) && arrived != sent.len() {
                let what = format!("{pair:?}: {} transfers were paid, {arrived} arrived", sent.len());
                verdict.report(Condition::Replay, what);
            }
        }
    }

    /// A final capture and the release of its rest are one request.
    fn join_final_captures(&mut self) {
        for ops in self.users.values_mut() {
            for position in 1..ops.len() {
                let (before, op) = (&ops[position - 1], &ops[position]);
                let is_rest = op.kind == OperationKind::Release
                    && op.view.idempotency_key.is_none()
                    && before.kind == OperationKind::Capture
                    && before.order() == op.order()
                    && before.at == op.at;
                if is_rest {
                    ops[position].node = ops[position - 1].node;
                }
            }
        }
    }

    fn count(&self, verdict: &mut Verdict) {
        let facts = &mut verdict.facts;
        facts.accounts = self.users.len() as u64;
        facts.operations = self.users.values().map(|ops| ops.len() as u64).sum();
        for record in self.records {
            facts.calls += 1;
            match &record.outcome {
                Outcome::Ok { replayed, .. } => {
                    facts.accepted += 1;
                    facts.replayed += u64::from(*replayed);
                }
                Outcome::Rejected { .. } => facts.rejected += 1,
                Outcome::Unknown { .. } => facts.unknown += 1,
                Outcome::NeverSent { .. } => facts.never_sent += 1,
            }
        }
        for (scope, asked) in &self.asked {
            if asked.attempts.iter().any(|record| matches!(record.outcome, Outcome::Unknown { .. })) {
                facts.keys_unknown += 1;
                facts.keys_unknown_effective += u64::from(self.keyed.contains_key(scope));
            }
        }
    }
}

fn parse(view: &OperationView) -> Option<Op<'_>> {
    let kind = OperationKind::from_name(&view.kind)?;
    let amount = Amount::new(view.amount).ok()?;
    Some(Op { view, kind, at: micros_of(&view.created_at)?, effect: kind.effect(amount), node: 0 })
}

fn asked(records: &[Record]) -> HashMap<Scope<'_>, Asked<'_>> {
    let mut asked: HashMap<Scope<'_>, Asked<'_>> = HashMap::new();
    for record in records {
        if let Call::Money(call) = &record.call {
            let scope = (call.action.user_id(), call.key.as_str());
            asked.entry(scope).or_insert_with(|| Asked { call, attempts: Vec::new() }).attempts.push(record);
        }
    }
    asked
}

/// A refused extension counts too: it carries no key, so a retry after a lost commit may be refused although its
/// first attempt moved the deadline. It moves no money.
fn extended(records: &[Record]) -> HashSet<OrderRef> {
    let moved = |record: &Record| match (&record.call, &record.outcome) {
        (Call::Extend { .. }, Outcome::NeverSent { .. }) => None,
        (Call::Extend { order, .. }, _) => Some(*order),
        _ => None,
    };
    records.iter().filter_map(moved).collect()
}
