//! C8: every reservation is consistent: what was captured, released and expired is what was reserved, refunds
//! stay within captures, nothing is captured at or after the deadline, nothing expires before it, and the
//! answers, the final reservations and the reserved money of the account all agree.

use std::collections::{BTreeMap, HashMap};

use balance_domain::OperationKind;

use crate::{
    checker::{
        Condition, Verdict,
        evidence::{Evidence, Op},
    },
    history::{AnswerBody, Call, OrderRef, ReservationView, micros_of},
};

/// The fold of one reservation's operations.
struct Folded {
    view: ReservationView,
    deadline: Option<i64>,
}

impl Folded {
    fn new(reserve: &Op<'_>, deadline: Option<i64>) -> Self {
        let op = reserve.view;
        let view = ReservationView {
            user_id: op.user_id,
            service_id: op.service_id.unwrap_or_default(),
            order_id: op.order_id.unwrap_or_default(),
            state: "active".to_owned(),
            amount: op.amount,
            captured: 0,
            released: 0,
            refunded: 0,
            created_at: op.created_at.clone(),
            expires_at: String::new(),
        };
        Self { view, deadline }
    }

    const fn remaining(&self) -> i64 {
        self.view.amount - self.view.captured - self.view.released
    }

    /// Adds one operation, or says what is wrong with it.
    fn post(&mut self, op: &Op<'_>, decided_at: Option<i64>, before_at: i64) -> Result<(), String> {
        let is_over = self.remaining() == 0;
        let amount = op.view.amount;
        let ended = match op.kind {
            OperationKind::Refund => {
                self.view.refunded += amount;
                return (self.view.refunded <= self.view.captured)
                    .then_some(())
                    .ok_or("refunds exceed".into());
            }
            OperationKind::Capture => {
                self.view.captured += amount;
                "captured"
            }
            OperationKind::Release => {
                self.view.released += amount;
                "released"
            }
            _ => {
                self.view.released += amount;
                "expired"
            }
        };
        if is_over || self.remaining() < 0 {
            return Err("takes more than is left".into());
        }
        if self.remaining() == 0 {
            let state = if self.view.captured > 0 { "captured" } else { ended };
            state.clone_into(&mut self.view.state);
        }
        match (self.deadline, decided_at) {
            (Some(deadline), _) if op.kind == OperationKind::Expire && op.at != deadline.max(before_at) => {
                Err(format!("expires {} us off its deadline", op.at - deadline))
            }
            (Some(deadline), Some(at)) if op.kind != OperationKind::Expire && at >= deadline => {
                Err(format!("comes {} us after the deadline", at - deadline))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn check(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    let mut answered: HashMap<usize, ReservationView> = HashMap::new();
    for (user_id, ops) in &evidence.users {
        let folded = fold_user(evidence, ops, &mut answered, verdict);
        compare_final(evidence, *user_id, &folded, verdict);
    }
    compare_answers(evidence, &answered, verdict);
}

fn fold_user<'a>(
    evidence: &Evidence<'a>,
    ops: &[Op<'a>],
    answered: &mut HashMap<usize, ReservationView>,
    verdict: &mut Verdict,
) -> BTreeMap<OrderRef, Folded> {
    let mut folded: BTreeMap<OrderRef, Folded> = BTreeMap::new();
    let mut reserved = 0;
    let mut clock = DecisionClock::default();
    for op in ops {
        let decided_at = clock.follow(op);
        if let Some(order) = op.order() {
            let left = |folded: &BTreeMap<OrderRef, Folded>| folded.get(&order).map_or(0, Folded::remaining);
            let before = left(&folded);
            if op.kind == OperationKind::Reserve {
                let earlier = folded.insert(order, Folded::new(op, evidence.deadline(op)));
                if earlier.is_some_and(|earlier| earlier.remaining() > 0 || earlier.view.captured > 0) {
                    let what = format!("reserves again what is active or captured: {:?}", op.view);
                    verdict.report(Condition::Reservations, what);
                }
            } else if let Some(entry) = folded.get_mut(&order) {
                if let Err(what) = entry.post(op, decided_at, clock.before_at) {
                    verdict.report(Condition::Reservations, format!("{what}: {:?}", op.view));
                }
            } else {
                verdict.report(Condition::Reservations, format!("nothing was reserved for {:?}", op.view));
            }
            reserved += left(&folded) - before;
            if let Some(entry) = folded.get(&order) {
                let mut view = entry.view.clone();
                view.expires_at = deadline_text(entry.deadline);
                answered.insert(op.node, view);
            }
        }
        if reserved != op.view.reserved_after {
            let what = format!("reservations hold {reserved}, not as in {:?}", op.view);
            verdict.report(Condition::Reservations, what);
            reserved = op.view.reserved_after;
        }
    }
    folded
}

/// Recorded time never runs backwards within an account, so an operation's time may be that of an earlier
/// one. Only the first of a run of equal times was certainly decided then; and the time of a transfer may come
/// from the other account.
#[derive(Default)]
struct DecisionClock {
    last_at: i64,
    before_at: i64,
    is_certain: bool,
}

impl DecisionClock {
    fn follow(&mut self, op: &Op<'_>) -> Option<i64> {
        self.before_at = self.last_at;
        if op.at > self.last_at {
            self.last_at = op.at;
            self.is_certain = !matches!(
                op.kind,
                OperationKind::TransferOut | OperationKind::TransferIn | OperationKind::Expire
            );
        }
        self.is_certain.then_some(op.at)
    }
}

fn deadline_text(deadline: Option<i64>) -> String {
    let deadline = deadline.and_then(|micros| balance_domain::Timestamp::from_micros(micros).ok());
    deadline.map(|deadline| deadline.to_string()).unwrap_or_default()
}

/// Equal, where the fold knows: a moved deadline leaves no operation.
fn is_same(answered: &ReservationView, folded: &ReservationView) -> bool {
    let mut answered = answered.clone();
    if folded.expires_at.is_empty() {
        answered.expires_at.clear();
    }
    let is_time = |text: &str| text.is_empty() || micros_of(text).is_some();
    is_time(&answered.expires_at) && answered == *folded
}

fn compare_answers(
    evidence: &Evidence<'_>,
    answered: &HashMap<usize, ReservationView>,
    verdict: &mut Verdict,
) {
    for record in evidence.records {
        let Some(AnswerBody::Reservation(view)) = record.outcome.answer() else { continue };
        match &record.call {
            Call::Money(call) => {
                let op = evidence.operation_of((call.action.user_id(), call.key.as_str()));
                let folded = op.and_then(|op| answered.get(&op.node));
                if let Some(folded) = folded
                    && !is_same(view, folded)
                {
                    let what = format!("answered {view:?}, the operations say {folded:?}");
                    verdict.report(Condition::Reservations, what);
                }
            }
            Call::Extend { order, .. } => {
                let named = (view.user_id, view.service_id, view.order_id);
                if view.state != "active" || named != (order.user_id, order.service_id, order.order_id) {
                    verdict.report(Condition::Reservations, format!("extended {order:?}, answered {view:?}"));
                }
            }
            Call::Balance { .. } | Call::Operations { .. } => {}
        }
    }
}

fn compare_final(
    evidence: &Evidence<'_>,
    user_id: i64,
    folded: &BTreeMap<OrderRef, Folded>,
    verdict: &mut Verdict,
) {
    let Some(stored) = evidence.finals.reservations.get(&user_id) else { return };
    if stored.len() != folded.len() {
        let what = format!("user {user_id}: {} reservations, operations of {}", stored.len(), folded.len());
        verdict.report(Condition::Reservations, what);
    }
    for stated in stored {
        let order =
            OrderRef { user_id: stated.user_id, service_id: stated.service_id, order_id: stated.order_id };
        let entry = folded.get(&order).map(|entry| {
            let mut view = entry.view.clone();
            view.expires_at = deadline_text(entry.deadline);
            view
        });
        if !entry.as_ref().is_some_and(|view| is_same(stated, view)) {
            verdict.report(
                Condition::Reservations,
                format!("{stated:?} at the end, the operations say {entry:?}"),
            );
        }
    }
}
