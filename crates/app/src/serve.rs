//! `balance serve`: puts the parts together, keeps them running, and takes them apart in the right order.

mod access;
mod announce;
mod background;
mod console;
mod figures;
mod guard;
mod listener;
mod readiness;
mod signals;
mod supervision;
mod sweeper;

use std::{net::TcpListener, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{anyhow, bail};
use balance_console::Console;
use balance_domain::{
    Ledger, Reports,
    ports::{BalanceRepo, Clock},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use balance_http::{
    Access, Api, Drain, Events, HttpSettings, QueueSettings, Refusals, Server, ServerOptions,
};
use balance_report_csv::CsvReports;
use tokio::{net::TcpSocket, task::JoinSet};

use self::{
    access::Keys,
    announce::Start,
    background::Connection,
    console::Keyring,
    guard::Guard,
    signals::{Asker, Signals},
};
#[cfg(feature = "otel")]
use crate::traces::Traces;
use crate::{
    clock::GuardedClock,
    folders,
    output::reasons,
    settings::{Batching, Settings},
    stores::Stores,
    telemetry::{Metrics, Telemetry},
};

/// How long a start waits for a database before it serves without: others may depend on the port being open.
const START_WAITS: Duration = Duration::from_secs(1);

/// Accounts are counted up to here when the start says what it found.
const ACCOUNTS_COUNTED_MAX: u32 = 10_000;

/// A stop that was cut short by a second signal, as shells tell it.
const INTERRUPTED: u8 = 130;

/// Serves until a signal comes. A port that is taken is found before any file is made.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let socket = listener::bind(settings.listen)?;
    let telemetry = Telemetry::start(settings)?;
    #[cfg(feature = "otel")]
    let traces = Traces::start(settings.traces.as_ref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(settings, socket, telemetry.metrics()));
    // What still runs was given its time; the store has answered everything that it confirmed.
    runtime.shutdown_background();
    if let Err(error) = &outcome {
        tracing::error!(error = reasons(error).join(": "), "the service cannot run");
    }
    #[cfg(feature = "otel")]
    if !matches!(outcome, Ok(code) if code == ExitCode::from(INTERRUPTED)) {
        traces.finish();
    }
    outcome
}

async fn serve(settings: &Settings, socket: TcpSocket, metrics: Metrics) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let parts = Parts::assemble(settings)?;
    let mut background = JoinSet::new();
    let connection = Connection::keep(settings, &parts.stores, &parts.access, &parts.guard, &mut background);
    connection.first(START_WAITS).await;
    parts.check_start(&connection)?;
    let accounts = parts.accounts(&connection).await;

    let listener = listener::listen(socket)?;
    let address = listener.local_addr()?;
    let admin_listener =
        settings.admin_listen.map(listener::bind).transpose()?.map(listener::listen).transpose()?;
    let admin_address = admin_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let (server, admin) = parts.servers(settings, listener, admin_listener, metrics.clone())?;
    if let Some(admin) = admin {
        // It answers until the process ends: the one who stops the service may still ask how that goes.
        background.spawn(async move { drop(admin.await) });
    }
    parts.start_janitors(settings, metrics, &mut background);
    Start {
        ledger: settings.database.to_string(),
        accounts,
        address,
        pages: admin_address.unwrap_or(address),
        access: parts.access.mode(),
        failure: connection.failure(),
    }
    .say();
    background.spawn(supervision::live());
    supervision::ready(&format!("http://{address}, {}", settings.database));
    let code = run_until_stopped(server, &parts, &connection, settings, &mut signals).await?;
    background.shutdown().await;
    Ok(code)
}

/// Everything that was put together.
struct Parts {
    stores: Stores,
    keys: Arc<Keys>,
    group_commit: Arc<GroupCommit>,
    ledger: Ledger,
    reports: Reports,
    access: Access,
    figures: Arc<console::Figures>,
    guard: Guard,
    drain: Drain,
    refusals: Refusals,
    events: Events,
}

impl Parts {
    fn assemble(settings: &Settings) -> anyhow::Result<Self> {
        let guarded = GuardedClock::new(settings.clock.tolerance);
        let clock: Arc<dyn Clock> = Arc::new(guarded.clone());
        let stores = Stores::open(settings, Arc::clone(&clock))?;
        let batching = &settings.batching;
        let options = GroupCommitOptions {
            lanes: batching.lanes,
            batch_commands_max: batching.batch_commands_max,
            queue_commands_max: batching.queue_commands_max,
            queue_age_max: batching.queue_age_max,
            ..GroupCommitOptions::default()
        };
        balance_group_commit::describe();
        let group_commit = Arc::new(GroupCommit::new(Arc::clone(&stores.balances), options));
        let ledger = Ledger::new(Arc::clone(&group_commit) as Arc<dyn BalanceRepo>);
        let sink = Arc::new(CsvReports::new(settings.report_folder.clone(), settings.currency));
        let zone = settings.accounting_zone;
        let reports = Reports::new(Arc::clone(&stores.reports), sink, Arc::clone(&clock), zone);
        let is_exposed = settings.is_behind_proxy || !settings.listen.ip().is_loopback();
        let keys = Arc::new(Keys::new(Arc::clone(&stores.api_keys), settings.admin_key.clone(), is_exposed));
        let access = Access::new(Arc::clone(&keys) as _, clock);
        let accepted_until = settings.clock.accepted_until;
        let guard = Guard::new(guarded, Arc::clone(&stores.figures), accepted_until);
        let events =
            Events::new(Arc::clone(&stores.events), Arc::clone(&stores.identity), settings.followers_max);
        Ok(Self {
            stores,
            keys,
            group_commit,
            ledger,
            reports,
            access,
            figures: Arc::default(),
            guard,
            events,
            drain: Drain::default(),
            refusals: Refusals::default(),
        })
    }

    /// A file that cannot be used now never will be; a server may come back.
    fn check_start(&self, connection: &Connection) -> anyhow::Result<()> {
        if self.keys.is_wide_open() {
            bail!(access::WIDE_OPEN);
        }
        if let Some(other) = connection.refusal() {
            return Err(other.into());
        }
        if let Some(failure) = connection.failure().filter(|_| !self.stores.is_remote()) {
            return Err(anyhow!(failure).context("the database cannot be used"));
        }
        Ok(())
    }

    /// How many accounts the ledger has, counted up to a bound; nothing while it cannot be used.
    async fn accounts(&self, connection: &Connection) -> Option<u64> {
        if connection.failure().is_some() {
            return None;
        }
        self.stores.figures.accounts_up_to(ACCOUNTS_COUNTED_MAX).await.ok()
    }

    /// The server of the API, and that of the operators if it has a listener of its own.
    fn servers(
        &self,
        settings: &Settings,
        listener: TcpListener,
        admin_listener: Option<TcpListener>,
        metrics: Metrics,
    ) -> anyhow::Result<(Server, Option<Server>)> {
        let http = &settings.http;
        let api = Api {
            ledger: self.ledger.clone(),
            identity: Arc::clone(&self.stores.identity),
            services: Arc::clone(&self.stores.services),
            reports: self.reports.clone(),
            access: self.access.clone(),
            refusals: self.refusals.clone(),
            events: self.events.clone(),
            settings: HttpSettings {
                body_bytes_max: http.body_bytes_max,
                batch_bytes_max: http.batch_bytes_max,
                ids_as_strings: http.ids_as_strings,
                bodies_bytes_max: http.bodies_bytes_max,
                commands_per_second: http.commands_per_second,
                queue: queue(&settings.batching),
                behind_proxy: settings.is_behind_proxy,
                ..HttpSettings::new(settings.currency, settings.database.kind(), settings.reservation_ttl)
            },
        };
        let console = settings.console.map(|mode| {
            balance_console::pages(Console {
                ledger: self.ledger.clone(),
                services: Arc::clone(&self.stores.services),
                reports: self.reports.clone(),
                gate: Arc::new(Keyring::new(self.access.clone(), Arc::clone(&self.keys) as _)),
                figures: Arc::clone(&self.figures) as _,
                clock: self.guard.clock(),
                zone: settings.accounting_zone,
                currency: settings.currency,
                mode,
                is_behind_tls: settings.is_behind_proxy,
            })
        });
        let (store_figures, access) = (Arc::clone(&self.stores.figures), self.access.clone());
        let options = ServerOptions {
            workers: http.workers,
            connections_max: http.connections_max,
            keep_alive: http.keep_alive,
            drain: self.drain.clone(),
            // The rest is for what the requests have left in the queue.
            shutdown_timeout: settings.shutdown * 3 / 4,
            metrics: Some(Arc::new(move || {
                figures::record_store(store_figures.as_ref());
                figures::record_access(&access);
                metrics.render()
            })),
            console,
            #[cfg(feature = "otel")]
            spans: settings.traces.is_some(),
            has_pages: admin_listener.is_none(),
            ..ServerOptions::default()
        };
        let admin = admin_listener
            .map(|listener| balance_http::admin_server(api.clone(), listener, &options))
            .transpose()?;
        Ok((balance_http::server(api, listener, &options)?, admin))
    }

    fn start_janitors(&self, settings: &Settings, metrics: Metrics, background: &mut JoinSet<()>) {
        if let Some(every) = settings.sweep_interval {
            background.spawn(sweeper::run(self.ledger.clone(), every));
        }
        background.spawn(self.guard.clone().watch());
        // Otherwise it would be found on the first of the month.
        for folder in folders::of(settings).iter().filter(|folder| folder.place == "reports") {
            if let Err(error) = folder.check_writable() {
                let path = folder.path.display();
                tracing::error!(%path, %error, "report_folder cannot be written: reports will fail");
            }
        }
        figures::describe();
        background.spawn(figures::measure_disks(folders::of(settings)));
        figures::record_build(&settings.database);
        background.spawn(readiness::watch(self.ledger.clone(), self.access.clone(), self.drain.clone()));
        background
            .spawn(figures::count_reservations(Arc::clone(&self.stores.figures), Arc::clone(&self.figures)));
        background.spawn(background::tidy(metrics, self.refusals.clone()));
    }
}

/// Twice what the lanes carry keeps all of them busy: one batch on its way, and the next.
fn queue(batching: &Batching) -> QueueSettings {
    QueueSettings {
        submitted_max: 2 * batching.lanes * batching.batch_commands_max,
        waiting_max: batching.lanes * batching.queue_commands_max,
        age_max: batching.queue_age_max,
    }
}

/// Serves until a signal, then stops in order: not ready for a while, no new connections, accepted requests, queued
/// work.
async fn run_until_stopped(
    server: Server,
    parts: &Parts,
    connection: &Connection,
    settings: &Settings,
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    let asker = tokio::select! {
        ended = &mut serving => {
            ended??;
            bail!("the HTTP server ended by itself");
        }
        other = connection.refused() => return Err(other.into()),
        asker = signals.next() => asker
    };
    let drain = if asker == Asker::Orchestrator { settings.drain } else { Duration::ZERO };
    eprintln!("balance is stopping; a second signal quits at once");
    tracing::info!(drain_seconds = drain.as_secs(), "stopping");
    supervision::stopping();
    parts.drain.begin();
    parts.events.stop();
    let finish = async {
        tokio::time::sleep(drain).await;
        handle.stop(true).await;
        let ended = serving.await;
        parts.group_commit.drain().await;
        ended
    };
    tokio::select! {
        ended = finish => {
            ended??;
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        () = tokio::time::sleep(drain + settings.shutdown) => {
            bail!("some requests were not finished within shutdown_seconds")
        }
        _ = signals.next() => {
            tracing::warn!("a second signal: quitting at once");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}
