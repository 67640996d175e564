//! A whole ledger in memory, as a store's scan tells it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use balance_domain::{
    Account, RecordedOperation, Reservation, ReservationKey, UserId,
    ports::{LedgerSink, RepoError},
};

use crate::Store;

/// What a scan tells of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The account as recorded.
    pub account: Account,
    /// Its operations, by `seq`.
    pub operations: Vec<RecordedOperation>,
    /// Its reservations as recorded.
    pub reservations: BTreeMap<ReservationKey, Reservation>,
}

/// Collects what a scan tells. The form of the scan is checked on the way.
#[derive(Default)]
struct Collector {
    state: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    announced: Option<u64>,
    current: Option<UserId>,
    pages: BTreeMap<UserId, Pages>,
    faults: Vec<String>,
}

/// The whole ledger as the store's scan tells it.
///
/// # Panics
///
/// If the store fails or breaks the form that [`LedgerSink`] asks for.
pub async fn snapshot(store: &Arc<dyn Store>) -> BTreeMap<UserId, Pages> {
    let collector = Arc::new(Collector::default());
    let scanned: Result<(), RepoError> = store.scan(collector.clone()).await;
    assert!(scanned.is_ok(), "the scan failed: {scanned:?}");
    let mut collected = collector.state.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(collected.announced.is_some(), "the scan did not begin");
    assert!(collected.faults.is_empty(), "the scan is out of form: {:?}", collected.faults);
    std::mem::take(&mut collected.pages)
}

impl Collector {
    fn with(&self, act: impl FnOnce(&mut Collected)) {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl LedgerSink for Collector {
    fn begin(&self, accounts: u64) {
        self.with(|state| {
            if state.announced.replace(accounts).is_some() {
                state.faults.push("begins twice".into());
            }
        });
    }

    fn account(&self, account: Account) {
        self.with(|state| {
            let pages = Pages { account, operations: Vec::new(), reservations: BTreeMap::new() };
            state.current = Some(account.user_id);
            if state.pages.insert(account.user_id, pages).is_some() {
                state.faults.push(format!("user {} comes twice", account.user_id));
            }
        });
    }

    fn operation(&self, operation: RecordedOperation) {
        self.with(|state| {
            let owner = operation.operation.user_id;
            match state.current.filter(|current| *current == owner).and_then(|id| state.pages.get_mut(&id)) {
                Some(pages) if pages.reservations.is_empty() => pages.operations.push(operation),
                _ => state.faults.push(format!("operation of user {owner} out of its place")),
            }
        });
    }

    fn reservation(&self, reservation: Reservation) {
        self.with(|state| {
            let owner = reservation.key.user_id;
            let pages =
                state.current.filter(|current| *current == owner).and_then(|id| state.pages.get_mut(&id));
            let is_new =
                pages.is_some_and(|pages| pages.reservations.insert(reservation.key, reservation).is_none());
            if !is_new {
                state.faults.push(format!("reservation of user {owner} out of its place"));
            }
        });
    }

    fn damage(&self, user_id: UserId, what: &'static str) {
        self.with(|state| state.faults.push(format!("user {user_id}: {what}")));
    }
}
