//! Commands that the database refuses, and rows that make no sense: they fail alone.

use std::sync::Arc;

use balance_domain::{
    Submission,
    ports::{BalanceRepo, Reply, RepoError, SubmitError},
};
use balance_store_conformance::{
    Teller, audit,
    teller::{deposit_of, transfer_of, under, withdrawal_of},
};

use crate::database::{Database, client};

fn is_internal(reply: &Reply) -> bool {
    matches!(reply, Err(SubmitError::Failed(RepoError::Internal(_))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_command_fails_alone() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    database.sql("ALTER TABLE operations ADD CONSTRAINT poison CHECK (amount <> 666)");
    let batch = (1..=100).map(|n| {
        let amount = if n == 37 || n == 90 { 666 } else { n };
        Submission::from(under("k", deposit_of(n, amount)))
    });
    let replies = teller.batch(batch.collect()).await;
    for (n, reply) in (1..).zip(&replies) {
        assert_eq!(is_internal(reply), n == 37 || n == 90, "{n}: {reply:?}");
        assert_eq!(reply.is_ok(), n != 37 && n != 90, "{n}: {reply:?}");
    }
    assert_eq!(teller.account(37).await, None);
    assert_eq!(audit(teller.store()).await.operations, 98);
}

/// The primary key is the second line where the account's `seq` is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_a_wrong_number_fails_alone() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    for user_id in 1..=3 {
        teller.deposit(user_id, 10).await;
    }
    database.sql("UPDATE accounts SET seq = 0 WHERE user_id = 2");
    let batch = (1..=3).map(|user_id| under("k", deposit_of(user_id, 1)).into());
    let replies = teller.batch(batch.collect()).await;
    assert!(replies[0].is_ok() && is_internal(&replies[1]) && replies[2].is_ok(), "{replies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_no_sense_fails_alone() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    for user_id in 1..=3 {
        teller.accepted(under("first", deposit_of(user_id, 10))).await;
    }
    database.sql("UPDATE operations SET kind = 'nonsense' WHERE user_id = 2");
    let batch = (1..=3).map(|user_id| under("first", deposit_of(user_id, 10)).into());
    let replies = teller.batch(batch.collect()).await;
    assert!(replies[0].is_ok() && is_internal(&replies[1]) && replies[2].is_ok(), "{replies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_below_zero_are_refused_by_the_database_too() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.deposit(1, 10).await;
    let other = client(&database.server.url(&database.name)).await;
    for (sql, state) in [
        ("UPDATE accounts SET available = -1", "23514"),
        ("UPDATE accounts SET reserved = -1", "23514"),
        ("UPDATE operations SET amount = 0", "23514"),
        ("INSERT INTO accounts SELECT * FROM accounts", "23505"),
    ] {
        assert_eq!(other.batch_execute(sql).await.unwrap_err().code().unwrap().code(), state, "{sql}");
    }
}

/// Who is to receive money is opened under the locks and leaves no row behind if that is refused; of others nothing is
/// written at all.
#[tokio::test(flavor = "multi_thread")]
async fn refused_strangers_leave_no_account_behind() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    let alone = teller.batch(vec![under("k", withdrawal_of(1, 5)).into()]).await;
    assert!(alone[0].is_err());
    assert_eq!(
        database.sql("SELECT pg_relation_size('accounts')"),
        "0",
        "a refused stranger was written to disk"
    );
    let unfunded = teller.batch(vec![under("k", transfer_of(1, 2, 5)).into()]).await;
    assert!(unfunded[0].is_err());
    assert_eq!(database.sql("SELECT count(*) FROM accounts"), "0");
    let mixed = (1..=50).map(|n| {
        let action = if n % 2 == 0 { deposit_of(n, 5) } else { withdrawal_of(n, 5) };
        under("k", action).into()
    });
    let replies = teller.batch(mixed.collect()).await;
    assert_eq!(replies.iter().filter(|reply| reply.is_ok()).count(), 25);
    assert_eq!(database.sql("SELECT count(*), min(seq) FROM accounts"), "25|1");
}

/// The first answer of a store call that goes to no row at all.
#[tokio::test(flavor = "multi_thread")]
async fn empty_batches_and_submissions_have_answers() {
    let database = Database::migrated().await;
    assert_eq!(database.store.execute(Vec::new()).await.unwrap().len(), 0);
    let replies = database.store.execute(vec![Submission::from(Vec::new())]).await.unwrap();
    assert!(matches!(replies.as_slice(), [Ok(accepted)] if accepted.is_empty()));
}
