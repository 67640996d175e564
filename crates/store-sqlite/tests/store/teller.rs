//! Short words for what the tests do with a store.

use std::{ops::Deref, path::Path, sync::Arc};

use balance_domain::{
    Action, Amount, Audit, AuditSummary, Comment, IdempotencyKey, Ledger, Limit, MoneyCommand,
    OperationFilter, OperationQuery, OperationSort, OrderId, ReservationKey, ServiceId, ServiceName,
    Submission, TimeLimit, Timestamp, Ttl, UserId,
    ports::{BalanceRepo, Clock, ServiceRepo},
};
use balance_store_conformance::SetClock;
use balance_store_sqlite::{SqliteOptions, SqliteStore};

/// A store, and the clock that it reads.
#[derive(Clone)]
pub(crate) struct Opened {
    store: SqliteStore,
    clock: SetClock,
}

impl Deref for Opened {
    type Target = SqliteStore;

    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

impl Opened {
    /// The store at `seconds` after some day.
    pub(crate) fn at(&self, seconds: i64) -> &SqliteStore {
        self.clock.set(at(seconds));
        &self.store
    }
}

pub(crate) fn open(path: &Path) -> Opened {
    opened_with(path, SqliteOptions::default())
}

pub(crate) fn opened_with(path: &Path, options: SqliteOptions) -> Opened {
    let clock = SetClock::new(at(0));
    let store = SqliteStore::open(path, options, Arc::new(clock.clone())).unwrap();
    Opened { store, clock }
}

/// A clock for where time does not matter.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(at(0))
}

pub(crate) fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn service(id: i64) -> ServiceId {
    ServiceId::new(id).unwrap()
}

pub(crate) fn order(user_id: i64, order_id: i64) -> ReservationKey {
    ReservationKey {
        user_id: user(user_id),
        service_id: service(1),
        order_id: OrderId::new(order_id).unwrap(),
    }
}

pub(crate) fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).unwrap()
}

/// Seconds after some day.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000).unwrap()
}

pub(crate) fn money(action: Action, key: &str) -> Submission {
    MoneyCommand { action, key: IdempotencyKey::new(key).unwrap(), comment: None }.into()
}

pub(crate) fn commented(action: Action, key: &str, comment: &str) -> Submission {
    let comment = Some(Comment::new(comment).unwrap());
    MoneyCommand { action, key: IdempotencyKey::new(key).unwrap(), comment }.into()
}

pub(crate) fn deposit(user_id: i64, minor_units: i64) -> Action {
    Action::Deposit { user_id: user(user_id), amount: amount(minor_units) }
}

pub(crate) fn transfer(from: i64, to: i64, minor_units: i64) -> Action {
    Action::Transfer { from: user(from), to: user(to), amount: amount(minor_units) }
}

/// For a minute.
pub(crate) fn reserve(reservation: ReservationKey, minor_units: i64) -> Action {
    let time_limit = TimeLimit::Asked(Ttl::from_seconds(60).unwrap());
    Action::Reserve { reservation, amount: amount(minor_units), time_limit }
}

pub(crate) fn capture(reservation: ReservationKey) -> Action {
    Action::Capture { reservation: reservation.into(), amount: None, is_final: true }
}

/// Has all of it accepted.
pub(crate) async fn accept(store: &Opened, submissions: Vec<Submission>, seconds: i64) {
    for reply in store.at(seconds).execute(submissions).await.unwrap() {
        reply.unwrap();
    }
}

pub(crate) async fn add_service(store: &SqliteStore) {
    let name = ServiceName::new("Delivery").unwrap();
    store.add_services(vec![(service(1), name)]).await.unwrap().unwrap();
}

/// Available and reserved money.
pub(crate) async fn balance(store: &Opened, user_id: i64, seconds: i64) -> Option<(i64, i64)> {
    let ledger = Ledger::new(Arc::new(store.at(seconds).clone()));
    let account = ledger.account(user(user_id)).await.unwrap()?.recorded;
    Some((account.available, account.reserved))
}

/// Any of the user's operations, 200 a page.
pub(crate) fn query(user_id: i64, sort: OperationSort) -> OperationQuery {
    let limit = Limit::new(200).unwrap();
    OperationQuery { user_id: user(user_id), filter: OperationFilter::default(), sort, after: None, limit }
}

/// Folds all operations again.
pub(crate) async fn audit(store: &SqliteStore) -> AuditSummary {
    let audit = Arc::new(Audit::default());
    store.scan(audit.clone()).await.unwrap();
    audit.finish()
}

/// The books must add up.
pub(crate) async fn audited(store: &SqliteStore) -> AuditSummary {
    let summary = audit(store).await;
    assert!(summary.is_clean(), "{:?}", summary.differences);
    summary
}
