//! One user's money.

use crate::{Amount, OperationKind, Timestamp, UserId, amount::BALANCE_MAX};

/// Whether an account still takes part in movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// Takes part.
    Open,
    /// Closed for good; its history stays for the books.
    Closed,
}

/// One user's money, in minor units, after the operation number `seq`.
///
/// Invariants: `available >= 0`, `reserved >= 0`, `available + reserved <= BALANCE_MAX`; `reserved` is the sum
/// of what is left of the user's active reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The owner.
    pub user_id: UserId,
    /// Open or closed.
    pub status: AccountStatus,
    /// What the user can spend.
    pub available: i64,
    /// What is set aside for orders.
    pub reserved: i64,
    /// The number of operations so far; 0 means that no operation ever happened, so nobody knows the account.
    pub seq: i64,
    /// When the last operation happened.
    pub last_at: Timestamp,
}

/// An account as it was read at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountAsOf {
    /// When this was so. Not before the reader asked; later where reads were merged.
    pub at: Timestamp,
    /// The account after its last recorded operation.
    pub recorded: Account,
    /// Some reservation of it is past its deadline but not yet recorded as expired: this is no state to return.
    pub has_due: bool,
}

impl Account {
    /// The account of a user whom nothing has happened to yet.
    pub const fn unopened(user_id: UserId) -> Self {
        Self {
            user_id,
            status: AccountStatus::Open,
            available: 0,
            reserved: 0,
            seq: 0,
            last_at: Timestamp::MIN,
        }
    }

    /// Available and reserved together, in minor units.
    pub const fn total(&self) -> i64 {
        self.available + self.reserved
    }

    /// The balances after an operation, or `None` if one of them would leave its bounds.
    pub(crate) fn balances_after(&self, kind: OperationKind, amount: Amount) -> Option<(i64, i64)> {
        let (available, reserved) = kind.effect(amount);
        let available = self.available.checked_add(available)?;
        let reserved = self.reserved.checked_add(reserved)?;
        let total = available.checked_add(reserved)?;
        (available >= 0 && reserved >= 0 && total <= BALANCE_MAX).then_some((available, reserved))
    }
}
