//! Money in and out, and the end of an account.

use balance_domain::Command;
use paperclip::actix::api_v2_operation;

use crate::{
    answer::{Created, NoContent},
    extract::{Body, Caller, Key, NoQuery, Query, UserInPath},
    operations::{CloseAccount, PostDeposit, PostWithdrawal},
    problem::Problem,
    routes::submit::{movement, submit},
    wire::{DepositRequest, DryRunParameter, OperationBody, WithdrawalRequest},
};

/// Deposit to a user.
///
/// The account appears with the first deposit.
#[api_v2_operation]
pub(super) async fn deposit(
    caller: Caller<PostDeposit>,
    user: UserInPath,
    query: Query<DryRunParameter>,
    key: Key,
    body: Body<DepositRequest>,
) -> Result<Created<OperationBody>, Problem> {
    caller.dry_run(&query.0);
    movement(caller, key.0, body.0.into_action(user.0)).await
}

/// Withdraw from a user.
///
/// The available money never falls below zero; reserved money cannot be withdrawn.
#[api_v2_operation]
pub(super) async fn withdraw(
    caller: Caller<PostWithdrawal>,
    user: UserInPath,
    query: Query<DryRunParameter>,
    key: Key,
    body: Body<WithdrawalRequest>,
) -> Result<Created<OperationBody>, Problem> {
    caller.dry_run(&query.0);
    movement(caller, key.0, body.0.into_action(user.0)).await
}

/// Close an account for good.
///
/// Refused while money or an active reservation is left. The comments of its history are erased; amounts stay
/// for the books. Every later call about the user answers 410, but a repeat of an earlier request is still
/// answered by its key.
#[api_v2_operation]
pub(super) async fn close(
    caller: Caller<CloseAccount>,
    user: UserInPath,
    _query: NoQuery,
) -> Result<NoContent, Problem> {
    caller.about(user.0);
    submit(&caller, Command::Close { user_id: user.0 }).await?;
    Ok(NoContent)
}
