//! [`ServiceRepo`] on the file. What is taken is found by reading inside the write transaction.

use async_trait::async_trait;
use balance_domain::{
    CatalogueError, Limit, Page, Removal, Service, ServiceId, ServiceName, ServiceStatus,
    ports::{RepoError, ServiceRepo},
};
use rusqlite::{Connection, OptionalExtension};

use crate::{error::repo_error, rows::service, store::SqliteStore, writer::Verdict};

type Outcome<T> = Result<T, CatalogueError>;

#[async_trait]
impl ServiceRepo for SqliteStore {
    async fn add_services(
        &self,
        services: Vec<(ServiceId, ServiceName)>,
    ) -> Result<Outcome<Vec<Service>>, RepoError> {
        self.change_catalogue(move |connection| add(connection, services)).await
    }

    async fn service(&self, id: ServiceId) -> Result<Option<Service>, RepoError> {
        self.readers().read(move |connection| find(connection, id)).await
    }

    async fn services(
        &self,
        after: Option<ServiceId>,
        limit: Limit,
    ) -> Result<Page<Service, ServiceId>, RepoError> {
        self.readers().read(move |connection| page(connection, after, limit)).await
    }

    async fn rename_service(&self, id: ServiceId, name: ServiceName) -> Result<Outcome<Service>, RepoError> {
        self.change_catalogue(move |connection| rename(connection, id, name)).await
    }

    async fn remove_service(&self, id: ServiceId) -> Result<Outcome<Removal>, RepoError> {
        self.change_catalogue(move |connection| remove(connection, id)).await
    }
}

impl SqliteStore {
    /// One transaction of the writer; a refusal leaves no trace.
    async fn change_catalogue<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<Outcome<T>> + Send + 'static,
    ) -> Result<Outcome<T>, RepoError> {
        self.writer()
            .run(move |session| {
                session.transaction(|connection| {
                    let outcome = change(connection).map_err(repo_error)?;
                    Ok(if outcome.is_ok() { Verdict::Commit(outcome) } else { Verdict::Discard(outcome) })
                })
            })
            .await
    }
}

/// Each is checked against the catalogue and, since they are written one by one, against those before it.
fn add(
    connection: &Connection,
    services: Vec<(ServiceId, ServiceName)>,
) -> rusqlite::Result<Outcome<Vec<Service>>> {
    let mut insert =
        connection.prepare_cached("INSERT INTO services (id, name, retired, used) VALUES (?1, ?2, 0, 0)")?;
    let mut added = Vec::with_capacity(services.len());
    for (id, name) in services {
        if find(connection, id)?.is_some() {
            return Ok(Err(CatalogueError::IdTaken(id)));
        }
        if find_named(connection, &name)?.is_some() {
            return Ok(Err(CatalogueError::NameTaken(name)));
        }
        insert.execute((id.get(), name.as_str()))?;
        added.push(Service { id, name, status: ServiceStatus::Active });
    }
    Ok(Ok(added))
}

fn rename(connection: &Connection, id: ServiceId, name: ServiceName) -> rusqlite::Result<Outcome<Service>> {
    let Some(service) = find(connection, id)? else { return Ok(Err(CatalogueError::NotFound(id))) };
    if find_named(connection, &name)?.is_some_and(|other| other.id != id) {
        return Ok(Err(CatalogueError::NameTaken(name)));
    }
    connection
        .prepare_cached("UPDATE services SET name = ?2 WHERE id = ?1")?
        .execute((id.get(), name.as_str()))?;
    Ok(Ok(Service { name, ..service }))
}

fn remove(connection: &Connection, id: ServiceId) -> rusqlite::Result<Outcome<Removal>> {
    let used: Option<bool> = connection
        .prepare_cached("SELECT used FROM services WHERE id = ?1")?
        .query_row([id.get()], |row| row.get(0))
        .optional()?;
    let (sql, removal) = match used {
        None => return Ok(Err(CatalogueError::NotFound(id))),
        Some(false) => ("DELETE FROM services WHERE id = ?1", Removal::Deleted),
        Some(true) => ("UPDATE services SET retired = 1 WHERE id = ?1", Removal::Retired),
    };
    connection.prepare_cached(sql)?.execute([id.get()])?;
    Ok(Ok(removal))
}

fn find(connection: &Connection, id: ServiceId) -> rusqlite::Result<Option<Service>> {
    connection
        .prepare_cached("SELECT id, name, retired FROM services WHERE id = ?1")?
        .query_row([id.get()], service)
        .optional()
}

fn find_named(connection: &Connection, name: &ServiceName) -> rusqlite::Result<Option<Service>> {
    connection
        .prepare_cached("SELECT id, name, retired FROM services WHERE name = ?1")?
        .query_row([name.as_str()], service)
        .optional()
}

fn page(
    connection: &Connection,
    after: Option<ServiceId>,
    limit: Limit,
) -> rusqlite::Result<Page<Service, ServiceId>> {
    let after = after.map_or(0, ServiceId::get);
    let rows = connection
        .prepare_cached("SELECT id, name, retired FROM services WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map((after, i64::from(limit.get()) + 1), service)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_surplus(rows, limit, |last| last.id))
}
