//! What the generator of random histories asks of the model while it writes one: synchronous, and loose where
//! only aim is needed.

use balance_domain::{
    Account, IdempotencyKey, Moment, Reservation, ServiceId, ServiceName, Submission, Timestamp, UserId,
};

use super::MemoryStore;

fn moment_at(now: Timestamp) -> Moment {
    Moment::new(now, Moment::TOLERANCE)
}

impl MemoryStore {
    pub(crate) fn expire_now(&self, user_id: UserId, now: Timestamp) {
        self.world().expire(user_id, moment_at(now));
    }

    /// What is rejected leaves no trace here either.
    pub(crate) fn play(&self, submission: &Submission, now: Timestamp) {
        self.world().submit(submission, moment_at(now)).ok();
    }

    pub(crate) fn account_now(&self, user_id: UserId) -> Option<Account> {
        self.world().books.get(&user_id).map(super::Book::account)
    }

    pub(crate) fn knows(&self, user_id: UserId, key: &IdempotencyKey) -> bool {
        self.world().answers.contains_key(&(user_id, key.clone()))
    }

    pub(crate) fn reservations_of(&self, users: &[UserId]) -> Vec<Reservation> {
        let world = self.world();
        users
            .iter()
            .filter_map(|user| world.books.get(user))
            .flat_map(|book| book.reservations.values().copied())
            .collect()
    }

    pub(crate) fn service_ids(&self) -> Vec<ServiceId> {
        self.world().services.keys().copied().collect()
    }

    pub(crate) fn add_one(&self, id: ServiceId, name: &ServiceName) {
        self.world().add_service(id, name.clone()).ok();
    }

    pub(crate) fn rename_one(&self, id: ServiceId, name: &ServiceName) {
        self.world().rename_service(id, name.clone()).ok();
    }

    pub(crate) fn remove_one(&self, id: ServiceId) {
        self.world().remove_service(id).ok();
    }
}
