//! Plays scripts on a store and reads what came of them.

use balance_domain::{Command, OperationKind, Receipt, Rejection, Reservation};

use crate::{
    script::{at, deposit, each, user},
    store::{Answer, Store},
};

/// Executes the commands, each for itself, in one batch and expects all to be accepted.
#[track_caller]
pub(crate) fn run(
    store: &mut Store,
    seconds: i64,
    commands: impl IntoIterator<Item = Command>,
) -> Vec<Receipt> {
    let answers = store.execute(&each(commands), at(seconds));
    answers.into_iter().map(|answer| receipts(answer).remove(0)).collect()
}

#[track_caller]
pub(crate) fn receipts(answer: Answer) -> Vec<Receipt> {
    match answer {
        Answer::Accepted(accepted) => accepted.into_iter().map(|accepted| accepted.receipt).collect(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn run_one(store: &mut Store, seconds: i64, command: Command) -> Answer {
    store.execute(&[command.into()], at(seconds)).remove(0)
}

pub(crate) fn rejected(rejection: Rejection) -> Answer {
    Answer::Rejected(0, rejection)
}

/// A store where user 1 has so much.
pub(crate) fn funded(minor_units: i64) -> Store {
    let mut store = Store::new();
    run(&mut store, 0, [deposit("start", 1, minor_units)]);
    store
}

pub(crate) fn balance(store: &Store, id: i64) -> (i64, i64) {
    let account = store.accounts[&user(id)];
    (account.available, account.reserved)
}

pub(crate) fn kinds(store: &Store, id: i64) -> Vec<(OperationKind, i64)> {
    store.history(user(id)).map(|r| (r.operation.kind, r.operation.amount.get())).collect()
}

#[track_caller]
pub(crate) fn reservation_of(receipt: &Receipt) -> (Reservation, Option<i64>) {
    match receipt {
        Receipt::Reservation { reservation, operation_seq } => (*reservation, *operation_seq),
        other => panic!("{other:?}"),
    }
}
