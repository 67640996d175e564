//! The stores: the ledger itself, the catalogue of services, and the reports that were built.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Accepted, Account, AccountAsOf, CatalogueError, DryRun, IdempotencyKey, Limit, Month, Operation,
    OperationPosition, OperationQuery, Page, Period, RecordedOperation, Rejection, Removal, Reservation,
    ReservationKey, ReservationPosition, ReservationQuery, ReservationSearch, RevenueLine, RevenueReport,
    SearchPosition, Service, ServiceId, ServiceName, Submission, Timestamp, UserId, ports::RepoError,
};

/// The answer to one submission: one receipt per command in order, or why there is none.
pub type Reply = Result<Vec<Accepted>, SubmitError>;

/// Why one submission of a batch has no effect, while its neighbours are unharmed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// A rule said no.
    #[error("command {index} was rejected: {rejection}")]
    Rejected {
        /// Which command of the submission, from 0.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
    /// More reservations of its users are due than one transaction expires. Some were expired, nothing else was
    /// done: it is to be submitted again, which [`Ledger`](crate::Ledger) does.
    #[error("more reservations are due than expire at once")]
    Postponed(Submission),
    /// We failed on this submission alone.
    #[error(transparent)]
    Failed(#[from] RepoError),
}

/// The ledger.
///
/// # Contract
///
/// - `execute` behaves as if all submissions of all callers happened one after another, those of one call that share
///   an account in their order; how calls are cut into batches makes no difference to any answer.
/// - Each submission is decided by [`decide_batch`](crate::decide_batch), or so that nobody can tell the
///   difference. An accepted one is durable before the reply is given; a rejected one leaves no trace.
/// - A reply repeats for ever: the same key and meaning gives the first receipt again.
/// - Each read is a consistent snapshot, sees every reply given before it started, and returns what is recorded;
///   `accounts` also says whether more is due. [`Ledger`](crate::Ledger) has that recorded first, so that all that
///   is ever returned is a state of the history.
/// - A store is given a [`Clock`](crate::ports::Clock) and reads it where a decision is made: under the locks of the
///   batch, or with the snapshot that is confirmed. Where the clock is unsafe, nothing is decided.
/// - An outer `Err` of `execute` other than [`RepoError::Unknown`] means that nothing of the call was executed.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BalanceRepo: Send + Sync + 'static {
    /// Decides and records the submissions, those that share an account in their order. One reply per submission.
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError>;

    /// The accounts, closed ones included, in the order asked for; `None` for a user whom nothing has happened to.
    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError>;

    /// One account, if the store knows it without waiting for anything, with the promises of
    /// [`accounts`](Self::accounts); `None` says nothing. Never waits for a disk, a network or a transaction.
    fn recall_account(&self, user_id: UserId) -> Option<AccountAsOf> {
        // A store that caches nothing.
        let _ = user_id;
        None
    }

    /// One reservation, as recorded.
    async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError>;

    /// A page of a user's reservations, as recorded.
    async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError>;

    /// A page of a user's recorded operations.
    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError>;

    /// What [`execute`](Self::execute) would answer to the submissions now, and what the accounts would hold.
    /// Nothing is written or locked, no key is used up, and nothing is promised.
    async fn dry_run(&self, submissions: Vec<Submission>) -> Result<DryRun, RepoError>;

    /// A page of the active reservations of all users: those whose deadline has not passed.
    async fn search_reservations(
        &self,
        search: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError>;

    /// The operation that answers for a key of this user.
    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError>;

    /// Up to `users_max` distinct users who have a due reservation, longest due first.
    async fn due_users(&self, users_max: u32) -> Result<Vec<UserId>, RepoError>;

    /// Pushes one snapshot of the whole ledger into the sink: see [`LedgerSink`]. Memory stays flat.
    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError>;

    /// Whether the store can be reached and its schema is the one this binary knows.
    async fn ready(&self) -> Result<(), RepoError>;
}

/// Takes a whole ledger: first [`begin`](LedgerSink::begin), then for each account, in any order of accounts, the
/// account as recorded, its operations by `seq`, its reservations as recorded in any order.
pub trait LedgerSink: Send + Sync + 'static {
    /// How many accounts will follow, as far as the store can tell cheaply.
    fn begin(&self, accounts: u64);
    /// The next account.
    fn account(&self, account: Account);
    /// The next operation of the account that came last.
    fn operation(&self, operation: RecordedOperation);
    /// A reservation of the account that came last.
    fn reservation(&self, reservation: Reservation);
    /// Something that the store keeps to find an account's rows does not match them. May come at any time.
    fn damage(&self, user_id: UserId, what: &'static str);
}

/// The catalogue of services.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ServiceRepo: Send + Sync + 'static {
    /// Adds all or none. Ids and names must be new, also among themselves.
    async fn add_services(
        &self,
        services: Vec<(ServiceId, ServiceName)>,
    ) -> Result<Result<Vec<Service>, CatalogueError>, RepoError>;

    /// One service.
    async fn service(&self, id: ServiceId) -> Result<Option<Service>, RepoError>;

    /// A page of all services by id, starting behind `after`.
    async fn services(
        &self,
        after: Option<ServiceId>,
        limit: Limit,
    ) -> Result<Page<Service, ServiceId>, RepoError>;

    /// Renames a service, retired or not; to its own name is allowed.
    async fn rename_service(
        &self,
        id: ServiceId,
        name: ServiceName,
    ) -> Result<Result<Service, CatalogueError>, RepoError>;

    /// Deletes a service that no reservation was ever made for; otherwise retires it. From the reply on no
    /// reservation for it is accepted.
    async fn remove_service(&self, id: ServiceId) -> Result<Result<Removal, CatalogueError>, RepoError>;
}

/// Revenue, and the reports that were built of it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ReportRepo: Send + Sync + 'static {
    /// Captures and refunds per service whose `created_at` lies in the period, in any order. One moment.
    async fn revenue(&self, period: Period) -> Result<Vec<RevenueLine>, RepoError>;

    /// Closes the books up to an instant, for good. Once this is confirmed, no batch of any instance dates anything
    /// before it: each confirms in its own transaction up to when the books are closed. So whatever is read from then
    /// on of the time before is all there will ever be. [`RepoError::Unavailable`] while batches that are under way
    /// do not end.
    async fn close_books(&self, until: Timestamp) -> Result<(), RepoError>;

    /// All final reports, by month.
    async fn final_reports(&self) -> Result<Vec<RevenueReport>, RepoError>;

    /// Stores a report, which replaces an earlier one of its month unless that one is final. Returns the one that
    /// is stored. Lines keep their order.
    async fn save_report(&self, report: RevenueReport) -> Result<RevenueReport, RepoError>;

    /// The report of a month, as it was kept.
    async fn report(&self, month: Month) -> Result<Option<RevenueReport>, RepoError>;
}
