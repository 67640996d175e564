//! Balance reads: a cached balance is returned only if the database confirms it.

use balance_domain::{AccountStatus, ports::AccountReads};

use super::*;

impl Two {
    /// Reads these users here, in one call: available, reserved and number of operations of each, and how they were
    /// read.
    async fn read<const N: usize>(&self, ids: [i64; N]) -> ([Option<(i64, i64, i64)>; N], (u64, u64)) {
        let before = self.database.store.account_reads();
        let users = ids.map(user).to_vec();
        let accounts = self.here.store().accounts(users).await.unwrap();
        let after = self.database.store.account_reads();
        let found = |account: Option<balance_domain::AccountAsOf>| {
            account
                .map(|account| account.recorded)
                .map(|account| (account.available, account.reserved, account.seq))
        };
        let found: Vec<_> = accounts.into_iter().map(found).collect();
        let AccountReads { confirmed, looked_up } = after;
        (found.try_into().unwrap(), (confirmed - before.confirmed, looked_up - before.looked_up))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_has_written_itself_is_confirmed_not_looked_up() {
    let two = Two::new().await;
    two.here.add_services(&[9]).await;
    two.here.deposit(1, 100).await;
    two.there.deposit(2, 50).await;
    // Unknown here, unknown to anybody, and named twice.
    let (found, reads) = two.read([3, 1, 2, 1]).await;
    assert_eq!(found, [None, Some((100, 0, 1)), Some((50, 0, 1)), Some((100, 0, 1))]);
    assert_eq!(reads, (1, 2));

    two.here.reserve(order(1, 9, 1), 30, 60).await;
    assert_eq!(two.read([1]).await, ([Some((70, 30, 2))], (1, 0)));
    two.here.pass(60);
    assert_eq!(two.read([1]).await, ([Some((70, 30, 2))], (1, 0)), "as recorded, whatever is due");
    two.here.deposit(1, 1).await;
    assert_eq!(two.read([1]).await, ([Some((101, 0, 4))], (1, 0)));
}

/// Each of these makes what is cached of its user stale in another way.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_another_instance_changed_is_read() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.add_services(&[9]).await;
    for id in 1..=7 {
        here.deposit(id, 100).await;
    }
    for id in [5, 6] {
        here.reserve(order(id, 9, 1), 10, 60).await;
    }
    let (_, reads) = two.read([1, 2, 3, 4, 5, 6, 7]).await;
    assert_eq!(reads, (7, 0));

    there.deposit(1, 7).await;
    there.transfer(2, 3, 7).await;
    there.reserve(order(4, 9, 1), 10, 60).await;
    there.capture(order(5, 9, 1), None).await;
    there.extend(order(6, 9, 1), 600).await;
    here.pass(61);
    let (found, reads) = two.read([1, 2, 3, 4, 5, 6, 7]).await;
    assert_eq!(
        found,
        [
            Some((107, 0, 2)),
            Some((93, 0, 2)),
            Some((107, 0, 2)),
            // Reserved over there, and past its deadline, which is not recorded yet.
            Some((90, 10, 2)),
            Some((90, 0, 3)),
            Some((90, 10, 2)),
            Some((100, 0, 1)),
        ]
    );
    assert_eq!(reads, (1, 6));
    // What proved wrong is forgotten: the next command on it does not try in vain.
    let (_, counts) = two.counted(here.deposit(1, 1)).await;
    assert_eq!(counts, (0, 0));
    assert_eq!(two.read([1, 2]).await, ([Some((108, 0, 3)), Some((93, 0, 2))], (1, 1)));
}

/// An account with more active reservations than are kept is looked up.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_many_reservations_is_looked_up() {
    let two = Two::new().await;
    two.here.add_services(&[9]).await;
    two.here.deposit(1, 100).await;
    for id in 1..=8 {
        two.here.reserve(order(1, 9, id), 1, 60).await;
    }
    assert_eq!(two.read([1]).await, ([Some((92, 8, 9))], (1, 0)));
    two.here.reserve(order(1, 9, 9), 1, 60).await;
    assert_eq!(two.read([1]).await, ([Some((91, 9, 10))], (0, 1)));
    two.here.pass(60);
    assert_eq!(two.read([1]).await, ([Some((91, 9, 10))], (0, 1)));
}

/// Not what an instance does, but what somebody with a shell may.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_gone_is_not_returned_from_the_cache() {
    let two = Two::new().await;
    two.here.deposit(1, 100).await;
    two.here.deposit(2, 100).await;
    let place = "SELECT ctid FROM accounts WHERE user_id = 1";
    let was_at = two.database.sql(place);
    two.database.sql("DELETE FROM accounts WHERE user_id = 1");
    assert_eq!(two.read([1, 2]).await, ([None, Some((100, 0, 1))], (1, 1)));

    two.database.sql("VACUUM accounts");
    let bucket = user(1).bucket();
    two.database.sql(&format!("INSERT INTO accounts SELECT 1, 5, 0, 1, now(), 1, {bucket}, false"));
    assert_eq!(two.database.sql(place), was_at, "the test needs another row in the same place");
    assert_eq!(two.read([1]).await, ([Some((5, 0, 1))], (0, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_is_cached_as_closed() {
    let two = Two::new().await;
    two.here.deposit(1, 100).await;
    two.here.withdraw(1, 100).await;
    two.here.accepted(Command::Close { user_id: user(1) }).await;
    let accounts = two.here.store().accounts(vec![user(1)]).await.unwrap();
    assert_eq!(accounts[0].unwrap().recorded.status, AccountStatus::Closed);
}

/// A snapshot of several accounts stays one, whichever of them are cached: money on its way is in exactly one.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_returns_one_snapshot() {
    let two = Two::new().await;
    two.here.deposit(1, 1_000).await;
    // Not cached here.
    two.there.deposit(2, 1_000).await;
    let moving = async {
        for _ in 0..100 {
            two.here.transfer(1, 2, 1).await;
            two.there.transfer(2, 1, 1).await;
        }
    };
    let reading = async {
        for _ in 0..300 {
            let (found, _) = two.read([1, 2]).await;
            let total: i64 = found.iter().flatten().map(|(available, ..)| available).sum();
            assert_eq!(total, 2_000);
        }
    };
    tokio::join!(moving, reading);
}
