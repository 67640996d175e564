//! The store: pools of connections, and how work gets one.
//!
//! Batches have connections of their own, one for each that runs beside others. All other work shares further ones, so
//! that reads that wait for the server keep no money from moving; one is kept to tell whether the store is ready, which
//! must not depend on how busy it is.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use balance_domain::{
    Moment, Timestamp,
    ports::{Clock, ClockUnsafe, Connections, RepoError},
};
use deadpool_postgres::{ClientWrapper, Object, Pool, PoolError};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    PostgresOptions, cache::AccountCache, connection::Connector, contention::Contention, error::Failure,
    events::Head, statements::COMMIT_ALONE,
};

/// How often a read is tried: connections that a restart of the server left behind break at first use.
const READ_ATTEMPTS_MAX: u32 = 3;

/// How long a server is believed to run with the settings that it was last asked for.
const FIT_FOR: Duration = Duration::from_secs(2);

/// The ledger in PostgreSQL. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    options: PostgresOptions,
    connector: Connector,
    batches: Pool,
    others: Pool,
    probes: Pool,
    /// When the server was last found fit.
    fit_at: Mutex<Option<Instant>>,
    cache: AccountCache,
    contention: Contention,
    clock: Arc<dyn Clock>,
    /// Up to when the books are closed, as far as this instance knows, in microseconds. Whatever is written confirms
    /// it.
    closed_until: AtomicI64,
    head: Head,
}

impl PostgresStore {
    /// Checks the options; what depends on the time is decided by `clock`. Connects to nothing: a database that is
    /// away at start is one that is away later.
    pub fn new(options: PostgresOptions, clock: Arc<dyn Clock>) -> Result<Self, RepoError> {
        let connector = Connector::new(&options).map_err(RepoError::Internal)?;
        let pool = |connections_max| connector.pool(connections_max).map_err(RepoError::Internal);
        let batches_max = options.batches_max.max(1);
        Ok(Self(Arc::new(Inner {
            batches: pool(batches_max)?,
            others: pool(options.connections_max.saturating_sub(batches_max + 1).max(1))?,
            probes: pool(1)?,
            fit_at: Mutex::default(),
            cache: AccountCache::new(options.recent_accounts_max),
            contention: Contention::new(options.recent_rest_max),
            connector,
            closed_until: AtomicI64::new(Timestamp::MIN.micros()),
            clock,
            options,
            head: Head::default(),
        })))
    }

    pub(crate) fn pool_connections(&self) -> Connections {
        let mut all = Connections { max: 0, in_use: 0, idle: 0, waiting: 0 };
        for pool in [&self.0.batches, &self.0.others, &self.0.probes] {
            let status = pool.status();
            all.max += status.max_size;
            all.in_use += status.size.saturating_sub(status.available);
            all.idle += status.available;
            all.waiting += status.waiting;
        }
        all
    }

    pub(crate) fn options(&self) -> &PostgresOptions {
        &self.0.options
    }

    /// The time for a decision that is made now.
    pub(crate) fn moment(&self) -> Result<Moment, ClockUnsafe> {
        let closed_until = Timestamp::from_micros(self.0.closed_until.load(Ordering::Relaxed));
        Ok(self.0.clock.moment()?.closed_until(closed_until.unwrap_or(Timestamp::MIN)))
    }

    /// Takes note of up to when the books are closed.
    pub(crate) fn note_closed(&self, until: Timestamp) {
        self.0.closed_until.fetch_max(until.micros(), Ordering::Relaxed);
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.0.connector
    }

    /// Accounts as this instance wrote them last.
    pub(crate) fn cache(&self) -> &AccountCache {
        &self.0.cache
    }

    /// How far the feed can be shown.
    pub(crate) fn head(&self) -> &Head {
        &self.0.head
    }

    /// Who was in the way of batches.
    pub(crate) fn contention(&self) -> &Contention {
        &self.0.contention
    }

    /// A connection for a batch, to a server that was fit to keep it a moment ago.
    pub(crate) async fn lease_for_batch(&self) -> Result<Lease, Failure> {
        let lease = lease(&self.0.batches).await?;
        if self.is_fitness_old() {
            self.check_fitness(lease.client()).await?;
        }
        Ok(lease)
    }

    /// A connection for something that only reads.
    pub(crate) async fn lease_for_read(&self) -> Result<Lease, Failure> {
        lease(&self.0.others).await
    }

    /// Refuses a server whose settings could lose commits: they can be changed while it runs.
    pub(crate) async fn check_fitness(&self, client: &ClientWrapper) -> Result<(), Failure> {
        self.0.connector.refuse_unfit(client).await?;
        *self.0.fit_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    fn is_fitness_old(&self) -> bool {
        let fit_at = *self.0.fit_at.lock().unwrap_or_else(PoisonError::into_inner);
        fit_at.is_none_or(|at| at.elapsed() > FIT_FOR)
    }

    /// One statement that only reads. Tried again when the connection broke, all within the deadline of a call.
    pub(crate) async fn read(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, RepoError> {
        self.repeated_in_time(|| async {
            let lease = self.lease_for_read().await?;
            let rows = query(lease.client(), sql, values).await;
            lease.used(rows)
        })
        .await
    }

    /// Reads on the connection that is kept for this, from a server that is fit.
    pub(crate) async fn probe(&self, sql: &str) -> Result<Vec<Row>, RepoError> {
        self.repeated_in_time(|| async {
            let lease = lease(&self.0.probes).await?;
            self.check_fitness(lease.client()).await?;
            let rows = query(lease.client(), sql, &[]).await;
            lease.used(rows)
        })
        .await
    }

    /// Begins a transaction that is not a batch's. Tried again while connections turn out to be broken.
    pub(crate) async fn begin(&self, begin: &str) -> Result<Transaction, RepoError> {
        self.begin_within(self.0.options.deadline, begin).await
    }

    /// The same for work that is long by nature: from here to its commit it may take as long as `within`.
    pub(crate) async fn begin_within(&self, within: Duration, begin: &str) -> Result<Transaction, RepoError> {
        let until = Instant::now() + within;
        let connected_by = Instant::now() + self.0.options.deadline;
        let beginning = self.repeated(connected_by.min(until), || async {
            let lease = self.lease_for_read().await?;
            lease.client().batch_execute(begin).await?;
            Ok(lease)
        });
        Ok(Transaction { store: self.clone(), lease: beginning.await?, until })
    }

    /// Repeats within the deadline of a call what may be done any number of times.
    pub(crate) async fn repeated_in_time<T, F>(&self, once: impl FnMut() -> F) -> Result<T, RepoError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.repeated(Instant::now() + self.0.options.deadline, once).await
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
        timeout_at(until, repeating).await.unwrap_or_else(|_| Err(Failure::late().into_error()))
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// Rows of a statement, which the connection keeps ready.
pub(crate) async fn query(
    client: &ClientWrapper,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Failure> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, values).await?)
}

async fn lease(pool: &Pool) -> Result<Lease, Failure> {
    match pool.get().await {
        Ok(object) => Ok(Lease(Some(object))),
        Err(PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) => Err(Failure::Busy),
        Err(PoolError::Backend(error)) => Err(Failure::unconnected(error)),
        // Nothing was asked of the server yet.
        Err(error) => Err(Failure::Away(error.into())),
    }
}

/// A borrowed connection. Unless it is given back, it is closed: after an error, or when its user was
/// cancelled, nobody knows what state it is in.
pub(crate) struct Lease(Option<Object>);

impl Lease {
    #[expect(clippy::expect_used, reason = "taken out at the end alone")]
    pub(crate) fn client(&self) -> &ClientWrapper {
        self.0.as_ref().expect("a lease has its connection")
    }

    /// Ends the lease with a connection that has no transaction open and no answer outstanding.
    pub(crate) fn give_back(mut self) {
        drop(self.0.take());
    }

    /// Ends the lease after statements that were each a transaction of their own.
    pub(crate) fn used<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.as_ref().err().is_none_or(Failure::leaves_connection_fit) {
            self.give_back();
        }
        result
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// A transaction that is not a batch's. Dropped, it is rolled back: its connection is closed.
pub(crate) struct Transaction {
    store: PostgresStore,
    lease: Lease,
    /// When all of it must be over.
    until: Instant,
}

impl Transaction {
    /// Rows of a statement of the transaction.
    pub(crate) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        let asking = query(self.lease.client(), sql, values);
        timeout_at(self.until, asking).await.unwrap_or_else(|_| Err(Failure::Away(TOO_LATE.into())))
    }

    /// Commits what was done, or closes the connection and with it the transaction. A commit that nobody answered is
    /// not repeated: other than batches, this work has no keys that tell whether it happened.
    pub(crate) async fn finish<T>(self, done: Result<T, Failure>) -> Result<T, RepoError> {
        let value = done.map_err(Failure::into_error)?;
        let warnings = self.store.connector().warnings();
        let committing = async { Ok(self.lease.client().batch_execute(COMMIT_ALONE).await?) };
        let committed = timeout_at(self.until, committing).await.unwrap_or_else(|_| Err(Failure::late()));
        committed.map_err(
            |failure| {
                if failure.is_open() { failure.into_unknown() } else { failure.into_error() }
            },
        )?;
        if self.store.connector().warnings() != warnings {
            return Err(RepoError::Unknown("the server warned while it committed".into()));
        }
        self.lease.give_back();
        Ok(value)
    }
}

const TOO_LATE: &str = "the database did not answer in time";

/// A wait before attempt number `attempt + 1`: longer each time, and never the same for two.
pub(crate) fn jitter(attempt: u32) -> Duration {
    let range = 4_000_u64 << attempt.min(6);
    // Without random numbers two who were in each other's way would wait equally long.
    let random = getrandom::u64().unwrap_or_default();
    Duration::from_micros(1_000 + random % range)
}
