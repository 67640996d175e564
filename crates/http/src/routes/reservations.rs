//! Money set aside for orders.

use balance_domain::{Command, Page, Rejection, ReservationQuery, ReservationSearch, ReservationState};
use paperclip::actix::api_v2_operation;

use crate::{
    answer::{Created, Ok as Answered},
    cursor::{self, List},
    extract::{Body, Caller, Key, Query, UserInPath, invalid_cursor},
    operations::{
        CaptureReservation, ExtendReservation, GetReservation, ListReservations, PostReservation,
        RefundReservation, ReleaseReservation, SearchReservations,
    },
    problem::{Code, Problem},
    routes::{
        balances::open_account,
        submit::{on_reservation, reservation_of},
    },
    wire::{
        CaptureRequest, DryRunParameter, ExtendRequest, RefundRequest, ReleaseRequest, ReservationBody,
        ReservationPage, ReservationParameters, ReservationsParameters, ReserveRequest, SearchBody,
        SearchParameters, reservation_location,
    },
};

/// Reserve money for an order.
///
/// Moves money from available to reserved until it is captured, released, or its time is over. User, service
/// and order together identify the reservation; after a release or an expiry without any capture, the same
/// three may be reserved again.
#[api_v2_operation]
pub(super) async fn reserve(
    caller: Caller<PostReservation>,
    query: Query<DryRunParameter>,
    key: Key,
    body: Body<ReserveRequest>,
) -> Result<Created<ReservationBody>, Problem> {
    caller.dry_run(&query.0);
    let (action, comment) = body.0.into_action(caller.api().settings.reservation_ttl_default);
    let location = action.reservation().as_ref().map(reservation_location).unwrap_or_default();
    Ok(on_reservation::<_, 201>(caller, key.0, (action, comment)).await?.at(location))
}

/// Capture a reservation: recognise revenue.
///
/// Without `amount` all that is left is captured. With `final` (the default) the rest goes back to the user and
/// the reservation ends; with `final: false` it stays active for further captures.
#[api_v2_operation]
pub(super) async fn capture(
    caller: Caller<CaptureReservation>,
    query: Query<DryRunParameter>,
    key: Key,
    body: Body<CaptureRequest>,
) -> Result<Answered<ReservationBody>, Problem> {
    caller.dry_run(&query.0);
    on_reservation(caller, key.0, body.0.into_action()).await
}

/// Release a reservation.
///
/// Gives back all that is left of it.
#[api_v2_operation]
pub(super) async fn release(
    caller: Caller<ReleaseReservation>,
    query: Query<DryRunParameter>,
    key: Key,
    body: Body<ReleaseRequest>,
) -> Result<Answered<ReservationBody>, Problem> {
    caller.dry_run(&query.0);
    on_reservation(caller, key.0, body.0.into_action()).await
}

/// Refund captured money.
///
/// Without `amount` all that is left of what was captured. The sum of refunds never exceeds what was captured.
#[api_v2_operation]
pub(super) async fn refund(
    caller: Caller<RefundReservation>,
    query: Query<DryRunParameter>,
    key: Key,
    body: Body<RefundRequest>,
) -> Result<Answered<ReservationBody>, Problem> {
    caller.dry_run(&query.0);
    on_reservation(caller, key.0, body.0.into_action()).await
}

/// Extend a reservation.
///
/// Moves the deadline on, counted from now, and never back; only while it is active. Moves no money and needs no
/// idempotency key: doing it twice is harmless, in any order.
#[api_v2_operation]
pub(super) async fn extend(
    caller: Caller<ExtendReservation>,
    query: Query<DryRunParameter>,
    body: Body<ExtendRequest>,
) -> Result<Answered<ReservationBody>, Problem> {
    caller.dry_run(&query.0);
    let (reservation, ttl) = body.0.reservation();
    caller.about(reservation.key.user_id);
    let (reservation, operation_seq, _) =
        reservation_of(&caller, Command::Extend { reservation, ttl }).await?;
    Ok(Answered::new(ReservationBody::new(&reservation, operation_seq)))
}

/// Get one reservation.
///
/// All three ids are needed, and all three must match: an order alone tells nothing about a user.
#[api_v2_operation]
pub(super) async fn get(
    caller: Caller<GetReservation>,
    query: Query<ReservationParameters>,
) -> Result<Answered<ReservationBody>, Problem> {
    let key = query.0.key();
    caller.about(key.user_id);
    let reservation = caller.api().ledger.reservation(key).await?.ok_or_else(|| {
        Problem::with_detail(Code::ReservationNotFound, Rejection::ReservationNotFound(key).to_string())
    })?;
    open_account(&caller, key.user_id).await?;
    Ok(Answered::new(ReservationBody::new(&reservation, None)))
}

/// List a user's reservations.
///
/// Newest first. States are current: a reservation past its deadline is returned as expired.
#[api_v2_operation]
pub(super) async fn list(
    caller: Caller<ListReservations>,
    user: UserInPath,
    query: Query<ReservationsParameters>,
) -> Result<Answered<ReservationPage>, Problem> {
    let user_id = user.0;
    let state = query.0.state.as_ref().map(|state| state.0);
    let list = List::reservations(user_id, state);
    let after = match &query.0.cursor {
        Some(cursor) => Some(cursor::decode(list, &cursor.0.0).ok_or_else(invalid_cursor)?),
        None => None,
    };
    let limit = query.0.limit.as_ref().map(|limit| limit.0).unwrap_or_default();
    open_account(&caller, user_id).await?;
    let page = caller.api().ledger.reservations(ReservationQuery { user_id, state, after, limit }).await?;
    let page = page.ok_or_else(|| Problem::new(Code::AccountNotFound))?;
    Ok(Answered::new(ReservationPage {
        next_cursor: page.next.as_ref().map(|next| cursor::encode(list, next)),
        data: page.items.iter().map(|reservation| ReservationBody::new(reservation, None)).collect(),
    }))
}

/// Search the reservations of all users.
///
/// Active ones, those that end next first: `covers` says that ended ones are not searched. States are those of now.
/// `expires_before` is not inside.
#[api_v2_operation]
pub(super) async fn search(
    caller: Caller<SearchReservations>,
    query: Query<SearchParameters>,
) -> Result<Answered<SearchBody>, Problem> {
    let parameters = query.0;
    let mut search = ReservationSearch {
        service_id: parameters.service_id.map(|id| id.0),
        order_id: parameters.order_id.map(|id| id.0),
        expires_before: parameters.expires_before.map(|before| before.0),
        sort: parameters.sort.map(|sort| sort.0).unwrap_or_default(),
        after: None,
        limit: parameters.limit.map(|limit| limit.0).unwrap_or_default(),
    };
    let list = List::search(&search);
    if let Some(cursor) = &parameters.cursor {
        search.after = Some(cursor::decode(list, &cursor.0.0).ok_or_else(invalid_cursor)?);
    }
    // Nothing leads to ended ones; `covers` says so.
    let is_covered = parameters.state.is_none_or(|state| state.0 == ReservationState::Active);
    let found = if is_covered {
        caller.api().ledger.search_reservations(search).await?
    } else {
        Page { items: Vec::new(), next: None }
    };
    Ok(Answered::new(SearchBody {
        next_cursor: found.next.as_ref().map(|next| cursor::encode(list, next)),
        data: found.items.iter().map(|reservation| ReservationBody::new(reservation, None)).collect(),
        covers: "active",
    }))
}
