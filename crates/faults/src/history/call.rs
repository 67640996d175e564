//! The requests of the load client.

use serde::{Deserialize, Serialize};

/// The three ids of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderRef {
    /// Whose money.
    pub user_id: i64,
    /// For which service.
    pub service_id: i64,
    /// For which order.
    pub order_id: i64,
}

/// One call of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Moves money under a key.
    Money(MoneyCall),
    /// Moves the deadline of a reservation; carries no key.
    Extend {
        /// Which.
        order: OrderRef,
        /// From now.
        expires_in_seconds: u32,
    },
    /// Reads a balance.
    Balance {
        /// Whose.
        user_id: i64,
    },
    /// Reads the newest operations.
    Operations {
        /// Whose.
        user_id: i64,
    },
}

/// A movement of money as it is requested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyCall {
    /// The idempotency key.
    pub key: String,
    /// The comment; every call of the load has one, so that its loss is noticed.
    pub comment: String,
    /// What to do.
    #[serde(flatten)]
    pub action: MoneyAction,
}

/// What to do. Amounts in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum MoneyAction {
    /// Money comes in.
    Deposit {
        /// To whom.
        user_id: i64,
        /// How much.
        amount: i64,
    },
    /// Money is paid out.
    Withdraw {
        /// From whom.
        user_id: i64,
        /// How much.
        amount: i64,
    },
    /// Money goes from user to user.
    Transfer {
        /// Who pays.
        from_user_id: i64,
        /// Who receives.
        to_user_id: i64,
        /// How much.
        amount: i64,
    },
    /// Money is set aside.
    Reserve {
        /// For what.
        order: OrderRef,
        /// How much.
        amount: i64,
        /// For how long.
        expires_in_seconds: u32,
    },
    /// Set-aside money becomes revenue.
    Capture {
        /// Of which reservation.
        order: OrderRef,
        /// How much; `None` is all.
        amount: Option<i64>,
        /// Give the rest back.
        is_final: bool,
    },
    /// Set-aside money goes back.
    Release {
        /// Of which reservation.
        order: OrderRef,
    },
    /// Revenue is given back.
    Refund {
        /// Of which reservation.
        order: OrderRef,
        /// How much; `None` is all.
        amount: Option<i64>,
    },
}

impl MoneyAction {
    /// The user whose money moves first: the scope of the key.
    pub const fn user_id(&self) -> i64 {
        match self {
            Self::Deposit { user_id, .. } | Self::Withdraw { user_id, .. } => *user_id,
            Self::Transfer { from_user_id, .. } => *from_user_id,
            Self::Reserve { order, .. }
            | Self::Capture { order, .. }
            | Self::Release { order }
            | Self::Refund { order, .. } => order.user_id,
        }
    }

    /// The reservation it is about.
    pub const fn order(&self) -> Option<OrderRef> {
        match self {
            Self::Deposit { .. } | Self::Withdraw { .. } | Self::Transfer { .. } => None,
            Self::Reserve { order, .. }
            | Self::Capture { order, .. }
            | Self::Release { order }
            | Self::Refund { order, .. } => Some(*order),
        }
    }

    /// The kind of the operation that it creates.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Deposit { .. } => "deposit",
            Self::Withdraw { .. } => "withdrawal",
            Self::Transfer { .. } => "transfer_out",
            Self::Reserve { .. } => "reserve",
            Self::Capture { .. } => "capture",
            Self::Release { .. } => "release",
            Self::Refund { .. } => "refund",
        }
    }

    /// The requested amount, if there is one.
    pub const fn amount(&self) -> Option<i64> {
        match self {
            Self::Deposit { amount, .. }
            | Self::Withdraw { amount, .. }
            | Self::Transfer { amount, .. }
            | Self::Reserve { amount, .. } => Some(*amount),
            Self::Capture { amount, .. } | Self::Refund { amount, .. } => *amount,
            Self::Release { .. } => None,
        }
    }
}
