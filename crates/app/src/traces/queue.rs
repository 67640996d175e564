//! Export of spans: a bounded queue in front of the thread that sends them, with counters.
//!
//! The library's processor does the work, but only logs once that it began to drop spans. So the bound is kept in
//! front of it, where every lost span is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::{Counter, counter};
use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

/// Spans that wait to be sent: some megabytes.
const QUEUE_SPANS_MAX: usize = 8_192;

/// Spans that are sent together at most.
const SEND_SPANS_MAX: usize = 512;

/// How long a span waits for others to be sent with.
const SEND_EVERY: Duration = Duration::from_secs(1);

/// Why a span was lost.
pub(super) const QUEUE_FULL: &str = "queue_full";
/// Why a span was lost.
pub(super) const SEND_FAILED: &str = "send_failed";

/// The way to this exporter. Starts the thread that sends.
pub(super) fn processor(exporter: OtlpExporter) -> impl SpanProcessor {
    let queued = Arc::new(AtomicUsize::new(0));
    let exporter = Counted {
        inner: exporter,
        queued: Arc::clone(&queued),
        is_failing: AtomicBool::new(false),
        sent: counter!("balance_spans_sent_total"),
        lost: counter!("balance_spans_lost_total", "reason" => SEND_FAILED),
    };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS_MAX)
        .with_max_export_batch_size(SEND_SPANS_MAX)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let inner = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Bounded { inner, queued, lost: counter!("balance_spans_lost_total", "reason" => QUEUE_FULL) }
}

/// Lets in what fits.
struct Bounded {
    inner: BatchSpanProcessor,
    queued: Arc<AtomicUsize>,
    lost: Counter,
}

impl std::fmt::Debug for Bounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Relaxed) >= QUEUE_SPANS_MAX {
            self.queued.fetch_sub(1, Relaxed);
            self.lost.increment(1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Sends, and reports the result.
struct Counted {
    inner: OtlpExporter,
    queued: Arc<AtomicUsize>,
    is_failing: AtomicBool,
    sent: Counter,
    lost: Counter,
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl Counted {
    /// Logs the first failure and the end of failing, not what is between: under load that would be a line for
    /// every few hundred spans.
    fn note(&self, spans: usize, outcome: &OTelSdkResult) {
        match outcome {
            Ok(()) => {
                self.sent.increment(spans as u64);
                if self.is_failing.swap(false, Relaxed) {
                    tracing::info!("spans are sent again");
                }
            }
            Err(error) => {
                self.lost.increment(spans as u64);
                if !self.is_failing.swap(true, Relaxed) {
                    tracing::warn!(%error, "spans cannot be sent; those that wait too long are dropped");
                }
            }
        }
    }
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queued.fetch_sub(spans, Relaxed);
        let outcome = self.inner.export(batch).await;
        self.note(spans, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
