//! Release by time: exact at the deadline, with or without the sweeper.

use balance_domain::{Action, Command, OperationKind, Rejection, ReservationState, UserId};

use crate::teller::{Teller, capture_of, deposit_of, order, seconds, user, withdrawal_of};

/// One microsecond before the deadline it is active, at the deadline it is over: for readers, who find it recorded.
pub async fn readers_see_the_expiry_exactly_at_the_deadline(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let made = teller.reserve(order(1, 7, 1), 60, 1).await;
    teller.pass_micros(999_999);
    assert_eq!(teller.balance(1).await, (40, 60));
    assert_eq!(teller.reservation(order(1, 7, 1)).await, Some(made));
    teller.pass_micros(1);
    assert_eq!(teller.balance(1).await, (100, 0));
    assert_eq!(
        teller.account(1).await.map(|account| account.seq),
        Some(3),
        "the expiry counts as an operation"
    );
    let seen = teller.found(order(1, 7, 1)).await;
    assert_eq!((seen.state, seen.released, seen.captured), (ReservationState::Expired, 60, 0));
}

/// One microsecond before the deadline it can be captured, at the deadline no more.
pub async fn a_capture_is_in_time_until_the_deadline(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 10, 1).await;
    teller.reserve(order(1, 7, 2), 10, 1).await;
    teller.pass_micros(999_999);
    teller.capture(order(1, 7, 1), None).await;
    teller.pass_micros(1);
    assert_eq!(teller.refused(capture_of(order(1, 7, 2), None)).await, Rejection::ReservationExpired);
    assert_eq!(teller.balance(1).await, (90, 0));
}

/// Money of a due reservation can be spent at once, without the sweeper.
pub async fn due_money_can_be_spent_without_the_sweeper(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 100, 60).await;
    assert_eq!(teller.refused(withdrawal_of(1, 1)).await, Rejection::InsufficientFunds { available: 0 });
    teller.pass(60);
    assert_eq!(teller.withdraw(1, 100).await.available_after, 0);
    let kinds: Vec<_> = teller.history(1).await.iter().map(|operation| operation.kind).collect();
    assert_eq!(kinds[2..], [OperationKind::Expire, OperationKind::Withdrawal]);
}

/// An expiry is recorded at its deadline, however late it is written down.
pub async fn an_expiry_is_recorded_at_its_deadline(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let made = teller.reserve(order(1, 7, 1), 60, 60).await;
    teller.pass(86_400);
    teller.expire(1).await;
    let operation = teller.history(1).await.remove(2);
    assert_eq!((operation.kind, operation.created_at), (OperationKind::Expire, made.expires_at));
    assert_eq!((operation.idempotency_key, operation.comment), (None, None));
    assert_eq!((operation.available_after, operation.reserved_after), (100, 0));
}

/// ... but never before the operation that precedes it.
pub async fn a_late_expiry_follows_the_time_of_the_account(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 1).await;
    teller.pass_micros(1_500_000);
    teller.deposit(2, 1).await;
    teller.pass_micros(-600_000);
    let ahead = teller.transfer(2, 1, 1).await.created_at;
    teller.pass(60);
    teller.expire(1).await;
    let history = teller.history(1).await;
    let times: Vec<_> = history.iter().map(|operation| operation.created_at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!((history[3].kind, history[3].created_at), (OperationKind::Expire, ahead));
}

/// A transfer takes the time of the side that is ahead. What is due by then is over for every command, although the
/// clock has not reached the deadline; the expiry is written down once it has.
pub async fn nothing_is_recorded_on_a_reservation_past_its_deadline(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let made = teller.reserve(order(1, 7, 1), 10, 60).await;
    teller.reserve(order(1, 7, 2), 10, 60).await;
    teller.capture_part(order(1, 7, 2), 4).await;
    let in_time = teller.reserve(order(1, 7, 3), 10, 120).await;
    teller.pass_micros(60_000_000);
    teller.deposit(2, 1).await;
    teller.pass_micros(-50_000_000);
    assert_eq!(teller.transfer(1, 2, 5).await.created_at, made.expires_at);
    assert_eq!(teller.refused(capture_of(order(1, 7, 1), None)).await, Rejection::ReservationExpired);
    assert_eq!(
        teller.refused(Action::Release { reservation: order(1, 7, 1).into() }).await,
        Rejection::ReservationExpired
    );
    assert_eq!(
        teller.rejected(Command::Extend { reservation: order(1, 7, 1).into(), ttl: seconds(60) }).await,
        Rejection::ReservationExpired
    );
    assert_eq!(teller.refused(capture_of(order(1, 7, 2), None)).await, Rejection::ReservationCaptured);
    assert_eq!(teller.capture(in_time.key, None).await.captured, 10);
    teller.pass_micros(50_000_000);
    teller.expire(1).await;
    assert_eq!(teller.balance(1).await, (81, 0));
}

/// Several due reservations expire one by one, the earliest deadline first, at one deadline by service and order.
pub async fn due_reservations_expire_in_the_order_of_their_deadlines(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 100).await;
    for (service_id, order_id, ttl) in [(8, 1, 60), (7, 2, 60), (7, 1, 60), (7, 3, 30), (8, 9, 90)] {
        teller.reserve(order(1, service_id, order_id), 10 + order_id, ttl).await;
    }
    teller.pass(60);
    teller.deposit(1, 1).await;
    let history = teller.history(1).await;
    let expired: Vec<_> = history
        .iter()
        .filter(|operation| operation.kind == OperationKind::Expire)
        .filter_map(|operation| Some((operation.service_id?.get(), operation.order_id?.get())))
        .collect();
    assert_eq!(expired, [(7, 3), (7, 1), (7, 2), (8, 1)]);
    assert_eq!(history.last().map(|operation| operation.kind), Some(OperationKind::Deposit));
    assert_eq!(teller.balance(1).await, (100 + 1 - 19, 19));
}

/// The defect of the origin: after a second reserve of an order the first timer cancelled the second
/// reservation and paid the first amount.
pub async fn defect_05_second_reserve_keeps_its_own_deadline(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let key = order(1, 7, 1);
    teller.reserve(key, 10, 60).await;
    teller.pass(30);
    teller.release(key).await;
    let second = teller.reserve(key, 25, 60).await;
    teller.pass(30);
    teller.expire(1).await;
    assert_eq!(teller.reservation(key).await, Some(second));
    assert_eq!(teller.balance(1).await, (75, 25));
    teller.pass(30);
    teller.expire(1).await;
    assert_eq!(teller.balance(1).await, (100, 0));
    let last = teller.history(1).await.pop().map(|operation| (operation.amount.get(), operation.created_at));
    assert_eq!(last, Some((25, second.expires_at)));
}

/// A rejected command leaves no trace, but the expiry that its account was due is written down.
pub async fn a_rejected_command_does_not_undo_the_expiry(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 60).await;
    teller.pass(60);
    assert_eq!(teller.refused(withdrawal_of(1, 101)).await, Rejection::InsufficientFunds { available: 100 });
    let kinds: Vec<_> = teller.history(1).await.iter().map(|operation| operation.kind).collect();
    assert_eq!(kinds, [OperationKind::Deposit, OperationKind::Reserve, OperationKind::Expire]);
}

/// Touching one account leaves the due reservations of others to be written down later.
pub async fn only_touched_accounts_are_written(teller: Teller) {
    teller.add_services(&[7]).await;
    for id in [1, 2] {
        teller.deposit(id, 100).await;
        teller.reserve(order(id, 7, 1), 60, 60).await;
    }
    teller.pass(60);
    teller.batch(vec![teller.fresh(deposit_of(1, 1)).into()]).await;
    assert_eq!(teller.history(1).await.len(), 4);
    assert_eq!(teller.history(2).await.len(), 2);
    assert_eq!(teller.balance(2).await, (100, 0), "but a read has it recorded");
    assert_eq!(teller.history(2).await.len(), 3);
}

/// The sweeper's command writes the expiry once, however often it is called.
pub async fn expiring_twice_changes_nothing(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 60).await;
    teller.pass(60);
    let first = teller.expire(1).await;
    assert_eq!((first.available, first.reserved, first.seq), (100, 0, 3));
    assert_eq!(teller.expire(1).await, first);
    assert_eq!(teller.history(1).await.len(), 3);
    let unknown = teller.rejected(Command::Expire { user_id: user(2) }).await;
    assert_eq!(unknown, Rejection::AccountNotFound(user(2)));
}

/// The sweeper gets users, not reservations, the longest due first, up to the limit it asks for.
pub async fn due_users_come_longest_due_first(teller: Teller) {
    teller.add_services(&[7]).await;
    for (id, ttl) in [(1, 50), (2, 30), (3, 40), (4, 61)] {
        teller.deposit(id, 100).await;
        teller.reserve(order(id, 7, 1), 10, ttl).await;
    }
    teller.reserve(order(3, 7, 2), 10, 45).await;
    teller.reserve(order(2, 7, 2), 10, 55).await;
    assert!(due(&teller, 10).await.is_empty());
    teller.pass(60);
    assert_eq!(due(&teller, 10).await, [2, 3, 1].map(user));
    assert_eq!(due(&teller, 2).await, [2, 3].map(user));
    teller.expire(3).await;
    assert_eq!(due(&teller, 10).await, [2, 1].map(user));
    teller.expire(1).await;
    teller.expire(2).await;
    assert!(due(&teller, 10).await.is_empty());
}

async fn due(teller: &Teller, users_max: u32) -> Vec<UserId> {
    let users = teller.store().due_users(users_max).await;
    users.unwrap_or_else(|error| crate::teller::failed(&error))
}
