//! A database server without space, for real: nothing is answered that is not so, and work goes on by itself.

use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use balance_domain::{
    Submission,
    ports::{BalanceRepo, RepoError},
};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{
    SetClock, Store, audit,
    small_disk::{fill, small_disk},
    teller::{deposit_of, under, user},
};
use balance_store_postgres::{PostgresOptions, PostgresStore};

use crate::database::{open, options};

/// What is left in KiB when the filling begins.
const SPARE: [u64; 4] = [0, 8, 64, 256];

/// The tables are on the disk that fills, the log of changes is not, as one would have it: the server refuses what it
/// has no room for, and lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_says_no_and_work_goes_on_when_there_is_space() {
    let test = "full_disk::a_full_disk_says_no_and_work_goes_on_when_there_is_space";
    let Some(disk) = small_disk(test, 96) else { return };
    // The server is another user.
    std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start(Options { tables_on: Some(disk.clone()), ..Options::default() });
    let store = store_on(&server);
    store.migrate().await.unwrap();
    let mut paid_in = 0;
    for spare in SPARE {
        for length in [1, 40] {
            let ballast = fill(&disk, spare);
            let refused =
                deposit_until_refused(&store, &format!("{spare}-{length}"), length, &mut paid_in).await;
            assert_eq!(held(&store).await, paid_in, "reads go on, and nothing of it was executed");
            drop(ballast);
            for reply in store.execute(refused).await.unwrap() {
                assert!(!reply.unwrap()[0].is_replay);
                paid_in += 1;
            }
        }
    }
    let store: Arc<dyn Store> = Arc::new(store);
    assert_eq!(audit(&store).await.paid_in, i128::from(paid_in));
}

fn store_on(server: &Server) -> PostgresStore {
    let options = PostgresOptions { deadline: Duration::from_secs(5), ..options(&server.url("postgres")) };
    open(options, &SetClock::default())
}

async fn deposit_until_refused(
    store: &PostgresStore,
    name: &str,
    length: usize,
    paid_in: &mut i64,
) -> Vec<Submission> {
    for n in 0.. {
        let submissions = batch(&format!("{name}-{n}"), length);
        match store.execute(submissions.clone()).await {
            Ok(replies) => {
                *paid_in += i64::try_from(replies.into_iter().map(Result::unwrap).count()).unwrap();
            }
            Err(RepoError::Unavailable(cause)) => {
                assert!(cause.to_string().contains("No space left on device"), "{cause}");
                return submissions;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!()
}

/// Deposits of one unit to one user.
fn batch(name: &str, length: usize) -> Vec<Submission> {
    (0..length).map(|n| under(&format!("{name}-{n}"), deposit_of(1, 1)).into()).collect()
}

async fn held(store: &PostgresStore) -> i64 {
    let account = store.accounts(vec![user(1)]).await.unwrap().remove(0);
    account.map_or(0, |account| account.recorded.available)
}
