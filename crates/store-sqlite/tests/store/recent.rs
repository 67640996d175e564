//! The cache of accounts: balances are answered from it without reading the file, and always equal the file.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use balance_domain::{
    Action, Command, Ttl,
    ports::{AccountReads, BalanceRepo, StoreFigures},
};
use balance_store_sqlite::SqliteOptions;
use tempfile::TempDir;

use crate::teller::{
    Opened, accept, add_service, amount, at, audited, balance, capture, deposit, money, open, opened_with,
    order, reserve, user,
};

fn opened() -> (Opened, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(&folder.path().join("balance.db")), folder)
}

fn counted(store: &Opened) -> (u64, u64) {
    let AccountReads { confirmed, looked_up } = store.account_reads();
    (confirmed, looked_up)
}

#[tokio::test]
async fn a_written_account_is_answered_from_the_cache() {
    let (store, folder) = opened();
    assert_eq!(balance(&store, 1, 0).await, None);
    assert_eq!(counted(&store), (0, 1), "of an unknown user nothing is known");
    accept(&store, vec![money(deposit(1, 100), "a"), money(deposit(2, 7), "a")], 0).await;
    assert_eq!(balance(&store, 1, 5).await, Some((100, 0)));
    assert_eq!(store.at(6).recall_account(user(2)).unwrap().at, at(6));
    assert_eq!(counted(&store), (2, 1));
    accept(&store, vec![money(deposit(1, 1), "b")], 7).await;
    assert_eq!(balance(&store, 1, 8).await, Some((101, 0)));
    assert_eq!(counted(&store), (3, 1));

    drop(store);
    let store = open(&folder.path().join("balance.db"));
    assert_eq!(store.at(9).recall_account(user(1)), None, "a start knows nothing");
    assert_eq!(balance(&store, 1, 9).await, Some((101, 0)));
    assert_eq!(counted(&store), (0, 1));
}

#[tokio::test]
async fn several_accounts_are_one_snapshot_and_so_from_the_file() {
    let (store, _folder) = opened();
    accept(&store, vec![money(deposit(1, 100), "a"), money(deposit(2, 7), "a")], 0).await;
    let accounts = store.at(1).accounts(vec![user(1), user(2)]).await.unwrap();
    assert_eq!(accounts.len(), 2);
    assert_eq!(counted(&store), (0, 2));
}

#[tokio::test]
async fn a_cached_balance_counts_due_reservations_as_available() {
    let (store, _folder) = opened();
    add_service(&store).await;
    accept(&store, vec![money(deposit(1, 100), "a"), money(reserve(order(1, 1), 30), "b")], 0).await;
    assert_eq!(balance(&store, 1, 59).await, Some((70, 30)));
    assert_eq!(balance(&store, 1, 60).await, Some((100, 0)), "the deadline has passed meanwhile");
    accept(&store, vec![money(deposit(1, 1), "c")], 61).await;
    assert_eq!(balance(&store, 1, 61).await, Some((101, 0)));
    assert_eq!(counted(&store), (4, 0), "what was due was recorded and looked at again");
    assert_eq!(audited(&store).await.accounts, 1);
}

#[tokio::test]
async fn a_changed_reservation_is_cached_as_it_was_changed() {
    let (store, _folder) = opened();
    add_service(&store).await;
    let (first, second) = (order(1, 1), order(1, 2));
    let begin = [money(reserve(first, 30), "b"), money(reserve(second, 20), "c")];
    accept(&store, [&[money(deposit(1, 100), "a")], &begin[..]].concat(), 0).await;
    let ttl = Ttl::from_seconds(600).unwrap();
    accept(&store, vec![Command::Extend { reservation: first.into(), ttl }.into()], 10).await;
    assert!(store.at(61).recall_account(user(1)).unwrap().has_due, "the other one is due");
    let part = Action::Capture { reservation: first.into(), amount: Some(amount(5)), is_final: false };
    accept(&store, vec![money(part, "d")], 20).await;
    assert_eq!(balance(&store, 1, 20).await, Some((50, 45)));
    accept(&store, vec![money(capture(first), "e"), money(capture(second), "f")], 30).await;
    assert_eq!(balance(&store, 1, 700).await, Some((50, 0)));
    assert_eq!(counted(&store), (3, 0));
    // The answers to repeats, and to commands on what has ended, are in the file.
    let replies = store.at(40).execute(vec![money(capture(first), "e"), money(capture(first), "g")]).await;
    let replies = replies.unwrap();
    assert!(replies[0].as_ref().unwrap()[0].is_replay && replies[1].is_err(), "{replies:?}");
    assert_eq!(audited(&store).await.revenue, 50);
}

#[tokio::test]
async fn an_account_whose_reservations_are_not_all_cached_is_looked_up() {
    let (store, folder) = opened();
    add_service(&store).await;
    let many = (1..=9).map(|number| money(reserve(order(1, number), 1), &format!("r{number}")));
    accept(&store, [money(deposit(1, 100), "a")].into_iter().chain(many).collect(), 0).await;
    assert_eq!(balance(&store, 1, 1).await, Some((91, 9)));
    assert_eq!(counted(&store), (0, 1), "more than are kept");
    accept(&store, vec![money(deposit(2, 100), "a"), money(reserve(order(2, 1), 30), "b")], 0).await;

    drop(store);
    let store = open(&folder.path().join("balance.db"));
    accept(&store, vec![money(deposit(2, 1), "c"), money(reserve(order(2, 2), 1), "d")], 1).await;
    assert_eq!(balance(&store, 2, 1).await, Some((70, 31)));
    assert!(store.at(60).accounts(vec![user(2)]).await.unwrap()[0].unwrap().has_due);
    assert_eq!(counted(&store), (0, 2), "one of them was made before the start");
    accept(&store, vec![money(capture(order(2, 1)), "e")], 2).await;
    assert_eq!(balance(&store, 2, 3).await, Some((70, 1)));
    assert!(store.at(61).accounts(vec![user(2)]).await.unwrap()[0].unwrap().has_due);
    assert_eq!(counted(&store), (0, 4));
    accept(&store, vec![money(capture(order(2, 2)), "f")], 3).await;
    assert_eq!(balance(&store, 2, 61).await, Some((70, 0)));
    assert_eq!(counted(&store), (1, 4), "none is left");
    audited(&store).await;
}

#[tokio::test]
async fn a_rejected_command_leaves_the_cache_unchanged() {
    let (store, _folder) = opened();
    accept(&store, vec![money(deposit(1, 100), "a")], 0).await;
    let replies = store.at(1).execute(vec![money(capture(order(1, 1)), "none")]).await.unwrap();
    assert!(replies[0].is_err());
    assert_eq!(balance(&store, 1, 2).await, Some((100, 0)));
    assert_eq!(counted(&store), (1, 0));
}

#[tokio::test]
async fn nothing_is_cached_where_the_cache_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { recent_accounts_max: 0, ..SqliteOptions::default() };
    let store = opened_with(&folder.path().join("balance.db"), options);
    accept(&store, vec![money(deposit(1, 100), "a")], 0).await;
    assert_eq!(balance(&store, 1, 1).await, Some((100, 0)));
    assert_eq!(counted(&store), (0, 1));
}

#[tokio::test]
async fn the_accounts_written_last_are_cached_up_to_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { recent_accounts_max: 160, ..SqliteOptions::default() };
    let store = opened_with(&folder.path().join("balance.db"), options);
    accept(&store, (1..=2_000).map(|id| money(deposit(id, 1), "a")).collect(), 0).await;
    accept(&store, vec![money(deposit(2_001, 1), "a")], 0).await;
    let kept = |id| store.at(1).recall_account(user(id)).is_some();
    assert!(kept(2_001));
    let kept = (1..=2_001).filter(|id| kept(*id)).count();
    assert!((100..=160).contains(&kept), "{kept}");
}

/// A shell changes the file of a running service. The next command notices, whatever its outcome.
#[tokio::test]
async fn a_change_from_outside_is_noticed_by_the_next_command() {
    let withdrawal = Action::Withdraw { user_id: user(1), amount: amount(80) };
    for (command, is_accepted, left) in [
        (money(deposit(1, 1), "new"), true, 51),
        (money(withdrawal, "new"), false, 50),
        (money(deposit(1, 100), "a"), true, 50),
    ] {
        let (store, folder) = opened();
        accept(&store, vec![money(deposit(1, 100), "a"), money(deposit(2, 100), "a")], 0).await;
        let shell = rusqlite::Connection::open(folder.path().join("balance.db")).unwrap();
        shell.execute("UPDATE accounts SET available = 50", []).unwrap();
        let replies = store.at(1).execute(vec![command]).await.unwrap();
        assert_eq!(replies[0].is_ok(), is_accepted, "{replies:?}");
        assert_eq!(balance(&store, 1, 2).await, Some((left, 0)));
        assert_eq!(balance(&store, 2, 2).await, Some((50, 0)), "other readers see no stale balance either");
    }
}

/// Each reader alternates between one account, which may come from the cache, and two, which come from the file. No
/// reader sees an older state than before, and each sees what was acknowledged before it asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_goes_back_in_time() {
    let (store, _folder) = opened();
    accept(&store, vec![money(deposit(1, 1), "first"), money(deposit(2, 1), "first")], 0).await;
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(1)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, is_over, answered) = (store.clone(), Arc::clone(&is_over), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut seen = 1;
                for round in 0_u64.. {
                    if is_over.load(Ordering::Relaxed) {
                        return round;
                    }
                    let users = if round % 2 == 0 { vec![user(1)] } else { vec![user(1), user(2)] };
                    let least = seen.max(answered.load(Ordering::SeqCst));
                    let read = store.at(1).accounts(users).await.unwrap()[0].unwrap().recorded;
                    assert!(read.seq >= least, "round {round}: {} after {least}", read.seq);
                    assert_eq!(read.seq, read.available, "a state that there was");
                    seen = read.seq;
                }
                0
            })
        })
        .collect();
    for n in 0..2_000 {
        accept(&store, vec![money(deposit(1, 1), &format!("k{n}"))], 1).await;
        answered.fetch_add(1, Ordering::SeqCst);
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 10, "there were reads between the writes");
    }
    let (recalled, looked_up) = counted(&store);
    assert!(recalled > 0 && looked_up > 0, "{recalled} and {looked_up}");
}
