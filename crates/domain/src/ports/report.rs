//! Where a month's revenue is published for accounting.

use async_trait::async_trait;

use crate::{Month, RevenueLine, RevenueReport, ports::Cause};

/// The report could not be published; no partial file is left where readers look.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the report could not be published: {0}")]
pub struct SinkError(pub Cause);

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The file's name, without a folder.
    pub file_name: String,
    /// The bytes that readers get.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// Whose spreadsheet a file is for: it decides on words, separators and decimal signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadsheetLanguage {
    /// Semicolons, decimal commas.
    Russian,
    /// Commas, decimal points.
    English,
}

/// A file that a spreadsheet opens as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spreadsheet {
    /// The file's name, without a folder.
    pub file_name: String,
    /// All of it, its byte order mark included.
    pub bytes: Vec<u8>,
}

/// Publishes reports. The same month with the same lines gives the same bytes, for ever.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ReportSink: Send + Sync + 'static {
    /// Starts a report. Nothing is visible to readers before [`ReportDraft::finish`].
    fn begin(&self, month: Month) -> Result<Box<dyn ReportDraft>, SinkError>;

    /// The report as a file for a spreadsheet; nothing is published. The same report gives the same bytes, for ever.
    fn spreadsheet(
        &self,
        report: &RevenueReport,
        language: SpreadsheetLanguage,
    ) -> Result<Spreadsheet, SinkError>;
}

/// A report in the making. Dropping it leaves nothing behind.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ReportDraft: Send {
    /// Adds a line. Lines are published in the order they come.
    fn line(&mut self, line: &RevenueLine) -> Result<(), SinkError>;

    /// Publishes the report durably and atomically; it replaces an earlier one of the month.
    async fn finish(self: Box<Self>) -> Result<Published, SinkError>;
}
