//! `balance report`: builds a month's report and says what became of it.

use std::sync::Arc;

use balance_domain::{Month, Reports};
use balance_report_csv::CsvReports;
use serde_json::json;

use crate::{
    cli::Output,
    clock::SystemClock,
    identity,
    output::{print, print_json},
    settings::Settings,
    stores::Stores,
};

/// Builds, publishes and describes the report of a month.
pub(crate) async fn run(
    month: Month,
    settings: &Settings,
    stores: &Stores,
    output: Output,
) -> anyhow::Result<()> {
    identity::settle(stores.identity.as_ref(), settings).await?;
    let sink = Arc::new(CsvReports::new(settings.report_folder.clone(), settings.currency));
    let zone = settings.accounting_zone;
    let reports = Reports::new(Arc::clone(&stores.reports), sink, Arc::new(SystemClock), zone);
    let built = reports.build(month).await?;
    let file = settings.report_folder.join(&built.file.file_name);
    let (file, rows, total) = (file.display().to_string(), built.report.lines.len(), built.report.total());
    let (currency, is_final, sha256) = (settings.currency.code(), built.report.is_final, &built.file.sha256);
    if output.json {
        print_json(&json!({
            "month": month.to_string(),
            "file": file,
            "rows": rows,
            "total": total,
            "currency": currency,
            "final": is_final,
            "sha256": sha256,
        }))?;
    } else {
        print(format_args!(
            "file    {file}\nrows    {rows}\ntotal   {total} minor units ({currency})\nfinal   {is_final}\n\
             sha256  {sha256}\n"
        ))?;
    }
    Ok(())
}
