//! What time does to reservations in the model.

use std::collections::BTreeSet;

use balance_domain::{
    Action, Actor, Amount, Command, Moment, OperationKind, Reservation, ReservationState, Submission,
    Timestamp, UserId,
};

use super::World;

/// Whether money is still set aside although the deadline is here.
pub(super) fn is_due(reservation: &Reservation, now: Timestamp) -> bool {
    reservation.state == ReservationState::Active && reservation.expires_at <= now
}

/// The reservation once everything that is left of it went back.
pub(super) fn ended(mut reservation: Reservation, without_capture: ReservationState) -> Reservation {
    reservation.released = reservation.amount.get() - reservation.captured;
    reservation.state = if reservation.captured == 0 { without_capture } else { ReservationState::Captured };
    reservation
}

/// Everybody whom a batch names.
pub(super) fn users_of(submissions: &[Submission]) -> BTreeSet<UserId> {
    let mut users = BTreeSet::new();
    for command in submissions.iter().flat_map(|submission| &submission.commands) {
        users.extend(named(command));
    }
    users
}

fn named(command: &Command) -> Vec<UserId> {
    match command {
        Command::Money(money) => match money.action {
            Action::Deposit { user_id, .. } | Action::Withdraw { user_id, .. } => vec![user_id],
            Action::Transfer { from, to, .. } => vec![from, to],
            Action::Reserve { reservation, .. } => vec![reservation.user_id],
            Action::Capture { reservation, .. }
            | Action::Release { reservation }
            | Action::Refund { reservation, .. } => vec![reservation.key.user_id],
        },
        Command::Extend { reservation, .. } => vec![reservation.key.user_id],
        Command::Expire { user_id } | Command::Close { user_id } => vec![*user_id],
    }
}

impl World {
    /// Writes the expiry of everything of this user that is due, the longest overdue first.
    pub(super) fn expire(&mut self, user_id: UserId, moment: Moment) {
        let Some(book) = self.books.get_mut(&user_id) else { return };
        let mut due: Vec<Reservation> = book
            .reservations
            .values()
            .filter(|reservation| is_due(reservation, moment.now()))
            .copied()
            .collect();
        due.sort_by_key(|reservation| (reservation.expires_at, reservation.key));
        for reservation in due {
            let rest = reservation.amount.get() - reservation.captured - reservation.released;
            let Ok(amount) = Amount::new(rest) else { continue };
            let at = book.expiry_at(reservation.expires_at, moment);
            book.reserved -= rest;
            book.available += rest;
            book.note_on(
                ended(reservation, ReservationState::Expired),
                OperationKind::Expire,
                amount,
                Actor::Expiry,
                at,
            );
        }
    }
}
