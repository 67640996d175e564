//! What accounting reads.

use paperclip::actix::api_v2_operation;

use crate::{
    answer::{Created, CsvFile, Ok as Answered},
    extract::{Body, Caller, MonthInPath, NoQuery},
    operations::{BuildReport, GetReport, GetReportFile},
    problem::Problem,
    wire::{ReportBody, ReportRequest, RevenueBody},
};

/// Build the revenue report of a month.
///
/// Revenue is captures minus refunds, per service, by the time of the operation in the accounting time zone. A
/// month that is not over can be reported on too; its report is not `final` and is rebuilt each time. A final
/// report never changes. `url` is where the CSV file is.
#[api_v2_operation]
pub(super) async fn build(
    caller: Caller<BuildReport>,
    _query: NoQuery,
    body: Body<ReportRequest>,
) -> Result<Created<ReportBody>, Problem> {
    let month = body.0.month.0;
    let published = caller.api().reports.build(month).await?;
    Ok(Created::new(published.into()).at(format!("/api/v1/reports/revenue/{month}")))
}

/// Get a month's revenue report as CSV.
///
/// As it was built last. Header `service;revenue`, separator `;`, amounts in major units with two decimals.
#[api_v2_operation]
pub(super) async fn file(
    caller: Caller<GetReportFile>,
    month: MonthInPath,
    _query: NoQuery,
) -> Result<CsvFile, Problem> {
    let published = caller.api().reports.get(month.0).await?;
    Ok(CsvFile { name: published.file.file_name, bytes: published.file.bytes })
}

/// Get a month's revenue report.
///
/// As it was built last: captures, refunds and the net of each service.
#[api_v2_operation]
pub(super) async fn get(
    caller: Caller<GetReport>,
    month: MonthInPath,
    _query: NoQuery,
) -> Result<Answered<RevenueBody>, Problem> {
    Ok(Answered::new(caller.api().reports.get(month.0).await?.into()))
}
