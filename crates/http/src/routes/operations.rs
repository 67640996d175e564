//! What happened to an account.

use balance_domain::OperationQuery;
use paperclip::actix::api_v2_operation;

use crate::{
    answer::Ok as Answered,
    cursor::{self, List},
    extract::{Caller, KeyInPath, NoQuery, Query, UserInPath, invalid_cursor},
    operations::{GetOperationByKey, ListOperations},
    problem::{Code, Problem},
    routes::balances::open_account,
    wire::{OperationBody, OperationPage, OperationParameters},
};

/// List a user's operations.
///
/// Sorted by time or by amount, filtered by any combination of the parameters. Pages neither skip nor repeat a
/// row while others write. `from` is inside the period, `to` is not.
#[api_v2_operation]
pub(super) async fn list(
    caller: Caller<ListOperations>,
    user: UserInPath,
    query: Query<OperationParameters>,
) -> Result<Answered<OperationPage>, Problem> {
    let user_id = user.0;
    let filter = query.0.filter();
    let sort = query.0.sort.as_ref().map(|sort| sort.0).unwrap_or_default();
    let list = List::operations(user_id, &filter, sort);
    let after = match &query.0.cursor {
        Some(cursor) => Some(cursor::decode(list, &cursor.0.0).ok_or_else(invalid_cursor)?),
        None => None,
    };
    let limit = query.0.limit.as_ref().map(|limit| limit.0).unwrap_or_default();
    open_account(&caller, user_id).await?;
    let page = caller.api().ledger.operations(OperationQuery { user_id, filter, sort, after, limit }).await?;
    let page = page.ok_or_else(|| Problem::new(Code::AccountNotFound))?;
    Ok(Answered::new(OperationPage {
        next_cursor: page.next.as_ref().map(|next| cursor::encode(list, next)),
        data: page.items.into_iter().map(OperationBody::from).collect(),
    }))
}

/// Get the operation that answers for an idempotency key.
///
/// Returns what became of a request whose answer was lost: 200 if it happened, 404 if it had no effect so far.
/// Answers for closed accounts too. A key with characters that mean something in a path is percent-encoded.
#[api_v2_operation]
pub(super) async fn by_key(
    caller: Caller<GetOperationByKey>,
    user: UserInPath,
    key: KeyInPath,
    _query: NoQuery,
) -> Result<Answered<OperationBody>, Problem> {
    caller.about(user.0);
    let operation = caller.api().ledger.operation_by_key(user.0, key.0).await?;
    let operation = operation.ok_or_else(|| Problem::new(Code::OperationNotFound))?;
    Ok(Answered::new(operation.into()))
}
