//! One reservation as its operations tell it.

use crate::{Amount, Operation, OperationKind, Reservation, ReservationState, Timestamp};

/// The fold of one reservation's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) amount: Amount,
    pub(super) captured: i64,
    pub(super) released: i64,
    pub(super) refunded: i64,
    pub(super) ended_by: OperationKind,
    pub(super) created_at: Timestamp,
    pub(super) reserve_seq: i64,
    /// As the last operation left it.
    pub(super) expires_at: Timestamp,
}

impl Folded {
    pub(super) const fn new(reserve: &Operation, expires_at: Timestamp) -> Self {
        Self {
            amount: reserve.amount,
            captured: 0,
            released: 0,
            refunded: 0,
            ended_by: OperationKind::Reserve,
            created_at: reserve.created_at,
            reserve_seq: reserve.seq,
            expires_at,
        }
    }

    pub(super) const fn remaining(&self) -> i64 {
        self.amount.get() - self.captured - self.released
    }

    fn state(&self) -> ReservationState {
        match (self.remaining(), self.captured, self.ended_by) {
            (1.., _, _) => ReservationState::Active,
            (_, 1.., _) => ReservationState::Captured,
            (_, _, OperationKind::Expire) => ReservationState::Expired,
            _ => ReservationState::Released,
        }
    }

    /// Extensions leave no operation, so the deadline of what is over is known and of what is active is not.
    pub(super) fn ends_with(&self, stored: &Reservation) -> bool {
        match stored.state {
            ReservationState::Active => stored.created_at < stored.expires_at,
            _ => stored.expires_at == self.expires_at,
        }
    }

    /// All but the deadline.
    pub(super) fn matches(&self, stored: &Reservation) -> bool {
        stored.state == self.state()
            && stored.amount == self.amount
            && (stored.captured, stored.released, stored.refunded)
                == (self.captured, self.released, self.refunded)
            && stored.created_at == self.created_at
            && stored.reserve_seq == self.reserve_seq
    }
}
