//! Deposits and withdrawals.

use crate::teller::Teller;

/// The first deposit makes the account known, with its balances and one operation.
pub async fn a_deposit_opens_the_account(teller: Teller) {
    assert_eq!(teller.account(1).await, None);
    let operation = teller.deposit(1, 500).await;
    assert_eq!((operation.seq, operation.available_after, operation.reserved_after), (1, 500, 0));
    assert_eq!(operation.created_at, teller.now());
    assert_eq!(teller.balance(1).await, (500, 0));
    assert_eq!(teller.history(1).await, [operation]);
}
