//! The tables of a store, as maps, and the ports that are not about money.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use balance_domain::{
    Account, Actor, ApiKey, ApiKeyId, CatalogueError, Command, Decision, IdempotencyKey, LedgerIdentity,
    Limit, Moment, Month, OperationKind, OrderId, Page, Period, RecordedOperation, Rejection, Removal,
    Reservation, ReservationKey, RevenueLine, RevenueReport, Service, ServiceId, ServiceName, ServiceStatus,
    State, Timestamp, UserId,
    ports::{ApiKeyRepo, ApiKeys, IdentityRepo, LedgerRecord, RepoError, ReportRepo, ServiceRepo},
};
use balance_store_conformance::SetClock;

use crate::feed::Entry;

/// The decider, or a sabotaged one.
pub(crate) type Decider = fn(&State, &Command, Actor, Moment) -> Result<Decision, Rejection>;

/// Maps behind one lock.
#[derive(Clone)]
pub(crate) struct DecidedStore {
    tables: Arc<Mutex<Tables>>,
    pub(crate) decider: Decider,
    /// A fault that only batches of several submissions have: microseconds that their clock is ahead.
    pub(crate) batches_ahead: i64,
    pub(crate) clock: SetClock,
}

impl DecidedStore {
    pub(crate) fn new(decider: Decider) -> Self {
        Self { tables: Arc::default(), decider, batches_ahead: 0, clock: SetClock::default() }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }
}

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) accounts: BTreeMap<UserId, Account>,
    pub(crate) operations: BTreeMap<UserId, Vec<RecordedOperation>>,
    /// Which operation answers for a key: its place in the user's operations.
    pub(crate) keys: BTreeMap<(UserId, IdempotencyKey), usize>,
    pub(crate) reservations: BTreeMap<ReservationKey, Reservation>,
    pub(crate) services: BTreeMap<ServiceId, Service>,
    pub(crate) used: BTreeMap<ServiceId, bool>,
    reports: BTreeMap<Month, RevenueReport>,
    api_keys: BTreeMap<(Timestamp, ApiKeyId), ApiKey>,
    identity: Option<LedgerIdentity>,
    pub(crate) closed_until: Option<Timestamp>,
    /// Everything that happened, in order.
    pub(crate) feed: Vec<Entry>,
}

impl Tables {
    /// The moment with what is known of closed months.
    pub(crate) fn closed(&self, moment: Moment) -> Moment {
        self.closed_until.map_or(moment, |until| moment.closed_until(until))
    }

    /// The keys are ordered by user first.
    pub(crate) fn reservations_of(&self, user_id: UserId) -> impl Iterator<Item = &Reservation> {
        let (service_id, order_id) = (ServiceId::new(1).unwrap(), OrderId::new(1).unwrap());
        let first = ReservationKey { user_id, service_id, order_id };
        let behind = self.reservations.range(first..);
        behind.map(|(_, reservation)| reservation).take_while(move |r| r.key.user_id == user_id)
    }

    fn is_named(&self, name: &ServiceName) -> Option<ServiceId> {
        self.services.values().find(|service| service.name == *name).map(|service| service.id)
    }
}

#[async_trait]
impl ServiceRepo for DecidedStore {
    async fn add_services(
        &self,
        services: Vec<(ServiceId, ServiceName)>,
    ) -> Result<Result<Vec<Service>, CatalogueError>, RepoError> {
        let mut tables = self.tables();
        for (position, (id, name)) in services.iter().enumerate() {
            let earlier = &services[..position];
            if tables.services.contains_key(id) || earlier.iter().any(|(other, _)| other == id) {
                return Ok(Err(CatalogueError::IdTaken(*id)));
            }
            if tables.is_named(name).is_some() || earlier.iter().any(|(_, other)| other == name) {
                return Ok(Err(CatalogueError::NameTaken(name.clone())));
            }
        }
        let services: Vec<Service> = services
            .into_iter()
            .map(|(id, name)| Service { id, name, status: ServiceStatus::Active })
            .collect();
        tables.services.extend(services.iter().map(|service| (service.id, service.clone())));
        Ok(Ok(services))
    }

    async fn service(&self, id: ServiceId) -> Result<Option<Service>, RepoError> {
        Ok(self.tables().services.get(&id).cloned())
    }

    async fn services(
        &self,
        after: Option<ServiceId>,
        limit: Limit,
    ) -> Result<Page<Service, ServiceId>, RepoError> {
        let tables = self.tables();
        let behind = tables.services.values().filter(|service| Some(service.id) > after);
        let rows = behind.take(usize::from(limit.get()) + 1).cloned().collect();
        Ok(Page::from_surplus(rows, limit, |service| service.id))
    }

    async fn rename_service(
        &self,
        id: ServiceId,
        name: ServiceName,
    ) -> Result<Result<Service, CatalogueError>, RepoError> {
        let mut tables = self.tables();
        let owner = tables.is_named(&name);
        let Some(service) = tables.services.get_mut(&id) else {
            return Ok(Err(CatalogueError::NotFound(id)));
        };
        if owner.is_some_and(|owner| owner != id) {
            return Ok(Err(CatalogueError::NameTaken(name)));
        }
        service.name = name;
        Ok(Ok(service.clone()))
    }

    async fn remove_service(&self, id: ServiceId) -> Result<Result<Removal, CatalogueError>, RepoError> {
        let mut tables = self.tables();
        if !tables.services.contains_key(&id) {
            return Ok(Err(CatalogueError::NotFound(id)));
        }
        if tables.used.contains_key(&id) {
            tables.services.get_mut(&id).unwrap().status = ServiceStatus::Retired;
            return Ok(Ok(Removal::Retired));
        }
        tables.services.remove(&id);
        Ok(Ok(Removal::Deleted))
    }
}

#[async_trait]
impl ReportRepo for DecidedStore {
    async fn revenue(&self, period: Period) -> Result<Vec<RevenueLine>, RepoError> {
        let tables = self.tables();
        let mut sums: BTreeMap<ServiceId, (i128, i128)> = BTreeMap::new();
        let all = tables.operations.values().flatten().map(|recorded| &recorded.operation);
        for operation in all.filter(|operation| period.contains(operation.created_at)) {
            let amount = i128::from(operation.amount.get());
            let (captured, refunded) = match operation.kind {
                OperationKind::Capture => (amount, 0),
                OperationKind::Refund => (0, amount),
                _ => continue,
            };
            let sum = sums.entry(operation.service_id.unwrap()).or_default();
            *sum = (sum.0 + captured, sum.1 + refunded);
        }
        let line = |(service_id, (captured, refunded))| {
            let service_name = tables.services[&service_id].name.clone();
            RevenueLine { service_id, service_name, captured, refunded }
        };
        Ok(sums.into_iter().map(line).collect())
    }

    async fn close_books(&self, until: Timestamp) -> Result<(), RepoError> {
        let mut tables = self.tables();
        tables.closed_until = tables.closed_until.max(Some(until));
        Ok(())
    }

    async fn final_reports(&self) -> Result<Vec<RevenueReport>, RepoError> {
        Ok(self.tables().reports.values().filter(|report| report.is_final).cloned().collect())
    }

    async fn save_report(&self, report: RevenueReport) -> Result<RevenueReport, RepoError> {
        let mut tables = self.tables();
        let kept = tables.reports.get(&report.month).filter(|kept| kept.is_final).cloned();
        let kept = kept.unwrap_or(report);
        tables.reports.insert(kept.month, kept.clone());
        Ok(kept)
    }

    async fn report(&self, month: Month) -> Result<Option<RevenueReport>, RepoError> {
        Ok(self.tables().reports.get(&month).cloned())
    }
}

#[async_trait]
impl IdentityRepo for DecidedStore {
    async fn ledger(&self) -> Result<Option<LedgerRecord>, RepoError> {
        Ok(self.tables().identity.map(|identity| LedgerRecord { identity, schema_version: 1 }))
    }

    async fn make_ledger(&self, identity: LedgerIdentity) -> Result<(), RepoError> {
        self.tables().identity.get_or_insert(identity);
        Ok(())
    }
}

#[async_trait]
impl ApiKeyRepo for DecidedStore {
    async fn add_api_key(&self, key: ApiKey, _: Actor) -> Result<(), RepoError> {
        let mut tables = self.tables();
        if tables.api_keys.values().any(|kept| kept.id == key.id) {
            return Err(RepoError::Internal("the id is taken".into()));
        }
        tables.api_keys.insert((key.created_at, key.id), key);
        Ok(())
    }

    async fn api_keys(&self) -> Result<ApiKeys, RepoError> {
        let keys: Vec<ApiKey> = self.tables().api_keys.values().cloned().collect();
        let had_keys = !keys.is_empty();
        Ok(ApiKeys { keys, faults: Vec::new(), had_keys })
    }

    async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        _: Actor,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, RepoError> {
        let mut tables = self.tables();
        let found = tables.api_keys.values_mut().find(|key| key.id == id);
        Ok(found.map(|key| {
            key.revoked_at.get_or_insert(now);
            key.clone()
        }))
    }

    async fn note_api_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), RepoError> {
        let mut tables = self.tables();
        for (id, at) in uses {
            for key in tables.api_keys.values_mut().filter(|key| key.id == id) {
                key.last_used_at = key.last_used_at.max(Some(at));
            }
        }
        Ok(())
    }
}
