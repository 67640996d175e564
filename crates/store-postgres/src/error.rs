//! What an error means for the work at hand. Judged by SQLSTATE and severity alone, never by message text.

use balance_domain::ports::{Cause, ClockUnsafe, RepoError};
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection broke, or no answer came in time: what was sent may have been executed.
    #[error("{0}")]
    Lost(Cause),
    /// The server has committed and warns that this is not as durable as it should be.
    #[error("{0}")]
    Unconfirmed(Cause),
    /// The server says that it does not accept work now.
    #[error("{0}")]
    Away(Cause),
    /// The server has no space for it, which waiting a moment does not change.
    #[error("{0}")]
    Full(Cause),
    /// The clock cannot be trusted, so nothing is decided.
    #[error(transparent)]
    ClockUnsafe(#[from] ClockUnsafe),
    /// All connections stayed busy for too long.
    #[error("all connections are busy")]
    Busy,
    /// Others were in the way: deadlock, serialization, a statement that took too long.
    #[error("{0}")]
    Contention(Cause),
    /// Somebody holds a lock for too long.
    #[error("{0}")]
    Locked(Cause),
    /// Something is not as it was read: somebody else was faster.
    #[error("{0}")]
    Conflict(Cause),
    /// The server refuses a value, or a stored row makes no sense: some command of the batch is poisoned.
    #[error("{0}")]
    Data(Cause),
    /// A defect of ours: repeating does not help.
    #[error("{0}")]
    Defect(Cause),
}

impl Failure {
    /// The caller's error when nothing was executed.
    pub(crate) fn into_error(self) -> RepoError {
        match self {
            Self::Lost(cause)
            | Self::Away(cause)
            | Self::Full(cause)
            | Self::Contention(cause)
            | Self::Locked(cause) => RepoError::Unavailable(cause),
            Self::Unconfirmed(cause) => RepoError::Unknown(cause),
            Self::ClockUnsafe(cause) => RepoError::ClockUnsafe(cause),
            Self::Busy => RepoError::Overloaded,
            Self::Conflict(cause) | Self::Data(cause) | Self::Defect(cause) => RepoError::Internal(cause),
        }
    }

    /// The caller's error when an earlier attempt may have been executed.
    pub(crate) fn into_unknown(self) -> RepoError {
        RepoError::Unknown(match self {
            Self::ClockUnsafe(cause) => cause.into(),
            Self::Busy => "all connections are busy".into(),
            Self::Lost(cause)
            | Self::Unconfirmed(cause)
            | Self::Away(cause)
            | Self::Full(cause)
            | Self::Contention(cause)
            | Self::Locked(cause)
            | Self::Conflict(cause)
            | Self::Data(cause)
            | Self::Defect(cause) => cause,
        })
    }

    /// Whether what was sent may have been executed all the same. An error that the server puts into words undoes the
    /// transaction.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Unconfirmed(_))
    }

    /// Whether the same may well succeed in a moment.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Away(_) | Self::Contention(_) | Self::Locked(_))
    }

    /// Whether the connection goes on as before. Otherwise it is closed, or a new one serves better.
    pub(crate) const fn leaves_connection_fit(&self) -> bool {
        matches!(
            self,
            Self::Full(_) | Self::Contention(_) | Self::Locked(_) | Self::Conflict(_) | Self::Data(_)
        )
    }

    /// Connecting failed: nothing was asked of the server yet.
    pub(crate) fn unconnected(error: tokio_postgres::Error) -> Self {
        let said = error.as_db_error().map(explained);
        Self::Away(said.unwrap_or_else(|| error.into()))
    }

    /// No answer came in time.
    pub(crate) fn late() -> Self {
        Self::Lost("the database did not answer in time".into())
    }

    /// A stored row that the domain cannot be made of.
    pub(crate) fn damaged(what: impl Into<Cause>) -> Self {
        Self::Data(what.into())
    }
}

/// What a person has to put right before the database can be used: trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("{remedy}: {said}")]
struct Mistake {
    remedy: &'static str,
    said: String,
}

/// The schema is not one that this binary can work with.
#[derive(Debug, thiserror::Error)]
#[error(
    "the schema is at version {applied}, this binary knows version {known} and can live with what is only added to that; \
     run `balance migrate`, or use a binary that knows the schema"
)]
pub(crate) struct UnknownSchema {
    pub(crate) applied: i64,
    pub(crate) known: i64,
}

/// Whether a failure of this store lasts until somebody changes the database, its server or the configuration. Its text
/// says what to change.
pub fn is_permanent(cause: &Cause) -> bool {
    cause.find::<Mistake>().is_some() || cause.find::<UnknownSchema>().is_some()
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else { return Self::Lost(error.into()) };
        if is_final(said) { Self::Lost(explained(said)) } else { of_state(said.code(), explained(said)) }
    }
}

/// What the server said, without the detail, which may quote what a caller has sent; with a remedy where it takes one.
pub(crate) fn explained(error: &DbError) -> Cause {
    let said = format!("{} (SQLSTATE {})", error.message(), error.code().code());
    match remedy(error.code()) {
        Some(remedy) => Mistake { remedy, said }.into(),
        None => said.into(),
    }
}

/// What is to be done about an error that stays; nothing where it may heal.
fn remedy(state: &SqlState) -> Option<&'static str> {
    if is_missing(state) {
        return Some("the schema is not up to date; run `balance migrate`");
    }
    if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return Some(
            "the role lacks a right; grant it, or make the role the owner of the database, and of its schema `public` where \
             `balance migrate` runs",
        );
    }
    if *state == SqlState::INVALID_CATALOG_NAME {
        return Some("the database does not exist; create it, or correct database_url");
    }
    state.code().starts_with("28").then_some(
        "the server refuses this user or password; correct database_url, create the role, or let it in by pg_hba.conf",
    )
}

fn is_missing(state: &SqlState) -> bool {
    [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::UNDEFINED_OBJECT].contains(state)
}

/// The server gives up the whole connection, at a moment that is not known, rather than one statement.
fn is_final(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

fn of_state(state: &SqlState, cause: Cause) -> Failure {
    // `WRITE_…` divides by zero if a version has changed: a single statement has no other way to abort itself.
    if [SqlState::UNIQUE_VIOLATION, SqlState::DIVISION_BY_ZERO].contains(state) {
        return Failure::Conflict(cause);
    }
    if *state == SqlState::LOCK_NOT_AVAILABLE {
        return Failure::Locked(cause);
    }
    if *state == SqlState::DISK_FULL {
        return Failure::Full(cause);
    }
    let contention =
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::QUERY_CANCELED];
    if contention.contains(state) {
        return Failure::Contention(cause);
    }
    if is_missing(state) || *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return Failure::Away(cause);
    }
    // A plan or statement that went stale under a schema change: a new connection has fresh ones.
    let outdated = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME];
    let away = [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::INVALID_CATALOG_NAME];
    if outdated.contains(state) || away.contains(state) {
        return Failure::Away(cause);
    }
    match state.code().get(..2) {
        // Connection: what became of the statement is not known. Authorisation, resources, operator intervention,
        // system errors.
        Some("08") => Failure::Lost(cause),
        Some("28" | "53" | "57" | "58") => Failure::Away(cause),
        // Nothing is executed on a connection that was left in a failed transaction; another one serves.
        _ if *state == SqlState::IN_FAILED_SQL_TRANSACTION => Failure::Away(cause),
        _ if *state == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Failure::Away(cause),
        Some("22" | "23" | "54") => Failure::Data(cause),
        _ => Failure::Defect(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> Failure {
        of_state(&SqlState::from_code(code), "cause".into())
    }

    #[test]
    fn states_mean_what_the_manual_says() {
        assert!(matches!(of("55P03"), Failure::Locked(_)));
        for code in ["40001", "40P01", "57014"] {
            assert!(matches!(of(code), Failure::Contention(_)), "{code}");
        }
        for code in [
            "25006", "25P02", "25P03", "28P01", "3D000", "42501", "42P01", "42704", "53300", "57P01",
            "57P02", "57P03", "58030",
        ] {
            assert!(matches!(of(code), Failure::Away(_)), "{code}");
        }
        assert!(matches!(of("53100"), Failure::Full(_)));
        assert!(matches!(of("08006"), Failure::Lost(_)));
        for code in ["22021", "22003", "23514", "23502", "54000"] {
            assert!(matches!(of(code), Failure::Data(_)), "{code}");
        }
        for code in ["23505", "22012"] {
            assert!(matches!(of(code), Failure::Conflict(_)), "{code}");
        }
        for code in ["42601", "XX000"] {
            assert!(matches!(of(code), Failure::Defect(_)), "{code}");
        }
    }

    #[test]
    fn an_open_outcome_stays_open_whatever_comes_after_it() {
        for code in ["57P01", "23514", "40P01", "XX000"] {
            assert!(matches!(of(code).into_unknown(), RepoError::Unknown(_)), "{code}");
        }
        assert!(matches!(Failure::Busy.into_unknown(), RepoError::Unknown(_)));
    }
}
