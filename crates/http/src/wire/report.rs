//! Revenue reports.

use balance_domain::{Month, PublishedReport, RevenueLine, RevenueReport, ServiceId, ServiceName, Timestamp};
use paperclip::actix::Apiv2Schema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    api::HttpSettings,
    extract::{Faults, Pairs, QueryParameters, Request, check_object, required},
    wire::{FileFor, Wire},
};

/// Which month to report on.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportRequest {
    /// The month, `YYYY-MM`, in the accounting time zone.
    pub(crate) month: Wire<Month>,
}

impl Request for ReportRequest {
    type Raw = Self;

    fn accept(raw: Self, _: &HttpSettings) -> Option<Self> {
        Some(raw)
    }

    fn check(body: &RawValue, faults: &mut Faults) {
        check_object(body, "", &[&[required::<Month>("month")]], faults);
    }
}

/// A report that was built.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct ReportBody {
    /// The month.
    month: Wire<Month>,
    /// Where the CSV file is, on this origin.
    url: String,
    /// How many services it lists.
    rows: i64,
    /// Captures minus refunds of all services, in minor units.
    total: Wire<i128>,
    /// The month is over and the report will never change.
    #[serde(rename = "final")]
    is_final: bool,
    /// SHA-256 of the CSV file, in lower-case hexadecimal.
    sha256: String,
}

impl From<PublishedReport> for ReportBody {
    fn from(PublishedReport { report, file }: PublishedReport) -> Self {
        Self {
            month: Wire(report.month),
            url: format!("/api/v1/reports/revenue/{}.csv", report.month),
            rows: i64::try_from(report.lines.len()).unwrap_or(i64::MAX),
            total: Wire(report.total()),
            is_final: report.is_final,
            sha256: file.sha256,
        }
    }
}

/// A month's revenue per service, amounts in minor units.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct RevenueBody {
    /// The month.
    month: Wire<Month>,
    /// The month is over and the report will never change.
    #[serde(rename = "final")]
    is_final: bool,
    /// When it was built.
    built_at: Wire<Timestamp>,
    /// Captures minus refunds of all services.
    total: Wire<i128>,
    /// SHA-256 of the CSV file, in lower-case hexadecimal.
    sha256: String,
    /// One line per service with a capture or refund in the month, by name, then id.
    services: Vec<ReportLineBody>,
}

/// A month's revenue of one service, in minor units.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct ReportLineBody {
    /// The service.
    service_id: Wire<ServiceId>,
    /// Its name when the report was built.
    name: Wire<ServiceName>,
    /// The sum of the captures.
    captured: Wire<i128>,
    /// The sum of the refunds.
    refunded: Wire<i128>,
    /// Captures minus refunds; negative when more was refunded.
    net: Wire<i128>,
}

impl From<RevenueLine> for ReportLineBody {
    fn from(line: RevenueLine) -> Self {
        Self {
            service_id: Wire(line.service_id),
            captured: Wire(line.captured),
            refunded: Wire(line.refunded),
            net: Wire(line.net()),
            name: Wire(line.service_name),
        }
    }
}

impl From<PublishedReport> for RevenueBody {
    fn from(PublishedReport { report, file }: PublishedReport) -> Self {
        Self {
            month: Wire(report.month),
            is_final: report.is_final,
            built_at: Wire(report.built_at),
            total: Wire(report.total()),
            sha256: file.sha256,
            services: report.lines.into_iter().map(Into::into).collect(),
        }
    }
}

/// Which months.
#[derive(Apiv2Schema)]
pub(crate) struct MonthsParameters {
    /// The first month.
    pub(crate) from: Wire<Month>,
    /// The last month, included.
    pub(crate) to: Wire<Month>,
}

impl QueryParameters for MonthsParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        let (from, to) = (pairs.required("from"), pairs.required("to"));
        Some(Self { from: Wire(from?), to: Wire(to?) })
    }
}

/// Which file of a month.
#[derive(Apiv2Schema)]
pub(crate) struct FileParameters {
    /// `excel`: a file that Excel opens as it is.
    pub(crate) purpose: Option<Wire<FileFor>>,
}

impl QueryParameters for FileParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        Some(Self { purpose: pairs.optional("for").map(Wire) })
    }
}

/// Months with their revenue.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct MonthsBody {
    /// In the order of time.
    pub(crate) months: Vec<MonthBody>,
}

/// A month's revenue, amounts in minor units.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct MonthBody {
    /// The month.
    month: Wire<Month>,
    /// The month is over and its figures will never change.
    #[serde(rename = "final")]
    is_final: bool,
    /// When the figures were added up.
    built_at: Wire<Timestamp>,
    /// All captures.
    captured: Wire<i128>,
    /// All refunds.
    refunded: Wire<i128>,
    /// Captures minus refunds; negative when more was refunded.
    net: Wire<i128>,
    /// One line per service with a capture or refund in the month, by name, then id.
    services: Vec<ReportLineBody>,
}

impl From<RevenueReport> for MonthBody {
    fn from(report: RevenueReport) -> Self {
        Self {
            month: Wire(report.month),
            is_final: report.is_final,
            built_at: Wire(report.built_at),
            captured: Wire(report.captured()),
            refunded: Wire(report.refunded()),
            net: Wire(report.total()),
            services: report.lines.into_iter().map(Into::into).collect(),
        }
    }
}
