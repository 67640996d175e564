//! What every page has: a title, the ways to the other pages, who is logged in, and how things are written.

use std::sync::Arc;

use actix_web::HttpResponse;
use askama::Template;
use balance_domain::{ApiKey, Scope, Timestamp};

use crate::{
    assets::{Addresses, addresses},
    console::{Console, ConsoleMode},
    failure::Failure,
    language::Language,
    money::Money,
    text::T,
    visit::Visit,
    words,
};

/// A chapter of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Home,
    Users,
    Holds,
    Services,
    Revenue,
    Nowhere,
}

/// A way to a chapter.
pub(crate) struct Way {
    pub(crate) address: &'static str,
    pub(crate) text: T,
    pub(crate) is_here: bool,
}

/// What every page has.
pub(crate) struct Shell {
    pub(crate) language: Language,
    pub(crate) title: String,
    pub(crate) ways: Vec<Way>,
    /// The name of the visitor's key.
    pub(crate) who: Option<String>,
    pub(crate) is_open: bool,
    pub(crate) is_read_only: bool,
    /// This page, percent-encoded, for the way back from a change of language.
    pub(crate) address: String,
    pub(crate) files: &'static Addresses,
    money: Money,
    zone: balance_domain::AccountingZone,
    now: Timestamp,
}

impl Shell {
    /// The shell of a visitor's page.
    pub(crate) fn of(visit: &Visit, title: impl Into<String>, here: Place) -> Self {
        Self::new(&visit.console, visit.language, visit.key.clone(), true, &visit.address, title.into(), here)
    }

    /// The shell of a page that says why another is not shown.
    pub(crate) fn of_failure(
        console: &Console,
        language: Language,
        key: Option<Arc<ApiKey>>,
        address: &str,
    ) -> Self {
        let is_let_in = key.is_some();
        let title = language.say(T::NotPossible).to_owned();
        Self::new(console, language, key, is_let_in, address, title, Place::Nowhere)
    }

    /// The shell of the page where one logs in.
    pub(crate) fn of_nobody(console: &Console, language: Language, address: &str) -> Self {
        let title = language.say(T::LogIn).to_owned();
        Self::new(console, language, None, false, address, title, Place::Nowhere)
    }

    fn new(
        console: &Console,
        language: Language,
        key: Option<Arc<ApiKey>>,
        is_let_in: bool,
        address: &str,
        title: String,
        here: Place,
    ) -> Self {
        let may = |scope| is_let_in && key.as_ref().is_none_or(|key| key.allows(scope));
        let all = [
            (Place::Home, "/console", T::Home, is_let_in),
            (Place::Holds, "/console/holds", T::Holds, may(Scope::Search)),
            (Place::Services, "/console/services", T::Services, may(Scope::BalanceRead)),
            (Place::Revenue, "/console/revenue", T::Revenue, may(Scope::Report)),
        ];
        let ways = all.into_iter().filter(|(.., is_shown)| *is_shown).map(|(place, address, text, _)| Way {
            address,
            text,
            is_here: place == here,
        });
        Self {
            ways: ways.collect(),
            is_open: is_let_in && key.is_none(),
            who: key.map(|key| key.name.clone()),
            is_read_only: console.mode == ConsoleMode::ReadOnly,
            address: words::escaped(address),
            files: addresses(),
            money: console.money(),
            zone: console.zone,
            now: console.clock.now(),
            language,
            title,
        }
    }

    /// The text in the visitor's language.
    pub(crate) fn t(&self, text: impl Said) -> &'static str {
        self.language.say(text.text())
    }

    /// An amount with its currency.
    pub(crate) fn money(&self, minor: impl Into<i128>) -> String {
        self.money.write(minor.into(), self.language)
    }

    /// The same with a sign where it is not zero.
    pub(crate) fn signed(&self, minor: impl Into<i128>) -> String {
        self.money.write_signed(minor.into(), self.language)
    }

    /// A time in the accounting zone, as HTML with UTC on hover.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        let utc = at.to_string();
        let (date, clock) = utc.split_once('T').unwrap_or((&utc, ""));
        let clock = clock.get(..8).unwrap_or_default();
        let local = words::date_and_time(&self.zone.wall_clock(at), self.language);
        format!("<time datetime=\"{utc}\" title=\"{date} {clock} UTC\">{local}</time>")
    }

    /// A day in the accounting zone.
    pub(crate) fn date(&self, at: Timestamp) -> String {
        words::date(&self.zone.wall_clock(at), self.language)
    }

    /// What is left until then.
    pub(crate) fn left(&self, until: Timestamp) -> String {
        words::left((until.micros() - self.now.micros()) / 1_000_000, self.language)
    }
}

/// A text, however many references a template puts before it.
pub(crate) trait Said {
    fn text(&self) -> T;
}

impl Said for T {
    fn text(&self) -> T {
        *self
    }
}

impl<S: Said> Said for &S {
    fn text(&self) -> T {
        (**self).text()
    }
}

/// A page as an answer.
pub(crate) fn page(template: &impl Template) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(template.render()?))
}

/// Leads the browser to another page, by GET.
pub(crate) fn see_other(address: impl Into<String>) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((actix_web::http::header::LOCATION, address.into())).finish()
}
