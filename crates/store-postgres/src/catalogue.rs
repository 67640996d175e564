//! The service catalogue. Changes take a lock on the whole table, which is small and rarely changed: so that
//! they are judged on what is there, and a removal never meets a reservation in the making.

use std::time::Duration;

use async_trait::async_trait;
use balance_domain::{
    CatalogueError, Limit, Page, Removal, Service, ServiceId, ServiceName, ServiceStatus,
    ports::{RepoError, ServiceRepo},
};
use tokio::time::{Instant, sleep};

use crate::{
    PostgresStore,
    error::Failure,
    rows::{self, column},
    store::Transaction,
};

/// Keeps other changes out and lets batches read.
const BEGIN_CHANGE: &str = "BEGIN; LOCK TABLE services IN SHARE ROW EXCLUSIVE MODE";

/// Waits for every batch that has read a service, and keeps new ones from reading. Those that come wait behind it, so
/// it gives way soon where somebody reads for long, such as `pg_dump`, and tries again.
const BEGIN_REMOVAL: &str =
    "BEGIN; SET LOCAL lock_timeout = '100ms'; LOCK TABLE services IN ACCESS EXCLUSIVE MODE";

/// How long a removal gives way.
const GIVES_WAY: Duration = Duration::from_millis(200);

const ONE: &str = "SELECT id, name, retired FROM services WHERE id = $1";
const PAGE: &str = "SELECT id, name, retired FROM services WHERE id > $1 ORDER BY id LIMIT $2";
const TAKEN: &str = "SELECT id, name FROM services WHERE id = ANY ($1) OR name = ANY ($2)";
const ADD: &str = "\
INSERT INTO services (id, name, retired, used)
SELECT n.id, n.name, false, false FROM unnest($1::bigint[], $2::text[]) AS n (id, name)";
const NAME_OWNER: &str = "SELECT id FROM services WHERE name = $1 AND id <> $2";
const RENAME: &str = "UPDATE services SET name = $2 WHERE id = $1 RETURNING id, name, retired";
const DELETE_UNUSED: &str = "DELETE FROM services WHERE id = $1 AND NOT used RETURNING id";
const RETIRE: &str = "UPDATE services SET retired = true WHERE id = $1 RETURNING id";

impl PostgresStore {
    /// Begins once nobody reads the services, within the time of a call.
    async fn begin_removal(&self) -> Result<Transaction, RepoError> {
        let until = Instant::now() + self.options().deadline;
        loop {
            match self.begin(BEGIN_REMOVAL).await {
                Err(RepoError::Unavailable(_)) if Instant::now() + GIVES_WAY < until => {
                    sleep(GIVES_WAY).await;
                }
                begun => return begun,
            }
        }
    }
}

#[async_trait]
impl ServiceRepo for PostgresStore {
    async fn add_services(
        &self,
        services: Vec<(ServiceId, ServiceName)>,
    ) -> Result<Result<Vec<Service>, CatalogueError>, RepoError> {
        let change = self.begin(BEGIN_CHANGE).await?;
        let added = add(&change, services).await;
        change.finish(added).await
    }

    async fn service(&self, id: ServiceId) -> Result<Option<Service>, RepoError> {
        let rows = self.read(ONE, &[&id.get()]).await?;
        rows.first().map(rows::service).transpose().map_err(Failure::into_error)
    }

    async fn services(
        &self,
        after: Option<ServiceId>,
        limit: Limit,
    ) -> Result<Page<Service, ServiceId>, RepoError> {
        let after = after.map_or(0, balance_domain::ServiceId::get);
        let rows = self.read(PAGE, &[&after, &(i64::from(limit.get()) + 1)]).await?;
        let services = rows.iter().map(rows::service).collect::<Result<Vec<_>, _>>();
        Ok(Page::from_surplus(services.map_err(Failure::into_error)?, limit, |service| service.id))
    }

    async fn rename_service(
        &self,
        id: ServiceId,
        name: ServiceName,
    ) -> Result<Result<Service, CatalogueError>, RepoError> {
        let change = self.begin(BEGIN_CHANGE).await?;
        let renamed = rename(&change, id, name).await;
        change.finish(renamed).await
    }

    async fn remove_service(&self, id: ServiceId) -> Result<Result<Removal, CatalogueError>, RepoError> {
        let removal = self.begin_removal().await?;
        let removed = remove(&removal, id).await;
        removal.finish(removed).await
    }
}

async fn add(
    change: &Transaction,
    services: Vec<(ServiceId, ServiceName)>,
) -> Result<Result<Vec<Service>, CatalogueError>, Failure> {
    let ids: Vec<i64> = services.iter().map(|(id, _)| id.get()).collect();
    let names: Vec<&str> = services.iter().map(|(_, name)| name.as_str()).collect();
    let mut taken_ids = Vec::new();
    let mut taken_names = Vec::new();
    for row in change.query(TAKEN, &[&ids, &names]).await? {
        taken_ids.push(column::<i64>(&row, 0)?);
        taken_names.push(column::<String>(&row, 1)?);
    }
    for (id, name) in &services {
        if taken_ids.contains(&id.get()) {
            return Ok(Err(CatalogueError::IdTaken(*id)));
        }
        if taken_names.iter().any(|taken| taken == name.as_str()) {
            return Ok(Err(CatalogueError::NameTaken(name.clone())));
        }
        taken_ids.push(id.get());
        taken_names.push(name.as_str().to_owned());
    }
    change.query(ADD, &[&ids, &names]).await?;
    let added = services.into_iter();
    Ok(Ok(added.map(|(id, name)| Service { id, name, status: ServiceStatus::Active }).collect()))
}

async fn rename(
    change: &Transaction,
    id: ServiceId,
    name: ServiceName,
) -> Result<Result<Service, CatalogueError>, Failure> {
    if change.query(ONE, &[&id.get()]).await?.is_empty() {
        return Ok(Err(CatalogueError::NotFound(id)));
    }
    if !change.query(NAME_OWNER, &[&name.as_str(), &id.get()]).await?.is_empty() {
        return Ok(Err(CatalogueError::NameTaken(name.clone())));
    }
    let renamed = change.query(RENAME, &[&id.get(), &name.as_str()]).await?;
    let renamed = renamed.first().map(rows::service).transpose()?;
    renamed.map(Ok).ok_or_else(|| Failure::Defect("a locked service vanished".into()))
}

async fn remove(change: &Transaction, id: ServiceId) -> Result<Result<Removal, CatalogueError>, Failure> {
    if !change.query(DELETE_UNUSED, &[&id.get()]).await?.is_empty() {
        return Ok(Ok(Removal::Deleted));
    }
    if change.query(RETIRE, &[&id.get()]).await?.is_empty() {
        return Ok(Err(CatalogueError::NotFound(id)));
    }
    Ok(Ok(Removal::Retired))
}
