//! Revenue: months side by side, and one month service by service.

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    web::Path,
};
use askama::Template;
use balance_domain::{Month, RevenueReport, Scope};

use crate::{
    chart::{Bar, HEIGHT, WIDTH, bars},
    failure::Failure,
    fields::Query,
    language::Language,
    shell::{Place, Shell, page},
    text::T,
    visit::Visit,
    words,
};

/// Months that are shown unless somebody asks for others.
const MONTHS_SHOWN: u16 = 12;

/// Months side by side at most.
const MONTHS_MAX: usize = 24;

/// A month among others.
struct Row {
    address: String,
    name: String,
    captured: String,
    refunded: String,
    net: String,
    /// Against the month before, in words.
    change: String,
    is_final: bool,
}

/// The drawing of the months.
struct Drawing {
    bars: Vec<Bar>,
    zero: i64,
    width: i64,
    height: i64,
}

#[derive(Template)]
#[template(path = "revenue.html")]
struct RevenuePage {
    shell: Shell,
    rows: Vec<Row>,
    drawing: Drawing,
    from: String,
    to: String,
    is_empty: bool,
}

/// Months side by side; the twelve up to this one unless asked otherwise.
pub(super) async fn months(visit: Visit, query: Query) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::Report)?;
    let read = |text: &str| text.parse::<Month>().ok();
    let to = query.0.read("to", read)?.unwrap_or(visit.console.zone.month_of(visit.now));
    let from = query.0.read("from", read)?.unwrap_or_else(|| to.earlier(MONTHS_SHOWN - 1));
    let months = from.up_to(to, MONTHS_MAX);
    if months.is_empty() || months.len() > MONTHS_MAX {
        return Err(Failure::Malformed(T::MonthsWanted));
    }
    let reports = visit.console.reports.months(&months).await?;
    let shell = Shell::of(&visit, visit.language.say(T::Revenue), Place::Revenue);
    let values: Vec<_> = reports
        .iter()
        .map(|report| {
            let (year, month) = report.month.parts();
            let name = words::month(year, month, shell.language);
            (
                format!("{month:02}.{:02}", year % 100),
                report.total(),
                format!("{name}: {}", shell.money(report.total())),
            )
        })
        .collect();
    let (bars, zero) = bars(&values);
    let mut before = None;
    let mut rows = Vec::new();
    for report in &reports {
        rows.push(row(report, before, &shell));
        before = Some(report.total());
    }
    // The latest first: that is what people come for.
    rows.reverse();
    page(&RevenuePage {
        is_empty: reports.iter().all(|report| report.lines.is_empty()),
        drawing: Drawing { bars, zero, width: WIDTH, height: HEIGHT },
        rows,
        from: from.to_string(),
        to: to.to_string(),
        shell,
    })
}

fn row(report: &RevenueReport, before: Option<i128>, shell: &Shell) -> Row {
    let (year, month) = report.month.parts();
    Row {
        address: format!("/console/revenue/{}", report.month),
        name: words::month(year, month, shell.language),
        captured: shell.money(report.captured()),
        refunded: shell.money(report.refunded()),
        net: shell.money(report.total()),
        change: before.map(|before| shell.signed(report.total() - before)).unwrap_or_default(),
        is_final: report.is_final,
    }
}

/// A service in a month.
struct Line {
    id: String,
    name: String,
    captured: String,
    refunded: String,
    net: String,
    share: String,
}

#[derive(Template)]
#[template(path = "month.html")]
struct MonthPage {
    shell: Shell,
    month: String,
    lines: Vec<Line>,
    total: String,
    is_final: bool,
    built: String,
}

/// One month, service by service.
pub(super) async fn month(visit: Visit, path: Path<String>) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::Report)?;
    let month: Month = path.parse().map_err(|_| Failure::NotFound(T::NoSuchPage))?;
    let reports = visit.console.reports.months(&[month]).await?;
    let report = reports.into_iter().next().ok_or(Failure::Internal)?;
    let (year, number) = month.parts();
    let title = words::month(year, number, visit.language);
    let shell = Shell::of(&visit, title, Place::Revenue);
    let total = report.total();
    let line = |line: &balance_domain::RevenueLine| Line {
        id: line.service_id.to_string(),
        name: line.service_name.as_str().to_owned(),
        captured: shell.money(line.captured),
        refunded: shell.money(line.refunded),
        net: shell.money(line.net()),
        share: share(line.net(), total, shell.language),
    };
    page(&MonthPage {
        month: month.to_string(),
        lines: report.lines.iter().map(line).collect(),
        total: shell.money(total),
        is_final: report.is_final,
        built: shell.time(report.built_at),
        shell,
    })
}

/// A part of the whole, in tenths of a per cent; nothing where it makes no sense.
fn share(part: i128, whole: i128, language: Language) -> String {
    if whole <= 0 || part < 0 {
        return String::new();
    }
    let tenths = part.saturating_mul(1_000) / whole;
    let point = if language == Language::Russian { ',' } else { '.' };
    format!("{}{point}{}\u{a0}%", tenths / 10, tenths % 10)
}

/// The month as a file: the accountants' own, or one that a spreadsheet opens as it is.
pub(super) async fn csv(visit: Visit, path: Path<String>, query: Query) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::Report)?;
    let month: Month = path.parse().map_err(|_| Failure::NotFound(T::NoSuchPage))?;
    let reports = &visit.console.reports;
    let (name, bytes) = if query.0.get("for") == "excel" {
        let shown = reports.months(&[month]).await?.into_iter().next().ok_or(Failure::Internal)?;
        let file = reports.spreadsheet(&shown, visit.language.spreadsheet())?;
        (file.file_name, file.bytes)
    } else {
        let file = reports.build(month).await?.file;
        (file.file_name, file.bytes)
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .body(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_parts_of_the_whole() {
        assert_eq!(share(1, 3, Language::English), "33.3\u{a0}%");
        assert_eq!(share(5, 5, Language::Russian), "100,0\u{a0}%");
        assert_eq!(share(-1, 3, Language::English), "");
        assert_eq!(share(1, 0, Language::English), "");
    }
}
