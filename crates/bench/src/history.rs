//! Reads the pages of one long history, following their cursors, from places all over it.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use balance_domain::Month;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::task::LocalSet;

use crate::{
    client::Connection,
    drive::{Outcome, quantile_ms},
    grow::long_user,
    subject::Subject,
};

/// Pages that are followed before a reader begins at another place.
const PAGES_IN_A_ROW: usize = 20;

/// An order of the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sort(&'static str);

impl Sort {
    pub(crate) const ALL: [Self; 4] =
        [Self("-created_at"), Self("created_at"), Self("-amount"), Self("amount")];

    pub(crate) const fn name(self) -> &'static str {
        self.0
    }
}

/// What is asked for beside the order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filter {
    /// Nothing.
    Plain,
    /// Up to some day of the year before the month.
    Period,
    /// One of a hundred services.
    Service,
    /// One of the kinds.
    Kind,
}

impl Filter {
    /// All that leave something out.
    pub(crate) const ALL: [Self; 3] = [Self::Period, Self::Service, Self::Kind];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Period => "period",
            Self::Service => "service",
            Self::Kind => "kind",
        }
    }

    fn query(self, month: Month, rng: &mut SmallRng) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Period => {
                let text = month.to_string();
                let year: i32 = text.get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
                let of_year = text.get(5..).unwrap_or("01");
                // From a day of the month a year ago on, or up to it.
                let day = rng.random_range(1..=28);
                let end = if rng.random_bool(0.5) { "from" } else { "to" };
                format!("&{end}={}-{of_year}-{day:02}T12:00:00Z", year - 1)
            }
            Self::Service => format!("&service_id={}", rng.random_range(1..=100)),
            Self::Kind => {
                format!("&kind={}", ["deposit", "withdrawal", "reserve", "capture"][rng.random_range(0..4)])
            }
        }
    }
}

/// What a measurement gave.
pub(crate) struct Pages {
    pub(crate) count: u64,
    pub(crate) p99_ms: f64,
}

/// Reads pages of 50 over some connections.
pub(crate) fn read(
    subject: &Subject,
    month: Month,
    sort: Sort,
    filter: Filter,
    readers: usize,
    duration: Duration,
) -> anyhow::Result<Pages> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let outcome = Rc::new(RefCell::new(Outcome::new()?));
        let end = Instant::now() + duration;
        let mut tasks = Vec::new();
        for number in 0..readers {
            let reader = Reader {
                connection: Connection::open(subject.authority()).await?,
                authorization: subject.authorization.clone(),
                rng: SmallRng::seed_from_u64(number as u64),
                outcome: Rc::clone(&outcome),
            };
            tasks.push(tokio::task::spawn_local(reader.read(month, sort, filter, end)));
        }
        for task in tasks {
            task.await??;
        }
        let outcome = outcome.borrow();
        Ok(Pages { count: outcome.accepted, p99_ms: quantile_ms(&outcome.latency, 0.99) })
    })
}

struct Reader {
    connection: Connection,
    authorization: String,
    rng: SmallRng,
    outcome: Rc<RefCell<Outcome>>,
}

impl Reader {
    async fn read(mut self, month: Month, sort: Sort, filter: Filter, end: Instant) -> anyhow::Result<()> {
        loop {
            let query = format!("sort={}&limit=50{}", sort.0, filter.query(month, &mut self.rng));
            let mut cursor = None;
            for _ in 0..PAGES_IN_A_ROW {
                if Instant::now() >= end {
                    return Ok(());
                }
                cursor = self.page(&query, cursor.as_deref()).await?;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }

    /// One page; the cursor of the next.
    async fn page(&mut self, query: &str, cursor: Option<&str>) -> anyhow::Result<Option<String>> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let request = format!(
            "GET /api/v1/users/{}/operations?{query}{cursor} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
            long_user(),
            self.authorization
        );
        let start = Instant::now();
        let answer = self.connection.call(request.as_bytes()).await?;
        self.outcome.borrow_mut().record(answer.status, start.elapsed(), false, String::new);
        let body = String::from_utf8_lossy(self.connection.body(answer));
        if answer.status != 200 {
            bail!("{query} answered {}: {body}", answer.status);
        }
        next_cursor(&body)
    }
}

fn next_cursor(body: &str) -> anyhow::Result<Option<String>> {
    let (_, rest) = body.rsplit_once(r#""next_cursor":"#).context("a page without next_cursor")?;
    Ok(rest.strip_prefix('"').and_then(|text| text.split_once('"')).map(|(cursor, _)| cursor.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_found_and_the_last_page_has_none() {
        let page = r#"{"data":[{"comment":"x"}],"next_cursor":"abc-_"}"#;
        assert_eq!(next_cursor(page).unwrap().as_deref(), Some("abc-_"));
        assert_eq!(next_cursor(r#"{"data":[],"next_cursor":null}"#).unwrap(), None);
        assert!(next_cursor("{}").is_err());
    }
}
