//! Which rows a batch must see, so that stores can lock and load them all at once.

use crate::{Action, Command, IdempotencyKey, ReservationKey, ServiceId, Submission, UserId};

/// The rows that a batch names, each once, in the canonical order in which stores take their locks:
/// accounts by (bucket, user id), everything else ascending.
///
/// Beside these rows a store loads every due reservation of the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Accounts to lock.
    pub accounts: Vec<UserId>,
    /// Those of the accounts that the batch may bring into being.
    pub creates: Vec<UserId>,
    /// Keys that may have been answered before.
    pub keys: Vec<(UserId, IdempotencyKey)>,
    /// Reservations named.
    pub reservations: Vec<ReservationKey>,
    /// Services that money is to be reserved for.
    pub services: Vec<ServiceId>,
}

impl Needs {
    /// What these submissions name.
    pub fn of<'a>(submissions: impl IntoIterator<Item = &'a Submission>) -> Self {
        let mut needs = Self::default();
        for command in submissions.into_iter().flat_map(|submission| &submission.commands) {
            needs.add(command);
        }
        needs.into_canonical()
    }

    fn add(&mut self, command: &Command) {
        self.accounts.extend(command.user_ids());
        match command {
            Command::Money(command) => {
                self.keys.push((command.action.user_id(), command.key.clone()));
                self.add_action(&command.action);
            }
            Command::Extend { reservation, .. } => self.reservations.push(reservation.key),
            Command::Expire { .. } | Command::Close { .. } => {}
        }
    }

    fn add_action(&mut self, action: &Action) {
        match *action {
            Action::Deposit { user_id, .. } => self.creates.push(user_id),
            Action::Withdraw { .. } => {}
            Action::Transfer { to, .. } => self.creates.push(to),
            Action::Reserve { reservation, .. } => {
                self.reservations.push(reservation);
                self.services.push(reservation.service_id);
            }
            Action::Capture { reservation, .. }
            | Action::Release { reservation }
            | Action::Refund { reservation, .. } => self.reservations.push(reservation.key),
        }
    }

    fn into_canonical(mut self) -> Self {
        let by_bucket = |user: &UserId| (user.bucket(), *user);
        self.accounts.sort_unstable_by_key(by_bucket);
        self.accounts.dedup();
        self.creates.sort_unstable_by_key(by_bucket);
        self.creates.dedup();
        self.keys.sort_unstable();
        self.keys.dedup();
        self.reservations.sort_unstable();
        self.reservations.dedup();
        self.services.sort_unstable();
        self.services.dedup();
        self
    }
}
