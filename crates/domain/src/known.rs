//! What a store can cache of a user: enough for the balance at any time, and to decide most commands.

use crate::{Account, AccountAsOf, Moment, Reservation, ReservationKey, ReservationState, UserId};

/// An account with all of its active reservations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    account: Account,
    active: Vec<Reservation>,
}

impl KnownAccount {
    /// An account with more active reservations is not worth caching: each is half as large as an account without
    /// any.
    const ACTIVE_MAX: usize = 8;

    /// The account as it was written, with its reservations that were `active` before and those that were `written`
    /// with it, both in the order of keys.
    ///
    /// `None` if these are not all (their remaining amounts must add up to `account.reserved`) or more than
    /// `ACTIVE_MAX`.
    pub fn of(account: Account, mut active: Vec<Reservation>, written: &[Reservation]) -> Option<Self> {
        let written = reservations_of(written, account.user_id);
        let is_active = |reservation: &&Reservation| reservation.state == ReservationState::Active;
        if written.iter().filter(is_active).count() > Self::ACTIVE_MAX {
            return None;
        }
        for reservation in written {
            active.retain(|other| other.key != reservation.key);
            if reservation.state == ReservationState::Active {
                // Most accounts have one or none, and there are many accounts.
                active.reserve_exact(1);
                active.push(*reservation);
            } else if active.is_empty() {
                active = Vec::new();
            }
        }
        let is_all = active.iter().map(Reservation::remaining).sum::<i64>() == account.reserved;
        (is_all && active.len() <= Self::ACTIVE_MAX).then_some(Self { account, active })
    }

    /// The account after its last recorded operation.
    pub const fn account(&self) -> Account {
        self.account
    }

    /// All of them as recorded, due ones included, in any order.
    pub fn active(&self) -> &[Reservation] {
        &self.active
    }

    /// The same, for the account as it is written next.
    pub fn into_active(self) -> Vec<Reservation> {
        self.active
    }

    /// The account as it is at this moment, provided that nothing was written since.
    pub fn as_of(&self, moment: Moment) -> AccountAsOf {
        let has_due = self.active.iter().any(|reservation| reservation.is_due(moment.now()));
        AccountAsOf { at: moment.now(), recorded: self.account, has_due }
    }

    /// Whether this one is active, due or not.
    pub fn has(&self, key: ReservationKey) -> bool {
        self.active.iter().any(|reservation| reservation.key == key)
    }
}

/// Those of one user, out of reservations in the order of their keys.
pub fn reservations_of(reservations: &[Reservation], user_id: UserId) -> &[Reservation] {
    let start = reservations.partition_point(|reservation| reservation.key.user_id < user_id);
    let count = reservations[start..].partition_point(|reservation| reservation.key.user_id == user_id);
    &reservations[start..start + count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountStatus, Amount, OrderId, ServiceId, Timestamp};

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn account(reserved: i64) -> Account {
        Account { reserved, seq: 1, status: AccountStatus::Open, ..Account::unopened(user(1)) }
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    fn reservation(id: i64, order_id: i64, state: ReservationState) -> Reservation {
        let key = ReservationKey {
            user_id: user(id),
            service_id: ServiceId::new(1).unwrap(),
            order_id: OrderId::new(order_id).unwrap(),
        };
        let released = if state == ReservationState::Active { 0 } else { 10 };
        Reservation {
            key,
            state,
            amount: Amount::new(10).unwrap(),
            captured: 0,
            released,
            refunded: 0,
            created_at: at(0),
            reserve_seq: 1,
            expires_at: at(order_id),
        }
    }

    #[test]
    fn an_account_is_known_with_all_of_its_reservations_or_not_at_all() {
        use ReservationState::{Active, Released};
        let known = |reserved, active: &[Reservation], written: &[Reservation]| {
            KnownAccount::of(account(reserved), active.to_vec(), written).map(|known| known.active.len())
        };
        let (first, second) = (reservation(1, 1, Active), reservation(1, 2, Active));
        assert_eq!(known(0, &[], &[]), Some(0));
        assert_eq!(known(10, &[], &[]), None);
        assert_eq!(known(10, &[first], &[]), Some(1));
        assert_eq!(known(20, &[first], &[second]), Some(2));
        assert_eq!(known(20, &[first], &[reservation(2, 2, Active)]), None, "somebody else's");
        assert_eq!(known(10, &[first, second], &[reservation(1, 1, Released)]), Some(1));
        let many: Vec<Reservation> = (0..9).map(|order| reservation(1, order + 1, Active)).collect();
        assert_eq!(known(80, &many[..8], &[]), Some(8));
        assert_eq!(known(90, &many, &[]), None, "too many to keep");
        assert_eq!(known(90, &[], &many), None, "too many at once");
        let ended: Vec<Reservation> = (0..99).map(|order| reservation(1, order + 1, Released)).collect();
        assert_eq!(known(0, &many[..8], &ended), Some(0));
    }

    #[test]
    fn what_is_due_is_known_at_every_time() {
        let active = [1, 2, 3].map(|order| reservation(1, order, ReservationState::Active));
        let known = KnownAccount::of(account(30), active.to_vec(), &[]).unwrap();
        for (now, has_due) in [(0, false), (1, true), (3, true), (9, true)] {
            let read = known.as_of(Moment::new(at(now), Moment::TOLERANCE));
            assert_eq!((read.at, read.recorded, read.has_due), (at(now), account(30), has_due));
        }
    }
}
