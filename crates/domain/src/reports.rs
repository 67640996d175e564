//! Building and publishing the monthly revenue report.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    AccountingZone, Month, RevenueReport, Timestamp,
    ports::{
        Clock, Published, RepoError, ReportRepo, ReportSink, SinkError, Spreadsheet, SpreadsheetLanguage,
    },
};

/// Why there is no report.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReportError {
    /// The month lies in the future.
    #[error("the month {0} has not begun")]
    NotBegun(Month),
    /// Nobody has asked for this month's report to be built.
    #[error("no report was built for {0}")]
    NotBuilt(Month),
    /// The store failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Publishing failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// A report and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedReport {
    /// The figures.
    pub report: RevenueReport,
    /// The file made of them.
    pub file: Published,
}

/// The revenue reports of a ledger.
///
/// The figures of a report are kept in the store, so that every instance publishes the same file; the file of
/// a final report can always be made again, byte for byte.
#[derive(Clone)]
pub struct Reports {
    repo: Arc<dyn ReportRepo>,
    sink: Arc<dyn ReportSink>,
    clock: Arc<dyn Clock>,
    zone: AccountingZone,
    preliminary: Arc<Mutex<HashMap<Month, Preliminary>>>,
}

/// The figures of a month that is not final, and until when they are good enough for those who only look.
#[derive(Clone, Debug)]
struct Preliminary {
    report: RevenueReport,
    stale_at: Timestamp,
}

/// How long the figures of a month that is not final are reused, as a multiple of the time it took to compute them:
/// displaying them takes at most a tenth of the store's time, however large the month is.
const SHOWN_TIMES_LONGER: i64 = 9;

impl Reports {
    /// Reports of months in `zone`.
    pub fn new(
        repo: Arc<dyn ReportRepo>,
        sink: Arc<dyn ReportSink>,
        clock: Arc<dyn Clock>,
        zone: AccountingZone,
    ) -> Self {
        Self { repo, sink, clock, zone, preliminary: Arc::default() }
    }

    /// Builds the month's report and publishes it. A month that is over is closed first, for good; a final report is
    /// not built again.
    pub async fn build(&self, month: Month) -> Result<PublishedReport, ReportError> {
        let now = self.now()?;
        let period = self.zone.period(month);
        if now < period.start {
            return Err(ReportError::NotBegun(month));
        }
        let kept = self.repo.report(month).await?.filter(|report| report.is_final);
        let report = match kept {
            Some(report) => report,
            None => self.repo.save_report(self.compute(month, now).await?).await?,
        };
        self.publish(report).await
    }

    /// The report as it was built last, and its file.
    pub async fn get(&self, month: Month) -> Result<PublishedReport, ReportError> {
        let report = self.repo.report(month).await?.ok_or(ReportError::NotBuilt(month))?;
        self.publish(report).await
    }

    /// The figures of months, for display: nothing is published. Those of a final month are stored; those of
    /// another are as of `built_at`, at most ten times as old as it takes to compute them.
    pub async fn months(&self, months: &[Month]) -> Result<Vec<RevenueReport>, ReportError> {
        let mut reports = Vec::with_capacity(months.len());
        for month in months {
            reports.push(self.shown(*month).await?);
        }
        Ok(reports)
    }

    /// A month's report as a spreadsheet of people of this language opens it.
    pub fn spreadsheet(
        &self,
        report: &RevenueReport,
        language: SpreadsheetLanguage,
    ) -> Result<Spreadsheet, ReportError> {
        Ok(self.sink.spreadsheet(report, language)?)
    }

    async fn shown(&self, month: Month) -> Result<RevenueReport, ReportError> {
        let now = self.now()?;
        if now < self.zone.period(month).start {
            return Err(ReportError::NotBegun(month));
        }
        if let Some(kept) = self.repo.report(month).await?.filter(|report| report.is_final) {
            return Ok(kept);
        }
        let known = self.preliminary().get(&month).cloned();
        if let Some(known) = known.filter(|known| now < known.stale_at) {
            return Ok(known.report);
        }
        let report = self.compute(month, now).await?;
        if report.is_final {
            self.preliminary().remove(&month);
            return Ok(self.repo.save_report(report).await?);
        }
        let took = self.clock.now().micros().saturating_sub(now.micros()).max(0);
        let shown_until = now.micros().saturating_add(took.saturating_mul(SHOWN_TIMES_LONGER));
        let stale_at = Timestamp::from_micros(shown_until).unwrap_or(now);
        self.preliminary().insert(month, Preliminary { report: report.clone(), stale_at });
        Ok(report)
    }

    fn preliminary(&self) -> std::sync::MutexGuard<'_, HashMap<Month, Preliminary>> {
        self.preliminary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is closed by a clock that cannot be trusted.
    fn now(&self) -> Result<Timestamp, RepoError> {
        Ok(self.clock.moment()?.now())
    }

    /// The figures of a month as of now. Those of a month that is over are final: they are read after the books were
    /// closed up to its end, and nothing is dated into it from then on. Reading them while the books are being closed
    /// would keep everyone from writing for as long as that takes.
    async fn compute(&self, month: Month, now: Timestamp) -> Result<RevenueReport, RepoError> {
        let period = self.zone.period(month);
        let is_final = now >= period.end;
        if is_final {
            self.repo.close_books(period.end).await?;
        }
        let mut lines = self.repo.revenue(period).await?;
        lines.sort_unstable_by(|a, b| (&a.service_name, a.service_id).cmp(&(&b.service_name, b.service_id)));
        Ok(RevenueReport { month, is_final, built_at: now, lines })
    }

    async fn publish(&self, report: RevenueReport) -> Result<PublishedReport, ReportError> {
        let mut draft = self.sink.begin(report.month)?;
        for line in &report.lines {
            draft.line(line)?;
        }
        let file = draft.finish().await?;
        Ok(PublishedReport { report, file })
    }
}
