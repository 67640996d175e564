//! Drives a store in the cases: commands with fresh keys at a time that the case chooses, and answers
//! unpacked.
#![expect(clippy::missing_panics_doc, reason = "every method panics on an answer that its name rules out")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use balance_domain::{
    Accepted, Account, Action, Amount, Command, Hold, IdempotencyKey, Ledger, Limit, MoneyCommand, Operation,
    OperationFilter, OperationQuery, OperationSort, OrderId, Receipt, Rejection, Reservation, ReservationKey,
    ReservationQuery, ReservationState, ServiceId, ServiceName, Submission, TimeLimit, Timestamp, Ttl,
    UserId,
    ports::{BalanceRepo, Clock, Reply, RepoError, SubmitError},
};

use crate::{SetClock, Store};

/// A store, its clock, and a supply of keys.
pub struct Teller {
    store: Arc<dyn Store>,
    ledger: Ledger,
    clock: SetClock,
    keys_given: AtomicU64,
}

/// A teller between two stores: keys stay new.
pub struct Absent {
    clock: SetClock,
    keys_given: u64,
}

impl Absent {
    /// Back at work, at this store.
    pub fn at_store(self, store: Arc<dyn Store>) -> Teller {
        Teller { keys_given: AtomicU64::new(self.keys_given), ..Teller::new(store, self.clock) }
    }
}

/// The user of this number.
pub fn user(id: i64) -> UserId {
    UserId::new(id).unwrap_or_else(|invalid| panic!("{id}: {invalid}"))
}

/// The service of this number.
pub fn service(id: i64) -> ServiceId {
    ServiceId::new(id).unwrap_or_else(|invalid| panic!("{id}: {invalid}"))
}

/// This many minor units.
pub fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).unwrap_or_else(|invalid| panic!("{minor_units}: {invalid}"))
}

/// A key of this text.
pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap_or_else(|invalid| panic!("{text:?}: {invalid}"))
}

/// A name of this text.
pub fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap_or_else(|invalid| panic!("{text:?}: {invalid}"))
}

/// The reservation of these three numbers.
pub fn order(user_id: i64, service_id: i64, order_id: i64) -> ReservationKey {
    let order_id = OrderId::new(order_id).unwrap_or_else(|invalid| panic!("{order_id}: {invalid}"));
    ReservationKey { user_id: user(user_id), service_id: service(service_id), order_id }
}

/// This many seconds.
pub fn seconds(count: u32) -> Ttl {
    Ttl::from_seconds(count).unwrap_or_else(|invalid| panic!("{count}: {invalid}"))
}

/// This many microseconds after 1970.
pub fn at_micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap_or_else(|invalid| panic!("{micros}: {invalid}"))
}

/// This instant, in RFC 3339.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|invalid| panic!("{text:?}: {invalid}"))
}

/// A deposit, to be sent under some key.
pub fn deposit_of(user_id: i64, minor_units: i64) -> Action {
    Action::Deposit { user_id: user(user_id), amount: amount(minor_units) }
}

/// A withdrawal, to be sent under some key.
pub fn withdrawal_of(user_id: i64, minor_units: i64) -> Action {
    Action::Withdraw { user_id: user(user_id), amount: amount(minor_units) }
}

/// A transfer, to be sent under some key.
pub fn transfer_of(from: i64, to: i64, minor_units: i64) -> Action {
    Action::Transfer { from: user(from), to: user(to), amount: amount(minor_units) }
}

/// A reserve with a time limit that the caller asks for.
pub fn reserve_of(reservation: ReservationKey, minor_units: i64, ttl_seconds: u32) -> Action {
    Action::Reserve {
        reservation,
        amount: amount(minor_units),
        time_limit: TimeLimit::Asked(seconds(ttl_seconds)),
    }
}

/// A final capture; `None` captures all that is left.
pub fn capture_of(reservation: impl Into<Hold>, minor_units: Option<i64>) -> Action {
    Action::Capture { reservation: reservation.into(), amount: minor_units.map(amount), is_final: true }
}

/// A capture that leaves the rest reserved.
pub fn part_of(reservation: impl Into<Hold>, minor_units: i64) -> Action {
    Action::Capture { reservation: reservation.into(), amount: Some(amount(minor_units)), is_final: false }
}

/// A release.
pub fn release_of(reservation: impl Into<Hold>) -> Action {
    Action::Release { reservation: reservation.into() }
}

/// A refund; `None` gives all back that is left of the captures.
pub fn refund_of(reservation: impl Into<Hold>, minor_units: Option<i64>) -> Action {
    Action::Refund { reservation: reservation.into(), amount: minor_units.map(amount) }
}

/// The command under a key of its own, without a comment.
pub fn under(text: &str, action: Action) -> MoneyCommand {
    MoneyCommand { action, key: key(text), comment: None }
}

impl Teller {
    /// A teller of this store, which reads this clock.
    pub fn new(store: Arc<dyn Store>, clock: SetClock) -> Self {
        let ledger = Ledger::new(Arc::clone(&store) as Arc<dyn BalanceRepo>);
        Self { store, ledger, clock, keys_given: AtomicU64::new(0) }
    }

    /// Lets go of the store, so that it can be closed.
    pub fn leave(self) -> Absent {
        Absent { clock: self.clock, keys_given: self.keys_given.into_inner() }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The ledger in it.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The clock.
    pub fn clock(&self) -> &SetClock {
        &self.clock
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sets the clock.
    pub fn set_now(&self, now: Timestamp) {
        self.clock.set(now);
    }

    /// Moves the clock by microseconds, back if negative.
    pub fn pass_micros(&self, micros: i64) {
        self.set_now(at_micros(self.now().micros() + micros));
    }

    /// Moves the clock by seconds, back if negative.
    pub fn pass(&self, seconds: i64) {
        self.pass_micros(seconds * 1_000_000);
    }

    /// The command under a key that was never used before.
    pub fn fresh(&self, action: Action) -> MoneyCommand {
        let number = self.keys_given.fetch_add(1, Ordering::Relaxed);
        under(&format!("fresh-{number}"), action)
    }

    /// A batch, as it is.
    pub async fn batch(&self, submissions: Vec<Submission>) -> Vec<Reply> {
        let count = submissions.len();
        let replies = self.store.execute(submissions).await.unwrap_or_else(|error| failed(&error));
        assert_eq!(replies.len(), count, "one reply per submission");
        replies
    }

    /// One submission, as it is.
    pub async fn submit(&self, submission: impl Into<Submission>) -> Reply {
        let mut replies = self.batch(vec![submission.into()]).await;
        replies.remove(0)
    }

    /// One command that must be accepted.
    pub async fn accepted(&self, submission: impl Into<Submission>) -> Accepted {
        let submission = submission.into();
        let shown = format!("{submission:?}");
        match self.submit(submission).await {
            Ok(mut accepted) => {
                assert_eq!(accepted.len(), 1, "one receipt per command");
                accepted.remove(0)
            }
            Err(error) => panic!("{shown} was not accepted: {error}"),
        }
    }

    /// One command that must be rejected.
    pub async fn rejected(&self, submission: impl Into<Submission>) -> Rejection {
        let submission = submission.into();
        let shown = format!("{submission:?}");
        rejection_of(&self.submit(submission).await).unwrap_or_else(|| panic!("{shown} was not rejected"))
    }

    /// An action under a fresh key that must be accepted, for its receipt.
    pub async fn done(&self, action: Action) -> Receipt {
        let accepted = self.accepted(self.fresh(action)).await;
        assert!(!accepted.is_replay, "a fresh key was called a repeat");
        accepted.receipt
    }

    /// An action under a fresh key that must be rejected.
    pub async fn refused(&self, action: Action) -> Rejection {
        self.rejected(self.fresh(action)).await
    }

    /// A deposit.
    pub async fn deposit(&self, user_id: i64, minor_units: i64) -> Operation {
        operation_of(self.done(deposit_of(user_id, minor_units)).await)
    }

    /// A withdrawal.
    pub async fn withdraw(&self, user_id: i64, minor_units: i64) -> Operation {
        operation_of(self.done(withdrawal_of(user_id, minor_units)).await)
    }

    /// A transfer; answers the `transfer_out`.
    pub async fn transfer(&self, from: i64, to: i64, minor_units: i64) -> Operation {
        operation_of(self.done(transfer_of(from, to, minor_units)).await)
    }

    /// A reserve.
    pub async fn reserve(&self, key: ReservationKey, minor_units: i64, ttl_seconds: u32) -> Reservation {
        reservation_of(&self.done(reserve_of(key, minor_units, ttl_seconds)).await)
    }

    /// A final capture.
    pub async fn capture(&self, key: ReservationKey, minor_units: Option<i64>) -> Reservation {
        reservation_of(&self.done(capture_of(key, minor_units)).await)
    }

    /// A capture that leaves the rest reserved.
    pub async fn capture_part(&self, key: ReservationKey, minor_units: i64) -> Reservation {
        reservation_of(&self.done(part_of(key, minor_units)).await)
    }

    /// A release.
    pub async fn release(&self, key: ReservationKey) -> Reservation {
        reservation_of(&self.done(release_of(key)).await)
    }

    /// A refund.
    pub async fn refund(&self, key: ReservationKey, minor_units: Option<i64>) -> Reservation {
        reservation_of(&self.done(refund_of(key, minor_units)).await)
    }

    /// An extension.
    pub async fn extend(&self, key: ReservationKey, ttl_seconds: u32) -> Reservation {
        let command = Command::Extend { reservation: key.into(), ttl: seconds(ttl_seconds) };
        reservation_of(&self.accepted(command).await.receipt)
    }

    /// The sweeper's command.
    pub async fn expire(&self, user_id: i64) -> Account {
        account_of(self.accepted(Command::Expire { user_id: user(user_id) }).await.receipt)
    }

    /// Closing.
    pub async fn close(&self, user_id: i64) -> Account {
        account_of(self.accepted(Command::Close { user_id: user(user_id) }).await.receipt)
    }

    /// Adds services of these ids under the names `service <id>`.
    pub async fn add_services(&self, ids: &[i64]) {
        let named = ids.iter().map(|id| (service(*id), name(&format!("service {id}")))).collect();
        let added = self.store.add_services(named).await.unwrap_or_else(|error| failed(&error));
        assert!(added.is_ok(), "{added:?}");
    }

    /// The account as a reader sees it, if anything ever happened to it.
    pub async fn account(&self, user_id: i64) -> Option<Account> {
        let account = self.ledger.account(user(user_id)).await.unwrap_or_else(|error| failed(&error));
        account.map(|account| account.recorded)
    }

    /// `(available, reserved)` as a reader sees it; zeros for an unknown user.
    pub async fn balance(&self, user_id: i64) -> (i64, i64) {
        self.account(user_id).await.map_or((0, 0), |account| (account.available, account.reserved))
    }

    /// The reservation as a reader sees it.
    pub async fn reservation(&self, key: ReservationKey) -> Option<Reservation> {
        let reservation = self.ledger.reservation(key).await;
        reservation.unwrap_or_else(|error| failed(&error))
    }

    /// The reservation as a reader sees it; it must exist.
    pub async fn found(&self, key: ReservationKey) -> Reservation {
        self.reservation(key).await.unwrap_or_else(|| panic!("{key:?} was not found"))
    }

    /// The operation that answers for a key.
    pub async fn by_key(&self, user_id: i64, text: &str) -> Option<Operation> {
        let operation = self.store.operation_by_key(user(user_id), key(text)).await;
        operation.unwrap_or_else(|error| failed(&error))
    }

    /// The whole history, oldest first.
    pub async fn history(&self, user_id: i64) -> Vec<Operation> {
        self.listed(user_id, OperationSort::OldestFirst, OperationFilter::default(), 200).await
    }

    /// All pages of a history, one behind the other.
    pub async fn listed(
        &self,
        user_id: i64,
        sort: OperationSort,
        filter: OperationFilter,
        rows: u16,
    ) -> Vec<Operation> {
        let limit = limit(rows);
        let mut query = OperationQuery { user_id: user(user_id), filter, sort, after: None, limit };
        let mut listed = Vec::new();
        loop {
            let page = self.store.operations(query.clone()).await.unwrap_or_else(|error| failed(&error));
            assert!(page.items.len() <= rows.into(), "a page of {} with a limit of {rows}", page.items.len());
            listed.extend(page.items);
            let Some(next) = page.next else { return listed };
            query.after = Some(next);
        }
    }

    /// All pages of a user's reservations, one behind the other.
    pub async fn reservations(
        &self,
        user_id: i64,
        state: Option<ReservationState>,
        rows: u16,
    ) -> Vec<Reservation> {
        let mut query = ReservationQuery { user_id: user(user_id), state, after: None, limit: limit(rows) };
        let mut listed = Vec::new();
        loop {
            let page = self.ledger.reservations(query.clone()).await;
            let Some(page) = page.unwrap_or_else(|error| failed(&error)) else { return listed };
            assert!(page.items.len() <= query.limit.get().into(), "more rows than the limit");
            listed.extend(page.items);
            let Some(next) = page.next else { return listed };
            query.after = Some(next);
        }
    }
}

/// A page of this many rows.
pub fn limit(rows: u16) -> Limit {
    Limit::new(rows).unwrap_or_else(|invalid| panic!("{rows}: {invalid}"))
}

/// Unpacks an operation.
pub fn operation_of(receipt: Receipt) -> Operation {
    match receipt {
        Receipt::Operation(operation) => operation,
        other => panic!("not an operation: {other:?}"),
    }
}

/// Unpacks a reservation.
pub fn reservation_of(receipt: &Receipt) -> Reservation {
    match receipt {
        Receipt::Reservation { reservation, .. } => *reservation,
        other => panic!("not a reservation: {other:?}"),
    }
}

/// Unpacks an account.
pub fn account_of(receipt: Receipt) -> Account {
    match receipt {
        Receipt::Account(account) => account,
        other => panic!("not an account: {other:?}"),
    }
}

/// The rule that said no, if one did.
pub fn rejection_of(reply: &Reply) -> Option<Rejection> {
    match reply {
        Err(SubmitError::Rejected { rejection, .. }) => Some(*rejection),
        _ => None,
    }
}

/// The store must not fail while nothing is wrong with it.
pub fn failed(error: &RepoError) -> ! {
    panic!("the store failed: {error}")
}
