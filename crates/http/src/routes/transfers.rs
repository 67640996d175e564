//! Money from one user to another.

use paperclip::actix::api_v2_operation;

use crate::{
    answer::Created,
    extract::{Body, Caller, Key, Query},
    operations::PostTransfer,
    problem::Problem,
    routes::submit::movement,
    wire::{DryRunParameter, OperationBody, TransferRequest},
};

/// Transfer from one user to another.
///
/// Both histories show it, at one instant; the answer is the payer's operation. The receiver's account appears
/// if it is new. The idempotency key belongs to the payer.
#[api_v2_operation]
pub(super) async fn transfer(
    caller: Caller<PostTransfer>,
    query: Query<DryRunParameter>,
    key: Key,
    body: Body<TransferRequest>,
) -> Result<Created<OperationBody>, Problem> {
    caller.dry_run(&query.0);
    movement(caller, key.0, body.0.into_action()).await
}
