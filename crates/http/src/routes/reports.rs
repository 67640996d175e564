//! What accounting reads.

use balance_domain::ports::SpreadsheetLanguage;
use paperclip::actix::api_v2_operation;

use crate::{
    answer::{Created, CsvFile, Ok as Answered},
    extract::{Body, Caller, MonthInPath, NoQuery, Query},
    operations::{BuildReport, GetReport, GetReportFile, ListRevenue},
    problem::{Code, Problem},
    wire::{FileFor, FileParameters, MonthsBody, MonthsParameters, ReportBody, ReportRequest, RevenueBody},
};

/// Months that one call lists at most.
const MONTHS_MAX: usize = 36;

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
    let published = caller.report_turns().build(&caller.api().reports, month).await?;
    Ok(Created::new(published.into()).at(format!("/api/v1/reports/revenue/{month}")))
}

/// Get a month's revenue report as CSV.
///
/// As it was built last. Header `service;revenue`, separator `;`, names in quotes, amounts in major units with the
/// decimals of the currency. With `for=excel` a file that a Russian Excel opens as it is: a byte order mark, decimal
/// commas, and columns for the period, the state, the service's number and name, captured, refunded, net and the
/// currency, with a total.
#[api_v2_operation]
pub(super) async fn file(
    caller: Caller<GetReportFile>,
    month: MonthInPath,
    query: Query<FileParameters>,
) -> Result<CsvFile, Problem> {
    let reports = &caller.api().reports;
    let published = reports.get(month.0).await?;
    match query.0.purpose.map(|purpose| purpose.0) {
        Some(FileFor::Excel) => {
            let file = reports.spreadsheet(&published.report, SpreadsheetLanguage::Russian)?;
            Ok(CsvFile { name: file.file_name, bytes: file.bytes })
        }
        None => Ok(CsvFile { name: published.file.file_name, bytes: published.file.bytes }),
    }
}

/// List months with their revenue.
///
/// From the first month to the last, both included, 36 at most. The figures of a month that is not final are as of its
/// `built_at`. Nothing is published: build a month's report for its file.
#[api_v2_operation]
pub(super) async fn months(
    caller: Caller<ListRevenue>,
    query: Query<MonthsParameters>,
) -> Result<Answered<MonthsBody>, Problem> {
    let MonthsParameters { from, to } = query.0;
    let months = from.0.up_to(to.0, MONTHS_MAX);
    if months.is_empty() || months.len() > MONTHS_MAX {
        let detail = "from and to name 1 to 36 months, the earlier one first";
        return Err(Problem::at("to", Code::InvalidMonth, detail));
    }
    let reports = caller.report_turns().months(&caller.api().reports, months).await?;
    Ok(Answered::new(MonthsBody { months: reports.into_iter().map(Into::into).collect() }))
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
