//! Deposits and withdrawals.

use balance_domain::{BALANCE_MAX, OperationKind, Rejection};

use crate::teller::{Teller, deposit_of, order, user, withdrawal_of};

/// The first deposit makes the account known, with its balances and one operation.
pub async fn a_deposit_opens_the_account(teller: Teller) {
    assert_eq!(teller.account(1).await, None);
    let operation = teller.deposit(1, 500).await;
    assert_eq!((operation.seq, operation.available_after, operation.reserved_after), (1, 500, 0));
    assert_eq!((operation.kind, operation.created_at), (OperationKind::Deposit, teller.now()));
    assert_eq!(teller.balance(1).await, (500, 0));
    assert_eq!(teller.history(1).await, [operation]);
}

/// A rejected deposit or withdrawal does not bring an account into being.
pub async fn a_rejection_opens_no_account(teller: Teller) {
    let refused = teller.refused(withdrawal_of(1, 1)).await;
    assert_eq!(refused, Rejection::AccountNotFound(user(1)));
    assert_eq!(teller.account(1).await, None);
    assert_eq!(teller.deposit(1, 5).await.seq, 1);
}

/// A withdrawal takes available money, down to nothing and no further.
pub async fn a_withdrawal_takes_available_money_to_the_last_unit(teller: Teller) {
    teller.deposit(1, 100).await;
    assert_eq!(teller.refused(withdrawal_of(1, 101)).await, Rejection::InsufficientFunds { available: 100 });
    assert_eq!(teller.withdraw(1, 100).await.available_after, 0);
    assert_eq!(teller.refused(withdrawal_of(1, 1)).await, Rejection::InsufficientFunds { available: 0 });
    assert_eq!(teller.history(1).await.len(), 2, "a rejection leaves no operation");
}

/// Money that is set aside cannot be paid out.
pub async fn reserved_money_cannot_be_withdrawn(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    assert_eq!(teller.refused(withdrawal_of(1, 41)).await, Rejection::InsufficientFunds { available: 40 });
    teller.withdraw(1, 40).await;
    assert_eq!(teller.balance(1).await, (0, 60));
}

/// The largest balance can be reached exactly; reserved money counts.
pub async fn the_largest_balance_is_exact(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, BALANCE_MAX - 1).await;
    teller.reserve(order(1, 7, 1), BALANCE_MAX - 1, 600).await;
    assert_eq!(teller.deposit(1, 1).await.available_after, 1);
    assert_eq!(teller.refused(deposit_of(1, 1)).await, Rejection::BalanceLimitExceeded(user(1)));
    assert_eq!(teller.refused(deposit_of(1, BALANCE_MAX)).await, Rejection::BalanceLimitExceeded(user(1)));
    assert_eq!(teller.balance(1).await, (1, BALANCE_MAX - 1));
}

/// The largest amount goes in and out as one operation, to the unit.
pub async fn the_largest_amount_is_exact(teller: Teller) {
    assert_eq!(teller.deposit(1, BALANCE_MAX).await.amount.get(), BALANCE_MAX);
    assert_eq!(teller.history(1).await[0].available_after, BALANCE_MAX);
    assert_eq!(teller.withdraw(1, BALANCE_MAX).await.available_after, 0);
}

/// A clock that steps back does not take history along: recorded time stands still until the clock is past it.
pub async fn recorded_time_never_runs_backwards(teller: Teller) {
    let first = teller.deposit(1, 1).await.created_at;
    teller.pass(-3600);
    assert_eq!(teller.deposit(1, 1).await.created_at, first);
    assert_eq!(teller.deposit(2, 1).await.created_at, teller.now(), "another account has its own time");
    teller.pass(3600);
    teller.pass_micros(1);
    assert_eq!(teller.deposit(1, 1).await.created_at, teller.now());
}

/// Accounts are answered in the order asked, unknown ones and repeats included.
pub async fn accounts_come_in_the_order_asked(teller: Teller) {
    for id in [1, 2, 3] {
        teller.deposit(id, id * 10).await;
    }
    let asked = [3, 9, 1, 3, i64::MAX, 2].map(user).to_vec();
    let answered = teller.store().accounts(asked).await;
    let available: Vec<Option<i64>> = answered
        .into_iter()
        .flatten()
        .map(|account| account.map(|account| account.recorded.available))
        .collect();
    assert_eq!(available, [Some(30), None, Some(10), Some(30), None, Some(20)]);
    let none = teller.store().accounts(Vec::new()).await;
    assert_eq!(none.map(|accounts| accounts.len()).ok(), Some(0));
}

/// A batch of nothing is answered with nothing.
pub async fn an_empty_batch_is_answered_with_nothing(teller: Teller) {
    assert!(teller.batch(Vec::new()).await.is_empty());
}

/// The defect of the origin: only the first deposit of a user was written down, reserve and release never.
pub async fn defect_06_every_movement_is_in_history(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 1000).await;
    teller.deposit(1, 1000).await;
    teller.withdraw(1, 100).await;
    teller.transfer(1, 2, 100).await;
    teller.transfer(2, 1, 50).await;
    teller.reserve(order(1, 7, 1), 100, 600).await;
    teller.capture(order(1, 7, 1), Some(60)).await;
    teller.refund(order(1, 7, 1), Some(10)).await;
    teller.reserve(order(1, 7, 2), 100, 600).await;
    teller.release(order(1, 7, 2)).await;
    teller.reserve(order(1, 7, 3), 100, 600).await;
    teller.pass(600);
    teller.expire(1).await;
    let history = teller.history(1).await;
    let kinds: Vec<&str> = history.iter().map(|operation| operation.kind.as_str()).collect();
    let expected = "deposit deposit withdrawal transfer_out transfer_in reserve capture release refund reserve \
                    release reserve expire";
    assert_eq!(kinds.join(" "), expected);
    let numbers: Vec<i64> = history.iter().map(|operation| operation.seq).collect();
    assert_eq!(numbers, (1..=13).collect::<Vec<i64>>(), "numbered without gaps");
    let mut balances = (0, 0);
    for operation in &history {
        let (available, reserved) = operation.kind.effect(operation.amount);
        balances = (balances.0 + available, balances.1 + reserved);
        assert_eq!((operation.available_after, operation.reserved_after), balances, "{operation:?}");
    }
    assert_eq!(teller.balance(1).await, balances);
}
