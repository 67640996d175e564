//! The catalogue of services.

use paperclip::actix::api_v2_operation;

use crate::{
    answer::{Created, NoContent, Ok as Answered},
    cursor::{self, List},
    extract::{Body, Caller, NoQuery, Query, ServiceInPath, invalid_cursor},
    operations::{AddServices, GetService, ListServices, RemoveService, RenameService},
    problem::{Code, Problem},
    wire::{
        AddServicesRequest, RenameServiceRequest, ServiceBody, ServicePage, ServiceParameters, ServicesBody,
    },
};

/// Add services.
///
/// All or none: ids and names must be new, also among themselves. A repeat of a request that was accepted
/// answers 409 `service_exists`.
#[api_v2_operation]
pub(super) async fn add(
    caller: Caller<AddServices>,
    _query: NoQuery,
    body: Body<AddServicesRequest>,
) -> Result<Created<ServicesBody>, Problem> {
    let added = caller.api().services.add_services(body.0.into_services()).await??;
    let services = added.into_iter().map(ServiceBody::from).collect();
    Ok(Created::new(ServicesBody { services }).at("/api/v1/services".to_owned()))
}

/// List all services.
///
/// By id, retired ones included.
#[api_v2_operation]
pub(super) async fn list(
    caller: Caller<ListServices>,
    query: Query<ServiceParameters>,
) -> Result<Answered<ServicePage>, Problem> {
    let list = List::services();
    let after = match &query.0.cursor {
        Some(cursor) => Some(cursor::decode(list, &cursor.0.0).ok_or_else(invalid_cursor)?),
        None => None,
    };
    let limit = query.0.limit.as_ref().map(|limit| limit.0).unwrap_or_default();
    let page = caller.api().services.services(after, limit).await?;
    Ok(Answered::new(ServicePage {
        next_cursor: page.next.as_ref().map(|next| cursor::encode(list, next)),
        data: page.items.into_iter().map(ServiceBody::from).collect(),
    }))
}

/// Get one service.
#[api_v2_operation]
pub(super) async fn get(
    caller: Caller<GetService>,
    service: ServiceInPath,
    _query: NoQuery,
) -> Result<Answered<ServiceBody>, Problem> {
    let id = service.0;
    let found = caller.api().services.service(id).await?;
    let found = found
        .ok_or_else(|| Problem::with_detail(Code::ServiceNotFound, format!("there is no service {id}")))?;
    Ok(Answered::new(found.into()))
}

/// Rename a service.
///
/// Retired or not. Reports that were built before keep the old name once they are final.
#[api_v2_operation]
pub(super) async fn rename(
    caller: Caller<RenameService>,
    service: ServiceInPath,
    _query: NoQuery,
    body: Body<RenameServiceRequest>,
) -> Result<Answered<ServiceBody>, Problem> {
    let renamed = caller.api().services.rename_service(service.0, body.0.name.0).await??;
    Ok(Answered::new(renamed.into()))
}

/// Remove a service.
///
/// Gone if no reservation was ever made for it; otherwise retired: it takes no new reservation, open ones can
/// end, reports keep its name.
#[api_v2_operation]
pub(super) async fn remove(
    caller: Caller<RemoveService>,
    service: ServiceInPath,
    _query: NoQuery,
) -> Result<NoContent, Problem> {
    caller.api().services.remove_service(service.0).await??;
    Ok(NoContent)
}
