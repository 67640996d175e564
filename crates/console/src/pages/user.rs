//! A user: balances and their course, active holds, the latest operations.

use actix_web::{HttpResponse, web::Path};
use askama::Template;
use balance_domain::{
    Account, AccountStatus, OperationFilter, OperationQuery, OperationSort, ReservationQuery,
    ReservationState, Scope, UserId,
};

use crate::{
    act::Deed,
    chart::{HEIGHT, Step, Steps, WIDTH, steps},
    failure::Failure,
    fields::{rows, user_id},
    pages::rows::{OperationRow, ReservationRow},
    shell::{Place, Shell, page},
    text::T,
    visit::Visit,
    words,
};

/// Operations in the chart; the first of them are listed below it.
const DRAWN: u16 = 200;
const LISTED: usize = 10;

/// Active holds on this page; the rest is among all holds.
const HOLDS: u16 = 20;

/// A way to a form.
pub(crate) struct Door {
    pub(crate) address: String,
    pub(crate) text: T,
}

/// The balances as they are shown.
pub(crate) struct Balances {
    pub(crate) available: String,
    pub(crate) reserved: String,
    pub(crate) total: String,
    pub(crate) is_closed: bool,
}

impl Balances {
    pub(crate) fn of(account: &Account, shell: &Shell) -> Self {
        Self {
            available: shell.money(account.available),
            reserved: shell.money(account.reserved),
            total: shell.money(account.total()),
            is_closed: account.status == AccountStatus::Closed,
        }
    }
}

/// The drawn course of a balance.
struct Course {
    steps: Steps,
    width: i64,
    height: i64,
    max: String,
    from: String,
    to: String,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    shell: Shell,
    user: String,
    balances: Balances,
    as_of: String,
    count: String,
    doors: Vec<Door>,
    course: Option<Course>,
    holds: Vec<ReservationRow>,
    has_more_holds: bool,
    operations: Vec<OperationRow>,
    may_read_history: bool,
}

/// A user's page.
pub(super) async fn user(visit: Visit, path: Path<String>) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::BalanceRead)?;
    let id = user_id(&path).ok_or(Failure::NotFound(T::NoSuchUser))?;
    let found = visit.console.ledger.account(id).await?.ok_or(Failure::NotFound(T::NoSuchUser))?;
    let (account, as_of) = (found.recorded, found.at);
    let shell = Shell::of(&visit, format!("{} {id}", visit.language.say(T::User)), Place::Users);
    let query = ReservationQuery {
        user_id: id,
        state: Some(ReservationState::Active),
        after: None,
        limit: rows(HOLDS),
    };
    let holds = visit.console.ledger.reservations(query).await?;
    let has_more_holds = holds.as_ref().is_some_and(|page| page.next.is_some());
    let mut active = holds.map(|page| page.items).unwrap_or_default();
    active.sort_unstable_by_key(|hold| hold.expires_at);
    let (course, operations) =
        if visit.may(Scope::HistoryRead) { latest(&visit, &shell, id).await? } else { (None, Vec::new()) };
    page(&UserPage {
        user: id.to_string(),
        balances: Balances::of(&account, &shell),
        as_of: shell.time(as_of),
        count: words::operations(account.seq, visit.language),
        doors: doors(&visit, id, &account),
        course,
        holds: ReservationRow::all(&active, &visit, &shell).await?,
        has_more_holds,
        operations,
        may_read_history: visit.may(Scope::HistoryRead),
        shell,
    })
}

async fn latest(
    visit: &Visit,
    shell: &Shell,
    user_id: UserId,
) -> Result<(Option<Course>, Vec<OperationRow>), Failure> {
    let query = OperationQuery {
        user_id,
        filter: OperationFilter::default(),
        sort: OperationSort::NewestFirst,
        after: None,
        limit: rows(DRAWN),
    };
    let page = visit.console.ledger.operations(query).await?;
    let operations = page.map(|page| page.items).unwrap_or_default();
    let balances: Vec<Step> = operations
        .iter()
        .rev()
        .map(|operation| Step {
            at: operation.created_at,
            total: operation.available_after + operation.reserved_after,
            available: operation.available_after,
        })
        .collect();
    let course = steps(&balances).map(|steps| Course {
        width: WIDTH,
        height: HEIGHT,
        max: shell.money(steps.max),
        from: balances.first().map(|step| shell.date(step.at)).unwrap_or_default(),
        to: balances.last().map(|step| shell.date(step.at)).unwrap_or_default(),
        steps,
    });
    let listed = &operations[..operations.len().min(LISTED)];
    Ok((course, OperationRow::all(listed, visit, shell).await?))
}

/// What the visitor may do with the account.
fn doors(visit: &Visit, id: UserId, account: &Account) -> Vec<Door> {
    if account.status == AccountStatus::Closed {
        return Vec::new();
    }
    let all = [Deed::Deposit, Deed::Withdraw, Deed::Transfer, Deed::Close];
    let is_offered =
        |deed: &Deed| visit.may_act(deed.scope()) && (*deed != Deed::Close || account.total() == 0);
    let door = |deed: Deed| Door {
        address: format!("/console/act/{}?user_id={id}", deed.name()),
        text: deed.texts().0,
    };
    all.into_iter().filter(is_offered).map(door).collect()
}
