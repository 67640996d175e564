//! Active reservations of all users: those that end next, of a service, of an order.

use actix_web::HttpResponse;
use askama::Template;
use balance_domain::{ReservationSearch, Scope, SearchSort};

use crate::{
    failure::Failure,
    fields::{Query, order_id, rows, service_id},
    pages::rows::{Choice, ReservationRow},
    position,
    shell::{Place, Shell, page},
    text::T,
    visit::Visit,
};

/// Reservations on one page.
const LISTED: u16 = 50;

#[derive(Template)]
#[template(path = "holds.html")]
struct HoldsPage {
    shell: Shell,
    sorts: Vec<Choice>,
    service: String,
    order: String,
    rows: Vec<ReservationRow>,
    first: String,
    next: Option<String>,
}

/// The page of holds, by deadline unless asked otherwise.
pub(super) async fn holds(visit: Visit, query: Query) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::Search)?;
    let fields = query.0;
    let search = ReservationSearch {
        service_id: fields.read("service_id", service_id)?,
        order_id: fields.read("order_id", order_id)?,
        expires_before: None,
        sort: if fields.get("sort") == "-created_at" {
            SearchSort::NewestFirst
        } else {
            SearchSort::SoonestFirst
        },
        after: fields.read("after", position::in_search)?,
        limit: rows(LISTED),
    };
    let found = visit.console.ledger.search_reservations(search).await?;
    let shell = Shell::of(&visit, visit.language.say(T::Holds), Place::Holds);
    let address = |after: &str| format!("/console/holds?{}", fields.with(&[("after", after)]));
    let sorts = [("expires_at", T::SoonestFirst), ("-created_at", T::NewestFirst)];
    page(&HoldsPage {
        sorts: Choice::of(sorts, fields.get("sort")),
        service: fields.get("service_id").to_owned(),
        order: fields.get("order_id").to_owned(),
        rows: ReservationRow::all(&found.items, &visit, &shell).await?,
        first: if fields.get("after").is_empty() { String::new() } else { address("") },
        next: found.next.map(|next| address(&position::of_search(&next))),
        shell,
    })
}
