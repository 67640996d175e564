//! Spans for OpenTelemetry: what a call does in here, and what its batch does in the store.
//!
//! A batch serves many calls, and a span has one parent. So each call has a span below that of its request, from
//! the queue to the answer; the batch has a span in a trace of its own; and the two are *linked*, each way. The
//! wait is what lies between the beginnings of the two.
//!
//! Only calls whose request is recorded have a span, and only batches with such a call. Without the feature `otel`
//! all of this is nothing: no field, no branch.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod recorded;

#[cfg(not(feature = "otel"))]
pub(crate) use self::absent::{CallSpan, Spans};
#[cfg(feature = "otel")]
pub(crate) use self::recorded::{CallSpan, Spans};
