//! Rows that a batch which locks first claims for accounts that do not exist, and what becomes of its connection.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    Rejection, Submission,
    ports::{BalanceRepo, RepoError, SubmitError},
};
use balance_store_conformance::{
    Teller,
    teller::{deposit_of, order, reserve_of, transfer_of, under, user},
};

use crate::database::{Database, client};

#[tokio::test]
async fn a_row_that_was_only_claimed_is_no_account() {
    let database = Database::migrated().await;
    let stores = [database.store.clone(), database.another(|_| {})];
    let teller = Teller::new(Arc::new(stores[0].clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    database.sql(&format!(
        "INSERT INTO accounts (bucket, user_id, available, reserved, seq, last_at, closed, version) \
         VALUES ({}, 5, 0, 0, 0, 'epoch', false, 0)",
        user(5).bucket()
    ));
    // The refused transfer names it beside an account that is written.
    let batch: Vec<Submission> =
        vec![under("a", deposit_of(1, 1)).into(), under("b", transfer_of(1, 5, 1_000)).into()];
    let replies = stores[0].execute(batch).await.unwrap();
    let refused = matches!(
        replies[1],
        Err(SubmitError::Rejected { rejection: Rejection::InsufficientFunds { .. }, .. })
    );
    assert!(replies[0].is_ok() && refused, "{replies:?}");
    for store in &stores {
        assert_eq!(store.accounts(vec![user(5)]).await.unwrap(), [None]);
    }
    let opened = stores[1].execute(vec![under("c", transfer_of(1, 5, 1)).into()]).await.unwrap();
    assert!(opened[0].is_ok(), "{opened:?}");
    let account = stores[0].accounts(vec![user(5)]).await.unwrap().remove(0).unwrap();
    assert_eq!((account.recorded.seq, account.recorded.available), (1, 1));
}

/// The statement that writes cannot be prepared while its table is locked: then there is a transaction to roll back.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_cannot_be_prepared_leaves_its_connection_in_order() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.batches_max = 1;
        options.deadline = Duration::from_secs(3);
        options.lock_timeout = Duration::from_millis(100);
    });
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.add_services(&[7]).await;
    teller.deposit(2, 100).await;
    teller.deposit(1, 100).await;
    teller.accepted(under("r", reserve_of(order(1, 7, 1), 1, 600))).await;
    let holder = client(&database.server.url(&database.name)).await;
    holder.batch_execute("BEGIN; SELECT FROM accounts WHERE user_id = 1 FOR UPDATE").await.unwrap();
    let locked = store.execute(vec![under("a", deposit_of(1, 1)).into()]).await.unwrap();
    assert!(matches!(locked[0], Err(SubmitError::Failed(RepoError::Unavailable(_)))), "{locked:?}");
    // From now on the store locks this account first.
    holder.batch_execute("ROLLBACK; BEGIN; LOCK TABLE reservations IN SHARE MODE").await.unwrap();
    let refused = store.execute(vec![under("b", reserve_of(order(1, 7, 2), 1, 600)).into()]).await;
    let is_refused = match &refused {
        Ok(replies) => matches!(replies[0], Err(SubmitError::Failed(RepoError::Unavailable(_)))),
        Err(error) => matches!(error, RepoError::Unavailable(_)),
    };
    assert!(is_refused, "{refused:?}");
    let aborted = "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND state = 'idle in transaction (aborted)'";
    assert_eq!(database.sql(aborted), "0");
    let deposited = store.execute(vec![under("c", deposit_of(2, 1)).into()]).await.unwrap();
    assert!(deposited[0].is_ok(), "{deposited:?}");
}
