//! Closing accounts.

use balance_domain::{AccountStatus, Command, Comment, MoneyCommand, OperationKind, Receipt, Rejection};

use crate::{
    snapshot::snapshot,
    teller::{
        Teller, capture_of, deposit_of, operation_of, order, refund_of, release_of, reserve_of, seconds,
        transfer_of, user, withdrawal_of,
    },
};

/// The defect of the origin: deleting a user could never succeed. The history stays for the books.
pub async fn defect_12_a_user_can_be_deleted(teller: Teller) {
    teller.deposit(1, 100).await;
    teller.withdraw(1, 100).await;
    let closed = teller.close(1).await;
    assert_eq!((closed.status, closed.total(), closed.seq), (AccountStatus::Closed, 0, 2));
    assert_eq!(teller.account(1).await, Some(closed));
    assert_eq!(teller.history(1).await.len(), 2);
}

/// An unknown user cannot be closed.
pub async fn an_unknown_user_cannot_be_closed(teller: Teller) {
    let refused = teller.rejected(Command::Close { user_id: user(1) }).await;
    assert_eq!(refused, Rejection::AccountNotFound(user(1)));
    assert_eq!(teller.account(1).await, None);
}

/// Not while money is left, available or reserved; what is due is available.
pub async fn an_account_with_money_stays_open(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 60).await;
    let close = Command::Close { user_id: user(1) };
    let refused = teller.rejected(close.clone()).await;
    assert_eq!(refused, Rejection::AccountNotEmpty { available: 40, reserved: 60 });
    teller.withdraw(1, 40).await;
    let refused = teller.rejected(close.clone()).await;
    assert_eq!(refused, Rejection::AccountNotEmpty { available: 0, reserved: 60 });
    teller.pass(60);
    let refused = teller.rejected(close.clone()).await;
    assert_eq!(refused, Rejection::AccountNotEmpty { available: 60, reserved: 0 });
    teller.withdraw(1, 60).await;
    teller.close(1).await;
}

/// Nothing happens to a closed account any more.
pub async fn a_closed_account_refuses_everything(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 10).await;
    teller.deposit(2, 10).await;
    let key = order(1, 7, 1);
    teller.reserve(key, 10, 60).await;
    teller.capture(key, None).await;
    let closed = teller.close(1).await;
    for action in [
        deposit_of(1, 1),
        withdrawal_of(1, 1),
        transfer_of(1, 2, 1),
        transfer_of(2, 1, 1),
        reserve_of(order(1, 7, 2), 1, 60),
        capture_of(key, None),
        release_of(key),
        refund_of(key, None),
    ] {
        assert_eq!(teller.refused(action).await, Rejection::AccountClosed(user(1)));
    }
    for command in
        [Command::Extend { reservation: key.into(), ttl: seconds(60) }, Command::Close { user_id: user(1) }]
    {
        assert_eq!(teller.rejected(command).await, Rejection::AccountClosed(user(1)));
    }
    assert_eq!(teller.account(1).await, Some(closed));
    assert_eq!(teller.balance(2).await, (10, 0));
}

/// Free text is erased from the user's whole history, whichever way it is read; amounts and keys stay, and so
/// does the other side's copy.
pub async fn closing_erases_free_text(teller: Teller) {
    let secret = Comment::new("to Ivan, flat 12").ok();
    let mut deposit = teller.fresh(deposit_of(1, 100));
    deposit.comment.clone_from(&secret);
    let mut transfer = teller.fresh(transfer_of(1, 2, 100));
    transfer.comment.clone_from(&secret);
    let first = operation_of(teller.accepted(deposit.clone()).await.receipt);
    assert_eq!(first.comment, secret);
    teller.accepted(transfer.clone()).await;
    teller.close(1).await;

    let history = teller.history(1).await;
    let kinds: Vec<_> = history.iter().map(|o| (o.kind, o.amount.get(), o.comment.clone())).collect();
    assert_eq!(kinds, [(OperationKind::Deposit, 100, None), (OperationKind::TransferOut, 100, None)]);
    let by_key = teller.by_key(1, deposit.key.as_str()).await;
    assert_eq!(by_key.map(|o| (o.comment, o.idempotency_key)), Some((None, Some(deposit.key.clone()))));
    let pages = snapshot(teller.store()).await.remove(&user(1));
    let scanned = pages.map(|pages| pages.operations).unwrap_or_default();
    assert_eq!(scanned.len(), 2);
    assert!(scanned.iter().all(|recorded| recorded.operation.comment.is_none()));
    assert_eq!(teller.history(2).await[0].comment, secret);

    let again = teller.accepted(deposit).await;
    assert!(again.is_replay, "the meaning of the first request is still known");
    let mut erased = first;
    erased.comment = None;
    assert_eq!(again.receipt, Receipt::Operation(erased));
}

/// Text that came in the very batch of the closing is erased as well, and a repeat behind it in the batch is
/// answered as one in a later batch.
pub async fn closing_erases_the_text_of_its_own_batch(teller: Teller) {
    let mut deposit = teller.fresh(deposit_of(1, 100));
    deposit.comment = Comment::new("secret").ok();
    let withdraw = teller.fresh(withdrawal_of(1, 100));
    let close = Command::Close { user_id: user(1) };
    let batch = vec![deposit.clone().into(), withdraw.into(), close.into(), deposit.clone().into()];
    let replies = teller.batch(batch).await;
    let mut receipts = replies.into_iter().map(|reply| reply.ok().and_then(|mut all| all.pop()));
    let (first, last) = (receipts.next().flatten(), receipts.next_back().flatten());
    let comment = |accepted: Option<balance_domain::Accepted>| {
        accepted.map(|accepted| (accepted.is_replay, operation_of(accepted.receipt).comment))
    };
    assert_eq!(comment(first), Some((false, Comment::new("secret").ok())));
    assert_eq!(comment(last), Some((true, None)));
    assert_eq!(teller.history(1).await[0].comment, None);
    assert_eq!(comment(Some(teller.accepted(deposit).await)), Some((true, None)));
}

/// Neither a repeat nor anything that is stored tells a right guess of an erased comment from a wrong one; whether
/// there was a comment stays part of the meaning.
pub async fn nothing_confirms_a_guess_of_an_erased_comment(teller: Teller) {
    let saying = |text: &str| Comment::new(text).ok();
    let mut first = teller.fresh(deposit_of(1, 100));
    first.comment = saying("to Ivan, flat 12");
    let mut second = teller.fresh(withdrawal_of(1, 100));
    second.comment = saying("to Ivan, flat 13");
    teller.accepted(first.clone()).await;
    teller.accepted(second.clone()).await;
    let guess = |text: &str| MoneyCommand { comment: saying(text), ..first.clone() };
    assert_eq!(teller.rejected(guess("to Ivan, flat 13")).await, Rejection::IdempotencyKeyReused);
    teller.close(1).await;

    for text in ["to Ivan, flat 12", "to Ivan, flat 13", ""] {
        assert!(teller.accepted(guess(text)).await.is_replay, "{text:?}");
    }
    let silent = MoneyCommand { comment: None, ..first.clone() };
    assert_eq!(teller.rejected(silent).await, Rejection::IdempotencyKeyReused);
    let pages = snapshot(teller.store()).await.remove(&user(1));
    for recorded in pages.map(|pages| pages.operations).unwrap_or_default() {
        let asked = if recorded.operation.seq == 1 { &first } else { &second };
        let others = MoneyCommand { comment: saying("something else"), ..asked.clone() };
        assert_eq!(recorded.fingerprint, Some(others.fingerprint()));
    }
}
