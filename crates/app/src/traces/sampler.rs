//! Which spans are recorded.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Records what the caller's trace records, this part of what has no caller's trace, and every batch that serves
/// a recorded call.
pub(super) fn sampler(ratio: f64) -> impl ShouldSample {
    Linked(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
}

/// A span that is linked to a recorded one is recorded; any other as the inner sampler says. A batch begins a trace
/// of its own, so its calls are its links and not its parents.
#[derive(Clone, Debug)]
struct Linked(Sampler);

impl ShouldSample for Linked {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if links.iter().any(|link| link.span_context.is_sampled()) {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            };
        }
        self.0.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
