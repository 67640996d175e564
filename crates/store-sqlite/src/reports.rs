//! [`ReportRepo`] on the file.

use std::collections::BTreeMap;

use async_trait::async_trait;
use balance_domain::{
    Month, Period, RevenueLine, RevenueReport, ServiceId, ServiceName, Timestamp,
    ports::{RepoError, ReportRepo},
};
use rusqlite::{Connection, OptionalExtension, Row, types::Type};

use crate::{
    error::repo_error,
    rows::{text, value},
    store::SqliteStore,
    writer::Verdict,
};

/// Read from the index alone, in its order, and summed here: SQLite would sort all rows to group them, and its
/// sums end at 64 bits.
const MOVEMENTS: &str = "
    SELECT service_id, kind, amount
    FROM operations INDEXED BY operations_revenue
    WHERE kind IN ('capture', 'refund') AND created_at >= ?1 AND created_at < ?2";

#[async_trait]
impl ReportRepo for SqliteStore {
    async fn revenue(&self, period: Period) -> Result<Vec<RevenueLine>, RepoError> {
        self.readers().read(move |connection| revenue(connection, period)).await
    }

    async fn close_books(&self, until: Timestamp) -> Result<(), RepoError> {
        self.writer()
            .run(move |session| {
                session.transaction(|connection| {
                    close(connection, until).map(Verdict::Commit).map_err(repo_error)
                })
            })
            .await
    }

    async fn final_reports(&self) -> Result<Vec<RevenueReport>, RepoError> {
        self.readers().read(final_reports).await
    }

    async fn save_report(&self, report: RevenueReport) -> Result<RevenueReport, RepoError> {
        self.writer()
            .run(move |session| {
                session.transaction(|connection| {
                    match find(connection, report.month).map_err(repo_error)? {
                        Some(kept) if kept.is_final => Ok(Verdict::Discard(kept)),
                        _ => {
                            save(connection, &report).map_err(repo_error)?;
                            Ok(Verdict::Commit(report))
                        }
                    }
                })
            })
            .await
    }

    async fn report(&self, month: Month) -> Result<Option<RevenueReport>, RepoError> {
        self.readers().read(move |connection| find(connection, month)).await
    }
}

/// In the one transaction that may write: no batch is between its times and its commit.
fn close(connection: &Connection, until: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE books SET closed_until = max(closed_until, ?1)")?
        .execute([until.micros()])
        .map(drop)
}

/// Up to when the books are closed.
pub(crate) fn closed_until(connection: &Connection) -> rusqlite::Result<Timestamp> {
    let mut statement = connection.prepare_cached("SELECT closed_until FROM books WHERE only_row = 1")?;
    statement.query_row([], |row| value(row, 0, Timestamp::from_micros))
}

fn final_reports(connection: &Connection) -> rusqlite::Result<Vec<RevenueReport>> {
    let months = connection
        .prepare_cached("SELECT month FROM reports WHERE is_final = 1 ORDER BY month")?
        .query_map([], |row| text(row, 0, str::parse::<Month>))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    months.into_iter().filter_map(|month| find(connection, month).transpose()).collect()
}

/// Captures and refunds of one service, in minor units.
#[derive(Default)]
struct Sums {
    captured: i128,
    refunded: i128,
}

fn revenue(connection: &Connection, period: Period) -> rusqlite::Result<Vec<RevenueLine>> {
    let mut names = connection.prepare_cached("SELECT name FROM services WHERE id = ?1")?;
    sums(connection, period)?
        .into_iter()
        .map(|(id, Sums { captured, refunded })| {
            let (service_id, service_name) =
                names.query_row([id], |row| Ok((ServiceId::new(id), text(row, 0, ServiceName::new)?)))?;
            let service_id = service_id.map_err(|error| unreadable(0, error))?;
            Ok(RevenueLine { service_id, service_name, captured, refunded })
        })
        .collect()
}

fn sums(connection: &Connection, period: Period) -> rusqlite::Result<BTreeMap<i64, Sums>> {
    let mut statement = connection.prepare_cached(MOVEMENTS)?;
    let mut rows = statement.query((period.start.micros(), period.end.micros()))?;
    let mut sums = BTreeMap::<i64, Sums>::new();
    while let Some(row) = rows.next()? {
        let sum = sums.entry(row.get(0)?).or_default();
        let amount: i64 = row.get(2)?;
        if row.get_ref(1)?.as_bytes()? == b"capture" {
            sum.captured += i128::from(amount);
        } else {
            sum.refunded += i128::from(amount);
        }
    }
    Ok(sums)
}

fn save(connection: &Connection, report: &RevenueReport) -> rusqlite::Result<()> {
    let month = report.month.to_string();
    // Takes the lines along.
    connection.prepare_cached("DELETE FROM reports WHERE month = ?1")?.execute([&month])?;
    connection
        .prepare_cached("INSERT INTO reports (month, is_final, built_at) VALUES (?1, ?2, ?3)")?
        .execute((&month, report.is_final, report.built_at.micros()))?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO report_lines (month, position, service_id, service_name, captured, refunded)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (position, line) in (0_i64..).zip(&report.lines) {
        let RevenueLine { service_id, service_name, captured, refunded } = line;
        let (captured, refunded) = (captured.to_string(), refunded.to_string());
        insert.execute((&month, position, service_id.get(), service_name.as_str(), captured, refunded))?;
    }
    Ok(())
}

fn find(connection: &Connection, month: Month) -> rusqlite::Result<Option<RevenueReport>> {
    let name = month.to_string();
    let head = connection
        .prepare_cached("SELECT is_final, built_at FROM reports WHERE month = ?1")?
        .query_row([&name], |row| Ok((row.get(0)?, value(row, 1, Timestamp::from_micros)?)))
        .optional()?;
    let Some((is_final, built_at)) = head else { return Ok(None) };
    let lines = connection
        .prepare_cached(
            "SELECT service_id, service_name, captured, refunded FROM report_lines
             WHERE month = ?1 ORDER BY position",
        )?
        .query_map([&name], line)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(RevenueReport { month, is_final, built_at, lines }))
}

fn line(row: &Row<'_>) -> rusqlite::Result<RevenueLine> {
    Ok(RevenueLine {
        service_id: value(row, 0, ServiceId::new)?,
        service_name: text(row, 1, ServiceName::new)?,
        captured: text(row, 2, str::parse)?,
        refunded: text(row, 3, str::parse)?,
    })
}

fn unreadable(index: usize, error: balance_domain::Invalid) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Integer, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn revenue_is_read_from_its_index_alone() {
        let connection = schema::migrated();
        let plan = schema::plan(&connection, MOVEMENTS);
        let wanted = "USING COVERING INDEX operations_revenue (created_at>? AND created_at<?)";
        assert!(plan.contains(wanted), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
