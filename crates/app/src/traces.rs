//! Traces for OpenTelemetry, sent to a collector by OTLP over HTTP.
//!
//! The library crates make the spans (`spans.rs` in `http` and `group-commit`); here they are sampled, queued and
//! sent. No request ever waits for that: a thread of its own sends, the queue is bounded, and what does not fit is
//! dropped and counted.

mod queue;
mod sampler;

use std::time::Duration;

use anyhow::Context as _;
use metrics::{counter, describe_counter};
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};

use crate::settings::Traces as Settings;

/// How long the collector may take to answer, repetitions included.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for the last spans to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The traces of a running service.
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// Starts to record and send spans, if a collector is configured. Metrics must be recorded before, and
    /// everything that makes spans comes after.
    pub(crate) fn start(settings: Option<&Settings>) -> anyhow::Result<Self> {
        let Some(settings) = settings else { return Ok(Self { provider: None }) };
        describe();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", settings.endpoint))
            .with_timeout(SEND_TIMEOUT)
            .build()
            .context("otel.endpoint")?;
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(sampler::sampler(settings.sample_ratio))
            .with_span_processor(queue::processor(exporter))
            .build();
        global::set_tracer_provider(provider.clone());
        global::set_text_map_propagator(TraceContextPropagator::new());
        tracing::info!(endpoint = settings.endpoint, ratio = settings.sample_ratio, "sending traces");
        Ok(Self { provider: Some(provider) })
    }

    /// Sends what is left, for a while. From here on no spans are recorded.
    pub(crate) fn finish(&self) {
        let Some(provider) = &self.provider else { return };
        if let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not all sent");
        }
    }
}

fn describe() {
    describe_counter!("balance_spans_sent_total", "Spans that the collector took");
    describe_counter!(
        "balance_spans_lost_total",
        "Spans dropped because the queue was full or a send failed"
    );
    // An alarm on their growth must see them start from 0.
    counter!("balance_spans_sent_total").increment(0);
    for reason in [queue::QUEUE_FULL, queue::SEND_FAILED] {
        counter!("balance_spans_lost_total", "reason" => reason).increment(0);
    }
}
