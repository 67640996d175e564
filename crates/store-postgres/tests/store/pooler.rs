//! A `PgBouncer` between store and server: session pooling works as without it, transaction pooling is refused.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use balance_domain::ports::{BalanceRepo, RepoError};
use balance_store_conformance::{
    Teller, audit,
    teller::{deposit_of, order, under},
};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use tempfile::TempDir;

use crate::database::{Database, open, options};

/// A running `PgBouncer` before one database.
struct Pooler {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    fn before(database: &Database, pool_mode: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("pgbouncer.ini");
        let (name, upstream) = (&database.name, database.server.port());
        let settings = format!(
            "[databases]\n{name} = host=127.0.0.1 port={upstream} dbname={name} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             unix_socket_dir =\npool_mode = {pool_mode}\ndefault_pool_size = 20\n"
        );
        fs::write(&file, settings).unwrap();
        // It refuses to run as root.
        let mut command = Command::new(program());
        if fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
        {
            command.args(["-u", "nobody"]);
            open_to_all(folder.path(), 0o755);
            open_to_all(&file, 0o644);
        }
        let process = command.arg("-q").arg(&file).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Self { process, port, _folder: folder };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return pooler;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PgBouncer does not start");
    }

    fn store(&self, database: &Database, change: impl FnOnce(&mut PostgresOptions)) -> PostgresStore {
        let url = database.server.url(&database.name);
        let mut given =
            options(&url.replace(&format!(":{}/", database.server.port()), &format!(":{}/", self.port)));
        change(&mut given);
        open(given, &database.clock)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Debian puts it where only root looks for programs.
fn program() -> &'static str {
    const DEBIAN: &str = "/usr/sbin/pgbouncer";
    if std::path::Path::new(DEBIAN).exists() { DEBIAN } else { "pgbouncer" }
}

fn open_to_all(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// Nothing has to be set in the pooler for it, and no setting of the session is lost.
#[tokio::test(flavor = "multi_thread")]
async fn session_pooling_works_and_keeps_the_settings() {
    let database = Database::migrated().await;
    let pooler = Pooler::before(&database, "session");
    let store = pooler.store(&database, |options| options.lock_timeout = Duration::from_millis(1_234));
    store.ready().await.unwrap();
    let teller = Teller::new(Arc::new(store), database.clock.clone());
    teller.add_services(&[9]).await;
    for n in 0..20 {
        teller.deposit(n % 4 + 1, 100).await;
    }
    teller.reserve(order(1, 9, 1), 10, 600).await;
    teller.capture(order(1, 9, 1), None).await;
    audit(teller.store()).await;

    // Somebody else holds the row: only with its own limit the store gives up so early.
    let other = crate::database::client(&database.server.url(&database.name)).await;
    other.batch_execute("BEGIN; SELECT FROM accounts WHERE user_id = 2 FOR UPDATE").await.unwrap();
    let begun = std::time::Instant::now();
    let refused = teller.store().execute(vec![under("held", deposit_of(2, 5)).into()]).await;
    let refused = refused.map(|replies| replies[0].is_ok());
    assert!(!matches!(refused, Ok(true)), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    other.batch_execute("ROLLBACK").await.unwrap();
    teller.deposit(2, 1).await;
}

/// Statements that are prepared on one connection of the server are executed on another: errors, and no wrong books.
#[tokio::test(flavor = "multi_thread")]
async fn transaction_pooling_loses_nothing_and_is_no_way_to_work() {
    let database = Database::migrated().await;
    let pooler = Pooler::before(&database, "transaction");
    let store = pooler.store(&database, |options| options.deadline = Duration::from_secs(2));
    let mut work = Vec::new();
    for n in 0..40 {
        let store = store.clone();
        work.push(tokio::spawn(async move {
            store.execute(vec![under(&format!("k{n}"), deposit_of(n % 4 + 1, 1)).into()]).await
        }));
    }
    let (mut accepted, mut unknown) = (0_i128, 0);
    for work in work {
        match work.await.unwrap() {
            Ok(replies) if replies[0].is_ok() => accepted += 1,
            Err(RepoError::Unknown(_)) => unknown += 1,
            _ => {}
        }
    }
    let direct = Arc::new(database.store.clone()) as Arc<dyn balance_store_conformance::Store>;
    let summary = audit(&direct).await;
    assert!(
        (accepted..=accepted + unknown).contains(&summary.paid_in),
        "{accepted} accepted, {unknown} unknown"
    );
}
