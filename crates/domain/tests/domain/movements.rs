//! What each movement of money does, and where the bounds of a balance lie.

use balance_domain::{BALANCE_MAX, OperationKind, Rejection, ReservationState};

use crate::{
    play::{balance, funded, kinds, rejected, reservation_of, run, run_one},
    script::{
        capture, capture_part, deposit, expire, order, refund, release, reserve, reserve_for, transfer, user,
        withdraw,
    },
};

#[test]
fn defect_01_a_release_gives_back_what_was_reserved_and_no_more() {
    let mut store = funded(100);
    run(&mut store, 1, [reserve("r", order(1, 1, 1), 40), release("b", order(1, 1, 1))]);
    assert_eq!(balance(&store, 1), (100, 0));
    let again = run_one(&mut store, 2, release("c", order(1, 1, 1)));
    assert_eq!(again, rejected(Rejection::ReservationReleased));
    assert_eq!(balance(&store, 1), (100, 0));
}

#[test]
fn defect_05_the_deadline_of_a_first_reservation_does_not_touch_the_second() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(
        &mut store,
        0,
        [reserve_for("first", the, 40, 60), release("b", the), reserve_for("second", the, 70, 600)],
    );
    run(&mut store, 60, [expire(1)]);
    assert_eq!(balance(&store, 1), (30, 70));
    run(&mut store, 600, [expire(1)]);
    assert_eq!(balance(&store, 1), (100, 0));
}

#[test]
fn defect_06_every_accepted_movement_is_in_the_history_of_everyone_it_touches() {
    let mut store = funded(100);
    let (a, b) = (order(1, 1, 1), order(1, 2, 1));
    run(&mut store, 1, [withdraw("w", 1, 5), transfer("t", 1, 2, 10), reserve("a", a, 30)]);
    run(
        &mut store,
        2,
        [capture("c", a, Some(20)), refund("f", a, Some(8)), reserve("b", b, 7), release("e", b)],
    );
    run(&mut store, 3, [reserve_for("g", b, 6, 1)]);
    run(&mut store, 9, [expire(1)]);
    let expected = [
        (OperationKind::Deposit, 100),
        (OperationKind::Withdrawal, 5),
        (OperationKind::TransferOut, 10),
        (OperationKind::Reserve, 30),
        (OperationKind::Capture, 20),
        (OperationKind::Release, 10),
        (OperationKind::Refund, 8),
        (OperationKind::Reserve, 7),
        (OperationKind::Release, 7),
        (OperationKind::Reserve, 6),
        (OperationKind::Expire, 6),
    ];
    assert_eq!(kinds(&store, 1), expected);
    assert_eq!(kinds(&store, 2), [(OperationKind::TransferIn, 10)]);
    assert!(store.audit().is_clean(), "{:?}", store.audit());
}

#[test]
fn defect_11_two_services_of_one_order_are_two_reservations() {
    let mut store = funded(100);
    run(&mut store, 1, [reserve("a", order(1, 1, 1), 10), reserve("b", order(1, 2, 1), 20)]);
    run(&mut store, 2, [capture("c", order(1, 2, 1), None)]);
    assert_eq!(balance(&store, 1), (70, 10));
}

#[test]
fn a_transfer_over_the_receivers_limit_leaves_the_payer_untouched() {
    let mut store = funded(100);
    run(&mut store, 1, [deposit("d", 2, BALANCE_MAX - 99)]);
    let before = store.clone();
    let answer = run_one(&mut store, 2, transfer("t", 1, 2, 100));
    assert_eq!(answer, rejected(Rejection::BalanceLimitExceeded(user(2))));
    assert_eq!(store, before);
    run(&mut store, 3, [transfer("t", 1, 2, 99)]);
    assert_eq!((balance(&store, 1), balance(&store, 2)), ((1, 0), (BALANCE_MAX, 0)));
}

#[test]
fn the_limit_of_a_balance_counts_reserved_money_and_is_exact() {
    let mut store = funded(BALANCE_MAX);
    let the = order(1, 1, 1);
    let over = rejected(Rejection::BalanceLimitExceeded(user(1)));
    run(&mut store, 1, [reserve("r", the, BALANCE_MAX)]);
    assert_eq!(run_one(&mut store, 2, deposit("d", 1, 1)), over, "reserved money counts");
    run(&mut store, 3, [capture("c", the, Some(1)), deposit("d", 1, 1)]);
    assert_eq!(balance(&store, 1), (BALANCE_MAX, 0));
    assert_eq!(run_one(&mut store, 4, refund("f", the, None)), over, "a refund must fit as well");
    assert_eq!(run_one(&mut store, 4, deposit("e", 1, BALANCE_MAX)), over);
    run(&mut store, 5, [withdraw("w", 1, BALANCE_MAX)]);
    assert_eq!(balance(&store, 1), (0, 0));
}

#[test]
fn a_final_capture_gives_the_rest_back_and_answers_with_the_capture() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(&mut store, 1, [reserve("r", the, 50), capture_part("p", the, Some(10))]);
    assert_eq!(balance(&store, 1), (50, 40));
    let receipt = run(&mut store, 2, [capture("c", the, Some(15))]).remove(0);
    let (reservation, seq) = reservation_of(&receipt);
    assert_eq!((reservation.state, seq), (ReservationState::Captured, Some(4)));
    assert_eq!((reservation.captured, reservation.released, reservation.refunded), (25, 25, 0));
    assert_eq!(balance(&store, 1), (75, 0));
    let last = &store.operations[&(user(1), 5)];
    assert_eq!((last.operation.kind, &last.operation.idempotency_key), (OperationKind::Release, &None));
}

#[test]
fn a_capture_of_all_that_is_left_ends_the_reservation_though_it_was_not_final() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(
        &mut store,
        1,
        [reserve("r", the, 50), capture_part("p", the, Some(10)), capture_part("q", the, None)],
    );
    assert_eq!(store.reservations[&the].state, ReservationState::Captured);
    assert_eq!((balance(&store, 1), store.reservations[&the].captured), ((50, 0), 50));
}

#[test]
fn part_of_an_active_reservation_can_be_refunded_while_the_rest_stays_reserved() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(&mut store, 1, [reserve("r", the, 50), capture_part("p", the, Some(30)), refund("f", the, Some(20))]);
    assert_eq!(balance(&store, 1), (70, 20));
    let more = run_one(&mut store, 2, refund("g", the, Some(11)));
    assert_eq!(more, rejected(Rejection::RefundExceedsCaptured { refundable: 10 }));
    run(&mut store, 3, [refund("h", the, None), capture("c", the, None)]);
    assert_eq!(balance(&store, 1), (80, 0));
}
