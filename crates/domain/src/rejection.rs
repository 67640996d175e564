//! When the rules say no. A rejection has no effect and is not an error of ours.

use crate::{OrderId, ReservationKey, ServiceId, UserId};

/// Why a command was refused. The variants stand in order of precedence: where several apply, the first is
/// answered, because each check is only meaningful once those before it have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Rejection {
    /// The user's key already belongs to a request with another meaning.
    #[error("this idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// A transfer from a user to the same user.
    #[error("a transfer needs two different users")]
    SameAccount,
    /// No money ever came to this user, by deposit or transfer.
    #[error("there is no account of user {0}")]
    AccountNotFound(UserId),
    /// The account was closed for good.
    #[error("the account of user {0} is closed")]
    AccountClosed(UserId),
    /// The catalogue has no such service.
    #[error("there is no service {0}")]
    ServiceNotFound(ServiceId),
    /// The service takes no new reservations.
    #[error("service {0} is retired")]
    ServiceRetired(ServiceId),
    /// Nothing was ever reserved for this user, service and order.
    #[error("{}", no_reservation(.0))]
    ReservationNotFound(ReservationKey),
    /// The reservation was made again since the hold that is meant, or that hold was never made.
    #[error("this order is held by operation {reserve_seq} of the user, not by the one that was named")]
    ReservationSuperseded {
        /// The number of the reserve that made the latest hold.
        reserve_seq: i64,
    },
    /// The same user, service and order have an active reservation.
    #[error("this order has an active reservation for this service")]
    ReservationExists,
    /// The reservation is over, and money of it was captured.
    #[error("the reservation was captured")]
    ReservationCaptured,
    /// The reservation is over: given back on request.
    #[error("the reservation was released")]
    ReservationReleased,
    /// The reservation is over: its deadline has passed.
    #[error("the reservation has expired")]
    ReservationExpired,
    /// No captured money is left to give back.
    #[error("no captured money is left to refund")]
    NothingToRefund,
    /// More than is left of the reservation.
    #[error("only {remaining} minor units of the reservation are left to capture")]
    CaptureExceedsReserved {
        /// What is left, in minor units.
        remaining: i64,
    },
    /// More than is left of what was captured.
    #[error("only {refundable} captured minor units are left to refund")]
    RefundExceedsCaptured {
        /// What is left, in minor units.
        refundable: i64,
    },
    /// The user cannot spend that much.
    #[error("only {available} minor units are available")]
    InsufficientFunds {
        /// What the user can spend, in minor units.
        available: i64,
    },
    /// The account would hold more than [`BALANCE_MAX`](crate::BALANCE_MAX).
    #[error("the account of user {0} would hold more than 9007199254740991 minor units")]
    BalanceLimitExceeded(UserId),
    /// An account with money cannot be closed.
    #[error("the account still holds money: {available} available and {reserved} reserved minor units")]
    AccountNotEmpty {
        /// What the user can spend, in minor units.
        available: i64,
        /// What is set aside, in minor units.
        reserved: i64,
    },
}

fn no_reservation(ReservationKey { user_id, service_id, order_id }: &ReservationKey) -> String {
    let order: &OrderId = order_id;
    format!("user {user_id} has no reservation for service {service_id} and order {order}")
}

/// What kind of "no" it is, for callers that treat kinds alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// Something that the command names does not exist.
    NotFound,
    /// It exists but is not in a state for this.
    Conflict,
    /// It is closed for good.
    Gone,
    /// A rule on amounts or keys says no.
    Refused,
}

impl Rejection {
    /// The stable code, part of the public contract (`docs/api.md`).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::SameAccount => "same_account",
            Self::AccountNotFound(_) => "account_not_found",
            Self::AccountClosed(_) => "account_closed",
            Self::ServiceNotFound(_) => "service_not_found",
            Self::ServiceRetired(_) => "service_retired",
            Self::ReservationNotFound(_) => "reservation_not_found",
            Self::ReservationSuperseded { .. } => "reservation_superseded",
            Self::ReservationExists => "reservation_exists",
            Self::ReservationCaptured => "reservation_captured",
            Self::ReservationReleased => "reservation_released",
            Self::ReservationExpired => "reservation_expired",
            Self::NothingToRefund => "nothing_to_refund",
            Self::CaptureExceedsReserved { .. } => "capture_exceeds_reserved",
            Self::RefundExceedsCaptured { .. } => "refund_exceeds_captured",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::BalanceLimitExceeded(_) => "balance_limit_exceeded",
            Self::AccountNotEmpty { .. } => "account_not_empty",
        }
    }

    /// What kind of "no" it is.
    pub const fn kind(&self) -> RejectionKind {
        match self {
            Self::AccountNotFound(_) | Self::ServiceNotFound(_) | Self::ReservationNotFound(_) => {
                RejectionKind::NotFound
            }
            Self::AccountClosed(_) => RejectionKind::Gone,
            Self::ServiceRetired(_)
            | Self::ReservationSuperseded { .. }
            | Self::ReservationExists
            | Self::ReservationCaptured
            | Self::ReservationReleased
            | Self::ReservationExpired
            | Self::NothingToRefund
            | Self::AccountNotEmpty { .. } => RejectionKind::Conflict,
            Self::IdempotencyKeyReused
            | Self::SameAccount
            | Self::CaptureExceedsReserved { .. }
            | Self::RefundExceedsCaptured { .. }
            | Self::InsufficientFunds { .. }
            | Self::BalanceLimitExceeded(_) => RejectionKind::Refused,
        }
    }
}
