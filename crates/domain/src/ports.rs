//! What the rules need from the outside, and what they promise in return. Adapters implement these traits;
//! with the feature `mock` each has a `Mock…` twin for failures that no real adapter produces on demand.

mod access;
mod clock;
mod error;
mod events;
mod figures;
mod identity;
mod repo;
mod report;

pub use access::{ApiKeyRepo, ApiKeys};
pub use clock::{Clock, ClockUnsafe};
pub use error::{Cause, RepoError};
pub use events::{EventRepo, FeedError};
pub use figures::{
    AccountReads, Connections, OperationTotal, OperationTotals, OptimisticBatches, StoreFigures, StoreTimes,
};
pub use identity::{IdentityRepo, LedgerRecord};
pub use repo::{BalanceRepo, LedgerSink, Reply, ReportRepo, ServiceRepo, SubmitError};
pub use report::{Published, ReportDraft, ReportSink, SinkError, Spreadsheet, SpreadsheetLanguage};

#[cfg(feature = "mock")]
pub use {
    access::MockApiKeyRepo,
    clock::MockClock,
    events::MockEventRepo,
    figures::MockStoreFigures,
    identity::MockIdentityRepo,
    repo::{MockBalanceRepo, MockReportRepo, MockServiceRepo},
    report::{MockReportDraft, MockReportSink},
};
