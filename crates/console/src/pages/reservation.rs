//! One reservation: where it is in its life, and what can be done with it.

use actix_web::{HttpResponse, web::Path};
use askama::Template;
use balance_domain::{
    OperationFilter, OperationQuery, OperationSort, Reservation, ReservationKey, ReservationState, Scope,
};

use crate::{
    act::Deed,
    failure::Failure,
    fields::{order_id, rows, service_id, user_id},
    names::Names,
    pages::{
        rows::{OperationRow, ReservationRow},
        user::Door,
    },
    shell::{Place, Shell, page},
    text::T,
    visit::Visit,
};

#[derive(Template)]
#[template(path = "reservation.html")]
struct ReservationPage {
    shell: Shell,
    row: ReservationRow,
    captured: String,
    released: String,
    refunded: String,
    doors: Vec<Door>,
    operations: Vec<OperationRow>,
    has_more: bool,
    may_read_history: bool,
}

/// A reservation's page.
pub(super) async fn reservation(
    visit: Visit,
    path: Path<(String, String, String)>,
) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::BalanceRead)?;
    let (user, service, order) = path.into_inner();
    let key = (|| {
        Some(ReservationKey {
            user_id: user_id(&user)?,
            service_id: service_id(&service)?,
            order_id: order_id(&order)?,
        })
    })();
    let key = key.ok_or(Failure::NotFound(T::NoSuchReservation))?;
    let found = visit.console.ledger.reservation(key).await?;
    let found = found.ok_or(Failure::NotFound(T::NoSuchReservation))?;
    let shell = Shell::of(&visit, format!("{} {order}", visit.language.say(T::Order)), Place::Holds);
    let names = Names::of(&visit.console, [key.service_id]).await?;
    let may_read_history = visit.may(Scope::HistoryRead);
    let (operations, has_more) =
        if may_read_history { life(&visit, &shell, key).await? } else { (Vec::new(), false) };
    page(&ReservationPage {
        row: ReservationRow::of(&found, &names, &shell, &visit),
        captured: shell.money(found.captured),
        released: shell.money(found.released),
        refunded: shell.money(found.refunded),
        doors: doors(&visit, &found),
        operations,
        has_more,
        may_read_history,
        shell,
    })
}

/// What happened to the order, from the beginning.
async fn life(
    visit: &Visit,
    shell: &Shell,
    key: ReservationKey,
) -> Result<(Vec<OperationRow>, bool), Failure> {
    let query = OperationQuery {
        user_id: key.user_id,
        filter: OperationFilter {
            service_id: Some(key.service_id),
            order_id: Some(key.order_id),
            ..OperationFilter::default()
        },
        sort: OperationSort::OldestFirst,
        after: None,
        limit: rows(balance_domain::LIMIT_MAX),
    };
    let page = visit.console.ledger.operations(query).await?;
    let Some(page) = page else { return Ok((Vec::new(), false)) };
    Ok((OperationRow::all(&page.items, visit, shell).await?, page.next.is_some()))
}

/// What the visitor may do with it in its state.
fn doors(visit: &Visit, reservation: &Reservation) -> Vec<Door> {
    let is_active = reservation.state == ReservationState::Active;
    let ReservationKey { user_id, service_id, order_id } = reservation.key;
    let offered = [
        (Deed::Capture, is_active),
        (Deed::Extend, is_active),
        (Deed::Release, is_active),
        (Deed::Refund, reservation.captured > reservation.refunded),
    ];
    let allowed =
        offered.into_iter().filter(|(deed, is_possible)| *is_possible && visit.may_act(deed.scope()));
    allowed
        .map(|(deed, _)| Door {
            address: format!(
                "/console/act/{}?user_id={user_id}&service_id={service_id}&order_id={order_id}",
                deed.name()
            ),
            text: deed.texts().0,
        })
        .collect()
}
