//! Which ledger the configuration is for: a ledger keeps what it is, and a start with other values is refused.

use std::fmt;

use anyhow::Context as _;
use balance_domain::{Contradiction, LedgerId, LedgerIdentity, ports::IdentityRepo};

use crate::settings::Settings;

/// The configuration is for another ledger than the store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherLedger(Vec<Contradiction>);

impl fmt::Display for OtherLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "the configuration is for another ledger: {}", said.join("; "))
    }
}

impl std::error::Error for OtherLedger {}

/// Refuses a ledger that is not what the configuration says. One that is new becomes it.
pub(crate) async fn settle(repo: &dyn IdentityRepo, settings: &Settings) -> anyhow::Result<()> {
    let configured = configured(settings)?;
    let mut recorded = repo.ledger().await?;
    if recorded.is_none() {
        repo.make_ledger(configured).await?;
        // Another instance may have been first.
        recorded = repo.ledger().await?;
    }
    let recorded = recorded.context("what the ledger is was not recorded")?;
    let contradictions = recorded.identity.contradictions(&configured);
    if contradictions.is_empty() { Ok(()) } else { Err(OtherLedger(contradictions).into()) }
}

/// What a new ledger becomes.
fn configured(settings: &Settings) -> anyhow::Result<LedgerIdentity> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the operating system gives no random numbers")?;
    let id = LedgerId::from_bytes(bytes);
    Ok(LedgerIdentity { id, currency: settings.currency, zone: settings.accounting_zone })
}
