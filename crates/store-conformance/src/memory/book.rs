//! One user's pages of the model: balances, history and reservations side by side.

use std::collections::BTreeMap;

use balance_domain::{
    Account, AccountStatus, Actor, Amount, Fingerprint, Moment, Operation, OperationKind, OrderId,
    RecordedOperation, Reservation, ServiceId, Timestamp, UserId,
};

/// What is known of a user whom something happened to.
#[derive(Clone)]
pub(super) struct Book {
    pub(super) user_id: UserId,
    pub(super) is_closed: bool,
    pub(super) available: i64,
    pub(super) reserved: i64,
    pub(super) operations: Vec<RecordedOperation>,
    pub(super) reservations: BTreeMap<(ServiceId, OrderId), Reservation>,
}

impl Book {
    pub(super) const fn empty(user_id: UserId) -> Self {
        Self {
            user_id,
            is_closed: false,
            available: 0,
            reserved: 0,
            operations: Vec::new(),
            reservations: BTreeMap::new(),
        }
    }

    pub(super) fn seq(&self) -> i64 {
        i64::try_from(self.operations.len()).unwrap_or(i64::MAX)
    }

    pub(super) fn last_at(&self) -> Timestamp {
        self.operations.last().map_or(Timestamp::MIN, |last| last.operation.created_at)
    }

    /// When the next operation happens.
    pub(super) fn next_at(&self, moment: Moment) -> Timestamp {
        moment.next(self.last_at())
    }

    /// When an expiry with this deadline happens.
    pub(super) fn expiry_at(&self, deadline: Timestamp, moment: Moment) -> Timestamp {
        moment.expiry(deadline, self.last_at())
    }

    pub(super) fn account(&self) -> Account {
        Account {
            user_id: self.user_id,
            status: if self.is_closed { AccountStatus::Closed } else { AccountStatus::Open },
            available: self.available,
            reserved: self.reserved,
            seq: self.seq(),
            last_at: self.last_at(),
        }
    }

    /// Appends what happened. The balances were changed already; this only writes them down.
    pub(super) fn note(
        &mut self,
        kind: OperationKind,
        amount: Amount,
        actor: Actor,
        at: Timestamp,
    ) -> &mut RecordedOperation {
        let operation = Operation {
            user_id: self.user_id,
            seq: self.seq() + 1,
            kind,
            amount,
            available_after: self.available,
            reserved_after: self.reserved,
            service_id: None,
            order_id: None,
            counterparty_user_id: None,
            comment: None,
            idempotency_key: None,
            actor,
            created_at: at,
        };
        let position = self.operations.len();
        self.operations.push(RecordedOperation { operation, fingerprint: None, reservation_after: None });
        &mut self.operations[position]
    }

    /// Appends what happened to a reservation, and keeps the reservation as it is now.
    pub(super) fn note_on(
        &mut self,
        reservation: Reservation,
        kind: OperationKind,
        amount: Amount,
        actor: Actor,
        at: Timestamp,
    ) -> &mut RecordedOperation {
        self.reservations.insert((reservation.key.service_id, reservation.key.order_id), reservation);
        let noted = self.note(kind, amount, actor, at);
        noted.operation.service_id = Some(reservation.key.service_id);
        noted.operation.order_id = Some(reservation.key.order_id);
        noted.reservation_after = Some(reservation);
        noted
    }
}

/// What the first operation of a request carries beside its numbers.
pub(super) fn sign(noted: &mut RecordedOperation, command: &balance_domain::MoneyCommand) {
    let fingerprint: Fingerprint = command.fingerprint();
    noted.operation.idempotency_key = Some(command.key.clone());
    noted.operation.comment.clone_from(&command.comment);
    noted.fingerprint = Some(fingerprint);
}
