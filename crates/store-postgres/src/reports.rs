//! Revenue of a period, and the reports that were built of it.

use std::time::Duration;

use async_trait::async_trait;
use balance_domain::{
    Month, Period, RevenueLine, RevenueReport, ServiceName, Timestamp,
    ports::{RepoError, ReportRepo},
};
use tokio_postgres::Row;

use crate::{
    PostgresStore,
    error::Failure,
    rows::{self, column},
    statements::CONFIRM,
    store::Transaction,
    values::At,
};

/// A month of a large ledger takes seconds, several workers help, and nobody writes here.
const BEGIN_REVENUE: &str = "\
BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL max_parallel_workers_per_gather = 4";

/// A sum that takes longer finds the server frozen, or is of a ledger that needs another way to be summed up.
const REVENUE_WITHIN: Duration = Duration::from_mins(10);

/// Read from the index `operations_revenue` alone; sums are numeric, as text.
pub(crate) const REVENUE: &str = "\
SELECT s.id, s.name, t.captured::text, t.refunded::text
FROM (
    SELECT service_id,
        coalesce(sum(amount) FILTER (WHERE kind = 'capture'), 0) AS captured,
        coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0) AS refunded
    FROM operations
    WHERE kind IN ('capture', 'refund') AND created_at >= $1 AND created_at < $2
    GROUP BY service_id
) AS t
CROSS JOIN LATERAL (SELECT id, name FROM services WHERE id = t.service_id OFFSET 0) AS s";

/// Waits for every batch that has read up to when the books are closed, and keeps new ones from reading: they wait as
/// long, so this gives up soon.
const BEGIN_CLOSING: &str = "\
BEGIN; SET LOCAL lock_timeout = 1000; LOCK TABLE books IN ACCESS EXCLUSIVE MODE";

const CLOSE: &str = "\
UPDATE books SET closed_until = greatest(closed_until, $1) WHERE only_row RETURNING closed_until";

/// All final reports, as [`REPORT`] reads one, and their months.
const FINAL_REPORTS: &str = "\
SELECT r.is_final, r.built_at, l.service_id, l.service_name, l.captured::text, l.refunded::text, r.month
FROM reports r LEFT JOIN report_lines l ON l.month = r.month
WHERE r.is_final
ORDER BY r.month, l.position";

/// The row of the month is the lock of its lines. Does nothing over a final report.
const KEEP: &str = "\
INSERT INTO reports (month, is_final, built_at) VALUES ($1, $2, $3)
ON CONFLICT (month) DO UPDATE SET is_final = excluded.is_final, built_at = excluded.built_at
WHERE NOT reports.is_final
RETURNING month";

const DROP_LINES: &str = "DELETE FROM report_lines WHERE month = $1";

const KEEP_LINES: &str = "\
INSERT INTO report_lines (month, position, service_id, service_name, captured, refunded)
SELECT $1, n.position, n.service_id, n.service_name, n.captured::numeric, n.refunded::numeric
FROM unnest($2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[])
    AS n (position, service_id, service_name, captured, refunded)";

/// A report and its lines in one snapshot; one row without a line where there is none.
const REPORT: &str = "\
SELECT r.is_final, r.built_at, l.service_id, l.service_name, l.captured::text, l.refunded::text
FROM reports r LEFT JOIN report_lines l ON l.month = r.month
WHERE r.month = $1
ORDER BY l.position";

#[async_trait]
impl ReportRepo for PostgresStore {
    async fn revenue(&self, period: Period) -> Result<Vec<RevenueLine>, RepoError> {
        let reading = self.begin_within(REVENUE_WITHIN, BEGIN_REVENUE).await?;
        let lines = revenue(&reading, period).await;
        reading.finish(lines).await
    }

    async fn close_books(&self, until: Timestamp) -> Result<(), RepoError> {
        let closing = self.begin(BEGIN_CLOSING).await?;
        let closed = close(&closing, until).await;
        let until = closing.finish(closed).await?;
        self.note_closed(until);
        Ok(())
    }

    async fn final_reports(&self) -> Result<Vec<RevenueReport>, RepoError> {
        let rows = self.read_anywhere(FINAL_REPORTS).await?;
        final_reports(&rows).map_err(Failure::into_error)
    }

    async fn save_report(&self, report: RevenueReport) -> Result<RevenueReport, RepoError> {
        let saving = self.begin("BEGIN").await?;
        let saved = save(&saving, report).await;
        saving.finish(saved).await
    }

    async fn report(&self, month: Month) -> Result<Option<RevenueReport>, RepoError> {
        let rows = self.read(REPORT, &[&month.to_string()]).await?;
        report_of(month, &rows).map_err(Failure::into_error)
    }
}

fn final_reports(rows: &[Row]) -> Result<Vec<RevenueReport>, Failure> {
    let month = |row: &Row| column::<&str>(row, 6)?.parse::<Month>().map_err(Failure::damaged);
    let months = rows.iter().map(month).collect::<Result<Vec<_>, _>>()?;
    let mut reports = Vec::new();
    let mut start = 0;
    for same in months.chunk_by(|a, b| a == b) {
        let end = start + same.len();
        reports.extend(report_of(same[0], &rows[start..end])?);
        start = end;
    }
    Ok(reports)
}

async fn close(closing: &Transaction, until: Timestamp) -> Result<Timestamp, Failure> {
    let rows = closing.query(CLOSE, &[&At(until)]).await?;
    let row = rows.first().ok_or_else(|| Failure::damaged("the row of the books is gone"))?;
    Ok(column::<At>(row, 0)?.0)
}

async fn revenue(reading: &Transaction, period: Period) -> Result<Vec<RevenueLine>, Failure> {
    let rows = reading.query(REVENUE, &[&At(period.start), &At(period.end)]).await?;
    rows.iter().map(|row| line(row, 0)).collect()
}

async fn save(saving: &Transaction, report: RevenueReport) -> Result<RevenueReport, Failure> {
    let month = report.month.to_string();
    let kept = saving.query(KEEP, &[&month, &report.is_final, &At(report.built_at)]).await?;
    if kept.is_empty() {
        let rows = saving.query(REPORT, &[&month]).await?;
        // The commit that kept it may be one that no standby has confirmed.
        saving.query(CONFIRM, &[]).await?;
        return report_of(report.month, &rows)?
            .ok_or_else(|| Failure::Defect("a final report vanished".into()));
    }
    let lines = &report.lines;
    let positions: Vec<i32> = (0..).take(lines.len()).collect();
    let services: Vec<i64> = lines.iter().map(|line| line.service_id.get()).collect();
    let names: Vec<&str> = lines.iter().map(|line| line.service_name.as_str()).collect();
    let captured: Vec<String> = lines.iter().map(|line| line.captured.to_string()).collect();
    let refunded: Vec<String> = lines.iter().map(|line| line.refunded.to_string()).collect();
    saving.query(DROP_LINES, &[&month]).await?;
    saving.query(KEEP_LINES, &[&month, &positions, &services, &names, &captured, &refunded]).await?;
    Ok(report)
}

fn report_of(month: Month, rows: &[Row]) -> Result<Option<RevenueReport>, Failure> {
    let Some(first) = rows.first() else { return Ok(None) };
    let has_lines = column::<Option<i64>>(first, 2)?.is_some();
    let lines = rows.iter().filter(|_| has_lines).map(|row| line(row, 2)).collect::<Result<_, _>>()?;
    Ok(Some(RevenueReport { month, is_final: column(first, 0)?, built_at: column::<At>(first, 1)?.0, lines }))
}

/// `service_id, service_name, captured, refunded`, from `first` on.
fn line(row: &Row, first: usize) -> Result<RevenueLine, Failure> {
    let name: &str = column(row, first + 1)?;
    let sum = |index| column::<&str>(row, index)?.parse().map_err(Failure::damaged);
    Ok(RevenueLine {
        service_id: rows::id(row, first)?,
        service_name: ServiceName::new(name).map_err(Failure::damaged)?,
        captured: sum(first + 2)?,
        refunded: sum(first + 3)?,
    })
}
