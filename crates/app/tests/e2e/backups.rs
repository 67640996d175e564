//! Backups that are tried: the commands of docs/operations.md, as they stand there, under load and after a crash.

use std::{
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use serde_json::json;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::harness::{Api, Store, World, on_every_store, run_sql};

on_every_store!(a_backup_beside_a_busy_service_restores_to_books_that_add_up,);

/// Users who are paid while the backup is made.
const BUSY: std::ops::Range<i64> = 100..104;

/// The commands of the chapter on backups, block by block.
fn documented(store: Store) -> (String, String) {
    let operations = include_str!("../../../../docs/operations.md");
    let (_, chapter) = operations.split_once("\n## Backup and restore\n").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let blocks: Vec<_> = chapter
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split_once("\n```").unwrap().0.to_owned())
        .collect();
    let [sqlite_backup, sqlite_restore, pg_backup, pg_restore] =
        blocks.try_into().unwrap_or_else(|blocks| panic!("the chapter has other blocks now: {blocks:#?}"));
    match store {
        Store::Sqlite => (sqlite_backup, sqlite_restore),
        Store::Postgres => (pg_backup, pg_restore),
    }
}

async fn run(mut command: Command) {
    let output: Output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{}: {said:#?}", output.status);
}

/// Deposits of 1 to users of their own, each counted once it is answered.
struct Load {
    answered: Vec<Arc<AtomicI64>>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(api: &Api) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let answered: Vec<_> = BUSY.map(|_| Arc::<AtomicI64>::default()).collect();
        let tasks = BUSY.zip(&answered).map(|(user, answered)| {
            let (api, answered, is_over) = (api.clone(), Arc::clone(answered), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    api.deposit(user, 1).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { tasks: tasks.collect(), answered, is_over }
    }

    fn answered(&self) -> Vec<i64> {
        self.answered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    async fn until_everybody_was_answered(&self) {
        while self.answered().contains(&0) {
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) -> Vec<i64> {
        self.is_over.store(true, Ordering::Relaxed);
        let answered = self.answered.clone();
        for task in self.tasks {
            task.await.unwrap();
        }
        answered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

async fn a_backup_beside_a_busy_service_restores_to_books_that_add_up(world: World) {
    let (backup, restore) = documented(world.store);
    let world = match world.store {
        Store::Sqlite => world.with("BALANCE_DATABASE_URL", "sqlite:data/balance.db"),
        Store::Postgres => world,
    };
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "Delivery")]).await;
    let top_up = json!({"amount": 1000, "comment": "card"});
    let first = api.post_as("/users/1/deposits", "top-up-1", top_up.clone()).await;
    first.expect(201);
    api.reserve(1, 1, 7, 300).await;

    let load = Load::start(api);
    load.until_everybody_was_answered().await;
    let before = load.answered();
    run(world.shell(&backup)).await;
    let after = load.end().await;
    // What is answered after the backup is what a lost machine takes with it.
    api.post("/users/1/withdrawals", json!({"amount": 1})).await.expect(201);
    server.kill();

    let (world, restored) = elsewhere(world);
    run(world.shell(&restore)).await;
    let world = world.with("BALANCE_DATABASE_URL", &restored);
    let server = world.start();
    let api = &server.api;
    assert_eq!(api.balance(1).await, (700, 300));
    for ((user, before), after) in BUSY.zip(before).zip(after) {
        let (available, _) = api.balance(user).await;
        assert!((before..=after).contains(&available), "{before} <= {available} <= {after} of user {user}");
    }
    let again = api.post_as("/users/1/deposits", "top-up-1", top_up).await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (first.json(), "true"));
    let order = json!({"user_id": 1, "service_id": 1, "order_id": 7});
    api.post("/reservations/capture", order).await.expect(200);
    api.deposit(1, 5).await;
    assert_eq!(api.balance(1).await, (705, 0));
    assert!(server.stop().success());
    world.audit();
}

/// An installation that has nothing of this one but its backup, and where the restored database is.
fn elsewhere(world: World) -> (World, String) {
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    match world.store {
        Store::Sqlite => {
            let other = World::new(Store::Sqlite).with("BALANCE_DATABASE_URL", &url);
            std::fs::copy(world.folder().join("backup.db"), other.folder().join("backup.db")).unwrap();
            (other, url)
        }
        Store::Postgres => {
            let (server, _) = url.rsplit_once('/').unwrap();
            // The role of the service may not make databases.
            run_sql(&url, "CREATE ROLE balance_restorer LOGIN");
            let restored = format!("{server}/balance_restored").replace("postgres@", "balance_restorer@");
            let world = world.with("ADMIN_URL", &url).with("OWNER", "balance_restorer");
            (world.with("RESTORED_URL", &restored), restored)
        }
    }
}

#[tokio::test]
async fn a_backup_of_a_service_that_stopped_or_was_killed_opens_like_the_original() {
    let world = World::new(Store::Sqlite);
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    let mut world = world;
    for (name, is_killed, money) in [("stopped.db", false, 5), ("killed.db", true, 10)] {
        world = world.with("BALANCE_DATABASE_URL", &url);
        let server = world.start();
        server.api.deposit(1, 5).await;
        if is_killed {
            server.kill();
        } else {
            assert!(server.stop().success());
        }
        run(world.command(&["backup", name])).await;
        let again = world.run(&["backup", name]);
        assert_eq!(again.status.code(), Some(2), "it must not overwrite");
        let copy = format!("sqlite:{}", world.folder().join(name).display());
        world = world.with("BALANCE_DATABASE_URL", &copy);
        world.audit();
        assert_eq!(world.start().api.balance(1).await, (money, 0));
    }
}

/// From a wrong folder a backup must fail, instead of making and copying an empty ledger.
#[test]
fn a_backup_of_nothing_is_refused() {
    let world = World::new(Store::Sqlite).with("BALANCE_DATABASE_URL", "sqlite:elsewhere/balance.db");
    let output = world.run(&["backup", "copy.db"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("elsewhere/balance.db"), "{said}");
    assert!(!world.folder().join("elsewhere").exists() && !world.folder().join("copy.db").exists());
}
