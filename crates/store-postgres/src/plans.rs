//! Every statement whose cost matters uses its index, whatever the planner believes of the tables: on empty ones,
//! on tiny ones, on ones that were just filled, on large ones that were analysed when they were tiny, or never, or
//! now; for given values and for unknown ones.

use std::{fmt::Write, sync::Arc};

use balance_domain::Timestamp;
use balance_postgres_harness::{Options, Server};
use tokio_postgres::{Client, NoTls, types::Type};

use crate::{PostgresOptions, PostgresStore, events, history, reads, reports, statements::*};

/// Statements whose plan must not depend on statistics, with the indexes that they must use, sorted; `|` parts
/// equally good ones.
fn planned() -> Vec<(String, &'static [&'static str])> {
    let fixed: [(&str, &'static [&'static str]); 14] = [
        (CLAIM_ACCOUNTS, &["accounts_pkey"]),
        (LOCK_ACCOUNTS, &["accounts_pkey"]),
        (LOCKED_BY_OTHERS, &["accounts_pkey"]),
        (
            SNAPSHOT,
            &[
                "accounts_pkey",
                "books_pkey",
                "operations_by_key",
                "reservations_due",
                "reservations_pkey",
                "services_pkey",
            ],
        ),
        (WRITE_MOVEMENTS, &["books_pkey"]),
        (WRITE_ALL, &["books_pkey", "services_pkey"]),
        (MARK_SERVICES_USED, &["services_pkey"]),
        (ERASE_COMMENTS, &["operations_pkey"]),
        (READ_ACCOUNTS, &["accounts_pkey", "reservations_due"]),
        (OPERATION_BY_KEY, &["operations_by_key"]),
        (RESERVATION_BY_KEY, &["reservations_pkey"]),
        (DUE_USERS, &["reservations_sweep"]),
        (events::OPERATIONS, &["operations_by_batch"]),
        (events::FACTS, &["facts_by_batch"]),
    ];
    let revenue = (reports::REVENUE.to_owned(), ["operations_revenue", "services_pkey"].as_slice());
    let fixed = fixed.into_iter().map(|(sql, indexes)| (sql.to_owned(), indexes)).chain([revenue]);
    fixed.chain(reads::planned_reservations()).chain(history::planned()).collect()
}

/// Nobody analyses behind the test's back.
async fn unanalysed() -> (Server, Client) {
    let settings = vec!["autovacuum=off".to_owned()];
    let server = Server::start(Options { settings, ..Options::default() });
    let options =
        PostgresOptions { allow_unsafe_durability: true, ..PostgresOptions::new(server.url("postgres")) };
    PostgresStore::new(options, Arc::new(Timestamp::MIN)).unwrap().migrate().await.unwrap();
    let config: tokio_postgres::Config = server.url("postgres").parse().unwrap();
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(PLANNER).await.unwrap();
    (server, client)
}

async fn fill(client: &Client, users: i64, operations_each: i64) {
    // The bucket does not have to be the right one for a plan.
    let sql = format!(
        "INSERT INTO services SELECT s, 'service ' || s, false, true FROM generate_series(1, 50) s \
             ON CONFLICT DO NOTHING; \
         INSERT INTO accounts SELECT u, 100, 0, {operations_each}, now(), u, u % 256, false \
             FROM generate_series(1, {users}) u ON CONFLICT DO NOTHING; \
         INSERT INTO reservations SELECT u, 1 + o % 50, o, 10, 0, 0, 0, now(), now(), o, u % 256, 'active' \
             FROM generate_series(1, {users}) u, generate_series(1, 3) o ON CONFLICT DO NOTHING; \
         INSERT INTO operations (user_id, seq, amount, available_after, reserved_after, created_at, service_id, \
                 order_id, bucket, kind, idempotency_key, actor, fingerprint) \
             SELECT u, s, 1 + (u * s) % 997, 1, 0, now(), 1 + s % 50, s / 3, u % 256, \
                 (ARRAY['deposit', 'reserve', 'capture'])[1 + s % 3], 'key-' || s, 'anonymous', '\\x00' \
             FROM generate_series(1, {users}) u, generate_series(1, {operations_each}) s ON CONFLICT DO NOTHING"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Some value of the type, as SQL.
fn sample(kind: &Type, count: i64) -> String {
    let list = |text: &dyn Fn(i64) -> String| {
        let items: Vec<String> = (1..=count).map(text).collect();
        format!("'{{{}}}'", items.join(","))
    };
    match kind.name() {
        "_int2" => list(&|n| (n % 256).to_string()),
        "_int4" | "_int8" | "_numeric" => list(&|n| n.to_string()),
        "_text" => list(&|n| format!("key-{n}")),
        "_bool" => list(&|_| "false".to_owned()),
        "_timestamptz" => list(&|_| "2026-11-24".to_owned()),
        "_bytea" => list(&|_| r#""\\x00""#.to_owned()),
        "timestamptz" => "'2026-11-24'".to_owned(),
        "text" => "'key-1'".to_owned(),
        "int2" | "int4" | "int8" => "1".to_owned(),
        "_account_ref" => list(&|n| format!("\"({},{n})\"", n % 256)),
        "_key_ref" => list(&|n| format!("\"({},{n},key-{n})\"", n % 256)),
        "_reservation_ref" => list(&|n| format!("\"({},{n},1,{n})\"", n % 256)),
        "_account_version" => list(&|n| format!("\"({},{n},{n},\\\"(0,1)\\\")\"", n % 256)),
        "_account_row" | "_reservation_row" | "_operation_row" | "_fact_row" => list(&|_| "NULL".to_owned()),
        other => panic!("no sample of {other}"),
    }
}

async fn plan(client: &Client, sql: &str, mode: &str, count: i64) -> String {
    let kinds = client.prepare(sql).await.unwrap();
    let values: Vec<String> = kinds.params().iter().map(|kind| sample(kind, count)).collect();
    client.batch_execute(&format!("SET plan_cache_mode = {mode}; PREPARE explained AS {sql}")).await.unwrap();
    let explain = format!("EXPLAIN EXECUTE explained ({})", values.join(", "));
    let mut plan = String::new();
    for row in client.query(&explain, &[]).await.unwrap() {
        writeln!(plan, "{}", row.get::<_, &str>(0)).unwrap();
    }
    client.batch_execute("DEALLOCATE explained").await.unwrap();
    plan
}

/// Every scan of a table goes by an index and starts at a place in it.
fn check(plan: &str, indexes: &[&str], context: &str) {
    let fail = |what: &str| panic!("{what} {context}\n{plan}");
    for forbidden in ["Seq Scan", "Bitmap", "Hash Join", "Merge Join", "Materialize"] {
        if plan.contains(forbidden) {
            fail(forbidden);
        }
    }
    let used: Vec<&str> =
        plan.lines().filter_map(|line| line.split_once(" using ")?.1.split(' ').next()).collect();
    let mut sorted = used.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let is_expected = |(used, expected): (&&str, &&str)| expected.split('|').any(|one| one == *used);
    if sorted.len() != indexes.len() || !sorted.iter().zip(indexes).all(is_expected) {
        fail("other indexes");
    }
    if plan.matches("Index Cond:").count() < used.len() {
        fail("a whole index is read");
    }
}

async fn check_all(client: &Client, tables: &str) {
    for (sql, indexes) in planned() {
        for mode in ["force_generic_plan", "force_custom_plan"] {
            for count in [1, 64, 1_000] {
                let plan = plan(client, &sql, mode, count).await;
                // By its place where it is known, whatever an index would cost.
                assert_eq!(sql.contains("ctid = n.place"), plan.contains("Tid Scan"), "{plan}");
                if sql == READ_ACCOUNTS {
                    let mut lines =
                        plan.lines().skip_while(|line| !line.contains("Function Scan on")).skip(1);
                    let filter = lines.next().unwrap_or_default();
                    assert!(
                        filter.contains("place IS NULL) OR (NOT ("),
                        "the look-up comes before the look at the place\n{plan}"
                    );
                }
                check(&plan, indexes, &format!("on {tables} tables, {mode}, {count} values:\n{sql}\n"));
            }
        }
    }
}

#[tokio::test]
async fn statements_use_their_index_on_tables_that_nobody_analysed() {
    let (_server, client) = unanalysed().await;
    fill(&client, 100, 3).await;
    check_all(&client, "just filled").await;
    fill(&client, 30_000, 10).await;
    check_all(&client, "large unanalysed").await;
}

#[tokio::test]
async fn statements_use_their_index_whatever_the_planner_believes() {
    let (_server, client) = unanalysed().await;
    check_all(&client, "empty").await;
    client.batch_execute("ANALYZE").await.unwrap();
    check_all(&client, "empty analysed").await;
    fill(&client, 1, 3).await;
    client.batch_execute("ANALYZE").await.unwrap();
    check_all(&client, "tiny analysed").await;
    fill(&client, 30_000, 10).await;
    check_all(&client, "large ones, analysed when they were tiny,").await;
    client.batch_execute("ANALYZE").await.unwrap();
    check_all(&client, "large analysed").await;
}

/// One user with most of the rows: what statistics then say of a user is no reason to leave the index.
#[tokio::test]
async fn statements_use_their_index_when_one_user_has_most_rows() {
    let (_server, client) = unanalysed().await;
    fill(&client, 1, 200_000).await;
    check_all(&client, "one-user unanalysed").await;
    client.batch_execute("ANALYZE").await.unwrap();
    check_all(&client, "one-user analysed").await;
}
