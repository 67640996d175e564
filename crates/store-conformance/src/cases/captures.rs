//! Set-aside money becomes revenue, or goes back.

use balance_domain::{Command, OperationKind, Rejection, ReservationState};

use crate::{
    snapshot::snapshot,
    teller::{Teller, capture_of, order, part_of, refund_of, release_of, seconds, user},
};

/// Without an amount everything that is left is captured.
pub async fn a_capture_takes_all_that_is_left(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    let captured = teller.capture(order(1, 7, 1), None).await;
    assert_eq!((captured.state, captured.captured, captured.released), (ReservationState::Captured, 60, 0));
    assert_eq!(teller.balance(1).await, (40, 0));
    assert_eq!(teller.history(1).await.len(), 3);
}

/// A final capture of a part gives the rest back as an operation of its own, which has no key.
pub async fn a_final_capture_gives_the_rest_back(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    let captured = teller.capture(order(1, 7, 1), Some(25)).await;
    assert_eq!((captured.state, captured.captured, captured.released), (ReservationState::Captured, 25, 35));
    assert_eq!(teller.balance(1).await, (75, 0));
    let history = teller.history(1).await;
    let ended: Vec<_> = history[2..].iter().map(|o| (o.kind, o.amount.get(), o.reserved_after)).collect();
    assert_eq!(ended, [(OperationKind::Capture, 25, 35), (OperationKind::Release, 35, 0)]);
    assert!(history[2].idempotency_key.is_some() && history[3].idempotency_key.is_none());
    assert_eq!(history[2].created_at, history[3].created_at);
}

/// Both operations of a final capture keep the reservation as the whole command left it.
pub async fn both_operations_keep_the_reservation_as_the_command_left_it(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    let captured = teller.capture(order(1, 7, 1), Some(25)).await;
    let pages = snapshot(teller.store()).await.remove(&user(1));
    let operations = pages.map(|pages| pages.operations).unwrap_or_default();
    let kept: Vec<_> = operations.iter().skip(2).map(|recorded| recorded.reservation_after).collect();
    assert_eq!(kept, [Some(captured), Some(captured)]);
}

/// Captures that are not final leave the rest reserved; the last unit ends the reservation.
pub async fn captures_in_parts_end_with_the_last_unit(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    assert_eq!(teller.capture_part(order(1, 7, 1), 20).await.state, ReservationState::Active);
    assert_eq!(teller.balance(1).await, (40, 40));
    assert_eq!(teller.capture_part(order(1, 7, 1), 39).await.state, ReservationState::Active);
    assert_eq!(teller.capture_part(order(1, 7, 1), 1).await.state, ReservationState::Captured);
    assert_eq!(teller.balance(1).await, (40, 0));
    assert_eq!(teller.refused(part_of(order(1, 7, 1), 1)).await, Rejection::ReservationCaptured);
}

/// More than is left is not captured.
pub async fn no_more_is_captured_than_is_reserved(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    let too_much = teller.refused(capture_of(order(1, 7, 1), Some(61))).await;
    assert_eq!(too_much, Rejection::CaptureExceedsReserved { remaining: 60 });
    teller.capture_part(order(1, 7, 1), 20).await;
    let too_much = teller.refused(part_of(order(1, 7, 1), 41)).await;
    assert_eq!(too_much, Rejection::CaptureExceedsReserved { remaining: 40 });
    assert_eq!(teller.balance(1).await, (40, 40));
}

/// What is over is neither captured nor released nor extended, and the answer says how it ended.
pub async fn what_is_over_stays_over(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    for order_id in 1..=3 {
        teller.reserve(order(1, 7, order_id), 10, 60).await;
    }
    teller.capture(order(1, 7, 1), None).await;
    teller.release(order(1, 7, 2)).await;
    teller.pass(60);
    for (order_id, expected) in [
        (1, Rejection::ReservationCaptured),
        (2, Rejection::ReservationReleased),
        (3, Rejection::ReservationExpired),
        (4, Rejection::ReservationNotFound(order(1, 7, 4))),
    ] {
        let key = order(1, 7, order_id);
        assert_eq!(teller.refused(capture_of(key, None)).await, expected);
        assert_eq!(teller.refused(release_of(key)).await, expected);
        let extend = Command::Extend { reservation: key.into(), ttl: seconds(60) };
        assert_eq!(teller.rejected(extend).await, expected);
    }
    assert_eq!(teller.balance(1).await, (90, 0));
}

/// The defect of the origin: a release paid back the amount that the caller named. Ours names none, and
/// pays back what is left of the reservation.
pub async fn defect_01_release_pays_back_what_was_reserved(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    let released = teller.release(order(1, 7, 1)).await;
    assert_eq!((released.state, released.released), (ReservationState::Released, 60));
    assert_eq!(teller.balance(1).await, (100, 0));
    assert_eq!(teller.refused(release_of(order(1, 7, 1))).await, Rejection::ReservationReleased);
    assert_eq!(teller.balance(1).await, (100, 0));
}

/// A release after a partial capture gives the rest back; the reservation counts as captured.
pub async fn a_release_after_a_partial_capture_gives_the_rest_back(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    teller.capture_part(order(1, 7, 1), 20).await;
    let released = teller.release(order(1, 7, 1)).await;
    assert_eq!((released.state, released.captured, released.released), (ReservationState::Captured, 20, 40));
    assert_eq!(teller.balance(1).await, (80, 0));
}

/// Captured money comes back whole or in parts, and no more than was captured.
pub async fn refunds_never_exceed_the_capture(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let key = order(1, 7, 1);
    assert_eq!(teller.refused(refund_of(key, None)).await, Rejection::ReservationNotFound(key));
    teller.reserve(key, 60, 600).await;
    assert_eq!(teller.refused(refund_of(key, None)).await, Rejection::NothingToRefund);
    teller.capture(key, Some(50)).await;
    assert_eq!(teller.refund(key, Some(20)).await.refunded, 20);
    let too_much = teller.refused(refund_of(key, Some(31))).await;
    assert_eq!(too_much, Rejection::RefundExceedsCaptured { refundable: 30 });
    let refunded = teller.refund(key, None).await;
    assert_eq!((refunded.refunded, refunded.captured, refunded.state), (50, 50, ReservationState::Captured));
    assert_eq!(teller.refused(refund_of(key, Some(1))).await, Rejection::NothingToRefund);
    assert_eq!(teller.balance(1).await, (100, 0));
}

/// What was captured of an active reservation can be refunded before the reservation ends.
pub async fn a_part_can_be_refunded_while_the_rest_is_reserved(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    teller.capture_part(order(1, 7, 1), 20).await;
    let refunded = teller.refund(order(1, 7, 1), None).await;
    assert_eq!((refunded.state, refunded.refunded), (ReservationState::Active, 20));
    assert_eq!(teller.balance(1).await, (60, 40));
    assert_eq!(teller.capture(order(1, 7, 1), None).await.captured, 60);
    assert_eq!(teller.refund(order(1, 7, 1), None).await.refunded, 60);
    assert_eq!(teller.balance(1).await, (100, 0));
}

/// Commands on a reservation of an unknown user name the account, not the reservation.
pub async fn the_account_comes_before_the_reservation(teller: Teller) {
    let key = order(1, 7, 1);
    for action in [capture_of(key, None), release_of(key), refund_of(key, None)] {
        assert_eq!(teller.refused(action).await, Rejection::AccountNotFound(user(1)));
    }
    let extend = Command::Extend { reservation: key.into(), ttl: seconds(60) };
    assert_eq!(teller.rejected(extend).await, Rejection::AccountNotFound(user(1)));
}

/// An extension counts from now, may shorten, and leaves no operation.
pub async fn an_extension_moves_the_deadline_and_nothing_else(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let made = teller.reserve(order(1, 7, 1), 60, 600).await;
    let before = teller.account(1).await;
    teller.pass(500);
    let extended = teller.extend(order(1, 7, 1), 600).await;
    assert_eq!(extended.expires_at.micros(), made.expires_at.micros() + 500_000_000);
    assert_eq!((extended.created_at, extended.amount), (made.created_at, made.amount));
    assert_eq!(teller.account(1).await, before, "no operation, no new time");
    teller.pass(599);
    assert_eq!(teller.found(order(1, 7, 1)).await.state, ReservationState::Active);
    teller.extend(order(1, 7, 1), 1).await;
    teller.pass(1);
    assert_eq!(teller.found(order(1, 7, 1)).await.state, ReservationState::Expired);
}

/// An extension is not counted from before the account's last operation, even if the clock stepped back.
pub async fn an_extension_follows_the_time_of_the_account(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let made = teller.reserve(order(1, 7, 1), 60, 600).await;
    teller.pass(-1000);
    assert_eq!(teller.extend(order(1, 7, 1), 600).await.expires_at, made.expires_at);
}
