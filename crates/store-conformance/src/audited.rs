//! Lets the domain's audit go over a store's scan.

use std::sync::Arc;

use balance_domain::{Audit, AuditSummary};

use crate::Store;

/// Folds the whole ledger and compares it with what the store keeps beside it.
///
/// # Panics
///
/// If the scan fails or anything does not add up.
pub async fn audit(store: &Arc<dyn Store>) -> AuditSummary {
    let audit = Arc::new(Audit::default());
    let scanned = store.scan(audit.clone()).await;
    assert!(scanned.is_ok(), "the scan failed: {scanned:?}");
    let summary = audit.finish();
    assert!(summary.is_clean(), "the books do not add up: {summary:#?}");
    summary
}
