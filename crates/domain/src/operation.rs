//! One accepted change of one account. Operations are only ever appended; balances are their sum.

use crate::{
    Actor, Amount, Comment, Fingerprint, IdempotencyKey, OrderId, Reservation, ServiceId, Timestamp, UserId,
};

/// What happened to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// Money came in.
    Deposit,
    /// Money was paid out.
    Withdrawal,
    /// Money went to another user.
    TransferOut,
    /// Money came from another user.
    TransferIn,
    /// Money was set aside for an order.
    Reserve,
    /// Set-aside money became revenue.
    Capture,
    /// Set-aside money went back on request, or as the rest of a final capture.
    Release,
    /// Set-aside money went back because its time was over.
    Expire,
    /// Revenue was given back.
    Refund,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Deposit,
        Self::Withdrawal,
        Self::TransferOut,
        Self::TransferIn,
        Self::Reserve,
        Self::Capture,
        Self::Release,
        Self::Expire,
        Self::Refund,
    ];

    /// The name in the API and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::TransferOut => "transfer_out",
            Self::TransferIn => "transfer_in",
            Self::Reserve => "reserve",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Expire => "expire",
            Self::Refund => "refund",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it moves the money of a reservation, so that operations of this kind name a service and an order.
    pub const fn is_on_reservation(self) -> bool {
        matches!(self, Self::Reserve | Self::Capture | Self::Release | Self::Expire | Self::Refund)
    }

    /// What an operation of this kind adds to `(available, reserved)`, in minor units. The only place that
    /// says which way money moves.
    pub const fn effect(self, amount: Amount) -> (i64, i64) {
        let amount = amount.get();
        match self {
            Self::Deposit | Self::TransferIn | Self::Refund => (amount, 0),
            Self::Withdrawal | Self::TransferOut => (-amount, 0),
            Self::Reserve => (-amount, amount),
            Self::Capture => (0, -amount),
            Self::Release | Self::Expire => (amount, -amount),
        }
    }
}

/// One accepted change of one account, with the balances after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Whose account.
    pub user_id: UserId,
    /// 1, 2, 3 … per account, without gaps.
    pub seq: i64,
    /// What happened.
    pub kind: OperationKind,
    /// How much moved.
    pub amount: Amount,
    /// The account's available money after it, in minor units.
    pub available_after: i64,
    /// The account's reserved money after it, in minor units.
    pub reserved_after: i64,
    /// For operations on a reservation.
    pub service_id: Option<ServiceId>,
    /// For operations on a reservation.
    pub order_id: Option<OrderId>,
    /// The other side of a transfer.
    pub counterparty_user_id: Option<UserId>,
    /// What the caller said it was for; erased when the account is closed.
    pub comment: Option<Comment>,
    /// The key of the request, on the one operation that answers for it: a transfer's `transfer_out`, a final
    /// capture's `capture`. Absent where nobody asked (`expire`) and on the other half of a request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Who did it.
    pub actor: Actor,
    /// When it was decided; never earlier than the operation before it on this account.
    pub created_at: Timestamp,
}

/// An operation as the stores keep it: with what is needed to answer its request again, word for word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedOperation {
    /// The operation.
    pub operation: Operation,
    /// The meaning of the request; present with `operation.idempotency_key`.
    pub fingerprint: Option<Fingerprint>,
    /// The operation's reservation as the whole request left it, for operations on a reservation.
    pub reservation_after: Option<Reservation>,
}
