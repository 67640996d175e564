//! Setting money aside, and finding reservations again.

use balance_domain::{Command, Hold, Rejection, Reservation, ReservationState};

use crate::{
    audited::audit,
    teller::{
        Teller, at_micros, capture_of, order, part_of, refund_of, release_of, reservation_of, reserve_of,
        seconds, service, under, user,
    },
};

/// Money moves from available to reserved, until a deadline.
pub async fn a_reserve_sets_money_aside(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let reservation = teller.reserve(order(1, 7, 5), 60, 600).await;
    assert_eq!(
        reservation,
        Reservation {
            key: order(1, 7, 5),
            state: ReservationState::Active,
            amount: crate::teller::amount(60),
            captured: 0,
            released: 0,
            refunded: 0,
            created_at: teller.now(),
            reserve_seq: 2,
            expires_at: at_micros(teller.now().micros() + 600_000_000),
        }
    );
    assert_eq!(teller.balance(1).await, (40, 60));
    assert_eq!(teller.reservation(order(1, 7, 5)).await, Some(reservation));
    let operation = teller.history(1).await.remove(1);
    assert_eq!((operation.service_id, operation.order_id), (Some(service(7)), Some(order(1, 7, 5).order_id)));
    assert_eq!((operation.available_after, operation.reserved_after), (40, 60));
}

/// What must be there before money can be set aside.
pub async fn a_reserve_needs_account_service_and_money(teller: Teller) {
    let reserve = reserve_of(order(1, 7, 1), 10, 600);
    assert_eq!(teller.refused(reserve.clone()).await, Rejection::AccountNotFound(user(1)));
    teller.deposit(1, 9).await;
    assert_eq!(teller.refused(reserve.clone()).await, Rejection::ServiceNotFound(service(7)));
    teller.add_services(&[7]).await;
    assert_eq!(teller.refused(reserve.clone()).await, Rejection::InsufficientFunds { available: 9 });
    assert_eq!(teller.reservation(order(1, 7, 1)).await, None);
    teller.deposit(1, 1).await;
    teller.done(reserve).await;
    assert_eq!(teller.balance(1).await, (0, 10));
}

/// One active reservation per user, service and order.
pub async fn an_active_reservation_is_not_made_twice(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 10, 600).await;
    assert_eq!(teller.refused(reserve_of(order(1, 7, 1), 10, 600)).await, Rejection::ReservationExists);
    assert_eq!(teller.balance(1).await, (90, 10));
}

/// The defect of the origin: reservations were keyed by the order alone.
pub async fn defect_11_two_services_of_one_order(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 100).await;
    teller.deposit(2, 100).await;
    teller.reserve(order(1, 7, 5), 10, 600).await;
    teller.reserve(order(1, 8, 5), 20, 600).await;
    teller.reserve(order(2, 7, 5), 30, 600).await;
    teller.capture(order(1, 8, 5), None).await;
    assert_eq!(teller.balance(1).await, (70, 10));
    assert_eq!(teller.found(order(1, 7, 5)).await.state, ReservationState::Active);
    assert_eq!(teller.found(order(1, 8, 5)).await.state, ReservationState::Captured);
    assert_eq!(teller.found(order(2, 7, 5)).await.amount.get(), 30);
}

/// The defect of the origin: any user's data was answered because ids were not checked against each other.
pub async fn defect_09_a_reservation_is_found_by_all_three_ids(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 100).await;
    teller.deposit(2, 100).await;
    teller.reserve(order(1, 7, 5), 10, 600).await;
    for stranger in [order(2, 7, 5), order(1, 8, 5), order(1, 7, 6), order(3, 7, 5)] {
        assert_eq!(teller.reservation(stranger).await, None, "{stranger:?}");
    }
    assert!(teller.reservations(2, None, 50).await.is_empty());
}

/// After an end without capture the same order may be reserved again; its history stays.
pub async fn an_order_may_be_reserved_again_after_release_or_expiry(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let key = order(1, 7, 1);
    teller.reserve(key, 10, 600).await;
    teller.release(key).await;
    teller.pass(1);
    let second = teller.reserve(key, 20, 60).await;
    assert_eq!((second.amount.get(), second.released, second.created_at), (20, 0, teller.now()));
    teller.pass(60);
    let third = teller.reserve(key, 30, 600).await;
    assert_eq!((third.amount.get(), third.state), (30, ReservationState::Active));
    assert_eq!(teller.balance(1).await, (70, 30));
    assert_eq!(teller.history(1).await.len(), 6);
    assert_eq!(teller.reservations(1, None, 50).await, [third]);
}

/// What was captured, even in part, cannot be reserved again.
pub async fn a_captured_order_is_not_reserved_again(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 10, 60).await;
    teller.capture(order(1, 7, 1), None).await;
    teller.reserve(order(1, 7, 2), 10, 60).await;
    teller.capture_part(order(1, 7, 2), 1).await;
    teller.pass(60);
    for order_id in [1, 2] {
        let again = reserve_of(order(1, 7, order_id), 1, 60);
        assert_eq!(teller.refused(again).await, Rejection::ReservationCaptured);
    }
}

/// A user's reservations are listed latest first, then by service and order downwards, whatever the page size.
pub async fn reservations_are_listed_latest_first(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 1000).await;
    teller.deposit(2, 1000).await;
    teller.reserve(order(2, 7, 1), 10, 600).await;
    for (service_id, order_id) in [(7, 1), (7, 2), (8, 1), (8, i64::MAX)] {
        teller.reserve(order(1, service_id, order_id), 10, 600).await;
    }
    teller.pass(1);
    teller.reserve(order(1, 7, 3), 10, 600).await;
    let expected =
        [(7, 3), (8, i64::MAX), (8, 1), (7, 2), (7, 1)].map(|(service, number)| order(1, service, number));
    for rows in [1, 2, 3, 4, 5, 200] {
        let listed = teller.reservations(1, None, rows).await;
        let keys: Vec<_> = listed.iter().map(|reservation| reservation.key).collect();
        assert_eq!(keys, expected, "pages of {rows}");
    }
    assert!(teller.reservations(9, None, 50).await.is_empty());
}

/// The list by state goes by the state at the time of asking: what is due is expired.
pub async fn reservations_are_listed_by_their_state_now(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 1000).await;
    for order_id in 1..=4 {
        teller.reserve(order(1, 7, order_id), 10, 600).await;
    }
    teller.reserve(order(1, 7, 5), 10, 60).await;
    teller.reserve(order(1, 7, 6), 10, 60).await;
    teller.capture_part(order(1, 7, 6), 4).await;
    teller.capture(order(1, 7, 1), Some(3)).await;
    teller.release(order(1, 7, 2)).await;
    teller.pass(60);
    for (state, expected) in [
        (ReservationState::Active, vec![4, 3]),
        (ReservationState::Captured, vec![6, 1]),
        (ReservationState::Released, vec![2]),
        (ReservationState::Expired, vec![5]),
    ] {
        let listed = teller.reservations(1, Some(state), 1).await;
        let orders: Vec<i64> = listed.iter().map(|reservation| reservation.key.order_id.get()).collect();
        assert_eq!(orders, expected, "{state:?}");
        assert!(listed.iter().all(|reservation| reservation.state == state));
    }
    let due = teller.found(order(1, 7, 6)).await;
    assert_eq!((due.captured, due.released, due.state), (4, 6, ReservationState::Captured));
}

/// A command that names its hold is refused once the order was reserved again, and changes nothing.
pub async fn a_late_command_does_not_act_on_a_later_hold(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let key = order(1, 7, 1);
    let first = teller.reserve(key, 10, 600).await;
    assert_eq!(first.reserve_seq, 2);
    teller.accepted(under("in-time", release_of(first.hold()))).await;
    let second = teller.reserve(key, 20, 600).await;
    assert_eq!(second.reserve_seq, 4);
    assert_eq!(teller.found(key).await.reserve_seq, 4);
    let superseded = Rejection::ReservationSuperseded { reserve_seq: 4 };
    for late in [
        capture_of(first.hold(), None),
        part_of(first.hold(), 5),
        release_of(first.hold()),
        refund_of(first.hold(), None),
    ] {
        assert_eq!(teller.refused(late).await, superseded);
    }
    let extend = |reservation: Hold| Command::Extend { reservation, ttl: seconds(60_000) };
    assert_eq!(teller.rejected(extend(first.hold())).await, superseded);
    assert_eq!(teller.found(key).await, second, "nothing was done to it");
    teller.accepted(extend(second.hold())).await;
    assert!(teller.accepted(under("in-time", release_of(first.hold()))).await.is_replay);
    let captured = reservation_of(&teller.done(part_of(second.hold(), 5)).await);
    assert_eq!((captured.captured, captured.reserve_seq), (5, 4));
    teller.accepted(under("refund", refund_of(second.hold(), Some(5)))).await;
    audit(teller.store()).await;
}

/// The number of its hold comes with every answer about a reservation, also with one that is given again.
pub async fn answers_say_which_hold_they_are_about(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let key = order(1, 7, 1);
    for (round, reserve_seq) in [(1, 2), (2, 4)] {
        let reserve = under(&format!("reserve-{round}"), reserve_of(key, 10, 600));
        let release = under(&format!("release-{round}"), release_of(key));
        let first = [teller.accepted(reserve.clone()).await, teller.accepted(release.clone()).await];
        let again = [teller.accepted(reserve).await, teller.accepted(release).await];
        for (first, again) in first.into_iter().zip(again) {
            assert_eq!(reservation_of(&first.receipt).reserve_seq, reserve_seq);
            assert_eq!((again.is_replay, again.receipt), (true, first.receipt));
        }
    }
    // The first answer is about the first hold, whatever came later.
    let again = teller.accepted(under("release-1", release_of(key))).await;
    assert_eq!(reservation_of(&again.receipt).reserve_seq, 2);
}
