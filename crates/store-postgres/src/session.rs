//! One connection: how it is made, what it is set to, what it refuses, which statements it has ready.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use balance_domain::ports::Cause;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use futures::future::try_join_all;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
};
use tokio_postgres::{
    AsyncMessage, Client, Connection, NoTls, Row, Statement,
    config::{Config, TargetSessionAttrs},
    error::Severity,
    types::ToSql,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{PostgresOptions, failure::Failure, statements, tls};

/// A connection, for one user at a time.
pub(crate) struct Session {
    client: Client,
    prepared: Mutex<HashMap<String, Statement>>,
    has_warned: Arc<AtomicBool>,
}

impl Session {
    /// The driver's client, for transactions of its own kind.
    pub(crate) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Rows of a statement of [`statements::HOT`]. It is sent at the first poll of this, without waiting for
    /// anything, so that several can be on their way; sessions answer in the order of sending.
    pub(crate) async fn query_hot(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        Ok(self.client.query(&self.hot(sql)?, values).await?)
    }

    /// How many rows a statement of [`statements::HOT`] wrote. Sent as by [`Self::query_hot`].
    pub(crate) async fn execute_hot(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Failure> {
        Ok(self.client.execute(&self.hot(sql)?, values).await?)
    }

    /// Statements without values or rows. Sent as by [`Self::query_hot`].
    pub(crate) async fn run(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Rows of any statement.
    pub(crate) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// Whether the server has warned since this was asked last. A warning comes before the answer that it
    /// belongs to; the one that matters tells of a commit that a standby did not confirm.
    pub(crate) fn take_warning(&self) -> bool {
        self.has_warned.swap(false, Ordering::AcqRel)
    }

    /// The prepared statement: at hand without waiting, or prepared now.
    pub(crate) async fn statement(&self, sql: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self.known(sql) {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn hot(&self, sql: &str) -> Result<Statement, Failure> {
        self.known(sql)
            .ok_or_else(|| Failure::Defect("a statement of the batch path was not prepared".into()))
    }

    fn known(&self, sql: &str) -> Option<Statement> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned()
    }

    /// Prepares all statements of the batch path in one round trip.
    async fn prepare_hot(&self) -> Result<(), Failure> {
        try_join_all(statements::HOT.iter().map(|sql| self.statement(sql))).await.map(|_| ())
    }

    async fn refuse_unsafe_durability(&self) -> Result<(), Failure> {
        let off = self
            .client
            .query(
                "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', \
                 'synchronous_commit') AND setting = 'off'",
                &[],
            )
            .await?;
        let names: Vec<&str> = off.iter().filter_map(|row| row.try_get(0).ok()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let names = names.join(", ");
        Err(Failure::Away(
            format!("the server could lose acknowledged commits: it runs with {names} off").into(),
        ))
    }
}

/// Makes connections for the pool, or for itself.
pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    connect_timeout: Duration,
    allow_unsafe_durability: bool,
    runtime: Option<Handle>,
}

impl Connector {
    /// Checks the options; connects to nothing. Connections will live on the runtime that this is called on.
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, Cause> {
        let mut config: Config = tls::with_known_sslmode(&options.url).parse()?;
        let tls = tls::connector(&config, options.ca_file.as_deref())?;
        let further = config.get_options().unwrap_or_default().to_owned();
        config
            .options(format!(
                "{further} {} -c search_path=public,pg_temp -c statement_timeout={} -c lock_timeout={} \
                 -c idle_in_transaction_session_timeout={}",
                statements::PLANNER,
                options.statement_timeout.as_millis(),
                options.lock_timeout.as_millis(),
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
        })
    }

    /// A connection that has no statements ready and belongs to no pool.
    pub(crate) async fn connect(&self) -> Result<Session, Failure> {
        let connecting = open(self.config.clone(), self.tls.clone());
        // A worker's runtime may end before the store does, and its connections with it.
        let opened = match &self.runtime {
            Some(runtime) => {
                runtime.spawn(connecting).await.map_err(|error| Failure::Defect(error.into()))?
            }
            None => connecting.await,
        };
        let (client, has_warned) = opened?;
        let session = Session { client, prepared: Mutex::default(), has_warned };
        session.client.batch_execute(statements::PLAN_ONCE).await?;
        if !self.allow_unsafe_durability {
            session.refuse_unsafe_durability().await?;
        }
        Ok(session)
    }
}

impl Manager for Connector {
    type Type = Session;
    type Error = Failure;

    async fn create(&self) -> Result<Session, Failure> {
        let making = async {
            let session = self.connect().await?;
            session.prepare_hot().await?;
            Ok(session)
        };
        // The driver's own limit covers one address of the host, not the exchange that follows.
        tokio::time::timeout(self.connect_timeout * 2, Box::pin(making))
            .await
            .unwrap_or_else(|_| Err(Failure::Away("connecting took too long".into())))
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Failure> {
        if session.client.is_closed() {
            return Err(RecycleError::message("the connection was closed"));
        }
        Ok(())
    }
}

async fn open(
    config: Config,
    tls: Option<MakeRustlsConnect>,
) -> Result<(Client, Arc<AtomicBool>), tokio_postgres::Error> {
    let has_warned = Arc::new(AtomicBool::new(false));
    let client = if let Some(tls) = tls {
        let (client, connection) = config.connect(tls).await?;
        tokio::spawn(drive(connection, has_warned.clone()));
        client
    } else {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(drive(connection, has_warned.clone()));
        client
    };
    Ok((client, has_warned))
}

/// Moves messages until the connection ends; those who wait for an answer then learn it from the client.
async fn drive<S, T>(mut connection: Connection<S, T>, has_warned: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    has_warned.store(true, Ordering::Release);
                    tracing::warn!(
                        code = notice.code().code(),
                        notice = notice.message(),
                        "the database warns"
                    );
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = %Cause::from(error), "a connection to the database ended");
                return;
            }
        }
    }
}
