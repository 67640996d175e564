//! The defects that show when something underneath fails: a commit, a disk, a database that is away.

use std::{fs, time::Duration};

use serde_json::json;

use crate::harness::{Store, World, run_sql};

/// SQLite: a disk that is full. PostgreSQL: a constraint that only speaks at COMMIT. Either way the caller must
/// not hear that it is done, and afterwards it must not be.
pub(super) async fn defect_03_a_commit_that_fails_is_never_answered_as_done(world: World) {
    match world.store {
        Store::Sqlite => full_disk(world).await,
        Store::Postgres => refused_commit(world).await,
    }
}

async fn full_disk(world: World) {
    let server = world.start();
    server.api.deposit(1, 1).await;
    assert!(server.stop().success());

    let world = world.with("BALANCE_LOG_FILE__FOLDER", "off");
    // The index of the log takes 288 KiB of it.
    let server = world.start_with_full_disk(1_000);
    let api = &server.api;
    let (mut done, mut refused) = (1, 0);
    let comment = "x".repeat(1_000);
    for _ in 0..400 {
        let answer = api.post("/users/1/deposits", json!({"amount": 1, "comment": comment})).await;
        if answer.status == 201 {
            done += 1;
        } else {
            answer.refused(503, "unavailable");
            refused += 1;
        }
    }
    assert!(done > 1 && refused > 0, "{done} done, {refused} refused");
    server.kill();

    let server = world.start();
    assert_eq!(server.api.balance(1).await, (done, 0));
    assert!(server.stop().success());
    world.audit();
}

async fn refused_commit(world: World) {
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 1).await;
    run_sql(
        world.variable("BALANCE_DATABASE_URL"),
        "create function refuse() returns trigger language plpgsql as $$
         begin raise exception 'canary-at-commit'; end $$;
         create constraint trigger refuse after insert on operations deferrable initially deferred
         for each row when (new.comment = 'poison') execute function refuse()",
    );
    let poisoned = api.post("/users/1/deposits", json!({"amount": 1, "comment": "poison"})).await;
    assert!(poisoned.status >= 500, "{poisoned:?}");
    assert!(!poisoned.text().contains("canary"), "{}", poisoned.text());
    assert_eq!(api.balance(1).await, (1, 0));
    assert_eq!(api.deposit(1, 1).await["seq"], 2);
    assert_eq!(api.balance(1).await, (2, 0));
    assert!(server.stop().success());
    world.audit();
}

pub(super) async fn defect_08_a_report_that_cannot_be_written_is_not_answered_as_done(world: World) {
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 1).await;
    let in_the_way = world.folder().join("reports");
    fs::write(&in_the_way, "not a folder").unwrap();
    let answer = api.post("/reports/revenue", json!({"month": "2024-01"})).await;
    answer.refused(503, "report_not_published");
    assert!(!answer.text().contains(world.folder().to_str().unwrap()), "{}", answer.text());
    fs::remove_file(&in_the_way).unwrap();
    api.post("/reports/revenue", json!({"month": "2024-01"})).await.expect(201);
}

pub(super) async fn defect_14_callers_need_a_key_and_learn_nothing_about_the_database(world: World) {
    let token = format!("bal_{}_{}", "0123456789ab", "5e".repeat(32));
    let world = world.with("BALANCE_ADMIN_KEY", &token);
    let server = world.start();
    let api = &server.api;
    for caller in [
        api.clone(),
        api.with_token("bal_0123456789ab_"),
        api.with_token(&token.replace("5e", "5f")),
        api.with_token(&token.replace("0123", "3210")),
    ] {
        caller.get("/users/1/balance").await.refused(401, "unauthenticated");
        caller.post("/users/1/deposits", json!({"amount": 1})).await.refused(401, "unauthenticated");
    }
    api.with_token(&token).deposit(1, 1).await;
    drop(server);
    if world.store == Store::Postgres {
        database_away_at_start(world, &token).await;
    }
}

/// The origin crashed on the first request when its database was down at start.
async fn database_away_at_start(world: World, token: &str) {
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    let nowhere = "postgres://someone:canary-secret@127.0.0.1:1/nothing";
    let world = world.with("BALANCE_DATABASE_URL", nowhere).without("BALANCE_ADMIN_KEY");
    let server = world.start();
    let api = &server.api;
    assert!(server.started_in < Duration::from_secs(5), "{:?}", server.started_in);
    api.get_raw("/health/live").await.expect(200);
    let unready = api.get_raw("/health/ready").await;
    assert_eq!(unready.status, 503, "{unready:?}");
    for answer in [
        api.with_token(token).get("/users/1/balance").await,
        api.with_token(token).post("/users/1/deposits", json!({"amount": 1})).await,
    ] {
        answer.refused(503, "unavailable");
        assert_ne!(answer.header("retry-after"), "");
        assert!(
            !answer.text().contains("canary") && !answer.text().contains("127.0.0.1:1"),
            "{}",
            answer.text()
        );
    }
    assert!(server.stop().success());

    let world = world.with("BALANCE_DATABASE_URL", &url);
    let server = world.start();
    assert_eq!(server.api.with_token(token).balance(1).await, (1, 0));
}
