//! What the ledger is.

use balance_domain::ports::RepoError;
use paperclip::actix::api_v2_operation;

use crate::{
    answer::Ok as Answered,
    extract::{Caller, NoQuery},
    operations::GetLedger,
    problem::Problem,
    wire::LedgerBody,
};

/// Get what the ledger is.
///
/// Which ledger this service keeps: a random id that no other ledger has, the currency and how many decimals its
/// amounts have, the time zone of its months, and where it is kept. Nothing but `schema_version` ever changes, so a
/// program that compares `id` with the one it knows notices that it talks to another ledger, or to a new and empty one.
#[api_v2_operation]
pub(super) async fn get(caller: Caller<GetLedger>, _query: NoQuery) -> Result<Answered<LedgerBody>, Problem> {
    let recorded = caller.api().identity.ledger().await?;
    // Written before anything is served; missing while the store was never reached.
    let recorded =
        recorded.ok_or_else(|| RepoError::Unavailable("what the ledger is was not recorded".into()))?;
    Ok(Answered::new(LedgerBody::new(&recorded, caller.api().settings.store)))
}
