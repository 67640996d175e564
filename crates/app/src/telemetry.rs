//! Logs and metrics. Neither may ever hold up money: log lines that cannot be written in time are dropped and
//! counted, metrics are rendered when somebody asks.

mod lines;
mod log_files;
mod text;

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::fd::AsFd,
    sync::atomic::Ordering,
};

use anyhow::Context as _;
use metrics::{counter, describe_counter};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{MakeWriter, writer::MakeWriterExt},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use self::{
    lines::{Lines, Lost, Place},
    log_files::LogFiles,
    text::ForPeople,
};
use crate::settings::{LogFormat, Settings, allows_colours};

/// Log lines that wait to be written to one place; a place that is slower loses lines.
const WAITING_LINES_MAX: usize = 16_384;

/// The decoder writes a line for every request that is no HTTP, which anybody can send as fast as they like. The
/// service counts these (`balance_http_connections_ended_total`).
const QUIET: &str = "actix_http=off";

/// Seconds; from a lone command on a fast disk to a request that waited for a database.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Commands or accounts in a batch: up to the default of `batch_commands_max`.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_000.0, 2_000.0];

/// The log files and the recorder of a running service. Dropping it writes out what is still buffered.
pub(crate) struct Telemetry {
    metrics: Metrics,
    _flush: Vec<WorkerGuard>,
}

impl Telemetry {
    /// Starts logging to stdout and, if configured, to files; starts recording metrics.
    pub(crate) fn start(settings: &Settings) -> anyhow::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (stdout, flush_stdout, lost_stdout) = non_blocking(stdout);
        let mut flush = vec![flush_stdout];
        let mut lost = vec![("stdout", lost_stdout)];
        let mut log_file = None;
        if let Some(settings) = &settings.log_file {
            let folder = || format!("log_file.folder {}", settings.folder.display());
            let (file, flush_file, lost_file) = non_blocking(LogFiles::open(settings).with_context(folder)?);
            flush.push(flush_file);
            lost.push(("file", lost_file));
            log_file = Some(file);
        }
        let layers = layers(stdout, settings.log_format, log_file);
        let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.log)).context("log")?;
        tracing_subscriber::registry().with(layers.with_filter(filter)).try_init()?;
        // Older libraries log through `log`. Below a warning the driver of PostgreSQL writes out the values of
        // every statement: names, comments, keys. No filter may let those through.
        log::set_max_level(log::LevelFilter::Warn);
        log_panics();
        Ok(Self { metrics: Metrics::record(lost)?, _flush: flush })
    }

    /// What `/metrics` answers with.
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Lines that go to both places in one shape are made once.
fn layers(stdout: NonBlocking, format: LogFormat, log_file: Option<NonBlocking>) -> Vec<BoxedLayer> {
    let is_coloured = io::stdout().is_terminal() && allows_colours();
    let text = |writer: NonBlocking| {
        let layer = tracing_subscriber::fmt::layer().with_ansi(is_coloured).with_writer(writer);
        layer.event_format(ForPeople { is_coloured }).boxed()
    };
    match (is_text(format), log_file) {
        (false, None) => vec![json(stdout)],
        (false, Some(file)) => vec![json(stdout.and(file))],
        (true, None) => vec![text(stdout)],
        (true, Some(file)) => vec![text(stdout), json(file)],
    }
}

/// Whether stdout is read by people.
fn is_text(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => io::stdout().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    }
}

fn json(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) -> BoxedLayer {
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(writer)
        .boxed()
}

/// Lines that were lost on the way to one place.
#[derive(Clone)]
struct LostLines {
    /// Too many waited.
    dropped: ErrorCounter,
    /// They could not be written.
    failed: Lost,
}

impl LostLines {
    fn count(&self) -> u64 {
        self.failed.load(Ordering::Relaxed).saturating_add(self.dropped.dropped_lines() as u64)
    }
}

/// A full buffer drops lines instead of blocking the caller.
fn non_blocking(place: impl Place) -> (NonBlocking, WorkerGuard, LostLines) {
    let failed = Lost::default();
    let lines = Lines::new(place, Lost::clone(&failed));
    let (writer, flush) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES_MAX).finish(lines);
    let lost = LostLines { dropped: writer.error_counter(), failed };
    (writer, flush, lost)
}

/// A panic is contained where it happens; here it only becomes a line of the log.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(place, "panic: {message}");
    }));
}

/// All metrics of the process, in the text format of Prometheus.
#[derive(Clone)]
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    process: Collector,
    lost: Vec<(&'static str, LostLines)>,
}

impl Metrics {
    fn record(lost: Vec<(&'static str, LostLines)>) -> anyhow::Result<Self> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?
            .set_buckets_for_metric(Matcher::Suffix("_batch_commands".into()), &SIZES)?
            .set_buckets_for_metric(Matcher::Suffix("_batch_accounts".into()), &SIZES)?
            .install_recorder()?;
        let process = Collector::default();
        process.describe();
        describe_counter!(
            "balance_log_lines_lost_total",
            "Log lines lost because a sink was too slow or refused them"
        );
        Ok(Self { handle, process, lost })
    }

    /// The figures of this moment.
    pub(crate) fn render(&self) -> String {
        self.process.collect();
        for (sink, lost) in &self.lost {
            counter!("balance_log_lines_lost_total", "sink" => *sink).absolute(lost.count());
        }
        self.handle.render()
    }

    /// Folds what histograms have gathered; to be called every few seconds so that memory stays flat while
    /// nobody asks for metrics.
    pub(crate) fn tidy(&self) {
        self.handle.run_upkeep();
    }
}
