//! Money from user to user.

use balance_domain::{BALANCE_MAX, Comment, OperationKind, Rejection};

use crate::{
    snapshot::snapshot,
    teller::{Teller, key, operation_of, order, transfer_of, user},
};

/// Both sides change at one instant, and each history names the other side.
pub async fn both_histories_show_a_transfer(teller: Teller) {
    teller.deposit(1, 100).await;
    teller.deposit(2, 5).await;
    let paid = teller.transfer(1, 2, 30).await;
    assert_eq!((paid.kind, paid.seq, paid.available_after), (OperationKind::TransferOut, 2, 70));
    assert_eq!(paid.counterparty_user_id, Some(user(2)));
    assert_eq!(teller.history(1).await[1], paid);
    let income = teller.history(2).await.remove(1);
    assert_eq!((income.kind, income.seq, income.available_after), (OperationKind::TransferIn, 2, 35));
    assert_eq!(income.counterparty_user_id, Some(user(1)));
    assert_eq!(income.created_at, paid.created_at);
}

/// The receiver's account appears with its first money.
pub async fn the_receiver_may_be_new(teller: Teller) {
    teller.deposit(1, 100).await;
    teller.transfer(1, 2, 100).await;
    assert_eq!(teller.balance(1).await, (0, 0));
    assert_eq!(teller.balance(2).await, (100, 0));
    assert_eq!(teller.history(2).await[0].seq, 1);
}

/// The comment stands on both sides, the key only on the payer's.
pub async fn the_key_belongs_to_the_payer(teller: Teller) {
    teller.deposit(1, 100).await;
    let mut command = teller.fresh(transfer_of(1, 2, 10));
    command.comment = Comment::new("за такси").ok();
    let paid = operation_of(teller.accepted(command.clone()).await.receipt);
    assert_eq!(
        (paid.comment.clone(), paid.idempotency_key.clone()),
        (command.comment.clone(), Some(command.key.clone()))
    );
    let income = teller.history(2).await.remove(0);
    assert_eq!((income.comment, income.idempotency_key), (command.comment, None));
    assert_eq!(teller.by_key(1, command.key.as_str()).await, Some(paid));
    assert_eq!(teller.by_key(2, command.key.as_str()).await, None);
}

/// The same key may belong to the payer and, for another request, to the receiver.
pub async fn payer_and_receiver_may_use_one_key(teller: Teller) {
    teller.deposit(1, 100).await;
    teller.deposit(2, 100).await;
    let mut there = teller.fresh(transfer_of(1, 2, 10));
    there.key = key("same");
    let mut back = teller.fresh(transfer_of(2, 1, 30));
    back.key = key("same");
    teller.accepted(there).await;
    assert!(!teller.accepted(back).await.is_replay);
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((120, 0), (80, 0)));
}

/// Nobody pays himself.
pub async fn a_transfer_needs_two_users(teller: Teller) {
    assert_eq!(teller.refused(transfer_of(1, 1, 10)).await, Rejection::SameAccount);
    teller.deposit(1, 100).await;
    assert_eq!(teller.refused(transfer_of(1, 1, 10)).await, Rejection::SameAccount);
    assert_eq!(teller.history(1).await.len(), 1);
}

/// A refused transfer changes neither side and opens no account.
pub async fn a_refused_transfer_touches_neither_side(teller: Teller) {
    assert_eq!(teller.refused(transfer_of(1, 2, 10)).await, Rejection::AccountNotFound(user(1)));
    teller.deposit(1, 9).await;
    assert_eq!(teller.refused(transfer_of(1, 2, 10)).await, Rejection::InsufficientFunds { available: 9 });
    assert_eq!(teller.account(2).await, None);
    assert_eq!(teller.balance(1).await, (9, 0));
    let scanned = snapshot(teller.store()).await;
    assert_eq!(scanned.into_keys().collect::<Vec<_>>(), [user(1)], "nor does the scan know the receiver");
}

/// The receiver's bound counts its reserved money, and comes after the payer's.
pub async fn the_receiver_cannot_hold_more_than_the_largest_balance(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 10).await;
    teller.deposit(2, BALANCE_MAX - 9).await;
    teller.reserve(order(2, 7, 1), BALANCE_MAX - 9, 600).await;
    assert_eq!(teller.refused(transfer_of(1, 2, 11)).await, Rejection::InsufficientFunds { available: 10 });
    assert_eq!(teller.refused(transfer_of(1, 2, 10)).await, Rejection::BalanceLimitExceeded(user(2)));
    teller.transfer(1, 2, 9).await;
    assert_eq!(teller.balance(2).await, (9, BALANCE_MAX - 9));
}

/// Neither side may be closed.
pub async fn closed_accounts_take_no_part(teller: Teller) {
    teller.deposit(1, 10).await;
    teller.deposit(2, 10).await;
    teller.withdraw(2, 10).await;
    teller.close(2).await;
    assert_eq!(teller.refused(transfer_of(1, 2, 5)).await, Rejection::AccountClosed(user(2)));
    assert_eq!(teller.refused(transfer_of(2, 1, 5)).await, Rejection::AccountClosed(user(2)));
    assert_eq!(teller.balance(1).await, (10, 0));
}

/// A transfer happens at one time for both, never before the last operation of either.
pub async fn a_transfer_is_never_before_either_history(teller: Teller) {
    teller.deposit(1, 10).await;
    teller.pass(60);
    let late = teller.deposit(2, 10).await.created_at;
    teller.pass(-30);
    let paid = teller.transfer(1, 2, 1).await;
    assert_eq!(paid.created_at, late);
    assert_eq!(teller.history(2).await[1].created_at, late);
    assert_eq!(teller.deposit(1, 1).await.created_at, late);
}
