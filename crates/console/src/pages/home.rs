//! The first page: search, figures of the whole service, and the holds that end next.

use actix_web::HttpResponse;
use askama::Template;
use balance_domain::{Limit, OrderId, ReservationSearch, Scope, SearchSort, Timestamp, UserId};

use crate::{
    failure::Failure,
    fields::{Query, order_id, rows, user_id},
    pages::rows::ReservationRow,
    shell::{Place, Shell, page, see_other},
    text::T,
    visit::Visit,
};

/// How many holds the first page shows.
const HOLDS_SHOWN: u16 = 5;

/// Counting holds that end soon stops here.
const SOON_MAX: u16 = 200;

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// A figure and what it is of.
struct Figure {
    text: T,
    value: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    shell: Shell,
    figures: Vec<Figure>,
    /// What an operator should look at, in words.
    alarms: Vec<T>,
    holds: Vec<ReservationRow>,
    may_search: bool,
    may_read: bool,
}

#[derive(Template)]
#[template(path = "live.html")]
struct LiveFragment {
    shell: Shell,
    figures: Vec<Figure>,
    alarms: Vec<T>,
}

/// The first page.
pub(super) async fn home(visit: Visit) -> Result<HttpResponse, Failure> {
    let shell = Shell::of(&visit, visit.language.say(T::Home), Place::Home);
    let may_search = visit.may(Scope::Search);
    let holds = if may_search { soonest(&visit, rows(HOLDS_SHOWN), None).await? } else { Vec::new() };
    let holds = ReservationRow::all(&holds, &visit, &shell).await?;
    let (figures, alarms) = figures(&visit).await?;
    let may_read = visit.may(Scope::BalanceRead);
    page(&HomePage { shell, figures, alarms, holds, may_search, may_read })
}

/// The figures alone, for the script that keeps them fresh.
pub(super) async fn live(visit: Visit) -> Result<HttpResponse, Failure> {
    let shell = Shell::of(&visit, "", Place::Home);
    let (figures, alarms) = figures(&visit).await?;
    page(&LiveFragment { shell, figures, alarms })
}

async fn figures(visit: &Visit) -> Result<(Vec<Figure>, Vec<T>), Failure> {
    /// More than this and deadlines cannot be relied on, in microseconds.
    const OFFSET_MAX: i64 = 500_000;
    let live = visit.console.figures.live();
    let mut figures = Vec::new();
    let mut alarms = Vec::new();
    if let Some(rate) = live.operations_per_second {
        figures.push(Figure { text: T::OperationsPerSecond, value: format!("{rate:.0}") });
    }
    if let Some(holds) = live.holds {
        figures.push(Figure { text: T::HoldsOpen, value: holds.to_string() });
    }
    if visit.may(Scope::Search) {
        let until = Timestamp::from_micros(visit.now.micros() + HOUR).ok();
        let soon = soonest(visit, rows(SOON_MAX), until).await?.len();
        let more = if soon == usize::from(SOON_MAX) { "+" } else { "" };
        figures.push(Figure { text: T::HoldsDueSoon, value: format!("{soon}{more}") });
    }
    if let Some(offset) = live.clock_offset_micros {
        figures.push(Figure { text: T::ClockOffset, value: format!("{}\u{a0}ms", offset / 1_000) });
        if offset.abs() > OFFSET_MAX {
            alarms.push(T::ClockIsOff);
        }
    }
    if visit.console.ledger.ready().await.is_err() {
        alarms.push(T::StoreAway);
    }
    Ok((figures, alarms))
}

/// The active holds that end first.
async fn soonest(
    visit: &Visit,
    limit: Limit,
    expires_before: Option<Timestamp>,
) -> Result<Vec<balance_domain::Reservation>, Failure> {
    let search = ReservationSearch {
        service_id: None,
        order_id: None,
        expires_before,
        sort: SearchSort::SoonestFirst,
        after: None,
        limit,
    };
    Ok(visit.console.ledger.search_reservations(search).await?.items)
}

#[derive(Template)]
#[template(path = "found.html")]
struct FoundPage {
    shell: Shell,
    asked: String,
    is_number: bool,
    user: Option<String>,
    orders: Vec<ReservationRow>,
    may_search: bool,
}

/// What a number may mean: a user, or an order. With one meaning only it leads there at once.
pub(super) async fn find(visit: Visit, query: Query) -> Result<HttpResponse, Failure> {
    let asked = query.0.get("q").to_owned();
    let user = match user_id(&asked).filter(|_| visit.may(Scope::BalanceRead)) {
        Some(id) => visit.console.ledger.account(id).await?.map(|_| id),
        None => None,
    };
    let may_search = visit.may(Scope::Search);
    let orders = match order_id(&asked).filter(|_| may_search) {
        Some(order) => of_order(&visit, order).await?,
        None => Vec::new(),
    };
    match (user, orders.as_slice()) {
        (Some(user), []) => return Ok(see_other(format!("/console/users/{user}"))),
        (None, [only]) => return Ok(see_other(crate::pages::rows::address(&only.key))),
        _ => {}
    }
    let shell = Shell::of(&visit, visit.language.say(T::Search), Place::Home);
    let orders = ReservationRow::all(&orders, &visit, &shell).await?;
    let is_number = user_id(&asked).is_some();
    page(&FoundPage {
        shell,
        asked,
        is_number,
        user: user.map(|user: UserId| user.to_string()),
        orders,
        may_search,
    })
}

/// The active reservations of an order.
async fn of_order(visit: &Visit, order: OrderId) -> Result<Vec<balance_domain::Reservation>, Failure> {
    let search = ReservationSearch {
        service_id: None,
        order_id: Some(order),
        expires_before: None,
        sort: SearchSort::NewestFirst,
        after: None,
        limit: rows(50),
    };
    Ok(visit.console.ledger.search_reservations(search).await?.items)
}
