//! Bisects a batch that failed as a whole, so that only the culprit fails.
//!
//! When the store panics or returns [`RepoError::Internal`] for a batch, one member is the likely cause. The batch is
//! halved, and each half is retried, in order, until the culprit is alone. Other errors are about the store, not
//! about a member, and every member gets them.
//!
//! Reads may always be retried. As for commands: after `Internal` nothing was executed, so a retry is harmless. A
//! panic may have happened before anything was written, or after the commit. A retry is safe in both cases: commands
//! with a key are recognised and answered with their first receipt; of those without, extending and expiring twice
//! is harmless, and closing a second time returns that the account is closed. Because the first attempt may have been
//! committed, a member that fails after a panic gets [`RepoError::Unknown`], never that nothing was executed.

use std::{fmt, iter, ops::Range};

use balance_domain::ports::RepoError;

/// How often parts of one batch are retried: enough to isolate a dozen culprits among two thousand, and a bound for
/// a store that fails on everything.
const RERUNS_MAX: usize = 256;

/// The outcome of one member of a batch: its answer, or why the run it was part of failed as a whole.
pub(crate) type Outcome<T> = Result<T, RepoError>;

/// Why a run failed as a whole.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The store returned this error.
    Error(RepoError),
    /// The store panicked; the text is for logs.
    Panic(String),
}

impl Failure {
    /// The error for a caller who was part of this run and of no other.
    pub(crate) fn into_error(self) -> RepoError {
        match self {
            Self::Error(error) => error,
            panic @ Self::Panic(_) => RepoError::Unknown(panic.to_string().into()),
        }
    }

    fn is_panic(&self) -> bool {
        matches!(self, Self::Panic(_))
    }

    fn may_have_a_culprit(&self) -> bool {
        matches!(self, Self::Panic(_) | Self::Error(RepoError::Internal(_)))
    }

    fn ends_the_bisection(&self) -> bool {
        matches!(self, Self::Error(RepoError::Unavailable(_) | RepoError::Overloaded))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panic(text) => write!(f, "the store panicked: {text}"),
        }
    }
}

/// Adjacent members that are run together.
#[derive(Debug)]
pub(crate) struct Part {
    range: Range<usize>,
    /// A run that these were part of panicked, so they may have been executed.
    after_panic: bool,
}

impl Part {
    /// Which members of the batch.
    pub(crate) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    fn halves(self, failure: &Failure) -> [Self; 2] {
        let middle = self.range.start.midpoint(self.range.end);
        let after_panic = self.after_panic || failure.is_panic();
        [self.range.start..middle, middle..self.range.end].map(|range| Self { range, after_panic })
    }

    fn failed<T: Clone>(&self, failure: &Failure) -> impl Iterator<Item = Outcome<T>> + use<T> {
        let error = match failure.clone().into_error() {
            error if !self.after_panic => error,
            error => RepoError::Unknown(error.to_string().into()),
        };
        iter::repeat_n(Err(error), self.range.len())
    }
}

/// A batch that is being bisected.
#[derive(Debug)]
pub(crate) struct Bisection<T> {
    /// Of the members before all parts that are left.
    outcomes: Vec<Outcome<T>>,
    /// What is left to run; the next one last.
    parts: Vec<Part>,
    reruns: usize,
}

impl<T: Clone> Bisection<T> {
    /// For a batch of `members` whose first run failed.
    pub(crate) fn new(members: usize, failure: Failure) -> Self {
        let mut bisection = Self { outcomes: Vec::with_capacity(members), parts: Vec::new(), reruns: 0 };
        bisection.record(Part { range: 0..members, after_panic: false }, Err(failure));
        bisection
    }

    /// What to run next.
    pub(crate) fn next_part(&mut self) -> Option<Part> {
        self.parts.pop()
    }

    /// Records the outcome of a part.
    pub(crate) fn record(&mut self, part: Part, result: Result<Vec<T>, Failure>) {
        match result {
            Ok(answers) => self.outcomes.extend(answers.into_iter().map(Ok)),
            Err(failure) if self.may_divide(&part, &failure) => {
                tracing::warn!(%failure, members = part.range.len(), "dividing a batch that failed");
                self.reruns += 2;
                let [first, second] = part.halves(&failure);
                self.parts.extend([second, first]);
            }
            Err(failure) => self.give_up(&part, &failure),
        }
    }

    /// One outcome per member, in order.
    pub(crate) fn into_outcomes(self) -> Vec<Outcome<T>> {
        self.outcomes
    }

    fn may_divide(&self, part: &Part, failure: &Failure) -> bool {
        failure.may_have_a_culprit() && part.range.len() > 1 && self.reruns < RERUNS_MAX
    }

    fn give_up(&mut self, part: &Part, failure: &Failure) {
        tracing::error!(%failure, members = part.range.len(), "part of a batch failed");
        self.outcomes.extend(part.failed(failure));
        if failure.ends_the_bisection() {
            // The store is unavailable: the rest would only wait for the same error.
            while let Some(rest) = self.next_part() {
                self.outcomes.extend(rest.failed(failure));
            }
        }
    }
}
