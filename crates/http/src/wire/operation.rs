//! Operations, and what may be asked of a history.

use balance_domain::{
    Actor, Amount, Comment, IdempotencyKey, Limit, Operation, OperationFilter, OperationKind, OperationSort,
    OrderId, ServiceId, Timestamp, UserId,
};
use paperclip::actix::Apiv2Schema;
use serde::Serialize;

use crate::{
    extract::{Pairs, QueryParameters},
    wire::{Cursor, Wire},
};

/// One accepted change of one account, amounts in minor units.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct OperationBody {
    /// Whose account.
    user_id: Wire<UserId>,
    /// 1, 2, 3 … per user, without gaps.
    seq: i64,
    /// What happened.
    kind: Wire<OperationKind>,
    /// How much moved.
    amount: Wire<Amount>,
    /// The available money after it.
    available_after: i64,
    /// The reserved money after it.
    reserved_after: i64,
    /// The service, for operations on a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_id: Option<Wire<ServiceId>>,
    /// The order, for operations on a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Wire<OrderId>>,
    /// The other side of a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    counterparty_user_id: Option<Wire<UserId>>,
    /// What the caller said it was for; erased when the account is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<Wire<Comment>>,
    /// The key of the request that this operation answers for; absent where nobody asked (`expire`) and on the
    /// other half of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<Wire<IdempotencyKey>>,
    /// Who did it: `key:<id>`, `anonymous` where no key exists, or `expiry`.
    actor: Wire<Actor>,
    /// When it happened.
    created_at: Wire<Timestamp>,
}

impl From<Operation> for OperationBody {
    fn from(operation: Operation) -> Self {
        Self {
            user_id: Wire(operation.user_id),
            seq: operation.seq,
            kind: Wire(operation.kind),
            amount: Wire(operation.amount),
            available_after: operation.available_after,
            reserved_after: operation.reserved_after,
            service_id: operation.service_id.map(Wire),
            order_id: operation.order_id.map(Wire),
            counterparty_user_id: operation.counterparty_user_id.map(Wire),
            comment: operation.comment.map(Wire),
            idempotency_key: operation.idempotency_key.map(Wire),
            actor: Wire(operation.actor),
            created_at: Wire(operation.created_at),
        }
    }
}

/// A page of a history.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct OperationPage {
    /// The operations, in the order asked for.
    pub(crate) data: Vec<OperationBody>,
    /// Where the next page starts; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

/// What may be asked of a history.
#[derive(Apiv2Schema)]
pub(crate) struct OperationParameters {
    /// The order: `-created_at` (latest first, the default), `created_at`, `-amount` (largest first), `amount`.
    pub(crate) sort: Option<Wire<OperationSort>>,
    /// Only this kind.
    pub(crate) kind: Option<Wire<OperationKind>>,
    /// Only operations for this service.
    pub(crate) service_id: Option<Wire<ServiceId>>,
    /// Only operations for this order.
    pub(crate) order_id: Option<Wire<OrderId>>,
    /// Only operations at this time or later.
    pub(crate) from: Option<Wire<Timestamp>>,
    /// Only operations before this time.
    pub(crate) to: Option<Wire<Timestamp>>,
    /// Only operations of this amount or more.
    pub(crate) min_amount: Option<Wire<Amount>>,
    /// Only operations of this amount or less.
    pub(crate) max_amount: Option<Wire<Amount>>,
    /// At most this many rows.
    pub(crate) limit: Option<Wire<Limit>>,
    /// `next_cursor` of the page before; only with the same filters and sort order.
    pub(crate) cursor: Option<Wire<Cursor>>,
}

impl QueryParameters for OperationParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        Some(Self {
            sort: pairs.optional("sort").map(Wire),
            kind: pairs.optional("kind").map(Wire),
            service_id: pairs.optional("service_id").map(Wire),
            order_id: pairs.optional("order_id").map(Wire),
            from: pairs.optional("from").map(Wire),
            to: pairs.optional("to").map(Wire),
            min_amount: pairs.optional("min_amount").map(Wire),
            max_amount: pairs.optional("max_amount").map(Wire),
            limit: pairs.optional("limit").map(Wire),
            cursor: pairs.optional("cursor").map(Wire),
        })
    }
}

impl OperationParameters {
    /// The filters.
    pub(crate) fn filter(&self) -> OperationFilter {
        OperationFilter {
            kind: value(self.kind.as_ref()),
            service_id: value(self.service_id.as_ref()),
            order_id: value(self.order_id.as_ref()),
            from: value(self.from.as_ref()),
            to: value(self.to.as_ref()),
            min_amount: value(self.min_amount.as_ref()),
            max_amount: value(self.max_amount.as_ref()),
        }
    }
}

fn value<T: Copy>(wire: Option<&Wire<T>>) -> Option<T> {
    wire.map(|wire| wire.0)
}
