//! What is left of spans without the feature `otel`: nothing, with the same names.
#![expect(clippy::unused_self, reason = "the same signatures as those that record")]

use balance_domain::ports::RepoError;

/// Makes no spans.
pub(crate) struct Spans;

/// The span of no call.
pub(crate) struct CallSpan;

/// The span of no batch.
pub(crate) struct BatchSpan;

impl Spans {
    pub(crate) fn of(_work: &'static str) -> Self {
        Self
    }

    pub(crate) fn call(&self, _count: usize) -> CallSpan {
        CallSpan
    }

    pub(crate) fn batch<'a>(
        &self,
        _count: usize,
        _calls: impl Iterator<Item = &'a mut CallSpan>,
    ) -> BatchSpan {
        BatchSpan
    }
}

impl CallSpan {
    pub(crate) fn answered<A>(self, _answer: &Result<A, RepoError>) {}

    pub(crate) fn refused(self, error: RepoError) -> RepoError {
        error
    }
}

impl BatchSpan {
    pub(crate) fn ended<A>(self, _answers: &[Result<A, RepoError>]) {}
}
