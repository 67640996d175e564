//! Lets the domain's audit go over a store's scan.

use std::sync::Arc;

use balance_domain::{AccountingZone, Audit, AuditSummary};

use crate::Store;

/// Folds the whole ledger, recounts its final months, which are those of UTC, and compares both with what the store
/// keeps beside them.
///
/// # Panics
///
/// If the scan fails or anything does not add up.
pub async fn audit(store: &Arc<dyn Store>) -> AuditSummary {
    let zone = AccountingZone::new("UTC").unwrap_or_else(|invalid| panic!("{invalid}"));
    let final_reports = store.final_reports().await;
    let final_reports = final_reports.unwrap_or_else(|error| panic!("the reports cannot be read: {error}"));
    let audit = Arc::new(Audit::new(zone, final_reports));
    let scanned = store.scan(audit.clone()).await;
    assert!(scanned.is_ok(), "the scan failed: {scanned:?}");
    let summary = audit.finish();
    assert!(summary.is_clean(), "the books do not add up: {summary:#?}");
    summary
}
