//! The model of a store, made slow enough for calls to gather, with group commit in front of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, Actor, ApiKey, ApiKeyId, CatalogueError, DryRun, EventPage, EventPosition, EventQuery, Fact,
    IdempotencyKey, LedgerIdentity, Limit, Month, Operation, OperationPosition, OperationQuery, Page, Period,
    Removal, Reservation, ReservationKey, ReservationPosition, ReservationQuery, ReservationSearch,
    RevenueLine, RevenueReport, SearchPosition, Service, ServiceId, ServiceName, Submission, Timestamp,
    UserId,
    ports::{
        ApiKeyRepo, ApiKeys, BalanceRepo, EventRepo, FeedError, IdentityRepo, LedgerRecord, LedgerSink,
        Reply, RepoError, ReportRepo, ServiceRepo,
    },
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use balance_store_conformance::{MemoryStore, SetClock};
use tokio::task::yield_now;

/// Writes a port of `$type` that hands every call to `self.$to`, but for methods that are written out.
macro_rules! pass_on {
    ($port:ident of $type:ty, to $to:ident { $($method:ident($($name:ident: $arg:ty),*) -> $answer:ty;)* } $($own:tt)*) => {
        #[async_trait]
        impl $port for $type {
            $($own)*

            $(async fn $method(&self, $($name: $arg),*) -> Result<$answer, RepoError> {
                self.$to.$method($($name),*).await
            })*
        }
    };
}

/// The same of the ledger, `execute` written out.
macro_rules! ledger {
    ($type:ty, reads from $to:ident; $($execute:tt)*) => {
        pass_on! { BalanceRepo of $type, to $to {
            accounts(user_ids: Vec<UserId>) -> Vec<Option<AccountAsOf>>;
            reservation(key: ReservationKey) -> Option<Reservation>;
            reservations(query: ReservationQuery) -> Page<Reservation, ReservationPosition>;
            operations(query: OperationQuery) -> Page<Operation, OperationPosition>;
            operation_by_key(user_id: UserId, key: IdempotencyKey) -> Option<Operation>;
            dry_run(submissions: Vec<Submission>) -> DryRun;
            search_reservations(search: ReservationSearch) -> Page<Reservation, SearchPosition>;
            due_users(users_max: u32) -> Vec<UserId>;
            scan(sink: Arc<dyn LedgerSink>) -> ();
            ready() -> ();
        } $($execute)* }
    };
}

/// The model, with commits that take a few turns of the runtime, and panics on demand.
pub(crate) struct Slow {
    pub(crate) memory: MemoryStore,
    /// Panic after each n-th commit; 0 is never.
    panic_after: usize,
    commits: AtomicUsize,
}

impl Slow {
    pub(crate) fn new(memory: MemoryStore) -> Self {
        Self { memory, panic_after: 0, commits: AtomicUsize::new(0) }
    }

    /// Commits, and then every n-th time panics instead of saying so.
    pub(crate) fn panicking_after(memory: MemoryStore, commits: usize) -> Self {
        Self { panic_after: commits, ..Self::new(memory) }
    }

    /// How many batches were committed.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::Relaxed)
    }
}

ledger! { Slow, reads from memory;
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        for _ in 0..5 {
            yield_now().await;
        }
        let replies = self.memory.execute(submissions).await;
        let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(self.panic_after == 0 || !commits.is_multiple_of(self.panic_after), "after the commit");
        replies
    }
}

/// All ports: the ledger through group commit, the rest straight.
pub(crate) struct Grouped {
    memory: MemoryStore,
    group: GroupCommit,
}

impl Grouped {
    pub(crate) fn new(memory: MemoryStore) -> Self {
        let options = GroupCommitOptions { lanes: 3, batch_commands_max: 7, ..GroupCommitOptions::default() };
        let group = GroupCommit::new(Arc::new(Slow::new(memory.clone())), options);
        Self { memory, group }
    }

    pub(crate) fn clock(&self) -> SetClock {
        self.memory.clock()
    }

    pub(crate) async fn drain(&self) -> MemoryStore {
        self.group.drain().await;
        self.memory.clone()
    }
}

ledger! { Grouped, reads from group;
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        self.group.execute(submissions).await
    }
}

pass_on! { ServiceRepo of Grouped, to memory {
    add_services(services: Vec<(ServiceId, ServiceName)>) -> Result<Vec<Service>, CatalogueError>;
    service(id: ServiceId) -> Option<Service>;
    services(after: Option<ServiceId>, limit: Limit) -> Page<Service, ServiceId>;
    rename_service(id: ServiceId, name: ServiceName) -> Result<Service, CatalogueError>;
    remove_service(id: ServiceId) -> Result<Removal, CatalogueError>;
}}

pass_on! { ReportRepo of Grouped, to memory {
    revenue(period: Period) -> Vec<RevenueLine>;
    close_books(until: Timestamp) -> ();
    final_reports() -> Vec<RevenueReport>;
    save_report(report: RevenueReport) -> RevenueReport;
    report(month: Month) -> Option<RevenueReport>;
}}

pass_on! { IdentityRepo of Grouped, to memory {
    ledger() -> Option<LedgerRecord>;
    make_ledger(identity: LedgerIdentity) -> ();
}}

#[async_trait::async_trait]
impl EventRepo for Grouped {
    async fn events(&self, query: EventQuery) -> Result<EventPage, FeedError> {
        self.memory.events(query).await
    }

    async fn events_head(&self) -> Result<EventPosition, FeedError> {
        self.memory.events_head().await
    }

    async fn add_facts(&self, facts: Vec<Fact>) -> Result<(), RepoError> {
        self.memory.add_facts(facts).await
    }
}

pass_on! { ApiKeyRepo of Grouped, to memory {
    add_api_key(key: ApiKey, actor: Actor) -> ();
    api_keys() -> ApiKeys;
    revoke_api_key(id: ApiKeyId, actor: Actor, now: Timestamp) -> Option<ApiKey>;
    note_api_key_uses(uses: Vec<(ApiKeyId, Timestamp)>) -> ();
}}
