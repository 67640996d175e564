//! Requests that change an account or its reservations: their fields, and what they mean to the ledger.

use balance_domain::{
    Action, Amount, Comment, Hold, OrderId, ReservationKey, ServiceId, TimeLimit, Ttl, UserId,
};
use paperclip::actix::Apiv2Schema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    api::HttpSettings,
    extract::{Faults, Field, Pairs, QueryParameters, Request, check_object, optional, required},
    wire::{Seq, Wire, present},
};

/// The fields of each request, as a batch names them too.
pub(super) mod fields {
    use super::{Amount, Comment, Field, OrderId, Seq, ServiceId, Ttl, UserId, optional, required};

    pub(in crate::wire) const USER: &[Field] = &[required::<UserId>("user_id")];
    pub(in crate::wire) const MOVE: &[Field] =
        &[required::<Amount>("amount"), optional::<Comment>("comment")];
    pub(in crate::wire) const TRANSFER: &[Field] =
        &[required::<UserId>("from_user_id"), required::<UserId>("to_user_id")];
    pub(in crate::wire) const RESERVATION: &[Field] = &[
        required::<UserId>("user_id"),
        required::<ServiceId>("service_id"),
        required::<OrderId>("order_id"),
    ];
    pub(in crate::wire) const RESERVE: &[Field] = &[
        required::<Amount>("amount"),
        optional::<Ttl>("expires_in_seconds"),
        optional::<Comment>("comment"),
    ];
    pub(in crate::wire) const CAPTURE: &[Field] =
        &[HOLD, optional::<Amount>("amount"), optional::<bool>("final"), optional::<Comment>("comment")];
    pub(in crate::wire) const RELEASE: &[Field] = &[HOLD, optional::<Comment>("comment")];
    pub(in crate::wire) const REFUND: &[Field] =
        &[HOLD, optional::<Amount>("amount"), optional::<Comment>("comment")];
    pub(in crate::wire) const EXTEND: &[Field] = &[HOLD, required::<Ttl>("expires_in_seconds")];
    const HOLD: Field = optional::<Seq>("reserve_seq");
}

macro_rules! request {
    ($type:ty, $($fields:expr),+) => {
        impl Request for $type {
            type Raw = Self;

            fn accept(raw: Self, _: &HttpSettings) -> Option<Self> {
                Some(raw)
            }

            fn check(body: &RawValue, faults: &mut Faults) {
                check_object(body, "", &[$($fields),+], faults);
            }
        }
    };
}

request!(DepositRequest, fields::MOVE);
request!(WithdrawalRequest, fields::MOVE);
request!(TransferRequest, fields::TRANSFER, fields::MOVE);
request!(ReserveRequest, fields::RESERVATION, fields::RESERVE);
request!(CaptureRequest, fields::RESERVATION, fields::CAPTURE);
request!(ReleaseRequest, fields::RESERVATION, fields::RELEASE);
request!(RefundRequest, fields::RESERVATION, fields::REFUND);
request!(ExtendRequest, fields::RESERVATION, fields::EXTEND);

/// Money that comes in.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DepositRequest {
    /// How much, in minor units.
    amount: Wire<Amount>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl DepositRequest {
    /// The movement, and what it is for.
    pub(crate) fn into_action(self, user_id: UserId) -> (Action, Option<Comment>) {
        (Action::Deposit { user_id, amount: self.amount.0 }, plain(self.comment))
    }
}

/// Money that is paid out.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawalRequest {
    /// How much, in minor units.
    amount: Wire<Amount>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl WithdrawalRequest {
    /// The movement, and what it is for.
    pub(crate) fn into_action(self, user_id: UserId) -> (Action, Option<Comment>) {
        (Action::Withdraw { user_id, amount: self.amount.0 }, plain(self.comment))
    }
}

/// Money that goes from one user to another.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferRequest {
    /// Who pays.
    from_user_id: Wire<UserId>,
    /// Who receives; the account appears if it is new.
    to_user_id: Wire<UserId>,
    /// How much, in minor units.
    amount: Wire<Amount>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl TransferRequest {
    /// The movement, and what it is for.
    pub(crate) fn into_action(self) -> (Action, Option<Comment>) {
        let action =
            Action::Transfer { from: self.from_user_id.0, to: self.to_user_id.0, amount: self.amount.0 };
        (action, plain(self.comment))
    }
}

/// Money to set aside for an order.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReserveRequest {
    /// Whose money.
    user_id: Wire<UserId>,
    /// For which service.
    service_id: Wire<ServiceId>,
    /// For which order.
    order_id: Wire<OrderId>,
    /// How much, in minor units.
    amount: Wire<Amount>,
    /// For how long; the configured limit if left out.
    #[serde(default, deserialize_with = "present")]
    expires_in_seconds: Option<Wire<Ttl>>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl ReserveRequest {
    /// The movement, and what it is for.
    pub(crate) fn into_action(self, ttl_default: Ttl) -> (Action, Option<Comment>) {
        let action = Action::Reserve {
            reservation: key(&self.user_id, &self.service_id, &self.order_id),
            amount: self.amount.0,
            time_limit: time_limit(self.expires_in_seconds, ttl_default),
        };
        (action, plain(self.comment))
    }
}

/// Set-aside money that becomes revenue.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptureRequest {
    /// Whose money.
    user_id: Wire<UserId>,
    /// For which service.
    service_id: Wire<ServiceId>,
    /// For which order.
    order_id: Wire<OrderId>,
    /// Which hold of the order is meant: the `reserve_seq` of an answer about it. Left out, the latest.
    #[serde(default, deserialize_with = "present")]
    reserve_seq: Option<Wire<Seq>>,
    /// How much, in minor units; all that is left if left out.
    #[serde(default, deserialize_with = "present")]
    amount: Option<Wire<Amount>>,
    /// Give the rest back and end the reservation; true if left out.
    #[serde(default, deserialize_with = "present", rename = "final")]
    is_final: Option<Wire<bool>>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl CaptureRequest {
    /// The movement, and what it is for.
    pub(crate) fn into_action(self) -> (Action, Option<Comment>) {
        let action = Action::Capture {
            reservation: self.hold(),
            amount: plain(self.amount),
            is_final: is_final(self.is_final.as_ref()),
        };
        (action, plain(self.comment))
    }
}

/// Set-aside money that goes back.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseRequest {
    /// Whose money.
    user_id: Wire<UserId>,
    /// For which service.
    service_id: Wire<ServiceId>,
    /// For which order.
    order_id: Wire<OrderId>,
    /// Which hold of the order is meant: the `reserve_seq` of an answer about it. Left out, the latest.
    #[serde(default, deserialize_with = "present")]
    reserve_seq: Option<Wire<Seq>>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl ReleaseRequest {
    /// The movement, and what it is for.
    pub(crate) fn into_action(self) -> (Action, Option<Comment>) {
        let action = Action::Release { reservation: self.hold() };
        (action, plain(self.comment))
    }
}

/// Revenue that is given back.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundRequest {
    /// Whose money.
    user_id: Wire<UserId>,
    /// For which service.
    service_id: Wire<ServiceId>,
    /// For which order.
    order_id: Wire<OrderId>,
    /// Which hold of the order is meant: the `reserve_seq` of an answer about it. Left out, the latest.
    #[serde(default, deserialize_with = "present")]
    reserve_seq: Option<Wire<Seq>>,
    /// How much, in minor units; all that is left of what was captured if left out.
    #[serde(default, deserialize_with = "present")]
    amount: Option<Wire<Amount>>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl RefundRequest {
    /// The movement, and what it is for.
    pub(crate) fn into_action(self) -> (Action, Option<Comment>) {
        (Action::Refund { reservation: self.hold(), amount: plain(self.amount) }, plain(self.comment))
    }
}

/// A new deadline.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendRequest {
    /// Whose money.
    user_id: Wire<UserId>,
    /// For which service.
    service_id: Wire<ServiceId>,
    /// For which order.
    order_id: Wire<OrderId>,
    /// Which hold of the order is meant: the `reserve_seq` of an answer about it. Left out, the latest.
    #[serde(default, deserialize_with = "present")]
    reserve_seq: Option<Wire<Seq>>,
    /// The new limit, counted from now.
    expires_in_seconds: Wire<Ttl>,
}

impl ExtendRequest {
    /// Which reservation, and for how long from now.
    pub(crate) fn reservation(&self) -> (Hold, Ttl) {
        (self.hold(), self.expires_in_seconds.0)
    }
}

/// Requests about a hold of a reservation.
macro_rules! about_a_hold {
    ($($request:ident),+) => {
        $(impl $request {
            fn hold(&self) -> Hold {
                let reserve_seq = self.reserve_seq.as_ref().map(|seq| seq.0.get());
                Hold { key: key(&self.user_id, &self.service_id, &self.order_id), reserve_seq }
            }
        })+
    };
}

about_a_hold!(CaptureRequest, ReleaseRequest, RefundRequest, ExtendRequest);

/// Out of its wrapping.
pub(super) fn plain<T>(wire: Option<Wire<T>>) -> Option<T> {
    wire.map(|wire| wire.0)
}

/// A capture is final unless the caller says otherwise.
pub(super) fn is_final(asked: Option<&Wire<bool>>) -> bool {
    asked.is_none_or(|asked| asked.0)
}

/// The limit asked for, or the configured one.
pub(super) fn time_limit(asked: Option<Wire<Ttl>>, ttl_default: Ttl) -> TimeLimit {
    plain(asked).map_or(TimeLimit::Default(ttl_default), TimeLimit::Asked)
}

fn key(user_id: &Wire<UserId>, service_id: &Wire<ServiceId>, order_id: &Wire<OrderId>) -> ReservationKey {
    ReservationKey { user_id: user_id.0, service_id: service_id.0, order_id: order_id.0 }
}

/// Whether to do it, or only to say what would happen.
#[derive(Apiv2Schema)]
pub(crate) struct DryRunParameter {
    /// `true`: nothing is written and the key is not used up; the answer and status are those that the call would have
    /// now, with `dry_run` in it. No promise: others go on writing.
    dry_run: Option<Wire<bool>>,
}

impl QueryParameters for DryRunParameter {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        Some(Self { dry_run: pairs.optional("dry_run").map(Wire) })
    }
}

impl DryRunParameter {
    /// Whether only an answer is wanted.
    pub(crate) fn is_asked(&self) -> bool {
        self.dry_run.as_ref().is_some_and(|asked| asked.0)
    }
}
