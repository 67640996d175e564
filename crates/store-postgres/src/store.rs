//! The store: a pool of sessions, and how work gets one.

use std::{sync::Arc, time::Duration};

use balance_domain::ports::{Connections, RepoError};
use deadpool::{
    Runtime,
    managed::{Manager, Object, Pool, PoolError, Timeouts},
};
use tokio_postgres::{Client, types::ToSql};

use crate::{
    PostgresOptions,
    failure::Failure,
    session::{Connector, Session},
    statements::COMMIT_ALONE,
    wire::Row,
};

/// How often a read is tried: connections that a restart of the server left behind break at first use.
const READ_ATTEMPTS_MAX: u32 = 3;

/// The ledger in PostgreSQL. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool<Connector>,
    options: Arc<PostgresOptions>,
}

impl PostgresStore {
    /// Checks the options. Connects to nothing: a database that is away at start is one that is away later.
    pub fn new(options: PostgresOptions) -> Result<Self, RepoError> {
        let connector = Connector::new(&options).map_err(RepoError::Internal)?;
        let pool = Pool::builder(connector)
            .max_size(options.connections_max.max(1))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(options.wait_timeout),
                // The connector bounds itself.
                create: None,
                recycle: None,
            })
            .build()
            .map_err(|error| RepoError::Internal(error.into()))?;
        Ok(Self { pool, options: Arc::new(options) })
    }

    pub(crate) fn pool_connections(&self) -> Connections {
        let status = self.pool.status();
        let in_use = status.size.saturating_sub(status.available);
        Connections { max: status.max_size, in_use, idle: status.available, waiting: status.waiting }
    }

    pub(crate) fn options(&self) -> &PostgresOptions {
        &self.options
    }

    /// A connection of the driver, outside the pool.
    pub(crate) async fn separate(&self) -> Result<Client, Failure> {
        self.pool.manager().connect().await
    }

    /// A connection like those of the pool, outside of it.
    pub(crate) async fn separate_session(&self) -> Result<Session, Failure> {
        self.pool.manager().create().await
    }

    /// A connection of the pool, for as long as the lease lasts.
    pub(crate) async fn lease(&self) -> Result<Lease, Failure> {
        match self.pool.get().await {
            Ok(object) => Ok(Lease { object: Some(object), is_clean: false }),
            Err(PoolError::Backend(failure)) => Err(failure),
            Err(PoolError::Timeout(_)) => Err(Failure::Busy),
            Err(error) => Err(Failure::Away(error.into())),
        }
    }

    /// One statement that only reads. Tried again when the connection broke.
    pub(crate) async fn read(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, RepoError> {
        let mut attempt = 1;
        loop {
            match tokio::time::timeout(self.options.deadline, self.read_once(sql, values)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(Failure::Lost(_) | Failure::Away(_) | Failure::Contention(_)))
                    if attempt < READ_ATTEMPTS_MAX =>
                {
                    tokio::time::sleep(jitter(attempt)).await;
                }
                Ok(Err(failure)) => return Err(failure.into_error()),
                Err(_) => return Err(RepoError::Unavailable("the database did not answer in time".into())),
            }
            attempt += 1;
        }
    }

    /// Begins a transaction that is not a batch's. Tried again while connections turn out to be broken.
    pub(crate) async fn begin(&self, begin: &str) -> Result<Lease, RepoError> {
        let mut attempt = 1;
        loop {
            match tokio::time::timeout(self.options.deadline, self.begin_once(begin)).await {
                Ok(Ok(lease)) => return Ok(lease),
                Ok(Err(Failure::Lost(_) | Failure::Away(_))) if attempt < READ_ATTEMPTS_MAX => {
                    tokio::time::sleep(jitter(attempt)).await;
                }
                Ok(Err(failure)) => return Err(failure.into_error()),
                Err(_) => return Err(RepoError::Unavailable("the database did not answer in time".into())),
            }
            attempt += 1;
        }
    }

    async fn begin_once(&self, begin: &str) -> Result<Lease, Failure> {
        let mut lease = self.lease().await?;
        lease.session().run(begin).await?;
        Ok(lease)
    }

    /// Commits what was done on the lease, or closes its connection and with it the transaction. A commit that
    /// nobody answered is not repeated: other than batches, this work has no keys that tell.
    pub(crate) async fn finish<T>(&self, mut lease: Lease, done: Result<T, Failure>) -> Result<T, RepoError> {
        let value = done.map_err(Failure::into_error)?;
        lease.session().take_warning();
        let committed = tokio::time::timeout(self.options.deadline, lease.session().run(COMMIT_ALONE)).await;
        match committed {
            Ok(Ok(())) if lease.session().take_warning() => {
                Err(RepoError::Unknown("the server warned while it committed".into()))
            }
            Ok(Ok(())) => {
                lease.give_back();
                Ok(value)
            }
            Ok(Err(failure @ (Failure::Lost(_) | Failure::Away(_) | Failure::Contention(_)))) => {
                Err(failure.into_unknown())
            }
            Ok(Err(failure)) => Err(failure.into_error()),
            Err(_) => Err(RepoError::Unknown("the database did not answer in time".into())),
        }
    }

    async fn read_once(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        let mut lease = self.lease().await?;
        let rows = lease.session().query(sql, values).await?;
        lease.give_back();
        Ok(rows)
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A borrowed connection. Unless it is given back, it is closed: after an error, or when its user was
/// cancelled, nobody knows what state it is in.
pub(crate) struct Lease {
    object: Option<Object<Connector>>,
    is_clean: bool,
}

impl Lease {
    #[expect(clippy::expect_used, reason = "taken out by `drop` alone")]
    pub(crate) fn session(&mut self) -> &mut Session {
        self.object.as_mut().expect("a lease has its connection")
    }

    /// Ends the lease with a connection that has no transaction open and no answer outstanding.
    pub(crate) fn give_back(mut self) {
        self.is_clean = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_clean
            && let Some(object) = self.object.take()
        {
            drop(Object::take(object));
        }
    }
}

/// A wait before attempt number `attempt + 1`: longer each time, and never the same for two.
pub(crate) fn jitter(attempt: u32) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let most = 4_000_u64 << attempt.min(6);
    Duration::from_micros(1_000 + random % most)
}
