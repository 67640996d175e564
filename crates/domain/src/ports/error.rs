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
        let mut next: Option<&(dyn Error + 'static)> = Some(self.0.as_ref());
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

/// The whole chain of causes: some drivers print nothing but "db error" at the top.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
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
