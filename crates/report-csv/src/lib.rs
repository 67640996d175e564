//! Publishes a month's revenue as a CSV file for accounting.
//!
//! One file per month, `revenue-YYYY-MM.csv`, in one folder. A reader of the folder sees the whole file or none:
//! it is written beside its place, flushed, and then moved there. The same lines give the same bytes, for ever. A
//! folder that hangs holds up publishing, for a few seconds each time, and nothing else.

mod cell;
mod file;
mod publisher;
mod spreadsheet;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use balance_domain::{
    Currency, Month, RevenueLine, RevenueReport,
    ports::{Published, ReportDraft, ReportSink, SinkError, Spreadsheet, SpreadsheetLanguage},
};
use csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use sha2::{Digest, Sha256};

use self::publisher::Publisher;

/// Publishes reports as files in one folder, which is created when it is first needed.
#[derive(Clone, Debug)]
pub struct CsvReports {
    folder: PathBuf,
    currency: Currency,
    publisher: Arc<Publisher>,
}

impl CsvReports {
    /// Reports go into `folder`. Nothing is touched before the first report is finished. Amounts have the decimals of
    /// the currency, and files for spreadsheets name it.
    pub fn new(folder: PathBuf, currency: Currency) -> Self {
        Self { folder, currency, publisher: Arc::default() }
    }
}

impl ReportSink for CsvReports {
    fn begin(&self, month: Month) -> Result<Box<dyn ReportDraft>, SinkError> {
        let mut draft = CsvDraft {
            folder: self.folder.clone(),
            currency: self.currency,
            publisher: Arc::clone(&self.publisher),
            file_name: format!("revenue-{month}.csv"),
            rows: WriterBuilder::new()
                .delimiter(b';')
                .quote_style(QuoteStyle::Never)
                .terminator(Terminator::Any(b'\n'))
                .from_writer(Vec::new()),
        };
        draft.row(["service", "revenue"])?;
        Ok(Box::new(draft))
    }

    fn spreadsheet(
        &self,
        report: &RevenueReport,
        language: SpreadsheetLanguage,
    ) -> Result<Spreadsheet, SinkError> {
        spreadsheet::write(report, self.currency, language).map_err(|error| SinkError(error.into()))
    }
}

/// The rows so far, in memory: a report has one row per service, and its bytes are handed back at the end
/// anyhow. The folder is touched only by `finish`, so dropping a draft leaves nothing behind.
struct CsvDraft {
    folder: PathBuf,
    currency: Currency,
    publisher: Arc<Publisher>,
    file_name: String,
    rows: Writer<Vec<u8>>,
}

impl CsvDraft {
    fn row(&mut self, cells: [&str; 2]) -> Result<(), SinkError> {
        self.rows.write_record(cells).map_err(|error| SinkError(error.into()))
    }
}

#[async_trait]
impl ReportDraft for CsvDraft {
    fn line(&mut self, line: &RevenueLine) -> Result<(), SinkError> {
        self.row([&cell::text(line.service_name.as_str()), &cell::major_units(line.net(), self.currency)])
    }

    async fn finish(self: Box<Self>) -> Result<Published, SinkError> {
        let Self { folder, publisher, file_name, rows, .. } = *self;
        let bytes = rows.into_inner().map_err(|error| SinkError(error.into_error().into()))?;
        let publish = move || {
            file::publish(&folder, &file_name, &bytes)?;
            let sha256 = hex(&Sha256::digest(&bytes));
            Ok(Published { file_name, bytes, sha256 })
        };
        publisher.run(publish).await.map_err(|error| SinkError(error.into()))
    }
}

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        digest.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}
