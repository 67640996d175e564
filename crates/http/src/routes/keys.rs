//! API keys, for administrators.

use paperclip::actix::api_v2_operation;

use crate::{
    answer::{Created, NoContent, Ok as Answered},
    extract::{ApiKeyInPath, Body, Caller, NoQuery},
    operations::{ListKeys, PostKey, RevokeKey},
    problem::{Code, Problem},
    wire::{CreateKeyRequest, CreatedKeyBody, KeyBody, KeyList},
};

/// Make an API key.
///
/// The token is in this answer only; what is kept of it is a hash. The first key ends the open access of an
/// installation without keys: give it the scope `admin`, or make one with `balance keys create`.
#[api_v2_operation]
pub(super) async fn create(
    caller: Caller<PostKey>,
    _query: NoQuery,
    body: Body<CreateKeyRequest>,
) -> Result<Created<CreatedKeyBody>, Problem> {
    let actor = caller.actor();
    let (key, token) = caller.api().access.create(body.0.into_new_key(), actor).await?;
    Ok(Created::new(CreatedKeyBody::new(&key, token)).at("/api/v1/keys".to_owned()))
}

/// List all API keys.
///
/// By the time they were made, revoked and expired ones included. `last_used_at` is exact to the minute and shown
/// within a minute.
#[api_v2_operation]
pub(super) async fn list(caller: Caller<ListKeys>, _query: NoQuery) -> Result<Answered<KeyList>, Problem> {
    let read = caller.api().access.all().await?;
    Ok(Answered::new(KeyList { data: read.keys.iter().map(KeyBody::from).collect() }))
}

/// Revoke an API key.
///
/// For good. This instance refuses it at once, others within two seconds. Revoking it again changes nothing.
#[api_v2_operation]
pub(super) async fn revoke(
    caller: Caller<RevokeKey>,
    key: ApiKeyInPath,
    _query: NoQuery,
) -> Result<NoContent, Problem> {
    let actor = caller.actor();
    let revoked = caller.api().access.revoke(key.0, actor).await?;
    let missing = || Problem::with_detail(Code::KeyNotFound, format!("there is no key {}", key.0));
    revoked.map(|_| NoContent).ok_or_else(missing)
}
