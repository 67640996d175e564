//! Copies of a ledger in use.

use balance_domain::ports::BalanceRepo;

use crate::teller::{accept, at, audited, balance, deposit, money, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_whole_while_work_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("balance.db"));
    accept(&store, vec![money(deposit(1, 100), "before")], 0).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 0..300 {
                accept(&store, vec![money(deposit(n % 7 + 1, 1), &format!("during-{n}"))], n).await;
            }
        }
    });
    let copy = folder.path().join("copy.db");
    store.backup(&copy).await.unwrap();
    writing.await.unwrap();

    let copied = open(&copy);
    let summary = audited(&copied).await;
    assert!(summary.paid_in >= 100 && summary.paid_in <= 400, "{}", summary.paid_in);
    assert!(balance(&copied, 1, 1_000).await.unwrap().0 >= 100);
    accept(&copied, vec![money(deposit(1, 1), "after")], 1_000).await;
}

#[tokio::test]
async fn a_copy_never_overwrites_and_leaves_no_part_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("balance.db"));
    let copy = folder.path().join("copy.db");
    std::fs::write(&copy, "precious").unwrap();
    assert!(store.backup(&copy).await.unwrap_err().to_string().contains("exists already"));
    assert_eq!(std::fs::read(&copy).unwrap(), b"precious");
    assert!(store.backup(&folder.path().join("missing/copy.db")).await.is_err());
    assert!(!folder.path().join("copy.db.part").exists());
    assert!(store.accounts(Vec::new(), at(0)).await.unwrap().is_empty(), "the store goes on");
}
