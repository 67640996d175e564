//! The way of one command into the ledger and of its receipt out again.

use std::fmt::Write;

use balance_domain::{
    Action, Command, Comment, IdempotencyKey, MoneyCommand, Operation, Receipt, Reservation,
};

use crate::{
    answer::{Answer, Created},
    extract::Caller,
    operations::Documented,
    problem::{Code, Problem},
    wire::{OperationBody, ReservationBody},
};

/// The receipt of one command, and whether it was given before.
pub(super) async fn submit<O: Documented>(
    caller: &Caller<O>,
    command: impl Into<balance_domain::Submission>,
) -> Result<(Receipt, bool), Problem> {
    let submission = command.into().by(caller.actor());
    let ledger = &caller.api().ledger;
    let accepted = if caller.is_dry_run() {
        count_dry_run();
        ledger.dry_run_one(submission).await?.0.map_err(Problem::foreseen)?
    } else {
        let _place = caller.turn(1).await?;
        ledger.submit_one(submission).await?
    };
    let first = accepted.into_iter().next().ok_or_else(|| Problem::new(Code::Internal))?;
    Ok((first.receipt, first.is_replay))
}

/// Dry runs are counted apart: what they would be refused for is no refusal.
pub(super) fn count_dry_run() {
    metrics::counter!("balance_dry_runs_total").increment(1);
}

/// A movement that answers with its operation.
pub(super) async fn movement<O: Documented>(
    caller: Caller<O>,
    key: IdempotencyKey,
    (action, comment): (Action, Option<Comment>),
) -> Result<Created<OperationBody>, Problem> {
    caller.about(action.user_id());
    let (receipt, is_replay) = submit(&caller, MoneyCommand { action, key, comment }).await?;
    let Receipt::Operation(operation) = receipt else { return Err(Problem::new(Code::Internal)) };
    caller.made(Some(operation.seq));
    let location = operation_location(&operation);
    Ok(Created::new(operation.into()).at(location).replayed(is_replay))
}

/// A movement that answers with its reservation.
pub(super) async fn on_reservation<O: Documented, const STATUS: u16>(
    caller: Caller<O>,
    key: IdempotencyKey,
    (action, comment): (Action, Option<Comment>),
) -> Result<Answer<ReservationBody, STATUS>, Problem> {
    caller.about(action.user_id());
    let command = MoneyCommand { action, key, comment };
    let (reservation, operation_seq, is_replay) = reservation_of(&caller, Command::Money(command)).await?;
    Ok(Answer::new(ReservationBody::new(&reservation, operation_seq)).replayed(is_replay))
}

/// The reservation that a command leaves, the operation that records it, and whether this was said before.
pub(super) async fn reservation_of<O: Documented>(
    caller: &Caller<O>,
    command: Command,
) -> Result<(Reservation, Option<i64>, bool), Problem> {
    let (receipt, is_replay) = submit(caller, command).await?;
    let Receipt::Reservation { reservation, operation_seq } = receipt else {
        return Err(Problem::new(Code::Internal));
    };
    caller.made(operation_seq);
    Ok((reservation, operation_seq, is_replay))
}

/// Where an operation can be read: by its key, the name that its caller gave it.
fn operation_location(operation: &Operation) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let key = operation.idempotency_key.as_ref().map_or("", IdempotencyKey::as_str);
    let mut location = String::with_capacity(64 + key.len());
    // Writing to a string cannot fail.
    let _ = write!(location, "/api/v1/users/{}/operations/by-key/", operation.user_id);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if key.bytes().all(is_plain) {
        location.push_str(key);
        return location;
    }
    for byte in key.bytes() {
        if is_plain(byte) {
            location.push(byte.into());
        } else {
            location.push('%');
            location.push(DIGITS[usize::from(byte >> 4)].into());
            location.push(DIGITS[usize::from(byte & 15)].into());
        }
    }
    location
}
