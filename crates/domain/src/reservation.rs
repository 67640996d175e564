//! Money set aside for one order of one service, until a deadline.

use crate::{Amount, OrderId, ServiceId, Timestamp, UserId};

/// What identifies a reservation: all three together. Two services of one order are two reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationKey {
    /// Whose money.
    pub user_id: UserId,
    /// For which service.
    pub service_id: ServiceId,
    /// For which order.
    pub order_id: OrderId,
}

/// A reservation, and which of the holds that its key had one after the other is meant. After a release or an expiry
/// the key may be reserved again: who names the operation that made the hold does not act on a later one by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The reservation.
    pub key: ReservationKey,
    /// The number of the reserve that made the hold; `None` means the latest, whichever that is.
    pub reserve_seq: Option<i64>,
}

/// The latest.
impl From<ReservationKey> for Hold {
    fn from(key: ReservationKey) -> Self {
        Self { key, reserve_seq: None }
    }
}

/// Where a reservation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationState {
    /// Money is set aside.
    Active,
    /// Over; some or all of it became revenue.
    Captured,
    /// Over; all of it went back on request.
    Released,
    /// Over; all of it went back at the deadline.
    Expired,
}

/// A reservation. Amounts in minor units; `captured + released <= amount` and `refunded <= captured`.
///
/// After a release or an expiry without any capture, the same key may be reserved again: the reservation then
/// starts over and its history stays in the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// What identifies it.
    pub key: ReservationKey,
    /// Where it is in its life.
    pub state: ReservationState,
    /// What was set aside at first.
    pub amount: Amount,
    /// What became revenue, refunds not deducted.
    pub captured: i64,
    /// What went back to available, on request or by time.
    pub released: i64,
    /// What was given back after capture.
    pub refunded: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The number of the operation that made it, among those of the user.
    pub reserve_seq: i64,
    /// From this instant on it is expired, unless it ended before.
    pub expires_at: Timestamp,
}

impl Reservation {
    /// That hold of it.
    pub const fn hold(&self) -> Hold {
        Hold { key: self.key, reserve_seq: Some(self.reserve_seq) }
    }

    /// What is still set aside, in minor units.
    pub const fn remaining(&self) -> i64 {
        self.amount.get() - self.captured - self.released
    }

    /// Whether the deadline has passed while money is still set aside: `now >= expires_at`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.state == ReservationState::Active && now >= self.expires_at
    }

    /// Gives the rest back. `cause` is the state of a reservation that nothing was captured of.
    #[must_use]
    pub(crate) const fn ended(mut self, cause: ReservationState) -> Self {
        self.released += self.remaining();
        self.state = if self.captured > 0 { ReservationState::Captured } else { cause };
        self
    }
}
