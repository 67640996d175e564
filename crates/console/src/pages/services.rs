//! The catalogue: what money is spent on.

use actix_web::{HttpResponse, web::Path};
use askama::Template;
use balance_domain::{CatalogueError, Scope, Service, ServiceId, ServiceName, ServiceStatus};

use crate::{
    failure::Failure,
    fields::{Fields, Form, Query, rows, service_id},
    shell::{Place, Shell, page, see_other},
    text::T,
    visit::Visit,
    words,
};

/// Services on one page.
const LISTED: u16 = 100;

/// A service as it is listed.
struct Row {
    id: String,
    name: String,
    is_retired: bool,
}

impl Row {
    fn of(service: &Service) -> Self {
        Self {
            id: service.id.to_string(),
            name: service.name.as_str().to_owned(),
            is_retired: service.status == ServiceStatus::Retired,
        }
    }
}

#[derive(Template)]
#[template(path = "services.html")]
struct ServicesPage {
    shell: Shell,
    rows: Vec<Row>,
    is_first: bool,
    next: Option<String>,
    may_write: bool,
    id: String,
    name: String,
    refusal: Option<String>,
}

/// All services by number.
pub(super) async fn list(visit: Visit, query: Query) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::BalanceRead)?;
    show(&visit, &query.0, &Fields::default(), None).await
}

async fn show(
    visit: &Visit,
    query: &Fields,
    sent: &Fields,
    refusal: Option<String>,
) -> Result<HttpResponse, Failure> {
    let after = query.read("after", service_id)?;
    let found = visit.console.services.services(after, rows(LISTED)).await?;
    let shell = Shell::of(visit, visit.language.say(T::Services), Place::Services);
    let is_refused = refusal.is_some();
    let mut answer = page(&ServicesPage {
        rows: found.items.iter().map(Row::of).collect(),
        is_first: after.is_none(),
        next: found.next.map(|next| format!("/console/services?after={next}")),
        may_write: visit.may_act(Scope::ServicesWrite),
        id: sent.get("id").to_owned(),
        name: sent.get("name").to_owned(),
        refusal,
        shell,
    })?;
    if is_refused {
        *answer.status_mut() = actix_web::http::StatusCode::CONFLICT;
    }
    Ok(answer)
}

/// Adds a service. The same one sent twice is there once.
pub(super) async fn add(visit: Visit, form: Form) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::ServicesWrite)?;
    let sent = Fields(form.into_inner());
    let (Some(id), Ok(name)) = (service_id(sent.get("id")), ServiceName::new(sent.get("name"))) else {
        let refusal = visit.language.say(T::ServiceWanted).to_owned();
        return show(&visit, &Fields::default(), &sent, Some(refusal)).await;
    };
    match visit.console.services.add_services(vec![(id, name.clone())]).await? {
        Ok(_) => Ok(see_other(format!("/console/services/{id}"))),
        Err(CatalogueError::IdTaken(_)) if is_called(&visit, id, &name).await? => {
            Ok(see_other(format!("/console/services/{id}")))
        }
        Err(error) => {
            let refusal = words::catalogue(&error, visit.language);
            show(&visit, &Fields::default(), &sent, Some(refusal)).await
        }
    }
}

async fn is_called(visit: &Visit, id: ServiceId, name: &ServiceName) -> Result<bool, Failure> {
    Ok(visit.console.services.service(id).await?.is_some_and(|service| service.name == *name))
}

#[derive(Template)]
#[template(path = "service.html")]
struct ServicePage {
    shell: Shell,
    row: Row,
    may_write: bool,
    may_search: bool,
    refusal: Option<String>,
}

/// One service, and what can be done with it.
pub(super) async fn one(visit: Visit, path: Path<String>) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::BalanceRead)?;
    show_one(&visit, &path, None).await
}

async fn show_one(visit: &Visit, id: &str, refusal: Option<String>) -> Result<HttpResponse, Failure> {
    let id = service_id(id).ok_or(Failure::NotFound(T::NoSuchService))?;
    let found = visit.console.services.service(id).await?.ok_or(Failure::NotFound(T::NoSuchService))?;
    let shell = Shell::of(visit, found.name.as_str(), Place::Services);
    page(&ServicePage {
        row: Row::of(&found),
        may_write: visit.may_act(Scope::ServicesWrite),
        may_search: visit.may(Scope::Search),
        refusal,
        shell,
    })
}

/// Gives a service another name.
pub(super) async fn rename(visit: Visit, path: Path<String>, form: Form) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::ServicesWrite)?;
    let id = service_id(&path).ok_or(Failure::NotFound(T::NoSuchService))?;
    let Ok(name) = ServiceName::new(Fields(form.into_inner()).get("name")) else {
        return show_one(&visit, &path, Some(visit.language.say(T::ServiceWanted).to_owned())).await;
    };
    match visit.console.services.rename_service(id, name).await? {
        Ok(_) => Ok(see_other(format!("/console/services/{id}"))),
        Err(error) => show_one(&visit, &path, Some(words::catalogue(&error, visit.language))).await,
    }
}

/// Retires a service that was used; one that never was is gone.
pub(super) async fn retire(visit: Visit, path: Path<String>, form: Form) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::ServicesWrite)?;
    let id = service_id(&path).ok_or(Failure::NotFound(T::NoSuchService))?;
    if Fields(form.into_inner()).get("sure") != "yes" {
        return show_one(&visit, &path, Some(visit.language.say(T::SureWanted).to_owned())).await;
    }
    match visit.console.services.remove_service(id).await? {
        // The second of two clicks finds a service gone that the first removed.
        Ok(balance_domain::Removal::Deleted) | Err(CatalogueError::NotFound(_)) => {
            Ok(see_other("/console/services"))
        }
        Ok(balance_domain::Removal::Retired) => Ok(see_other(format!("/console/services/{id}"))),
        Err(error) => Err(error.into()),
    }
}
