//! Recorded spans. They never contain messages of a driver, which may quote what callers wrote.

use balance_domain::ports::RepoError;
use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedSpan, BoxedTracer},
    trace::{Link, Span as _, SpanBuilder, SpanContext, Status, TraceContextExt as _, Tracer as _},
};

/// Makes the spans of one lane, with the tracer provider that was installed before.
pub(crate) struct Spans {
    tracer: BoxedTracer,
    work: &'static str,
}

/// A call's span; none if its request is not recorded. One that is dropped ends.
pub(crate) struct CallSpan(Option<BoxedSpan>);

/// A batch's span; none if no call in it is recorded. One that is dropped ends.
pub(crate) struct BatchSpan(Option<BoxedSpan>);

impl Spans {
    /// Spans of work of this name.
    pub(crate) fn of(work: &'static str) -> Self {
        Self { tracer: global::tracer(env!("CARGO_PKG_NAME")), work }
    }

    /// Begins the span of a call, with its number of units, below that of the current request.
    pub(crate) fn call(&self, count: usize) -> CallSpan {
        let request = Context::map_current(|context| {
            let is_recorded = context.has_active_span() && context.span().span_context().is_sampled();
            is_recorded.then(|| context.clone())
        });
        CallSpan(request.map(|request| {
            let builder =
                SpanBuilder::from_name(self.work).with_attributes([number("balance.call.size", count)]);
            self.tracer.build_with_context(builder, &request)
        }))
    }

    /// Begins the span of a batch of these calls, with their total number of units.
    pub(crate) fn batch<'a>(&self, count: usize, calls: impl Iterator<Item = &'a mut CallSpan>) -> BatchSpan {
        let mut calls_total = 0;
        let mut recorded: Vec<_> =
            calls.inspect(|_| calls_total += 1).filter_map(|call| call.0.as_mut()).collect();
        if recorded.is_empty() {
            return BatchSpan(None);
        }
        let builder = SpanBuilder::from_name("batch")
            .with_attributes([
                KeyValue::new("balance.batch.work", self.work),
                number("balance.batch.size", count),
                number("balance.batch.calls", calls_total),
            ])
            .with_links(recorded.iter().map(|call| link_to(call.span_context())).collect());
        let batch = self.tracer.build_with_context(builder, &Context::new());
        for call in &mut recorded {
            call.add_link(batch.span_context().clone(), Vec::new());
        }
        BatchSpan(Some(batch))
    }
}

impl CallSpan {
    /// Ends with the caller's result.
    pub(crate) fn answered<A>(self, answer: &Result<A, RepoError>) {
        if let (Some(mut span), Err(error)) = (self.0, answer) {
            failed(&mut span, error);
        }
    }

    /// Ends because the call was refused.
    pub(crate) fn refused(self, error: RepoError) -> RepoError {
        self.answered(&Err::<(), _>(error.clone()));
        error
    }
}

impl BatchSpan {
    /// Ends with the result of the batch. It failed if any call in it did; a rejection is no failure.
    pub(crate) fn ended<A>(self, answers: &[Result<A, RepoError>]) {
        let error = answers.iter().find_map(|answer| answer.as_ref().err());
        if let (Some(mut span), Some(error)) = (self.0, error) {
            failed(&mut span, error);
        }
    }
}

fn link_to(context: &SpanContext) -> Link {
    Link::with_context(context.clone())
}

fn failed(span: &mut BoxedSpan, error: &RepoError) {
    let kind = match error {
        RepoError::Unavailable(_) => "unavailable",
        RepoError::Overloaded => "overloaded",
        RepoError::Unknown(_) => "unknown",
        RepoError::ClockUnsafe(_) => "clock_unsafe",
        RepoError::Internal(_) => "internal",
    };
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(""));
}

fn number(name: &'static str, count: usize) -> KeyValue {
    KeyValue::new(name, i64::try_from(count).unwrap_or(i64::MAX))
}
