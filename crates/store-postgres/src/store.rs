//! The store: a pool of sessions, and how work gets one.
//!
//! Batches take connections from the pool as they like: no more of them run side by side than there are lanes. All
//! other work needs a share first, of which there are fewer than connections, so that reads that wait for the
//! server keep no money from moving.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    Moment,
    ports::{Clock, Connections, RepoError},
};
use deadpool::{
    Runtime,
    managed::{Manager, Object, Pool, PoolError, Timeouts},
};
use futures::future::BoxFuture;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_postgres::{Client, types::ToSql};

use crate::{
    PostgresOptions,
    execute::{Held, Recent},
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
    /// How many connections may be in use for anything but batches.
    beside: Arc<Semaphore>,
    /// How many more may be in use for [`PostgresStore::probe`].
    probes: Arc<Semaphore>,
    held: Arc<Held>,
    recent: Arc<Recent>,
    clock: Arc<dyn Clock>,
    options: Arc<PostgresOptions>,
}

impl PostgresStore {
    /// Checks the options; what depends on the time is decided by `clock`. Connects to nothing: a database that is away at start is one that is away later.
    pub fn new(options: PostgresOptions, clock: Arc<dyn Clock>) -> Result<Self, RepoError> {
        let recent = Arc::new(Recent::new(options.recent_accounts_max, options.recent_rest_max));
        let connector = Connector::new(&options, recent.clone()).map_err(RepoError::Internal)?;
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
        let beside = options.connections_max.saturating_sub(options.batches_max + 1).max(1);
        Ok(Self {
            pool,
            beside: Arc::new(Semaphore::new(beside)),
            probes: Arc::new(Semaphore::new(1)),
            held: Arc::default(),
            recent,
            clock,
            options: Arc::new(options),
        })
    }

    pub(crate) fn pool_connections(&self) -> Connections {
        let status = self.pool.status();
        let in_use = status.size.saturating_sub(status.available);
        Connections { max: status.max_size, in_use, idle: status.available, waiting: status.waiting }
    }

    pub(crate) fn options(&self) -> &PostgresOptions {
        &self.options
    }

    /// The time for a decision that is made now.
    pub(crate) fn moment(&self) -> Result<Moment, RepoError> {
        Ok(self.clock.moment()?)
    }

    /// A connection of the driver, outside the pool.
    pub(crate) async fn separate(&self) -> Result<Client, Failure> {
        self.pool.manager().connect().await
    }

    /// A connection like those of the pool, outside of it.
    pub(crate) async fn separate_session(&self) -> Result<Session, Failure> {
        self.pool.manager().create().await
    }

    /// Accounts that somebody else was found to hold.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Accounts as this instance left them.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// A connection for a batch, for as long as the lease lasts. Other work cannot have taken them all.
    pub(crate) async fn lease(&self) -> Result<Lease, Failure> {
        match self.pool.get().await {
            Ok(object) => Ok(Lease { object: Some(object), is_clean: false, share: None }),
            Err(PoolError::Backend(failure)) => Err(failure),
            Err(PoolError::Timeout(_)) => Err(Failure::Busy),
            Err(error) => Err(Failure::Away(error.into())),
        }
    }

    /// A connection for something that only reads.
    pub(crate) async fn lease_for_read(&self) -> Result<Lease, Failure> {
        self.lease_beside(&self.beside).await
    }

    /// A connection for anything but a batch.
    async fn lease_beside(&self, shares: &Arc<Semaphore>) -> Result<Lease, Failure> {
        let share = timeout(self.options.wait_timeout, shares.clone().acquire_owned());
        let share = share.await.map_err(|_| Failure::Busy)?;
        let share = share.map_err(|error| Failure::Defect(error.into()))?;
        let mut lease = self.lease().await?;
        lease.share = Some(share);
        Ok(lease)
    }

    /// One statement that only reads. Tried again when the connection broke, all within the deadline of a call.
    pub(crate) async fn read(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, RepoError> {
        self.repeated_in_time(|| self.read_once(&self.beside, sql, values)).await
    }

    /// The same on a connection that is kept for this, one at a time: whether the service is ready must not depend on
    /// how busy it is.
    pub(crate) async fn probe(&self, sql: &str) -> Result<Vec<Row>, RepoError> {
        self.repeated_in_time(|| self.read_once(&self.probes, sql, &[])).await
    }

    /// Begins a transaction that is not a batch's. Tried again while connections turn out to be broken.
    pub(crate) async fn begin(&self, begin: &str) -> Result<Transaction, RepoError> {
        self.begin_within(self.options.deadline, begin).await
    }

    /// The same for work that is long by nature: from here to its commit it may take so much time.
    pub(crate) async fn begin_within(&self, within: Duration, begin: &str) -> Result<Transaction, RepoError> {
        let until = Instant::now() + within;
        let connected_by = Instant::now() + self.options.deadline;
        let lease = self.repeated(connected_by.min(until), || self.begin_once(begin)).await?;
        Ok(Transaction { lease, until })
    }

    /// Repeats within the deadline of a call what only reads.
    pub(crate) async fn repeated_in_time<T, F>(&self, once: impl FnMut() -> F) -> Result<T, RepoError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.repeated(Instant::now() + self.options.deadline, once).await
    }

    /// Does something that may be done any number of times until it succeeds, fails for good, or time is up.
    async fn repeated<T, F>(&self, until: Instant, mut once: impl FnMut() -> F) -> Result<T, RepoError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let repeating = async {
            let mut attempt = 1;
            loop {
                match once().await {
                    Err(failure) if failure.is_passing() && attempt < READ_ATTEMPTS_MAX => {
                        tokio::time::sleep(jitter(attempt)).await;
                    }
                    result => return result.map_err(Failure::into_error),
                }
                attempt += 1;
            }
        };
        timeout_at(until, repeating)
            .await
            .unwrap_or_else(|_| Err(RepoError::Unavailable("the database did not answer in time".into())))
    }

    async fn begin_once(&self, begin: &str) -> Result<Lease, Failure> {
        let mut lease = self.lease_beside(&self.beside).await?;
        lease.session().run(begin).await?;
        Ok(lease)
    }

    async fn read_once(
        &self,
        shares: &Arc<Semaphore>,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let mut lease = self.lease_beside(shares).await?;
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
    /// Of the connections for anything but batches.
    share: Option<OwnedSemaphorePermit>,
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

/// A transaction that is not a batch's. Dropped, it is rolled back: its connection is closed.
pub(crate) struct Transaction {
    lease: Lease,
    /// When all of it must be over.
    until: Instant,
}

impl Transaction {
    /// Does the transaction's work on its session, in time.
    pub(crate) async fn work<T>(
        &mut self,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(self.until, work(self.lease.session()))
            .await
            .unwrap_or_else(|_| Err(Failure::Away("the database did not answer in time".into())))
    }

    /// Commits what was done, or closes the connection and with it the transaction. A commit that nobody answered is
    /// not repeated: other than batches, this work has no keys that tell.
    pub(crate) async fn finish<T>(mut self, done: Result<T, Failure>) -> Result<T, RepoError> {
        let value = done.map_err(Failure::into_error)?;
        let session = self.lease.session();
        session.take_warning();
        match timeout_at(self.until, session.run(COMMIT_ALONE)).await {
            Ok(Ok(())) if session.take_warning() => {
                Err(RepoError::Unknown("the server warned while it committed".into()))
            }
            Ok(Ok(())) => {
                self.lease.give_back();
                Ok(value)
            }
            Ok(Err(failure)) if failure.is_passing() => Err(failure.into_unknown()),
            Ok(Err(failure)) => Err(failure.into_error()),
            Err(_) => Err(RepoError::Unknown("the database did not answer in time".into())),
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
