//! The stores: the ledger itself, the catalogue of services, and the reports that were built.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Accepted, Account, AccountAsOf, CatalogueError, IdempotencyKey, Limit, Month, Operation,
    OperationPosition, OperationQuery, Page, Period, RecordedOperation, Rejection, Removal, Reservation,
    ReservationKey, ReservationPosition, ReservationQuery, RevenueLine, RevenueReport, Service, ServiceId,
    ServiceName, Submission, Timestamp, UserId, ports::RepoError,
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
/// - Reads are of one moment each, see every reply given before they started, and tell of due reservations as
///   expired (`now >= expires_at`), whether or not that was written down yet. Only recorded operations are
///   listed; [`Ledger`](crate::Ledger) has the due ones recorded first.
/// - An outer `Err` of `execute` other than [`RepoError::Unknown`] means that nothing of the call was executed.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BalanceRepo: Send + Sync + 'static {
    /// Decides and records the submissions at `now`, those that share an account in their order. One reply per submission.
    async fn execute(&self, submissions: Vec<Submission>, now: Timestamp) -> Result<Vec<Reply>, RepoError>;

    /// The accounts at `now`, closed ones included, in the order asked for; `None` for a user whom nothing has
    /// happened to.
    async fn accounts(
        &self,
        user_ids: Vec<UserId>,
        now: Timestamp,
    ) -> Result<Vec<Option<AccountAsOf>>, RepoError>;

    /// One account at `now`, if the store can tell without waiting for anything, with the promises of [`accounts`](Self::accounts);
    /// `None` says nothing. Never waits for a disk, a network or a transaction.
    fn recall_account(&self, user_id: UserId, now: Timestamp) -> Option<AccountAsOf> {
        // A store that remembers nothing.
        let _ = (user_id, now);
        None
    }

    /// One reservation at `now`.
    async fn reservation(
        &self,
        key: ReservationKey,
        now: Timestamp,
    ) -> Result<Option<Reservation>, RepoError>;

    /// A page of a user's reservations at `now`.
    async fn reservations(
        &self,
        query: ReservationQuery,
        now: Timestamp,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError>;

    /// A page of a user's recorded operations.
    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError>;

    /// The operation that answers for a key of this user.
    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError>;

    /// Up to `users_max` distinct users who have a due reservation at `now`, longest due first.
    async fn due_users(&self, now: Timestamp, users_max: u32) -> Result<Vec<UserId>, RepoError>;

    /// Pushes the whole ledger, of one moment, into the sink: see [`LedgerSink`]. Memory stays flat.
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
    /// Something that the store keeps beside an account's rows, so as to find them again, is not as they say. At any time.
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

    /// Keeps a report in the place of an earlier one of its month, unless that one is final: then the final
    /// one stays. Answers the one that is kept. Lines come back in the order given.
    async fn save_report(&self, report: RevenueReport) -> Result<RevenueReport, RepoError>;

    /// The report of a month, as it was kept.
    async fn report(&self, month: Month) -> Result<Option<RevenueReport>, RepoError>;
}
