//! Batches on a file: of any size, with any text, and beside rows that are damaged.

use crate::teller::{
    accept, add_service, amount, audit, audited, balance, capture, commented, deposit, money, open, order,
    query, reserve, transfer, user,
};
use balance_domain::{
    Action, Command, OperationSort, Submission,
    ports::{BalanceRepo, RepoError, SubmitError},
};

#[tokio::test]
async fn a_batch_of_a_thousand_mixed_submissions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    add_service(&store).await;
    let mixed = (1..=250).flat_map(|n| {
        [
            money(deposit(n, 1_000), "in"),
            money(reserve(order(n, n), 400), "set-aside"),
            money(capture(order(n, n)), "take"),
            money(reserve(order(n, n + 1), 601), "too-much"),
        ]
    });
    let replies = store.at(0).execute(mixed.collect()).await.unwrap();
    assert_eq!(replies.len(), 1_000);
    for (position, reply) in replies.iter().enumerate() {
        assert_eq!(reply.is_ok(), position % 4 != 3, "{position}: {reply:?}");
    }
    drop(store);
    let store = open(&path);
    assert_eq!(balance(&store, 250, 1).await, Some((600, 0)));
    assert_eq!(audited(&store).await.revenue, 250 * 400);
}

/// SQLite takes 32,766 parameters per statement; a batch may name more rows than that.
#[tokio::test]
async fn a_batch_may_be_larger_than_a_statement() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("balance.db"));
    let users = 1..=33_000;
    accept(&store, users.clone().map(|id| money(deposit(id, id), "k")).collect(), 0).await;
    let accounts = store.at(0).accounts(users.clone().map(user).collect()).await.unwrap();
    assert!(accounts.iter().zip(users).all(|(account, id)| account.unwrap().recorded.available == id));
}

#[tokio::test]
async fn any_text_that_the_domain_accepts_comes_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    let (long, long_key) = ("я".repeat(512), "~".repeat(255));
    let texts = [
        ("1", ""),
        ("2", "'; DROP TABLE operations; --"),
        ("3", "two\nlines\tand a tab"),
        ("\u{21}", "🦀 \u{202e}rtl \u{feff} e\u{301}"),
        (long_key.as_str(), long.as_str()),
        ("%s%n?1:a@b$c", "?1 :a @b $c %_"),
    ];
    let batch = texts.iter().map(|(key, text)| commented(deposit(1, 1), key, text)).collect();
    accept(&store, batch, 0).await;
    drop(store);
    let store = open(&path);
    let page = store.operations(query(1, OperationSort::OldestFirst)).await.unwrap();
    let found: Vec<_> = page
        .items
        .iter()
        .map(|found| {
            (found.idempotency_key.as_ref().unwrap().as_str(), found.comment.as_ref().unwrap().as_str())
        })
        .collect();
    assert_eq!(found, texts);
}

#[tokio::test]
async fn closing_erases_comments_of_the_same_batch_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("balance.db"));
    accept(&store, vec![commented(deposit(1, 5), "in", "a name")], 0).await;
    let withdraw = Action::Withdraw { user_id: user(1), amount: amount(5) };
    let close = Submission::from(Command::Close { user_id: user(1) });
    accept(&store, vec![commented(withdraw, "out", "an address"), close], 1).await;
    let page = store.operations(query(1, OperationSort::NewestFirst)).await.unwrap();
    assert_eq!(page.items.len(), 2);
    assert!(page.items.iter().all(|operation| operation.comment.is_none()), "{:?}", page.items);
}

/// Changes the file behind the store's back, without the second line of CHECKs.
fn damage(path: &std::path::Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
    assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
}

#[tokio::test]
async fn a_damaged_row_fails_alone() {
    for sql in [
        "UPDATE accounts SET last_at = 9223372036854775807 WHERE user_id = 2",
        "UPDATE reservations SET released = amount WHERE user_id = 2",
        "UPDATE reservations SET state = 'lost' WHERE user_id = 2",
        "UPDATE accounts SET reserved = 1 WHERE user_id = 2",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balance.db");
        let store = open(&path);
        add_service(&store).await;
        accept(&store, (1..=3).map(|id| money(deposit(id, 100), "in")).collect(), 0).await;
        accept(&store, vec![money(reserve(order(2, 1), 60), "set-aside")], 0).await;
        damage(&path, sql);

        let batch = vec![
            money(deposit(1, 10), "more"),
            money(capture(order(2, 1)), "take"),
            money(deposit(3, 10), "more"),
        ];
        let replies = store.at(1).execute(batch).await.unwrap();
        assert!(replies[0].is_ok() && replies[2].is_ok(), "{sql}: {replies:?}");
        assert!(
            matches!(replies[1], Err(SubmitError::Failed(RepoError::Internal(_)))),
            "{sql}: {:?}",
            replies[1]
        );
        assert_eq!(balance(&store, 1, 1).await, Some((110, 0)), "{sql}");
        assert_eq!(balance(&store, 3, 1).await, Some((110, 0)), "{sql}");
    }
}

#[tokio::test]
async fn an_account_whose_row_was_lost_does_not_start_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    let first =
        vec![money(deposit(1, 100), "in"), money(deposit(2, 100), "in"), money(transfer(1, 3, 1), "over")];
    accept(&store, first, 0).await;
    for keyed_or_not in [2, 3] {
        damage(&path, &format!("DELETE FROM accounts WHERE user_id = {keyed_or_not}"));
    }
    let batch = (1..=3).map(|id| money(deposit(id, 10), "more")).collect();
    let replies = store.at(1).execute(batch).await.unwrap();
    assert!(replies[0].is_ok(), "{replies:?}");
    for reply in &replies[1..] {
        let Err(SubmitError::Failed(RepoError::Internal(cause))) = reply else { panic!("{replies:?}") };
        assert!(cause.to_string().contains("do not count on"), "{cause}");
    }
}

/// No index has the numbers of early operations, so that this is for the audit to find.
#[tokio::test]
async fn a_number_that_was_set_back_is_found_by_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    accept(&store, vec![money(deposit(1, 100), "in"), money(deposit(1, 100), "again")], 0).await;
    damage(&path, "UPDATE accounts SET seq = 1 WHERE user_id = 1");
    accept(&store, vec![money(deposit(1, 100), "more")], 1).await;
    let found = audit(&store).await.differences;
    assert!(found.iter().any(|difference| difference.to_string().contains("operation 2")), "{found:?}");
    // Its history never becomes long: what would be listed then is not what the numbers say.
    let batch = (3..=1_000).map(|n| money(deposit(1, 1), &format!("k{n}"))).collect();
    let replies = store.at(2).execute(batch).await.unwrap();
    let (last, others) = replies.split_last().unwrap();
    assert!(others.iter().all(Result::is_ok), "{replies:?}");
    let Err(SubmitError::Failed(RepoError::Internal(cause))) = last else { panic!("{last:?}") };
    assert!(cause.to_string().contains("do not count on"), "{cause}");
}

/// Somebody's shell holds the write lock: callers wait, then hear that nothing was executed.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_writer_makes_callers_wait_and_never_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.at(0).execute(vec![money(deposit(1, 1), "k")]).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    foreign.execute_batch("ROLLBACK").unwrap();
    assert!(waiting.await.unwrap().unwrap()[0].is_ok());
}
