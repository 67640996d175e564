//! Proves a ledger: folds every operation again and compares with the balances and reservations that the
//! store keeps beside them.
//!
//! The fold does not use the rules of [`decide`](crate::decide()), only which way each kind of operation moves
//! money, so that a mistake in a rule shows as a difference instead of being repeated here.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Account, AccountStatus, Amount, IdempotencyKey, Operation, OperationKind, RecordedOperation, Reservation,
    ReservationKey, ReservationState, Timestamp, UserId, amount::BALANCE_MAX, ports::LedgerSink,
};

/// One thing that is not as the operations say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("user {user_id}: {what}")]
pub struct Difference {
    /// Whose books.
    pub user_id: UserId,
    /// What differs.
    pub what: String,
}

/// What an audit found, amounts in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditSummary {
    /// Accounts seen.
    pub accounts: u64,
    /// Operations seen.
    pub operations: u64,
    /// Reservations seen.
    pub reservations: u64,
    /// Deposits minus withdrawals: what must be there.
    pub paid_in: i128,
    /// Available and reserved money of all accounts.
    pub held: i128,
    /// Captures minus refunds.
    pub revenue: i128,
    /// What differs, at most [`Audit::DIFFERENCES_MAX`] of them.
    pub differences: Vec<Difference>,
    /// How many differences there are in all.
    pub differences_total: u64,
    /// Money that is neither held nor revenue: 0 in sound books.
    pub missing: i128,
    /// Transfers sent minus transfers received: 0 in sound books.
    pub transfers_open: i128,
}

impl AuditSummary {
    /// Whether everything adds up.
    pub const fn is_clean(&self) -> bool {
        self.differences_total == 0 && self.missing == 0 && self.transfers_open == 0
    }
}

/// Takes a ledger and finds what does not add up. Memory: one account's reservations and keys.
#[derive(Default)]
pub struct Audit {
    books: Mutex<Books>,
}

impl Audit {
    /// How many differences are kept in words; all are counted.
    pub const DIFFERENCES_MAX: usize = 1_000;

    /// How many accounts were announced and how many were seen: progress, while the scan goes on.
    pub fn progress(&self) -> (u64, u64) {
        let books = self.books();
        (books.announced, books.summary.accounts)
    }

    /// What was found, once the scan is over.
    pub fn finish(&self) -> AuditSummary {
        let mut books = self.books();
        books.close_account();
        let mut summary = books.summary.clone();
        summary.missing = summary.paid_in - summary.held - summary.revenue;
        summary
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LedgerSink for Audit {
    fn begin(&self, accounts: u64) {
        self.books().announced = accounts;
    }

    fn account(&self, account: Account) {
        let mut books = self.books();
        books.close_account();
        books.summary.accounts += 1;
        books.summary.held += i128::from(account.total());
        books.current = Some(Current::new(account));
    }

    fn operation(&self, recorded: RecordedOperation) {
        self.books().operation(&recorded);
    }

    fn reservation(&self, reservation: Reservation) {
        let mut books = self.books();
        books.summary.reservations += 1;
        if let Some(current) = &mut books.current {
            current.stored.insert(reservation.key, reservation);
        }
    }
}

#[derive(Default)]
struct Books {
    announced: u64,
    summary: AuditSummary,
    current: Option<Current>,
}

/// One account: what the store says, and the fold of its operations so far.
struct Current {
    account: Account,
    seq: i64,
    available: i64,
    reserved: i64,
    last_at: Timestamp,
    keys: HashSet<IdempotencyKey>,
    folded: HashMap<ReservationKey, Folded>,
    stored: HashMap<ReservationKey, Reservation>,
}

/// The fold of one reservation's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folded {
    amount: Amount,
    captured: i64,
    released: i64,
    refunded: i64,
    ended_by: OperationKind,
    created_at: Timestamp,
}

impl Books {
    fn operation(&mut self, recorded: &RecordedOperation) {
        let operation = &recorded.operation;
        self.summary.operations += 1;
        let amount = i128::from(operation.amount.get());
        match operation.kind {
            OperationKind::Deposit => self.summary.paid_in += amount,
            OperationKind::Withdrawal => self.summary.paid_in -= amount,
            OperationKind::TransferOut => self.summary.transfers_open += amount,
            OperationKind::TransferIn => self.summary.transfers_open -= amount,
            OperationKind::Capture => self.summary.revenue += amount,
            OperationKind::Refund => self.summary.revenue -= amount,
            OperationKind::Reserve | OperationKind::Release | OperationKind::Expire => {}
        }
        let Some(current) = &mut self.current else { return };
        let found = current.fold(operation);
        let user_id = operation.user_id;
        for what in found {
            self.differ(user_id, format!("operation {}: {what}", operation.seq));
        }
    }

    fn close_account(&mut self) {
        let Some(current) = self.current.take() else { return };
        let user_id = current.account.user_id;
        for what in current.compare() {
            self.differ(user_id, what);
        }
    }

    fn differ(&mut self, user_id: UserId, what: String) {
        self.summary.differences_total += 1;
        if self.summary.differences.len() < Audit::DIFFERENCES_MAX {
            self.summary.differences.push(Difference { user_id, what });
        }
    }
}

impl Current {
    fn new(account: Account) -> Self {
        Self {
            account,
            seq: 0,
            available: 0,
            reserved: 0,
            last_at: Timestamp::MIN,
            keys: HashSet::new(),
            folded: HashMap::new(),
            stored: HashMap::new(),
        }
    }

    /// Adds one operation and says what is wrong with it.
    fn fold(&mut self, operation: &Operation) -> Vec<String> {
        let mut found = Vec::new();
        let (available, reserved) = operation.kind.effect(operation.amount);
        self.seq += 1;
        self.available = self.available.saturating_add(available);
        self.reserved = self.reserved.saturating_add(reserved);
        if operation.user_id != self.account.user_id {
            found.push(format!("belongs to user {}", operation.user_id));
        }
        if operation.seq != self.seq {
            found.push(format!("stands where number {} should", self.seq));
            self.seq = operation.seq;
        }
        let after = (operation.available_after, operation.reserved_after);
        if after != (self.available, self.reserved) {
            found.push(format!("says {after:?} after it, the sum is {:?}", (self.available, self.reserved)));
            (self.available, self.reserved) = after;
        }
        if after.0 < 0 || after.1 < 0 || after.0.saturating_add(after.1) > BALANCE_MAX {
            found.push(format!("leaves a balance out of bounds: {after:?}"));
        }
        if operation.created_at < self.last_at {
            found.push("is earlier than the one before it".into());
        }
        self.last_at = operation.created_at;
        if let Some(key) = &operation.idempotency_key
            && !self.keys.insert(key.clone())
        {
            found.push(format!("answers for the key {key} a second time"));
        }
        found.extend(self.fold_reservation(operation));
        found
    }

    fn fold_reservation(&mut self, operation: &Operation) -> Option<String> {
        let (Some(service_id), Some(order_id)) = (operation.service_id, operation.order_id) else {
            return None;
        };
        let key = ReservationKey { user_id: operation.user_id, service_id, order_id };
        let amount = operation.amount.get();
        if operation.kind == OperationKind::Reserve {
            let earlier = self.folded.insert(
                key,
                Folded {
                    amount: operation.amount,
                    captured: 0,
                    released: 0,
                    refunded: 0,
                    ended_by: OperationKind::Reserve,
                    created_at: operation.created_at,
                },
            );
            return earlier
                .filter(|earlier| earlier.captured > 0 || earlier.remaining() > 0)
                .map(|_| "reserves again what is active or captured".into());
        }
        let Some(folded) = self.folded.get_mut(&key) else { return Some("has no reserve before it".into()) };
        folded.ended_by = operation.kind;
        match operation.kind {
            OperationKind::Capture => folded.captured += amount,
            OperationKind::Release | OperationKind::Expire => folded.released += amount,
            OperationKind::Refund => folded.refunded += amount,
            _ => return Some("names a reservation".into()),
        }
        let sound = folded.remaining() >= 0 && folded.refunded <= folded.captured;
        (!sound).then(|| "takes more than the reservation has".into())
    }

    /// Compares the fold of all operations with what is stored beside them.
    fn compare(self) -> Vec<String> {
        let mut found = Vec::new();
        let stored = (self.account.seq, self.account.available, self.account.reserved);
        let folded = (self.seq, self.available, self.reserved);
        if stored != folded {
            found.push(format!("(seq, available, reserved) is {stored:?}, the operations say {folded:?}"));
        }
        if self.account.last_at != self.last_at {
            found.push("the time of its last operation is wrong".into());
        }
        if self.account.status == AccountStatus::Closed && self.account.total() != 0 {
            found.push("is closed with money left".into());
        }
        for (key, folded) in &self.folded {
            let name = format!("reservation of service {} and order {}", key.service_id, key.order_id);
            match self.stored.get(key) {
                None => found.push(format!("{name} is missing")),
                Some(stored) => {
                    if !folded.matches(stored) {
                        found.push(format!("{name} is {stored:?}, the operations say {folded:?}"));
                    }
                }
            }
        }
        for key in self.stored.keys().filter(|key| !self.folded.contains_key(key)) {
            found.push(format!(
                "reservation of service {} and order {} has no operation",
                key.service_id, key.order_id
            ));
        }
        found.sort_unstable();
        found
    }
}

impl Folded {
    const fn remaining(&self) -> i64 {
        self.amount.get() - self.captured - self.released
    }

    fn state(&self) -> ReservationState {
        match (self.remaining(), self.captured, self.ended_by) {
            (1.., _, _) => ReservationState::Active,
            (_, 1.., _) => ReservationState::Captured,
            (_, _, OperationKind::Expire) => ReservationState::Expired,
            _ => ReservationState::Released,
        }
    }

    /// The deadline is not compared: extensions leave no operation.
    fn matches(&self, stored: &Reservation) -> bool {
        stored.state == self.state()
            && stored.amount == self.amount
            && (stored.captured, stored.released, stored.refunded)
                == (self.captured, self.released, self.refunded)
            && stored.created_at == self.created_at
    }
}
