//! A user's history with every filter of the API, as a page and as a file.

use std::fmt::Write;

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    web::Path,
};
use askama::Template;
use balance_domain::{OperationFilter, OperationKind, OperationQuery, OperationSort, Scope, UserId};

use crate::{
    failure::Failure,
    fields::{Fields, Query, order_id, rows, service_id, user_id},
    names::Names,
    pages::rows::{Choice, OperationRow},
    position,
    shell::{Place, Shell, page},
    text::T,
    visit::Visit,
    words,
};

/// Operations on one page.
const LISTED: u16 = 50;

/// Operations in a file at most: what a spreadsheet still opens without trouble.
const FILED_MAX: usize = 100_000;

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    shell: Shell,
    user: String,
    fields: Filters,
    is_filtered: bool,
    operations: Vec<OperationRow>,
    first: String,
    next: Option<String>,
    file: String,
}

/// The filters as they were chosen, for the form.
struct Filters {
    kinds: Vec<Choice>,
    sorts: Vec<Choice>,
    service: String,
    order: String,
    from: String,
    to: String,
    min: String,
    max: String,
}

impl Filters {
    fn of(fields: &Fields) -> Self {
        let sorts = [
            ("-created_at", T::NewestFirst),
            ("created_at", T::OldestFirst),
            ("-amount", T::LargestFirst),
            ("amount", T::SmallestFirst),
        ];
        let text = |name| fields.get(name).to_owned();
        Self {
            kinds: Choice::kinds(fields.get("kind")),
            sorts: Choice::of(sorts, fields.get("sort")),
            service: text("service_id"),
            order: text("order_id"),
            from: text("from"),
            to: text("to"),
            min: text("min"),
            max: text("max"),
        }
    }
}

/// The query that the fields mean.
fn meant(visit: &Visit, user_id: UserId, fields: &Fields) -> Result<OperationQuery, Failure> {
    let (money, zone) = (visit.console.money(), &visit.console.zone);
    let filter = OperationFilter {
        kind: fields.read("kind", OperationKind::from_name)?,
        service_id: fields.read("service_id", service_id)?,
        order_id: fields.read("order_id", order_id)?,
        from: fields.read("from", |day| date(day).and_then(|(y, m, d)| zone.first_of_day(y, m, d)))?,
        // The last day is inside.
        to: fields.read("to", |day| date(day).and_then(|(y, m, d)| zone.end_of_day(y, m, d)))?,
        min_amount: fields.read("min", |text| money.read(text))?,
        max_amount: fields.read("max", |text| money.read(text))?,
    };
    let sort = match fields.get("sort") {
        "created_at" => OperationSort::OldestFirst,
        "-amount" => OperationSort::LargestFirst,
        "amount" => OperationSort::SmallestFirst,
        _ => OperationSort::NewestFirst,
    };
    let after = fields.read("after", position::in_history)?;
    Ok(OperationQuery { user_id, filter, sort, after, limit: rows(LISTED) })
}

/// Year, month and day of `YYYY-MM-DD`.
fn date(text: &str) -> Option<(i32, u8, u8)> {
    let mut parts = text.splitn(3, '-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The page of a history.
pub(super) async fn history(visit: Visit, path: Path<String>, query: Query) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::HistoryRead)?;
    let id = user_id(&path).ok_or(Failure::NotFound(T::NoSuchUser))?;
    let fields = query.0;
    let found = visit.console.ledger.operations(meant(&visit, id, &fields)?).await?;
    let found = found.ok_or(Failure::NotFound(T::NoSuchUser))?;
    let shell = Shell::of(&visit, format!("{}: {id}", visit.language.say(T::History)), Place::Users);
    let address = format!("/console/users/{id}/history");
    let next = found
        .next
        .map(|next| format!("{address}?{}", fields.with(&[("after", &position::of_history(&next))])));
    let kept = fields.with(&[("after", "")]);
    let is_filtered = ["kind", "service_id", "order_id", "from", "to", "min", "max"]
        .iter()
        .any(|name| !fields.get(name).is_empty());
    page(&HistoryPage {
        user: id.to_string(),
        is_filtered,
        operations: OperationRow::all(&found.items, &visit, &shell).await?,
        first: if fields.get("after").is_empty() { String::new() } else { format!("{address}?{kept}") },
        next,
        file: format!("/console/users/{id}/statement.csv?{kept}"),
        fields: Filters::of(&fields),
        shell,
    })
}

/// The same rows as a file for a spreadsheet of the visitor's language.
pub(super) async fn csv(visit: Visit, path: Path<String>, query: Query) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::HistoryRead)?;
    let id = user_id(&path).ok_or(Failure::NotFound(T::NoSuchUser))?;
    let mut asked = meant(&visit, id, &query.0)?;
    asked.after = None;
    asked.limit = rows(balance_domain::LIMIT_MAX);
    let shell = Shell::of(&visit, "", Place::Users);
    // A byte order mark, or a spreadsheet takes the text for another encoding.
    let mut text = String::from("\u{feff}");
    let heads =
        [T::Number, T::Time, T::What, T::Comment, T::Amount, T::AvailableAfter, T::ReservedAfter, T::Actor];
    text.push_str(&heads.map(|head| cell(shell.t(head))).join(";"));
    text.push('\n');
    let mut count = 0;
    loop {
        let page = visit.console.ledger.operations(asked.clone()).await?;
        let page = page.ok_or(Failure::NotFound(T::NoSuchUser))?;
        let names = Names::of(&visit.console, page.items.iter().filter_map(|one| one.service_id)).await?;
        for operation in &page.items {
            let (available, reserved) = operation.kind.effect(operation.amount);
            let total = available + reserved;
            let amount = if total == 0 { operation.amount.get() } else { total };
            let plain =
                |minor: i64| visit.console.money().plain(minor.into(), visit.language).replace('−', "-");
            let comment = operation.comment.as_ref().map_or("", |comment| comment.as_str());
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{};{};{};{};{};{};{};{}",
                operation.seq,
                words::date_and_time(&visit.console.zone.wall_clock(operation.created_at), visit.language),
                cell(&words::operation(operation, &names, visit.language)),
                cell(comment),
                plain(amount),
                plain(operation.available_after),
                plain(operation.reserved_after),
                cell(&words::actor(operation.actor, visit.console.gate.as_ref(), visit.language)),
            );
        }
        count += page.items.len();
        match page.next {
            Some(next) if count < FILED_MAX => asked.after = Some(next),
            _ => break,
        }
    }
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"statement-{id}.csv\"")))
        .body(text))
}

/// Text in a cell: quoted, and not taken for a formula.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
