//! What the load client saw from outside the service: one [`Record`] per call, with the times between which
//! the service must have done it. Nothing is dropped: a call without an answer is recorded as unknown.

mod call;
mod log;
mod view;

pub use call::{Call, MoneyAction, MoneyCall, OrderRef};
pub use log::{read_log, write_log};
pub use view::{
    BalanceView, OperationView, ReportLineView, ReportView, ReservationView, micros_of, operation_view,
    reservation_view,
};

use serde::{Deserialize, Serialize};

/// One call and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which client process called; calls of one process do not overlap, repeats apart.
    pub process: u32,
    /// What was asked.
    #[serde(flatten)]
    pub call: Call,
    /// When the call left, in nanoseconds of the client's monotonic clock.
    pub invoked_ns: u64,
    /// When the answer (or the failure) came, on the same clock.
    pub returned_ns: u64,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a call, as far as the client knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was accepted.
    Ok {
        /// The answer.
        answer: AnswerBody,
        /// The service marked it as a replay of the first answer.
        replayed: bool,
    },
    /// A rule refused it.
    Rejected {
        /// The stable code of the rejection.
        code: String,
    },
    /// It may or may not have been executed.
    Unknown {
        /// How it failed.
        why: String,
    },
    /// It was not executed: it never left, or the service said so.
    NeverSent {
        /// How it failed.
        why: String,
    },
}

impl Outcome {
    /// The answer of an accepted call.
    pub const fn answer(&self) -> Option<&AnswerBody> {
        match self {
            Self::Ok { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// Whether it is unknown if it was executed.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether the service decided the call.
    pub const fn is_definite(&self) -> bool {
        matches!(self, Self::Ok { .. } | Self::Rejected { .. })
    }
}

/// The body of a successful answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerBody {
    /// Of deposits, withdrawals and transfers.
    Operation(OperationView),
    /// Of everything about a reservation.
    Reservation(ReservationView),
    /// Of a balance read; `None` for a user whom nothing has happened to.
    Balance(Option<BalanceView>),
    /// Of a read of the newest operations, latest first.
    Operations(Vec<OperationView>),
}
