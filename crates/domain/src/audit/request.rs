//! What one operation must look like by itself, and whether its fingerprint is that of a request which could
//! have led to it.

use crate::{
    Account, AccountStatus, Action, Actor, Comment, Fingerprint, Hold, IdempotencyKey, MoneyCommand,
    Operation, OperationKind, RecordedOperation, Reservation, TimeLimit, Timestamp, Ttl,
};

/// Says what no operation of this account could be.
pub(super) fn faults(recorded: &RecordedOperation, account: &Account) -> Vec<&'static str> {
    let RecordedOperation { operation, fingerprint, reservation_after } = recorded;
    let is_closed = account.status == AccountStatus::Closed;
    let by_time = operation.kind == OperationKind::Expire;
    let mut found = Vec::new();
    let named = [operation.service_id.is_some(), operation.order_id.is_some(), reservation_after.is_some()];
    if named != [is_on_reservation(operation.kind); 3] {
        found.push("names a reservation though its kind has none, or names none");
    }
    if operation.counterparty_user_id.is_some() != is_transfer(operation.kind)
        || operation.counterparty_user_id == Some(operation.user_id)
    {
        found.push("has no other side, or one too many");
    }
    if operation.comment.is_some() && (is_closed || by_time) {
        found.push("has a comment that was erased or never made");
    }
    if may_answer(operation.kind).is_some_and(|must| must != operation.idempotency_key.is_some()) {
        found.push("has no key, or one that cannot be its own");
    }
    if (operation.actor == Actor::Expiry) != by_time {
        found.push("names an actor that its kind cannot have");
    }
    match (&operation.idempotency_key, fingerprint) {
        (None, None) => {}
        (Some(key), Some(fingerprint)) => {
            if !fits(operation, key, reservation_after.as_ref(), *fingerprint, is_closed) {
                found.push("does not do what its fingerprint was taken of");
            }
        }
        _ => found.push("has a key without a fingerprint, or the reverse"),
    }
    found
}

const fn is_on_reservation(kind: OperationKind) -> bool {
    match kind {
        OperationKind::Deposit
        | OperationKind::Withdrawal
        | OperationKind::TransferOut
        | OperationKind::TransferIn => false,
        OperationKind::Reserve
        | OperationKind::Capture
        | OperationKind::Release
        | OperationKind::Expire
        | OperationKind::Refund => true,
    }
}

const fn is_transfer(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::TransferOut | OperationKind::TransferIn)
}

/// Whether the kind has a key; `None` if it may.
const fn may_answer(kind: OperationKind) -> Option<bool> {
    match kind {
        OperationKind::Deposit
        | OperationKind::Withdrawal
        | OperationKind::TransferOut
        | OperationKind::Reserve
        | OperationKind::Capture
        | OperationKind::Refund => Some(true),
        OperationKind::TransferIn | OperationKind::Expire => Some(false),
        OperationKind::Release => None,
    }
}

fn fits(
    operation: &Operation,
    key: &IdempotencyKey,
    reservation_after: Option<&Reservation>,
    fingerprint: Fingerprint,
    is_erased: bool,
) -> bool {
    // Whether there was a comment is part of the meaning; after the erasing either may have been.
    let comments =
        if is_erased { vec![None, Comment::new("").ok()] } else { vec![operation.comment.clone()] };
    let mut commands = requests(operation, reservation_after).into_iter().flat_map(|action| {
        let command = move |comment| MoneyCommand { action: action.clone(), key: key.clone(), comment };
        comments.clone().into_iter().map(command)
    });
    commands.any(|command| command.fingerprint() == fingerprint)
}

/// Every request that may have led to the operation.
fn requests(operation: &Operation, after: Option<&Reservation>) -> Vec<Action> {
    let Operation { user_id, amount, .. } = *operation;
    let asked = [None, Some(amount)];
    match (operation.kind, after, operation.counterparty_user_id) {
        (OperationKind::Deposit, ..) => vec![Action::Deposit { user_id, amount }],
        (OperationKind::Withdrawal, ..) => vec![Action::Withdraw { user_id, amount }],
        (OperationKind::TransferOut, _, Some(to)) => vec![Action::Transfer { from: user_id, to, amount }],
        (OperationKind::Reserve, Some(after), _) => time_limits(after.created_at, after.expires_at)
            .map(|time_limit| Action::Reserve { reservation: after.key, amount, time_limit })
            .collect(),
        (OperationKind::Capture, Some(after), _) => holds(after)
            .flat_map(|reservation| [(reservation, false), (reservation, true)])
            .flat_map(|(reservation, is_final)| {
                asked.map(|amount| Action::Capture { reservation, amount, is_final })
            })
            .collect(),
        (OperationKind::Release, Some(after), _) => {
            holds(after).map(|reservation| Action::Release { reservation }).collect()
        }
        (OperationKind::Refund, Some(after), _) => holds(after)
            .flat_map(|reservation| asked.map(|amount| Action::Refund { reservation, amount }))
            .collect(),
        _ => Vec::new(),
    }
}

/// The ways to name a reservation.
fn holds(reservation: &Reservation) -> impl Iterator<Item = Hold> + use<> {
    [reservation.key.into(), reservation.hold()].into_iter()
}

/// The limits that lead from one time to the other.
fn time_limits(from: Timestamp, to: Timestamp) -> impl Iterator<Item = TimeLimit> {
    let micros = to.micros().saturating_sub(from.micros());
    let seconds = u32::try_from(micros / 1_000_000).ok().filter(|_| micros % 1_000_000 == 0);
    let ttl = seconds.and_then(|seconds| Ttl::from_seconds(seconds).ok());
    ttl.into_iter().flat_map(|ttl| [TimeLimit::Default(ttl), TimeLimit::Asked(ttl)])
}
