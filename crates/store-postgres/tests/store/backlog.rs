//! Accounts with more due reservations than expire in one transaction.

use std::sync::Arc;

use balance_domain::{
    EXPIRIES_MAX, Submission,
    ports::{BalanceRepo, SubmitError},
};
use balance_store_conformance::{
    Teller, audit,
    teller::{deposit_of, order, reserve_of, under, user},
};

use crate::database::Database;

/// The backlog is written in slices, and nobody else waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_expires_in_slices_and_others_go_on() {
    let total = EXPIRIES_MAX + 700;
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.add_services(&[7]).await;
    teller.deposit(1, 1_000_000).await;
    teller.deposit(2, 1).await;
    let reserves: Vec<Submission> = (0..total)
        .map(|n| {
            let reserve = reserve_of(order(1, 7, i64::try_from(n).unwrap() + 1), 1, 60);
            under(&format!("r-{n}"), reserve).into()
        })
        .collect();
    for some in reserves.chunks(900) {
        assert!(database.store.execute(some.to_vec()).await.unwrap().iter().all(Result::is_ok));
    }
    teller.pass(61);
    // Another instance, so that nothing of it is cached.
    let store = database.another(|_| {});
    let operations = || database.sql("SELECT count(*) FROM operations").parse::<usize>().unwrap();
    let before = operations();
    let both = |name: &str| {
        let deposit = |id| Submission::from(under(&format!("{name}-{id}"), deposit_of(id, 5)));
        vec![deposit(1), deposit(2)]
    };
    let replies = store.execute(both("a")).await.unwrap();
    assert!(matches!(replies[0], Err(SubmitError::Postponed(_))) && replies[1].is_ok(), "{replies:?}");
    assert_eq!(operations() - before, EXPIRIES_MAX + 1, "a slice, and the deposit of the other user");
    let replies = store.execute(both("b")).await.unwrap();
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
    assert_eq!(operations() - before, total + 3);
    let account = store.accounts(vec![user(1)]).await.unwrap().remove(0).unwrap();
    assert_eq!((account.recorded.available, account.recorded.reserved), (1_000_005, 0));
    audit(teller.store()).await;
}
