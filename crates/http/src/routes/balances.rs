//! What a user has.

use balance_domain::{Account, AccountStatus, Rejection, Timestamp, UserId};
use paperclip::actix::api_v2_operation;

use crate::{
    answer::Ok as Answered,
    extract::{Caller, NoQuery, UserInPath},
    operations::{Documented, GetBalance},
    problem::{Code, Problem},
    wire::BalanceBody,
};

/// Get a user's balance.
///
/// A consistent snapshot of available, reserved and total. Reservations past their deadline count as available,
/// whether or not their expiry was recorded yet.
#[api_v2_operation]
pub(super) async fn get(
    caller: Caller<GetBalance>,
    user: UserInPath,
    _query: NoQuery,
) -> Result<Answered<BalanceBody>, Problem> {
    let (account, as_of) = open_account(&caller, user.0).await?;
    Ok(Answered::new(BalanceBody::new(&account, as_of, caller.api().settings.currency)))
}

/// The account as it is now, refused if it is unknown or closed. A read that is refused is no rejected command,
/// so it is not counted as one.
pub(super) async fn open_account<O: Documented>(
    caller: &Caller<O>,
    user_id: UserId,
) -> Result<(Account, Timestamp), Problem> {
    caller.about(user_id);
    let found = caller.api().ledger.account(user_id).await?;
    let found = found.ok_or_else(|| {
        Problem::with_detail(Code::AccountNotFound, Rejection::AccountNotFound(user_id).to_string())
    })?;
    if found.recorded.status == AccountStatus::Closed {
        let detail = Rejection::AccountClosed(user_id).to_string();
        return Err(Problem::with_detail(Code::AccountClosed, detail));
    }
    Ok((found.recorded, found.at))
}
