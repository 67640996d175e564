//! The disk under SQLite: files that are taken away from a running service, and space that ends.

use balance_store_conformance::small_disk::{fill, small_disk};
use serde_json::json;

use crate::harness::{Store, World, new_key};

/// A restore into the running service, a clean-up that went too far, a volume that was mounted over.
#[tokio::test]
async fn a_database_file_that_is_taken_away_turns_unready_at_once() {
    for mistake in [
        "rm balance.db",
        "cp balance.db other.db; mv other.db balance.db",
        "rm balance.db-wal balance.db-shm",
        "mkdir away; mv balance.db* away",
    ] {
        let world = World::new(Store::Sqlite);
        let server = world.start();
        server.api.deposit(1, 100).await;
        server.api.until_ready(200).await;
        assert!(world.shell(mistake).status().unwrap().success());
        server.api.until_ready(503).await;
        server.api.post("/users/1/deposits", json!({"amount": 1})).await.refused(503, "unavailable");
        server.api.get_raw("/health/live").await.expect(200);
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_no_and_work_goes_on_when_there_is_space() {
    let test = "disk::a_full_disk_is_answered_no_and_work_goes_on_when_there_is_space";
    let Some(disk) = small_disk(test, 16) else { return };
    let database = format!("sqlite:{}", disk.join("balance.db").display());
    let world = World::new(Store::Sqlite).with("BALANCE_DATABASE_URL", &database);
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 1).await;
    let mut paid_in = 1;
    for spare in [0, 8, 24, 64] {
        let ballast = fill(&disk, spare);
        let (mut refused, body) = (Vec::new(), json!({"amount": 1, "comment": "x".repeat(500)}));
        while refused.len() < 3 {
            let key = new_key();
            let answer = api.post_as("/users/1/deposits", &key, body.clone()).await;
            if answer.status == 201 {
                paid_in += 1;
            } else {
                answer.refused(503, "unavailable");
                refused.push(key);
            }
        }
        assert_eq!(api.balance(1).await, (paid_in, 0), "reads go on");
        drop(ballast);
        for key in refused {
            let answer = api.post_as("/users/1/deposits", &key, body.clone()).await;
            answer.expect(201);
            assert_eq!(answer.header("idempotency-replayed"), "", "it was not executed");
            paid_in += 1;
        }
        api.until_ready(200).await;
    }
    assert_eq!(api.balance(1).await, (paid_in, 0));
    assert!(server.stop().success());
    world.audit();
}
