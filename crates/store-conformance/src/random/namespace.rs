//! The users and services of one seed.

use balance_domain::{OrderId, ServiceId, ServiceName, UserId};

use crate::teller::{name, order, service, user};

const USERS: i64 = 6;
const SERVICES: i64 = 4;

/// Ids that no other seed uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namespace {
    seed: i64,
}

impl Namespace {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed: i64::try_from(seed).unwrap_or_else(|_| panic!("a seed is at most 2^63-1")) }
    }

    pub(super) fn users(self) -> Vec<UserId> {
        (1..=USERS).map(|number| user(self.seed * USERS + number)).collect()
    }

    pub(super) fn services(self) -> Vec<ServiceId> {
        (1..=SERVICES).map(|number| service(self.seed * SERVICES + number)).collect()
    }

    pub(super) fn orders() -> [OrderId; 5] {
        [1, 2, 3, 4, i64::MAX].map(|number| order(1, 1, number).order_id)
    }

    /// A name that only this seed uses; the number tells its names apart.
    pub(super) fn name(self, number: u32) -> ServiceName {
        name(&format!("seed {} \u{43d}\u{43e}\u{43c}\u{435}\u{440} {number}", self.seed))
    }

    pub(super) fn owns_service(self, id: ServiceId) -> bool {
        self.services().contains(&id)
    }

    pub(super) fn owns_user(self, id: UserId) -> bool {
        self.users().contains(&id)
    }

    /// The seed that this user belongs to.
    pub(super) fn seed_of(id: UserId) -> i64 {
        (id.get() - 1) / USERS
    }
}
