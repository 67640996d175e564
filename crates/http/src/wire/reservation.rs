//! Reservations, and how they are asked for.

use balance_domain::{
    Amount, Limit, OrderId, Reservation, ReservationKey, ReservationState, SearchSort, ServiceId, Timestamp,
    UserId,
};
use paperclip::actix::Apiv2Schema;
use serde::Serialize;

use crate::{
    extract::{Pairs, QueryParameters},
    wire::{Cursor, Wire},
};

/// Money set aside for one order of one service, amounts in minor units.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct ReservationBody {
    /// Whose money.
    user_id: Wire<UserId>,
    /// For which service.
    service_id: Wire<ServiceId>,
    /// For which order.
    order_id: Wire<OrderId>,
    /// Where it is in its life.
    state: Wire<ReservationState>,
    /// What was set aside at first.
    amount: Wire<Amount>,
    /// What is still set aside.
    reserved: i64,
    /// What became revenue, refunds not deducted.
    captured: i64,
    /// What went back to the user, on request or by time.
    released: i64,
    /// What was given back after capture.
    refunded: i64,
    /// When it was made.
    created_at: Wire<Timestamp>,
    /// The `seq` of the operation that made it: another number once the order was reserved again.
    reserve_seq: i64,
    /// From this instant on it is expired, unless it ended before.
    expires_at: Wire<Timestamp>,
    /// In answers of commands: the `seq` of the operation that records the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_seq: Option<i64>,
}

impl ReservationBody {
    /// The reservation, and the operation that answers for it.
    pub(crate) fn new(reservation: &Reservation, operation_seq: Option<i64>) -> Self {
        Self {
            user_id: Wire(reservation.key.user_id),
            service_id: Wire(reservation.key.service_id),
            order_id: Wire(reservation.key.order_id),
            state: Wire(reservation.state),
            amount: Wire(reservation.amount),
            reserved: reservation.remaining(),
            captured: reservation.captured,
            released: reservation.released,
            refunded: reservation.refunded,
            created_at: Wire(reservation.created_at),
            reserve_seq: reservation.reserve_seq,
            expires_at: Wire(reservation.expires_at),
            operation_seq,
        }
    }
}

/// Where a reservation can be read.
pub(crate) fn reservation_location(key: &ReservationKey) -> String {
    let ReservationKey { user_id, service_id, order_id } = key;
    format!("/api/v1/reservations?user_id={user_id}&service_id={service_id}&order_id={order_id}")
}

/// A page of reservations.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct ReservationPage {
    /// The reservations, latest made first.
    pub(crate) data: Vec<ReservationBody>,
    /// Where the next page starts; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

/// Which reservation.
#[derive(Apiv2Schema)]
#[expect(clippy::struct_field_names, reason = "the names of the parameters")]
pub(crate) struct ReservationParameters {
    /// Whose money.
    user_id: Wire<UserId>,
    /// For which service.
    service_id: Wire<ServiceId>,
    /// For which order.
    order_id: Wire<OrderId>,
}

impl QueryParameters for ReservationParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        // All three are parsed before any is reported missing, so that all faults are reported at once.
        let user_id = pairs.required("user_id");
        let service_id = pairs.required("service_id");
        let order_id = pairs.required("order_id");
        Some(Self { user_id: Wire(user_id?), service_id: Wire(service_id?), order_id: Wire(order_id?) })
    }
}

impl ReservationParameters {
    /// What identifies the reservation.
    pub(crate) fn key(&self) -> ReservationKey {
        ReservationKey { user_id: self.user_id.0, service_id: self.service_id.0, order_id: self.order_id.0 }
    }
}

/// Which reservations of a user.
#[derive(Apiv2Schema)]
pub(crate) struct ReservationsParameters {
    /// Only those that are in this state now.
    pub(crate) state: Option<Wire<ReservationState>>,
    /// At most this many rows.
    pub(crate) limit: Option<Wire<Limit>>,
    /// `next_cursor` of the page before; only with the same state.
    pub(crate) cursor: Option<Wire<Cursor>>,
}

impl QueryParameters for ReservationsParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        Some(Self {
            state: pairs.optional("state").map(Wire),
            limit: pairs.optional("limit").map(Wire),
            cursor: pairs.optional("cursor").map(Wire),
        })
    }
}

/// Reservations that were searched for.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct SearchBody {
    /// The reservations, in the order asked for.
    pub(crate) data: Vec<ReservationBody>,
    /// What was searched: `active` reservations.
    pub(crate) covers: &'static str,
    /// Where the next page starts; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

/// Which reservations of all users.
#[derive(Apiv2Schema)]
pub(crate) struct SearchParameters {
    /// Only those that are in this state now.
    pub(crate) state: Option<Wire<ReservationState>>,
    /// Only those for this service.
    pub(crate) service_id: Option<Wire<ServiceId>>,
    /// Only those for this order.
    pub(crate) order_id: Option<Wire<OrderId>>,
    /// Only those whose deadline is before this time.
    pub(crate) expires_before: Option<Wire<Timestamp>>,
    /// The order: `expires_at` (nearest deadline first, the default) or `-created_at` (latest made first).
    pub(crate) sort: Option<Wire<SearchSort>>,
    /// At most this many rows.
    pub(crate) limit: Option<Wire<Limit>>,
    /// `next_cursor` of the page before; only with the same filters and sort order.
    pub(crate) cursor: Option<Wire<Cursor>>,
}

impl QueryParameters for SearchParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        Some(Self {
            state: pairs.optional("state").map(Wire),
            service_id: pairs.optional("service_id").map(Wire),
            order_id: pairs.optional("order_id").map(Wire),
            expires_before: pairs.optional("expires_before").map(Wire),
            sort: pairs.optional("sort").map(Wire),
            limit: pairs.optional("limit").map(Wire),
            cursor: pairs.optional("cursor").map(Wire),
        })
    }
}
