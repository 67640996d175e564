//! One connection: how it is made, what it is set to, what it refuses, which statements it has ready.

use std::{sync::Arc, time::Duration};

use balance_domain::ports::Cause;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
};
use tokio_postgres::{
    Client, Connection, NoTls,
    config::{Config, TargetSessionAttrs},
    types::{Kind, ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    PostgresOptions,
    execute::{Era, Recent},
    failure::Failure,
    records, rows, statements, tls,
    values::At,
    wire::{Pipeline, Row, Wire, take_over},
};

/// A connection of the pool, for one user at a time.
pub(crate) struct Session {
    wire: Wire,
    era: Option<Era>,
}

impl Session {
    /// Gathers statements of [`statements::HOT`], which are ready, to be sent together.
    pub(crate) fn pipeline(&mut self) -> Pipeline<'_> {
        self.wire.pipeline()
    }

    /// Statements without values or rows.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.wire.run(sql).await
    }

    /// Rows of any statement.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        self.wire.prepare([sql]).await?;
        let mut pipeline = self.wire.pipeline();
        let place = pipeline.add(sql, values)?;
        let mut answers = pipeline.send().await.map_err(|broken| broken.failure)?;
        Ok(answers.rows(place))
    }

    /// Whether the server has warned since this was asked last: see [`Wire::take_warning`].
    pub(crate) fn take_warning(&mut self) -> bool {
        self.wire.take_warning()
    }

    /// Of what is remembered, this belongs to the server that the connection leads to; `None` where nothing is to be
    /// remembered.
    pub(crate) fn era(&self) -> Option<Era> {
        self.era
    }

    /// Learns the composite types and has every statement of the batch path ready.
    async fn prepare_hot(&mut self) -> Result<(), Failure> {
        let names: &[&str] = &records::TYPES;
        let known = self.query(TYPES, &[&names]).await?;
        if known.len() < names.len() {
            return Err(Failure::Away(OUTDATED.into()));
        }
        let known = known.iter().map(composite_array).collect::<Result<Vec<_>, _>>()?;
        self.wire.learn(known);
        self.wire.prepare(statements::HOT).await
    }
}

/// Statements would only fail one by one, as if they were wrong.
const OUTDATED: &str =
    "the schema lacks types that this binary needs: `balance migrate` brings it up to date";

/// Settings that forbid writing, or that could lose acknowledged commits.
const UNFIT: &str = "\
SELECT name || ' ' || setting FROM pg_catalog.pg_settings
WHERE name = 'transaction_read_only' AND setting = 'on'
    OR name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' AND NOT $1";

/// Refuses a server that has settings of [`UNFIT`].
fn refuse_unfit<'a>(settings: impl Iterator<Item = Result<&'a str, Failure>>) -> Result<(), Failure> {
    let settings = settings.collect::<Result<Vec<_>, _>>()?;
    if settings.is_empty() {
        return Ok(());
    }
    let settings = settings.join(", ");
    Err(Failure::Away(format!("the server is not fit to keep a ledger: it runs with {settings}").into()))
}

/// When the server was started. Nothing on Citus, where rows and transactions are those of other servers, and nothing where
/// the crash of a backend can lose commits that were answered: another transaction then gets the number of one of them.
const STARTED: &str = "\
SELECT pg_catalog.pg_postmaster_start_time()
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')
    AND pg_catalog.current_setting('synchronous_commit') <> 'off'";

/// The numbers of composite types and of their arrays.
const TYPES: &str = "\
SELECT typarray, oid, typname::text FROM pg_catalog.pg_type
WHERE typname = ANY ($1) AND typnamespace = 'public'::pg_catalog.regnamespace";

/// [`TYPES`].
fn composite_array(row: &Row) -> Result<Type, Failure> {
    let name: String = rows::column(row, 2)?;
    let element =
        Type::new(name.clone(), rows::column(row, 1)?, Kind::Composite(Vec::new()), "public".into());
    Ok(Type::new(format!("_{name}"), rows::column(row, 0)?, Kind::Array(element), "public".into()))
}

/// Makes connections for the pool, or for itself.
pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    connect_timeout: Duration,
    allow_unsafe_durability: bool,
    runtime: Option<Handle>,
    recent: Arc<Recent>,
}

impl Connector {
    /// Checks the options; connects to nothing. Connections will live on the runtime that this is called on.
    pub(crate) fn new(options: &PostgresOptions, recent: Arc<Recent>) -> Result<Self, Cause> {
        let mut config: Config = tls::with_known_sslmode(&options.url).parse()?;
        let tls = tls::connector(&config, options.ca_file.as_deref())?;
        let further = config.get_options().unwrap_or_default().to_owned();
        config
            .options(format!(
                "{further} {} -c search_path=public,pg_temp -c statement_timeout={} -c lock_timeout={} \
                 -c idle_in_transaction_session_timeout={}",
                statements::PLANNER,
                options.statement_timeout.as_millis(),
                options.lock_timeout.min(options.deadline / 2).as_millis(),
                options.idle_in_transaction_timeout.as_millis(),
            ))
            .application_name(&options.application_name)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(options.connect_timeout)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(10));
        Ok(Self {
            config,
            tls,
            connect_timeout: options.connect_timeout,
            allow_unsafe_durability: options.allow_unsafe_durability,
            runtime: Handle::try_current().ok(),
            recent,
        })
    }

    /// A connection of the driver, outside the pool: for migrations and audits.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        self.in_time(Box::pin(self.client())).await
    }

    async fn client(&self) -> Result<Client, Failure> {
        let client = self.on_runtime(open(self.config.clone(), self.tls.clone())).await?;
        client.batch_execute(statements::PLAN_ONCE).await?;
        let unfit = client.query(UNFIT, &[&self.allow_unsafe_durability]).await?;
        refuse_unfit(unfit.iter().map(|row| Ok(row.try_get(0)?)))?;
        Ok(client)
    }

    async fn session(&self) -> Result<Session, Failure> {
        let wire = self.on_runtime(take_over(self.config.clone(), self.tls.clone())).await?;
        let mut session = Session { wire, era: None };
        session.query(statements::PLAN_ONCE, &[]).await?;
        let unfit = session.query(UNFIT, &[&self.allow_unsafe_durability]).await?;
        refuse_unfit(unfit.iter().map(|row| rows::column(row, 0)))?;
        session.prepare_hot().await?;
        let started = session.query(STARTED, &[]).await?;
        let started_at = started.first().map(|row| rows::column::<At>(row, 0)).transpose()?;
        session.era = started_at.map(|At(started_at)| self.recent.connected(started_at));
        Ok(session)
    }

    /// Where connections live: a worker's runtime may end before the store does, and its connections with it.
    async fn on_runtime<T: Send + 'static>(
        &self,
        connecting: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        match &self.runtime {
            Some(runtime) => {
                runtime.spawn(connecting).await.map_err(|error| Failure::Defect(error.into()))?
            }
            None => connecting.await,
        }
    }

    /// The driver's own limit covers one address of the host, not the exchange that follows.
    async fn in_time<T>(&self, connecting: BoxFuture<'_, Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(self.connect_timeout * 2, connecting)
            .await
            .unwrap_or_else(|_| Err(Failure::Away("connecting took too long".into())))
    }
}

impl Manager for Connector {
    type Type = Session;
    type Error = Failure;

    async fn create(&self) -> Result<Session, Failure> {
        self.in_time(Box::pin(self.session())).await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Failure> {
        if session.wire.is_closed() {
            return Err(RecycleError::message("the connection was closed"));
        }
        Ok(())
    }
}

async fn open(config: Config, tls: Option<MakeRustlsConnect>) -> Result<Client, Failure> {
    if let Some(tls) = tls {
        let (client, connection) = config.connect(tls).await?;
        tokio::spawn(drive(connection));
        return Ok(client);
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(drive(connection));
    Ok(client)
}

/// Moves messages until the connection ends; those who wait for an answer then learn it from the client.
async fn drive<S, T>(connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    if let Err(error) = connection.await {
        tracing::debug!(error = %Cause::from(error), "a connection to the database ended");
    }
}
