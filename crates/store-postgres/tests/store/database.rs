//! A migrated database of its own for each test, on the one server of the test binary.

use std::{sync::Arc, time::Duration};

use balance_postgres_harness::{Server, shared};
use balance_store_conformance::{Harness, SetClock, Store};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use tokio::sync::OnceCell;

/// Migrated once, then copied for every test.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database, and a store on it.
pub(crate) struct Database {
    pub(crate) server: &'static Server,
    pub(crate) name: String,
    pub(crate) store: PostgresStore,
    pub(crate) clock: SetClock,
}

impl Database {
    /// A migrated, empty database.
    pub(crate) async fn migrated() -> Self {
        let server = shared();
        let template = TEMPLATE
            .get_or_init(|| async {
                let name = server.create_database(None);
                let store = open(options(&server.url(&name)), &SetClock::default());
                store.migrate().await.unwrap();
                drop(store);
                end_sessions(server, &name);
                name
            })
            .await;
        let name = server.create_database(Some(template));
        let clock = SetClock::default();
        let store = open(options(&server.url(&name)), &clock);
        Self { server, name, store, clock }
    }

    /// A further store on the same database: another process of the service.
    #[allow(dead_code, reason = "not every test binary has several processes")]
    pub(crate) fn another(&self, change: impl FnOnce(&mut PostgresOptions)) -> PostgresStore {
        let mut options = options(&self.server.url(&self.name));
        change(&mut options);
        open(options, &self.clock)
    }

    /// Runs SQL as superuser, past the store.
    #[allow(dead_code, reason = "not every test binary looks past the store")]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }
}

/// Ends the sessions of a database that is to be copied. Those of a store that was dropped end when its runtime comes
/// to it, and copying keeps this one waiting.
pub(crate) fn end_sessions(server: &Server, name: &str) {
    let sessions = format!("FROM pg_stat_activity WHERE datname = '{name}'");
    server.psql("postgres", &format!("SELECT pg_terminate_backend(pid) {sessions}"));
}

/// A store of these options with this clock.
pub(crate) fn open(options: PostgresOptions, clock: &SetClock) -> PostgresStore {
    PostgresStore::new(options, Arc::new(clock.clone())).unwrap()
}

/// For a server that is fast rather than durable, shared by many tests at once. However often others were faster, each
/// batch is tried without a look first: what must be noticed then is to happen often.
pub(crate) fn options(url: &str) -> PostgresOptions {
    PostgresOptions {
        connections_max: 4,
        wait_timeout: Duration::from_secs(30),
        deadline: Duration::from_secs(20),
        allow_unsafe_durability: true,
        recent_rest_max: Duration::ZERO,
        ..PostgresOptions::new(url)
    }
}

#[async_trait::async_trait]
impl Harness for Database {
    async fn fresh() -> Self {
        Self::migrated().await
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    fn clock(&self) -> SetClock {
        self.clock.clone()
    }

    async fn reopen(self) -> Self {
        let Self { server, name, store, clock } = self;
        drop(store);
        let store = open(options(&server.url(&name)), &clock);
        Self { server, name, store, clock }
    }

    async fn instances(&self, count: usize) -> Vec<Arc<dyn Store>> {
        (0..count).map(|_| Arc::new(self.another(|_| {})) as Arc<dyn Store>).collect()
    }
}

/// Another client of the database, past the store.
#[allow(dead_code, reason = "not every test binary looks past the store")]
pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
