//! Reservations end by time, exactly at their deadline, whatever the clock does.

use balance_domain::{AccountStatus, OperationKind, Rejection, Timestamp};

use crate::{
    play::{balance, funded, rejected, reservation_of, run, run_one},
    script::{
        at, capture_part, close, deposit, each, expire, extend, order, release, reserve_for, transfer, user,
        withdraw,
    },
};

#[test]
fn a_reservation_expires_at_its_deadline_and_not_a_microsecond_before() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(&mut store, 0, [reserve_for("r", the, 40, 60)]);
    let before = Timestamp::from_micros(at(60).micros() - 1).unwrap();
    store.execute(&each([expire(1)]), before);
    assert_eq!(balance(&store, 1), (60, 40));
    store.execute(&each([expire(1)]), at(60));
    assert_eq!(balance(&store, 1), (100, 0));
}

#[test]
fn an_expiry_is_recorded_at_its_deadline_however_late_it_is_written_down() {
    let mut store = funded(100);
    run(&mut store, 0, [reserve_for("a", order(1, 1, 1), 1, 60), reserve_for("b", order(1, 1, 2), 2, 30)]);
    run(&mut store, 40, [deposit("d", 1, 5)]);
    run(&mut store, 5_000, [withdraw("w", 1, 100)]);
    let times: Vec<_> =
        store.history(user(1)).map(|r| (r.operation.kind, r.operation.created_at)).skip(3).collect();
    let expected = [
        (OperationKind::Expire, at(30)),
        (OperationKind::Deposit, at(40)),
        (OperationKind::Expire, at(60)),
        (OperationKind::Withdrawal, at(5_000)),
    ];
    assert_eq!(times, expected);
}

#[test]
fn reservations_due_at_one_instant_expire_in_the_order_of_their_keys() {
    let mut store = funded(100);
    let keys = [order(1, 2, 1), order(1, 1, 2), order(1, 1, 1)];
    run(&mut store, 0, keys.iter().zip(["a", "b", "c"]).map(|(the, key)| reserve_for(key, *the, 10, 60)));
    run(&mut store, 60, [expire(1)]);
    let orders: Vec<_> = store.history(user(1)).skip(4).map(|r| r.reservation_after.unwrap().key).collect();
    assert_eq!(orders, [order(1, 1, 1), order(1, 1, 2), order(1, 2, 1)]);
    assert_eq!(balance(&store, 1), (100, 0));
    assert!(store.audit().is_clean());
}

#[test]
fn a_reservation_that_is_named_and_due_expires_once() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(&mut store, 0, [reserve_for("a", the, 10, 60)]);
    let again = run_one(&mut store, 60, release("b", the));
    assert_eq!(again, rejected(Rejection::ReservationExpired));
    assert_eq!((balance(&store, 1), store.history(user(1)).count()), ((100, 0), 3));
}

#[test]
fn an_account_can_expire_and_close_in_one_batch() {
    let mut store = funded(10);
    run(&mut store, 0, [reserve_for("a", order(1, 1, 1), 10, 60)]);
    run(&mut store, 60, [withdraw("w", 1, 10), close(1)]);
    let account = store.accounts[&user(1)];
    assert_eq!((account.status, account.total(), account.seq), (AccountStatus::Closed, 0, 4));
    assert!(store.audit().is_clean());
}

#[test]
fn an_extension_counts_from_now_and_holds_within_its_batch() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(&mut store, 0, [reserve_for("a", the, 10, 60)]);
    let receipt = run(&mut store, 50, [extend(the, 100)]).remove(0);
    let (reservation, seq) = reservation_of(&receipt);
    assert_eq!((reservation.expires_at, seq), (at(150), None));
    let receipt = run(&mut store, 149, [extend(the, 5), capture_part("c", the, Some(1))]).remove(1);
    assert_eq!(reservation_of(&receipt).0.expires_at, at(154), "an extension may also shorten");
    let late = run_one(&mut store, 154, extend(the, 100));
    assert_eq!(late, rejected(Rejection::ReservationCaptured), "a part was captured, the rest went back");
}

#[test]
fn a_clock_that_steps_back_shortens_no_reservation_and_reorders_no_history() {
    let mut store = funded(100);
    run(&mut store, 1_000, [withdraw("w", 1, 1)]);
    let receipt = run(&mut store, 0, [reserve_for("a", order(1, 1, 1), 10, 60)]).remove(0);
    let (reservation, _) = reservation_of(&receipt);
    assert_eq!((reservation.created_at, reservation.expires_at), (at(1_000), at(1_060)));
    let receipt = run(&mut store, 10, [extend(order(1, 1, 1), 90)]).remove(0);
    assert_eq!(reservation_of(&receipt).0.expires_at, at(1_090), "an extension counts from there as well");
    run(&mut store, 500, [transfer("t", 1, 2, 1)]);
    let received = store.history(user(2)).next().unwrap().operation.created_at;
    assert_eq!(received, at(1_000), "both sides of a transfer have one time");
}

/// The other side's clock was ahead: the transfer takes its time, and what follows on this side comes no earlier.
#[test]
fn an_expiry_is_never_recorded_before_the_operation_that_stands_before_it() {
    let mut store = funded(100);
    run(&mut store, 1_000, [deposit("ahead", 2, 1)]);
    run(&mut store, 0, [reserve_for("a", order(1, 1, 1), 10, 60), transfer("t", 1, 2, 5)]);
    run(&mut store, 60, [expire(1)]);
    let times: Vec<_> =
        store.history(user(1)).map(|r| (r.operation.kind, r.operation.created_at)).skip(2).collect();
    assert_eq!(times, [(OperationKind::TransferOut, at(1_000)), (OperationKind::Expire, at(1_000))]);
    assert!(store.audit().is_clean());
}

/// The other side's clock was ahead: by the account's own recorded time the deadline is over.
#[test]
fn nothing_is_captured_at_a_recorded_time_past_the_deadline() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(&mut store, 1_000, [deposit("ahead", 2, 1)]);
    run(&mut store, 0, [reserve_for("a", the, 10, 60), transfer("t", 1, 2, 5)]);
    assert_eq!(
        run_one(&mut store, 10, capture_part("c", the, None)),
        rejected(Rejection::ReservationExpired)
    );
    run(&mut store, 60, [expire(1)]);
    assert_eq!(balance(&store, 1), (95, 0));
    assert!(store.audit().is_clean());
}
