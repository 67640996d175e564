//! `balance report`: builds a month's report and says what became of it.

use std::{
    io::{self, Write},
    sync::Arc,
};

use balance_domain::{Month, Reports};
use balance_report_csv::CsvReports;

use crate::{clock::SystemClock, settings::Settings, stores::Stores};

/// Builds, publishes and describes the report of a month.
pub(crate) async fn run(month: Month, settings: &Settings, stores: &Stores) -> anyhow::Result<()> {
    let sink = Arc::new(CsvReports::new(settings.report_folder.clone(), settings.currency.as_str()));
    let zone = settings.accounting_zone;
    let reports = Reports::new(Arc::clone(&stores.reports), sink, Arc::new(SystemClock), zone);
    let built = reports.build(month).await?;
    let path = settings.report_folder.join(&built.file.file_name);
    let mut out = io::stdout().lock();
    writeln!(out, "file    {}", path.display())?;
    writeln!(out, "rows    {}", built.report.lines.len())?;
    writeln!(out, "total   {} minor units ({})", built.report.total(), settings.currency)?;
    writeln!(out, "final   {}", built.report.is_final)?;
    writeln!(out, "sha256  {}", built.file.sha256)?;
    Ok(())
}
