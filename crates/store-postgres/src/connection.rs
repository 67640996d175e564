//! Connections: how they are made, what they are set to, which servers are refused, what a server warns of.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use balance_domain::ports::Cause;
use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts,
};
use futures::future::{BoxFuture, join};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Client, Connection, NoTls,
    config::{Config, TargetSessionAttrs},
    error::Severity,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{PostgresOptions, error::Failure, statements::PLANNER, tls};

/// Keeps the session at what it was found fit with, whatever the server's settings are changed to later, but never at
/// `local`: it would not wait for a standby that is demanded later. And has every
/// statement planned once, not for each set of values: with [`PLANNER`] the plans are the same, and planning costs more
/// than running most of them. Not on Citus, which looks at values to find the shard.
const PIN: &str = "\
SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'local' THEN 'on' \
        ELSE current_setting('synchronous_commit') END, false), \
    CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')
    THEN set_config('plan_cache_mode', 'force_generic_plan', false) END";

/// Settings that forbid writing, that could lose acknowledged commits or hide that a standby has not confirmed one.
const UNFIT: &str = "\
SELECT coalesce(string_agg(s.name || ' ' || s.setting, ', '), '') FROM (
    SELECT name, current_setting(name) AS setting FROM unnest(ARRAY[
        'transaction_read_only', 'fsync', 'full_page_writes', 'synchronous_commit', 'client_min_messages'
    ]) AS name
) AS s
WHERE s.name = 'transaction_read_only' AND s.setting = 'on'
    OR s.name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND s.setting = 'off' AND NOT $1
    OR s.name = 'client_min_messages' AND s.setting = 'error'";

/// Makes connections, for pools or for one user.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    /// What every session is set to.
    settings: String,
    tls: Option<MakeRustlsConnect>,
    connect_timeout: Duration,
    wait_timeout: Duration,
    allow_unsafe_durability: bool,
    runtime: Option<Handle>,
    warnings: Arc<AtomicU64>,
}

impl Connector {
    /// Checks the options; connects to nothing. Connections will live on the runtime that this is called on.
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, Cause> {
        let mut config: Config = tls::with_known_sslmode(&options.url).parse()?;
        let tls = tls::connector(&config, options.ca_file.as_deref())?;
        // Statements, not parameters of the start: a pooler would refuse or swallow those.
        let settings = format!(
            "{PLANNER}; SET search_path = public, pg_temp; SET client_min_messages = warning; \
             SET default_transaction_isolation = 'read committed'; SET statement_timeout = {}; SET lock_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}",
            options.statement_timeout.as_millis(),
            options.lock_timeout.min(options.deadline / 2).as_millis(),
            options.idle_in_transaction_timeout.as_millis(),
        );
        config
            .application_name(&options.application_name)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(options.connect_timeout)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(10));
        Ok(Self {
            config,
            settings,
            tls,
            // The driver's own limit covers one address of the host, not the exchange that follows.
            connect_timeout: options.connect_timeout * 2,
            wait_timeout: options.wait_timeout,
            allow_unsafe_durability: options.allow_unsafe_durability,
            runtime: Handle::try_current().ok(),
            warnings: Arc::default(),
        })
    }

    /// A pool of at most as many connections.
    pub(crate) fn pool(&self, connections_max: usize) -> Result<Pool, Cause> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(self.config.clone(), self.clone(), config);
        let connector = self.clone();
        let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let connector = connector.clone();
            Box::pin(async move {
                let failed = |failure: Failure| HookError::message(Cause::from(failure).to_string());
                connector.set_up(client).await.map_err(failed)
            })
        });
        let timeouts = Timeouts {
            wait: Some(self.wait_timeout),
            create: Some(self.connect_timeout),
            recycle: Some(self.connect_timeout),
        };
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .post_create(set_up);
        Ok(pool.build()?)
    }

    /// A connection outside of the pools: for migrations and audits.
    pub(crate) async fn separate(&self) -> Result<Client, Failure> {
        let connecting = timeout(self.connect_timeout, self.connect(&self.config));
        let (client, _) = connecting.await.map_err(|_| late())?.map_err(Failure::unconnected)?;
        self.set_up(&client).await?;
        Ok(client)
    }

    /// A connection for something that only reads, which a standby may serve, too.
    pub(crate) async fn separate_for_read(&self) -> Result<Client, Failure> {
        let mut config = self.config.clone();
        config.target_session_attrs(TargetSessionAttrs::Any);
        let connecting = timeout(self.connect_timeout, self.connect(&config));
        let (client, _) = connecting.await.map_err(|_| late())?.map_err(Failure::unconnected)?;
        timeout(self.connect_timeout, client.batch_execute(&self.settings)).await.map_err(|_| late())??;
        Ok(client)
    }

    /// How often any server has warned. A commit that nobody interrupts is answered without a warning; one whose wait
    /// for a standby was given up is answered with one, which has been counted by then.
    pub(crate) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    /// Refuses a server that runs with settings of [`UNFIT`].
    pub(crate) async fn refuse_unfit(&self, client: &Client) -> Result<(), Failure> {
        let found = client.query_one(UNFIT, &[&self.allow_unsafe_durability]).await?;
        let settings: &str = found.try_get(0)?;
        if settings.is_empty() {
            return Ok(());
        }
        Err(Failure::Away(format!("the server is not fit to keep a ledger: it runs with {settings}").into()))
    }

    async fn set_up(&self, client: &Client) -> Result<(), Failure> {
        let setting_up = async {
            // All leave at once.
            let pinned = join(client.batch_execute(&self.settings), client.batch_execute(PIN));
            let ((set, pinned), fit) = join(pinned, self.refuse_unfit(client)).await;
            set.and(pinned)?;
            fit
        };
        timeout(self.connect_timeout, setting_up).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Connect for Connector {
    /// On the runtime of the store: a worker's may end before the store does, and its connections with it.
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let connecting = open(config.clone(), self.tls.clone(), self.warnings.clone());
        let Some(runtime) = &self.runtime else { return Box::pin(connecting) };
        Box::pin(async move {
            let mut connecting = pin!(connecting);
            poll_fn(|context| {
                let _here = runtime.enter();
                connecting.as_mut().poll(context)
            })
            .await
        })
    }
}

fn late() -> Failure {
    Failure::Away("connecting took too long".into())
}

async fn open(
    config: Config,
    tls: Option<MakeRustlsConnect>,
    warnings: Arc<AtomicU64>,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    if let Some(tls) = tls {
        let (client, connection) = config.connect(tls).await?;
        return Ok((client, tokio::spawn(drive(connection, warnings))));
    }
    let (client, connection) = config.connect(NoTls).await?;
    Ok((client, tokio::spawn(drive(connection, warnings))))
}

/// Moves messages until the connection ends, and counts warnings; those who wait for an answer then learn the end from
/// the client.
async fn drive<S, T>(mut connection: Connection<S, T>, warnings: Arc<AtomicU64>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    warnings.fetch_add(1, Ordering::AcqRel);
                    tracing::warn!(%notice, "the database server warns");
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %Cause::from(error), "a connection to the database ended");
                return;
            }
            None => return,
        }
    }
}
