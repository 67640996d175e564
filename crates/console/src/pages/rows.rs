//! Rows of tables, as they are shown: operations and reservations.

use balance_domain::{Operation, OperationKind, Reservation, ReservationKey, ReservationState};

use crate::{names::Names, shell::Shell, text::T, visit::Visit, words};

/// An operation in words.
pub(crate) struct OperationRow {
    pub(crate) seq: i64,
    pub(crate) time: String,
    pub(crate) words: String,
    /// What it was for.
    pub(crate) comment: String,
    /// The page of the reservation it is about.
    pub(crate) address: Option<String>,
    pub(crate) amount: String,
    /// `in`, `out`, or `between` available and reserved.
    pub(crate) direction: &'static str,
    pub(crate) available: String,
    pub(crate) reserved: String,
    pub(crate) actor: String,
}

impl OperationRow {
    pub(crate) fn of(operation: &Operation, names: &Names, shell: &Shell, visit: &Visit) -> Self {
        let (available, reserved) = operation.kind.effect(operation.amount);
        let total = available + reserved;
        let (amount, direction) = match total {
            0 => (shell.money(operation.amount.get()), "between"),
            1.. => (shell.signed(total), "in"),
            _ => (shell.signed(total), "out"),
        };
        let address = operation.service_id.zip(operation.order_id).map(|(service_id, order_id)| {
            address(&ReservationKey { user_id: operation.user_id, service_id, order_id })
        });
        Self {
            seq: operation.seq,
            time: shell.time(operation.created_at),
            words: words::operation(operation, names, shell.language),
            comment: operation
                .comment
                .as_ref()
                .map(|comment| comment.as_str().to_owned())
                .unwrap_or_default(),
            address,
            amount,
            direction,
            available: shell.money(operation.available_after),
            reserved: shell.money(operation.reserved_after),
            actor: words::actor(operation.actor, visit.console.gate.as_ref(), shell.language),
        }
    }

    /// All of them, with the names of their services looked up.
    pub(crate) async fn all(
        operations: &[Operation],
        visit: &Visit,
        shell: &Shell,
    ) -> Result<Vec<Self>, balance_domain::ports::RepoError> {
        let names = Names::of(&visit.console, operations.iter().filter_map(|one| one.service_id)).await?;
        Ok(operations.iter().map(|one| Self::of(one, &names, shell, visit)).collect())
    }
}

/// A reservation among others.
pub(crate) struct ReservationRow {
    pub(crate) address: String,
    pub(crate) user_address: String,
    pub(crate) user: String,
    pub(crate) service: String,
    pub(crate) order: String,
    pub(crate) amount: String,
    pub(crate) remaining: String,
    pub(crate) state: T,
    pub(crate) class: &'static str,
    pub(crate) made: String,
    pub(crate) deadline: String,
    /// Of an active one.
    pub(crate) left: Option<String>,
    /// Ends within ten minutes.
    pub(crate) is_soon: bool,
}

impl ReservationRow {
    pub(crate) fn of(reservation: &Reservation, names: &Names, shell: &Shell, visit: &Visit) -> Self {
        const SOON_MICROS: i64 = 10 * 60 * 1_000_000;
        let key = &reservation.key;
        let (state, class) = words::state(reservation.state);
        let is_active = reservation.state == ReservationState::Active;
        Self {
            address: address(key),
            user_address: format!("/console/users/{}", key.user_id),
            user: key.user_id.to_string(),
            service: names.get(key.service_id),
            order: key.order_id.to_string(),
            amount: shell.money(reservation.amount.get()),
            remaining: shell.money(reservation.remaining()),
            state,
            class,
            made: shell.time(reservation.created_at),
            deadline: shell.time(reservation.expires_at),
            left: is_active.then(|| shell.left(reservation.expires_at)),
            is_soon: is_active && reservation.expires_at.micros() - visit.now.micros() < SOON_MICROS,
        }
    }

    /// All of them, with the names of their services looked up.
    pub(crate) async fn all(
        reservations: &[Reservation],
        visit: &Visit,
        shell: &Shell,
    ) -> Result<Vec<Self>, balance_domain::ports::RepoError> {
        let names = Names::of(&visit.console, reservations.iter().map(|one| one.key.service_id)).await?;
        Ok(reservations.iter().map(|one| Self::of(one, &names, shell, visit)).collect())
    }
}

/// Where a reservation is shown.
pub(crate) fn address(key: &ReservationKey) -> String {
    format!("/console/reservations/{}/{}/{}", key.user_id, key.service_id, key.order_id)
}

/// An option of a list to choose from.
pub(crate) struct Choice {
    pub(crate) value: &'static str,
    pub(crate) text: T,
    pub(crate) is_chosen: bool,
}

impl Choice {
    /// The kinds of operations.
    pub(crate) fn kinds(chosen: &str) -> Vec<Self> {
        let all = OperationKind::ALL.into_iter().map(|kind| (kind.as_str(), words::kind(kind)));
        Self::of(all, chosen)
    }

    pub(crate) fn of(all: impl IntoIterator<Item = (&'static str, T)>, chosen: &str) -> Vec<Self> {
        all.into_iter().map(|(value, text)| Self { value, text, is_chosen: value == chosen }).collect()
    }
}
