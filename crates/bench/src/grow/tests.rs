//! Grown ledgers are sound: every store's own scan of them passes the audit, and all of the schema is there again.

use std::sync::Arc;

use balance_domain::{
    Audit, Limit, OperationFilter, OperationQuery, OperationSort, Timestamp, UserId, ports::BalanceRepo,
};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use balance_store_sqlite::{SqliteOptions, SqliteStore};

use super::*;

/// Numbers that divide evenly nowhere.
fn size() -> Size {
    Size {
        accounts: 53,
        operations: Some(2009),
        captures: Some(131),
        month: "2026-10".parse().unwrap(),
        long_history: Some(1199),
    }
}

#[test]
fn a_plan_has_as_many_rows_as_were_asked_for() {
    let plan = LedgerPlan::new(&size()).unwrap();
    // A long history goes in circles of four after the first deposit.
    assert_eq!((plan.operations(), plan.long_history(), plan.captures()), (2009, 1201, 131));
    let rows: Vec<_> = plan.all_operations().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2009);
    assert!(rows.is_sorted_by_key(|row| row.created_at), "in the order of time");
    let zone = balance_domain::AccountingZone::new("Europe/Moscow").unwrap();
    let month = zone.period("2026-10".parse().unwrap());
    let captured = rows.iter().filter(|row| {
        row.kind == "capture"
            && month.contains(balance_domain::Timestamp::from_micros(row.created_at).unwrap())
    });
    assert_eq!(captured.count(), 131, "all of them in the month, and none of the long history");
}

#[test]
fn by_default_a_plan_is_of_the_size_of_the_targets() {
    let size = Size {
        accounts: 10_000_000,
        operations: None,
        captures: None,
        month: "2026-10".parse().unwrap(),
        long_history: None,
    };
    let plan = LedgerPlan::new(&size).unwrap();
    assert_eq!(plan.operations(), 100_000_000);
    assert_eq!((plan.captures(), plan.long_history()), (10_000_000, 1_000_001));
    for (store, expected) in [(Store::Postgres, 35..45), (Store::Sqlite, 15..20)] {
        let needed = room::bytes_needed(store, &plan) / 1_000_000_000;
        assert!(expected.contains(&needed), "{store:?} {needed} GB");
    }
}

#[test]
fn a_ledger_that_does_not_fit_on_the_disk_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.db");
    SqliteStore::migrate(&path).unwrap();
    let url = format!("sqlite:{}", path.display());
    // 170 petabytes.
    let huge = Size { accounts: 1_000_000_000, operations: Some(1_000_000_000_000_000), ..size() };
    let refused = fill(&url, &huge).unwrap_err().to_string();
    assert!(refused.contains("GB left: take fewer --operations"), "{refused}");
    fill(&url, &size()).unwrap();
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let refused = LedgerPlan::new(&Size { operations: Some(400), ..size() }).unwrap_err().to_string();
    assert!(refused.contains("at least 1515 operations"), "{refused}");
    let poor = Size { accounts: 2, operations: None, captures: Some(10_000_000), ..size() };
    assert!(LedgerPlan::new(&poor).is_err());
}

#[tokio::test]
async fn a_ledger_grown_in_sqlite_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.db");
    let url = format!("sqlite:{}", path.display());
    SqliteStore::migrate(&path).unwrap();
    let before = sqlite_schema(&path);
    blocking(&url).await;
    assert_eq!(sqlite_schema(&path), before);
    let store = SqliteStore::open(&path, SqliteOptions::default(), Arc::new(Timestamp::MIN)).unwrap();
    audit(&store).await;
    assert_eq!(
        oldest_of_the_long_history(&store).await,
        (1..=50).collect::<Vec<_>>(),
        "early operations are listed"
    );
    let again = tokio::task::spawn_blocking(move || fill(&url, &size())).await.unwrap().unwrap_err();
    assert!(again.to_string().contains("has accounts already"), "{again}");
}

#[tokio::test]
async fn a_ledger_grown_in_postgresql_is_sound() {
    let server = balance_postgres_harness::shared();
    let database = server.create_database(None);
    let url = server.url(&database);
    let options = PostgresOptions { allow_unsafe_durability: true, ..PostgresOptions::new(&url) };
    let store = PostgresStore::new(options, Arc::new(Timestamp::MIN)).unwrap();
    store.migrate().await.unwrap();
    let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname";
    let before = server.psql(&database, indexes);
    blocking(&url).await;
    assert_eq!(server.psql(&database, indexes), before);
    audit(&store).await;
}

/// Grows a store and reads it.
async fn blocking(url: &str) {
    let url = url.to_owned();
    let grown = tokio::task::spawn_blocking(move || {
        fill(&url, &size()).unwrap();
        look(&url, size().month).unwrap()
    });
    let grown = grown.await.unwrap();
    assert_eq!((grown.users, grown.long_history), (53, 1201));
}

fn sqlite_schema(path: &std::path::Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let sql =
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_stat%' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The numbers of a page.
async fn oldest_of_the_long_history(store: &SqliteStore) -> Vec<i64> {
    let query = OperationQuery {
        user_id: UserId::new(long_user().cast_signed()).unwrap(),
        filter: OperationFilter::default(),
        sort: OperationSort::OldestFirst,
        after: None,
        limit: Limit::default(),
    };
    store.operations(query).await.unwrap().items.iter().map(|operation| operation.seq).collect()
}

async fn audit(store: &dyn BalanceRepo) {
    let audit = Arc::new(Audit::default());
    store.scan(Arc::clone(&audit) as _).await.unwrap();
    let summary = audit.finish();
    assert!(summary.is_clean(), "{summary:?}");
    assert_eq!((summary.accounts, summary.operations, summary.reservations), (53, 2009, 131 + 300));
    assert_eq!(summary.revenue, 431 * i128::from(PRICE));
}
