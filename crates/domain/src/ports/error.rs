//! How a store fails, by meaning. A driver's own words travel in [`Cause`], for logs only.

use std::{error::Error, fmt, sync::Arc};

use crate::ports::ClockUnsafe;

/// The failure underneath, for logs. Callers of the API never see it.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(error.into().into())
    }
}

impl Cause {
    /// The first failure of this type in the chain, for those who know the driver.
    pub fn find<E: Error + 'static>(&self) -> Option<&E> {
        self.chain().find_map(|error| error.downcast_ref())
    }

    /// The failure and what is underneath it, outermost first, each once: drivers repeat in one what the next says.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for error in self.chain() {
            let text = error.to_string();
            match reasons.last() {
                Some(last) if last.contains(&text) => {}
                _ => reasons.push(text),
            }
        }
        reasons
    }

    fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let outermost: &(dyn Error + 'static) = self.0.as_ref();
        std::iter::successors(Some(outermost), |&error| error.source())
    }
}

/// The whole chain of causes: some drivers print nothing but "db error" at the top.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons().join(": "))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cause({self})")
    }
}

/// We failed; the rules had no say.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RepoError {
    /// The store cannot be reached or does not accept work. Nothing was executed; trying again may help.
    #[error("the store is not available: {0}")]
    Unavailable(Cause),
    /// More work is queued than can be done in time. Nothing was executed; trying again later helps.
    #[error("too much work is queued")]
    Overloaded,
    /// The work may or may not have been executed. Repeating it under the same keys is safe and tells.
    #[error("the outcome is unknown: {0}")]
    Unknown(Cause),
    /// The clock cannot be trusted, so nothing that depends on the time is decided. Nothing was executed; it goes on by
    /// itself once the clock is right.
    #[error(transparent)]
    ClockUnsafe(#[from] ClockUnsafe),
    /// A defect of ours or damaged data. Nothing was executed.
    #[error("internal failure: {0}")]
    Internal(Cause),
}
