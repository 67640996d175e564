//! The answers as they are on the wire. The checker judges these and not types of the service, so that a
//! mistake in the service's own types cannot hide from it. Amounts in minor units, times in RFC 3339.

use balance_domain::{Operation, Reservation, Timestamp};
use serde::{Deserialize, Serialize};

/// One operation of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the API, described there")]
pub struct OperationView {
    pub user_id: i64,
    pub seq: i64,
    pub kind: String,
    pub amount: i64,
    pub available_after: i64,
    pub reserved_after: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty_user_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    pub created_at: String,
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the API, described there")]
pub struct ReservationView {
    pub user_id: i64,
    pub service_id: i64,
    pub order_id: i64,
    pub state: String,
    pub amount: i64,
    pub captured: i64,
    pub released: i64,
    pub refunded: i64,
    pub created_at: String,
    pub expires_at: String,
}

/// A balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the API, described there")]
pub struct BalanceView {
    pub user_id: i64,
    pub available: i64,
    pub reserved: i64,
    pub total: i64,
    pub version: i64,
    pub as_of: String,
}

/// A month's report as the service returns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportView {
    /// `YYYY-MM`.
    pub month: String,
    /// One line per service.
    pub lines: Vec<ReportLineView>,
}

/// One service's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportLineView {
    /// The service.
    pub service_id: i64,
    /// The sum of captures.
    pub captured: i128,
    /// The sum of refunds.
    pub refunded: i128,
}

/// Microseconds of a time on the wire; `None` if it cannot be parsed.
pub fn micros_of(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::micros)
}

/// An operation of the domain as it would be on the wire.
pub fn operation_view(operation: &Operation) -> OperationView {
    OperationView {
        user_id: operation.user_id.get(),
        seq: operation.seq,
        kind: operation.kind.as_str().to_owned(),
        amount: operation.amount.get(),
        available_after: operation.available_after,
        reserved_after: operation.reserved_after,
        service_id: operation.service_id.map(balance_domain::ServiceId::get),
        order_id: operation.order_id.map(balance_domain::OrderId::get),
        counterparty_user_id: operation.counterparty_user_id.map(balance_domain::UserId::get),
        comment: operation.comment.as_ref().map(ToString::to_string),
        idempotency_key: operation.idempotency_key.as_ref().map(ToString::to_string),
        created_at: operation.created_at.to_string(),
    }
}

/// A reservation of the domain as it would be on the wire.
pub fn reservation_view(reservation: &Reservation) -> ReservationView {
    use balance_domain::ReservationState as State;
    let state = match reservation.state {
        State::Active => "active",
        State::Captured => "captured",
        State::Released => "released",
        State::Expired => "expired",
    };
    ReservationView {
        user_id: reservation.key.user_id.get(),
        service_id: reservation.key.service_id.get(),
        order_id: reservation.key.order_id.get(),
        state: state.to_owned(),
        amount: reservation.amount.get(),
        captured: reservation.captured,
        released: reservation.released,
        refunded: reservation.refunded,
        created_at: reservation.created_at.to_string(),
        expires_at: reservation.expires_at.to_string(),
    }
}
