//! `balance serve`: puts the parts together, keeps them running, and takes them apart in the right order.

mod access;
mod background;
mod console;
mod figures;
mod guard;
mod signals;
mod sweeper;

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use balance_console::Console;
use balance_domain::{
    Ledger, Reports,
    ports::{BalanceRepo, Clock},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use balance_http::{Access, AccessMode, Api, Currency, HttpSettings, Server, ServerOptions};
use balance_report_csv::CsvReports;
use tokio::{net::TcpSocket, task::JoinSet};

use self::{access::Keys, background::Connection, console::Keyring, guard::Guard, signals::Signals};
#[cfg(feature = "otel")]
use crate::traces::Traces;
use crate::{
    clock::GuardedClock,
    settings::Settings,
    stores::Stores,
    telemetry::{Metrics, Telemetry},
};

/// How long a start waits for a database before it serves without: others may depend on the port being open.
const START_WAITS: Duration = Duration::from_secs(1);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// What the system keeps of answers that a caller has not taken yet.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// A caller that takes nothing of its answer for so long is cut off: HTTP itself sets no limit to that.
#[cfg(target_os = "linux")]
const UNREAD_MILLISECONDS_MAX: u32 = 10_000;

/// Digits of the currency behind the decimal separator, as in the files of the reports.
const CURRENCY_DECIMALS: u32 = 2;

/// A stop that was cut short by a second signal, as shells tell it.
const INTERRUPTED: u8 = 130;

/// Serves until a signal comes.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let telemetry = Telemetry::start(settings)?;
    #[cfg(feature = "otel")]
    let traces = Traces::start(settings.traces.as_ref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(settings, telemetry.metrics()));
    // What still runs was given its time; the store has answered everything that it confirmed.
    runtime.shutdown_background();
    if let Err(error) = &outcome {
        tracing::error!(error = format!("{error:#}"), "the service cannot run");
    }
    #[cfg(feature = "otel")]
    if !matches!(outcome, Ok(code) if code == ExitCode::from(INTERRUPTED)) {
        traces.finish();
    }
    outcome
}

async fn serve(settings: &Settings, metrics: Metrics) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let parts = Parts::assemble(settings)?;
    let mut background = JoinSet::new();
    let connection = Connection::keep(
        &parts.stores,
        &parts.access,
        &parts.guard,
        settings.migrate_on_start,
        &mut background,
    );
    let is_connected = connection.first(START_WAITS).await;
    parts.check_start(&connection, is_connected)?;

    let listener = listen(settings.listen)?;
    let address = listener.local_addr()?;
    let server = parts.server(settings, listener, metrics.clone())?;
    parts.start_janitors(settings, metrics, &mut background);
    announce(settings, address, is_connected, parts.access.mode());
    let code = run_until_stopped(server, &parts, settings.shutdown, &mut signals).await?;
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
        let sink = Arc::new(CsvReports::new(settings.report_folder.clone(), settings.currency.as_str()));
        let zone = settings.accounting_zone;
        let reports = Reports::new(Arc::clone(&stores.reports), sink, Arc::clone(&clock), zone);
        let is_exposed = !settings.listen.ip().is_loopback();
        let keys = Arc::new(Keys::new(Arc::clone(&stores.api_keys), settings.admin_key.clone(), is_exposed));
        let access = Access::new(Arc::clone(&keys) as _, clock);
        let accepted_until = settings.clock.accepted_until;
        let guard = Guard::new(guarded, Arc::clone(&stores.figures), accepted_until);
        Ok(Self { stores, keys, group_commit, ledger, reports, access, figures: Arc::default(), guard })
    }

    /// A file that cannot be used now never will be; a server may come back.
    fn check_start(&self, connection: &Connection, is_connected: bool) -> anyhow::Result<()> {
        if self.keys.is_wide_open() {
            bail!(access::WIDE_OPEN);
        }
        if !is_connected && !self.stores.is_remote() {
            let error = connection.last_error().unwrap_or_else(|| "it does not answer".into());
            return Err(anyhow!("{error}").context("the database cannot be used"));
        }
        Ok(())
    }

    fn server(&self, settings: &Settings, listener: TcpListener, metrics: Metrics) -> anyhow::Result<Server> {
        let http = &settings.http;
        let currency = Currency::new(&settings.currency).context("currency")?;
        let api = Api {
            ledger: self.ledger.clone(),
            services: Arc::clone(&self.stores.services),
            reports: self.reports.clone(),
            access: self.access.clone(),
            settings: HttpSettings {
                body_bytes_max: http.body_bytes_max,
                batch_bytes_max: http.batch_bytes_max,
                ids_as_strings: http.ids_as_strings,
                rate_limit_per_second: http.requests_per_second,
                ..HttpSettings::new(currency, settings.reservation_ttl)
            },
        };
        let pages = settings.console.map(|mode| {
            balance_console::pages(Console {
                ledger: self.ledger.clone(),
                services: Arc::clone(&self.stores.services),
                reports: self.reports.clone(),
                gate: Arc::new(Keyring::new(self.access.clone(), Arc::clone(&self.keys) as _)),
                figures: Arc::clone(&self.figures) as _,
                clock: self.guard.clock(),
                zone: settings.accounting_zone,
                currency: currency.code(),
                currency_decimals: CURRENCY_DECIMALS,
                mode,
                is_behind_tls: settings.is_behind_proxy,
            })
        });
        let store_figures = Arc::clone(&self.stores.figures);
        let options = ServerOptions {
            workers: http.workers,
            connections_max: http.connections_max,
            keep_alive: http.keep_alive,
            // The rest is for what the requests have left in the queue.
            shutdown_timeout: settings.shutdown * 3 / 4,
            metrics: Some(Arc::new(move || {
                figures::record_store(store_figures.as_ref());
                metrics.render()
            })),
            pages,
            #[cfg(feature = "otel")]
            spans: settings.traces.is_some(),
            ..ServerOptions::default()
        };
        Ok(balance_http::server(api, listener, options)?)
    }

    fn start_janitors(&self, settings: &Settings, metrics: Metrics, background: &mut JoinSet<()>) {
        if let Some(every) = settings.sweep_interval {
            background.spawn(sweeper::run(self.ledger.clone(), every));
        }
        background.spawn(self.guard.clone().watch());
        figures::describe();
        background
            .spawn(figures::count_reservations(Arc::clone(&self.stores.figures), Arc::clone(&self.figures)));
        background.spawn(background::tidy(metrics));
    }
}

/// What connections inherit from it keeps callers who do not read their answers from holding much, or for long.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = || -> std::io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_tcp_user_timeout(&socket, UNREAD_MILLISECONDS_MAX)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bound().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow!(
                "{address} is in use by another program: choose another address with listen (BALANCE_LISTEN)"
            )
        }
        _ => anyhow!(error).context(format!("cannot listen on {address}")),
    })
}

/// The lines for the person who started this; the log has the same as events.
fn announce(settings: &Settings, address: SocketAddr, is_connected: bool, access: AccessMode) {
    let version = env!("CARGO_PKG_VERSION");
    let state = if is_connected { "is ready" } else { "serves, but cannot reach its database yet" };
    eprintln!(
        "balance {version} {state}: http://{address}/api/v1, Swagger page http://{address}/swagger/index.html"
    );
    if access == AccessMode::Open {
        eprintln!(
            "No API key exists: everybody on this machine may do everything. `balance keys create` makes one."
        );
    }
    tracing::info!(version, %address, is_connected, lanes = settings.batching.lanes, "serving");
}

/// Serves until a signal, then stops in order: no new connections, accepted requests, queued work.
async fn run_until_stopped(
    server: Server,
    parts: &Parts,
    patience: Duration,
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    tokio::select! {
        ended = &mut serving => {
            ended??;
            bail!("the HTTP server ended by itself");
        }
        () = signals.next() => {}
    }
    eprintln!("balance is stopping; a second signal quits at once");
    tracing::info!("stopping");
    let finish = async {
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
        () = tokio::time::sleep(patience) => {
            bail!("some requests were not finished within shutdown_seconds")
        }
        () = signals.next() => {
            tracing::warn!("a second signal: quitting at once");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}
