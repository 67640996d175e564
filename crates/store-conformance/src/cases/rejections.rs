//! Every rejection, in the order of precedence: where several rules say no, the first of them answers.

use balance_domain::{BALANCE_MAX, Command, Hold, Rejection, Submission};

use crate::teller::{
    Teller, capture_of, deposit_of, order, refund_of, release_of, reserve_of, service, transfer_of, under,
    user, withdrawal_of,
};

/// Provokes each rejection once. The match makes sure that a new one is not forgotten here.
pub async fn every_rejection_is_given(teller: Teller) {
    prepare(&teller).await;
    let mut given: Vec<Rejection> = Vec::new();
    for (submission, expected) in provocations(&teller) {
        assert_eq!(teller.rejected(submission.clone()).await, expected, "{submission:?}");
        given.push(expected);
    }
    assert!(given.is_sorted(), "they stand in the order of precedence");
    let mut codes: Vec<&str> = given.iter().map(Rejection::code).collect();
    codes.dedup();
    assert_eq!(codes.len(), given.iter().map(rank).max().unwrap_or(0), "each of them once");
}

/// User 1 has 100 available and reservations 1 (active, 50), 2 (captured), 3 (released), 4 (expired) of service 7,
/// service 8 is retired, user 2 is closed, user 3 holds all that one may.
async fn prepare(teller: &Teller) {
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 200).await;
    teller.reserve(order(1, 8, 1), 1, 600).await;
    teller.release(order(1, 8, 1)).await;
    let removed = teller.store().remove_service(service(8)).await;
    assert!(matches!(removed, Ok(Ok(_))), "{removed:?}");
    teller.reserve(order(1, 7, 1), 50, 600).await;
    teller.reserve(order(1, 7, 2), 50, 600).await;
    teller.capture(order(1, 7, 2), None).await;
    teller.reserve(order(1, 7, 3), 10, 600).await;
    teller.release(order(1, 7, 3)).await;
    teller.reserve(order(1, 7, 4), 10, 1).await;
    teller.accepted(under("used", deposit_of(1, 1))).await;
    teller.withdraw(1, 1).await;
    teller.deposit(2, 1).await;
    teller.withdraw(2, 1).await;
    teller.close(2).await;
    teller.deposit(3, BALANCE_MAX).await;
    teller.pass(1);
}

fn provocations(teller: &Teller) -> Vec<(Submission, Rejection)> {
    let fresh = |action| Submission::from(teller.fresh(action));
    let (active, captured, released) = (order(1, 7, 1), order(1, 7, 2), order(1, 7, 3));
    vec![
        (under("used", transfer_of(1, 1, 1)).into(), Rejection::IdempotencyKeyReused),
        (fresh(transfer_of(9, 9, 1)), Rejection::SameAccount),
        (fresh(transfer_of(9, 2, 1)), Rejection::AccountNotFound(user(9))),
        (fresh(reserve_of(order(2, 9, 1), 1, 60)), Rejection::AccountClosed(user(2))),
        (fresh(reserve_of(order(1, 9, 1), 1000, 60)), Rejection::ServiceNotFound(service(9))),
        (fresh(reserve_of(order(1, 8, 1), 1000, 60)), Rejection::ServiceRetired(service(8))),
        (fresh(capture_of(order(1, 7, 9), Some(1000))), Rejection::ReservationNotFound(order(1, 7, 9))),
        (
            fresh(capture_of(Hold { key: released, reserve_seq: Some(1) }, Some(1000))),
            Rejection::ReservationSuperseded { reserve_seq: 7 },
        ),
        (fresh(reserve_of(active, 1000, 60)), Rejection::ReservationExists),
        (fresh(reserve_of(captured, 1000, 60)), Rejection::ReservationCaptured),
        (fresh(capture_of(released, Some(1000))), Rejection::ReservationReleased),
        (fresh(release_of(order(1, 7, 4))), Rejection::ReservationExpired),
        (fresh(refund_of(active, Some(1000))), Rejection::NothingToRefund),
        (fresh(capture_of(active, Some(51))), Rejection::CaptureExceedsReserved { remaining: 50 }),
        (fresh(refund_of(captured, Some(51))), Rejection::RefundExceedsCaptured { refundable: 50 }),
        (fresh(transfer_of(1, 3, 101)), Rejection::InsufficientFunds { available: 100 }),
        (fresh(transfer_of(1, 3, 100)), Rejection::BalanceLimitExceeded(user(3))),
        (
            Command::Close { user_id: user(1) }.into(),
            Rejection::AccountNotEmpty { available: 100, reserved: 50 },
        ),
    ]
}

/// The place of a rejection in the order of precedence.
const fn rank(rejection: &Rejection) -> usize {
    match rejection {
        Rejection::IdempotencyKeyReused => 1,
        Rejection::SameAccount => 2,
        Rejection::AccountNotFound(_) => 3,
        Rejection::AccountClosed(_) => 4,
        Rejection::ServiceNotFound(_) => 5,
        Rejection::ServiceRetired(_) => 6,
        Rejection::ReservationNotFound(_) => 7,
        Rejection::ReservationSuperseded { .. } => 8,
        Rejection::ReservationExists => 9,
        Rejection::ReservationCaptured => 10,
        Rejection::ReservationReleased => 11,
        Rejection::ReservationExpired => 12,
        Rejection::NothingToRefund => 13,
        Rejection::CaptureExceedsReserved { .. } => 14,
        Rejection::RefundExceedsCaptured { .. } => 15,
        Rejection::InsufficientFunds { .. } => 16,
        Rejection::BalanceLimitExceeded(_) => 17,
        Rejection::AccountNotEmpty { .. } => 18,
    }
}

/// A refund may meet the bound of the balance.
pub async fn a_refund_may_meet_the_largest_balance(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 10).await;
    teller.reserve(order(1, 7, 1), 10, 600).await;
    teller.capture(order(1, 7, 1), None).await;
    teller.deposit(1, BALANCE_MAX - 9).await;
    assert_eq!(
        teller.refused(refund_of(order(1, 7, 1), None)).await,
        Rejection::BalanceLimitExceeded(user(1))
    );
    assert_eq!(teller.refund(order(1, 7, 1), Some(9)).await.refunded, 9);
    teller.withdraw(1, 1).await;
    assert_eq!(teller.refund(order(1, 7, 1), None).await.refunded, 10);
    assert_eq!(teller.refused(withdrawal_of(2, 1)).await, Rejection::AccountNotFound(user(2)));
}
