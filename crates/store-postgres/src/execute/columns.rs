//! Operations as the arrays that one statement unnests.

use balance_domain::{RecordedOperation, Reservation};
use tokio_postgres::types::ToSql;

use crate::values::{At, bucket, state_name};

/// One array per column, in the order of
/// [`APPEND_OPERATIONS`](crate::statements::APPEND_OPERATIONS).
#[derive(Default)]
pub(super) struct OperationColumns<'a> {
    buckets: Vec<i16>,
    users: Vec<i64>,
    seqs: Vec<i64>,
    kinds: Vec<&'a str>,
    amounts: Vec<i64>,
    available_after: Vec<i64>,
    reserved_after: Vec<i64>,
    services: Vec<Option<i64>>,
    orders: Vec<Option<i64>>,
    counterparties: Vec<Option<i64>>,
    comments: Vec<Option<&'a str>>,
    keys: Vec<Option<&'a str>>,
    created_at: Vec<At>,
    fingerprints: Vec<Option<&'a [u8]>>,
    reservation_amounts: Vec<Option<i64>>,
    reservation_captured: Vec<Option<i64>>,
    reservation_released: Vec<Option<i64>>,
    reservation_refunded: Vec<Option<i64>>,
    reservation_created_at: Vec<Option<At>>,
    reservation_expires_at: Vec<Option<At>>,
    reservation_states: Vec<Option<&'a str>>,
}

impl<'a> OperationColumns<'a> {
    pub(super) fn of(recorded: &'a [RecordedOperation]) -> Self {
        let mut columns = Self::default();
        for one in recorded {
            columns.push(one);
        }
        columns
    }

    fn push(&mut self, recorded: &'a RecordedOperation) {
        let operation = &recorded.operation;
        self.buckets.push(bucket(operation.user_id));
        self.users.push(operation.user_id.get());
        self.seqs.push(operation.seq);
        self.kinds.push(operation.kind.as_str());
        self.amounts.push(operation.amount.get());
        self.available_after.push(operation.available_after);
        self.reserved_after.push(operation.reserved_after);
        self.services.push(operation.service_id.map(balance_domain::ServiceId::get));
        self.orders.push(operation.order_id.map(balance_domain::OrderId::get));
        self.counterparties.push(operation.counterparty_user_id.map(balance_domain::UserId::get));
        self.comments.push(operation.comment.as_ref().map(balance_domain::Comment::as_str));
        self.keys.push(operation.idempotency_key.as_ref().map(balance_domain::IdempotencyKey::as_str));
        self.created_at.push(At(operation.created_at));
        self.fingerprints.push(recorded.fingerprint.as_ref().map(|fingerprint| fingerprint.0.as_slice()));
        self.push_reservation(recorded.reservation_after.as_ref());
    }

    fn push_reservation(&mut self, reservation: Option<&Reservation>) {
        self.reservation_amounts.push(reservation.map(|r| r.amount.get()));
        self.reservation_captured.push(reservation.map(|r| r.captured));
        self.reservation_released.push(reservation.map(|r| r.released));
        self.reservation_refunded.push(reservation.map(|r| r.refunded));
        self.reservation_created_at.push(reservation.map(|r| At(r.created_at)));
        self.reservation_expires_at.push(reservation.map(|r| At(r.expires_at)));
        self.reservation_states.push(reservation.map(|r| state_name(r.state)));
    }

    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 21] {
        [
            &self.buckets,
            &self.users,
            &self.seqs,
            &self.kinds,
            &self.amounts,
            &self.available_after,
            &self.reserved_after,
            &self.services,
            &self.orders,
            &self.counterparties,
            &self.comments,
            &self.keys,
            &self.created_at,
            &self.fingerprints,
            &self.reservation_amounts,
            &self.reservation_captured,
            &self.reservation_released,
            &self.reservation_refunded,
            &self.reservation_created_at,
            &self.reservation_expires_at,
            &self.reservation_states,
        ]
    }
}
