//! The service catalogue of the model.

use async_trait::async_trait;
use balance_domain::{
    CatalogueError, Limit, Page, Removal, Service, ServiceId, ServiceName, ServiceStatus,
    ports::{RepoError, ServiceRepo},
};

use super::{MemoryStore, World};

#[async_trait]
impl ServiceRepo for MemoryStore {
    async fn add_services(
        &self,
        services: Vec<(ServiceId, ServiceName)>,
    ) -> Result<Result<Vec<Service>, CatalogueError>, RepoError> {
        let mut world = self.world();
        let before = world.services.clone();
        let mut added = Vec::new();
        for (id, name) in services {
            match world.add_service(id, name) {
                Ok(service) => added.push(service),
                Err(error) => {
                    world.services = before;
                    return Ok(Err(error));
                }
            }
        }
        Ok(Ok(added))
    }

    async fn service(&self, id: ServiceId) -> Result<Option<Service>, RepoError> {
        Ok(self.world().services.get(&id).map(|(service, _)| service.clone()))
    }

    async fn services(
        &self,
        after: Option<ServiceId>,
        limit: Limit,
    ) -> Result<Page<Service, ServiceId>, RepoError> {
        let world = self.world();
        let behind = world.services.values().filter(|(service, _)| after.is_none_or(|id| service.id > id));
        let mut items: Vec<Service> = behind.map(|(service, _)| service.clone()).collect();
        let has_more = items.len() > usize::from(limit.get());
        items.truncate(limit.get().into());
        let next = items.last().filter(|_| has_more).map(|service| service.id);
        Ok(Page { items, next })
    }

    async fn rename_service(
        &self,
        id: ServiceId,
        name: ServiceName,
    ) -> Result<Result<Service, CatalogueError>, RepoError> {
        Ok(self.world().rename_service(id, name))
    }

    async fn remove_service(&self, id: ServiceId) -> Result<Result<Removal, CatalogueError>, RepoError> {
        Ok(self.world().remove_service(id))
    }
}

impl World {
    pub(super) fn add_service(
        &mut self,
        id: ServiceId,
        name: ServiceName,
    ) -> Result<Service, CatalogueError> {
        if self.services.contains_key(&id) {
            return Err(CatalogueError::IdTaken(id));
        }
        if self.services.values().any(|(other, _)| other.name == name) {
            return Err(CatalogueError::NameTaken(name));
        }
        let service = Service { id, name, status: ServiceStatus::Active };
        self.services.insert(id, (service.clone(), false));
        Ok(service)
    }

    pub(super) fn rename_service(
        &mut self,
        id: ServiceId,
        name: ServiceName,
    ) -> Result<Service, CatalogueError> {
        let is_taken = self.services.values().any(|(other, _)| other.name == name && other.id != id);
        let Some((service, _)) = self.services.get_mut(&id) else {
            return Err(CatalogueError::NotFound(id));
        };
        if is_taken {
            return Err(CatalogueError::NameTaken(name));
        }
        service.name = name;
        Ok(service.clone())
    }

    pub(super) fn remove_service(&mut self, id: ServiceId) -> Result<Removal, CatalogueError> {
        let Some((service, is_used)) = self.services.get_mut(&id) else {
            return Err(CatalogueError::NotFound(id));
        };
        if *is_used {
            service.status = ServiceStatus::Retired;
            return Ok(Removal::Retired);
        }
        self.services.remove(&id);
        Ok(Removal::Deleted)
    }
}
