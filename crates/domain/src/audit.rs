//! Proves a ledger: folds every operation again and compares with the balances and reservations that the
//! store keeps beside them.
//!
//! Final reports are recounted the same way: see [`Audit::new`].
//!
//! The fold does not use the rules of [`decide`](crate::decide()), only which way each kind of operation moves
//! money, so that a mistake in a rule shows as a difference instead of being repeated here.
//!
//! What it cannot see, because nothing else that is stored depends on it: another text of a key or of a comment,
//! another caller, another time of an operation between those of its neighbours (except transfers, reserves and
//! expiries), another deadline of an active reservation (or of one that was reserved again), the status of an empty
//! account.

mod folded;
mod months;
mod request;

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Account, AccountStatus, AccountingZone, IdempotencyKey, Month, Operation, OperationKind,
    RecordedOperation, Reservation, ReservationKey, ReservationState, RevenueReport, ServiceId, Timestamp,
    UserId, amount::BALANCE_MAX, ports::LedgerSink,
};
use folded::Folded;
use months::Months;

/// One thing that is not as the operations say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("user {user_id}: {what}")]
pub struct Difference {
    /// Whose books.
    pub user_id: UserId,
    /// What differs.
    pub what: String,
}

/// A final report that is not what the books say. Sums in minor units, captured and refunded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "month {month}, service {service_id}: the final report says captured {}, refunded {}; the books say captured {}, \
     refunded {}",
    .reported.0, .reported.1, .in_books.0, .in_books.1
)]
pub struct MonthDifference {
    /// The month.
    pub month: Month,
    /// The service.
    pub service_id: ServiceId,
    /// What the final report says.
    pub reported: (i128, i128),
    /// What the operations say.
    pub in_books: (i128, i128),
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
    /// Final reports that were recounted.
    pub months: u64,
    /// Final reports that differ from the books, by month and service.
    pub month_differences: Vec<MonthDifference>,
    /// What differs, at most [`Audit::DIFFERENCES_MAX`] of them.
    pub differences: Vec<Difference>,
    /// How many differences there are in all.
    pub differences_total: u64,
    /// Money that is neither held nor revenue: 0 in sound books.
    pub missing: i128,
    /// Transfers sent minus transfers received: 0 in sound books.
    pub transfers_open: i128,
    /// Some half of a transfer has no other half of the same users, amount and time.
    pub transfers_unpaired: bool,
}

impl AuditSummary {
    /// Whether everything adds up.
    pub const fn is_clean(&self) -> bool {
        self.differences_total == 0
            && self.month_differences.is_empty()
            && self.missing == 0
            && self.transfers_open == 0
            && !self.transfers_unpaired
    }
}

/// Takes a ledger and finds what does not add up. Memory: one account's reservations and keys.
#[derive(Default)]
pub struct Audit {
    books: Mutex<Books>,
}

impl Audit {
    /// An audit that recounts these final reports, too: months of this zone. They must have been read before the scan
    /// begins.
    pub fn new(zone: AccountingZone, final_reports: Vec<RevenueReport>) -> Self {
        Self { books: Mutex::new(Books { months: Months::of(zone, final_reports), ..Books::default() }) }
    }

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
        summary.transfers_unpaired = books.transfers != 0;
        summary.missing = summary.paid_in - summary.held - summary.revenue;
        summary.months = books.months.len();
        summary.month_differences = books.months.differences();
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

    fn damage(&self, user_id: UserId, what: &'static str) {
        self.books().differ(user_id, what.to_owned());
    }
}

#[derive(Default)]
struct Books {
    announced: u64,
    summary: AuditSummary,
    current: Option<Current>,
    months: Months,
    /// The sum of a hash of each transfer sent, minus that of each received.
    transfers: u64,
}

/// One account: what the store says, and the fold of its operations so far.
struct Current {
    account: Account,
    seq: i64,
    available: i64,
    reserved: i64,
    last_at: Timestamp,
    /// The rest that a final capture has yet to give back.
    owed: Option<(ReservationKey, i64)>,
    keys: HashSet<IdempotencyKey>,
    folded: HashMap<ReservationKey, Folded>,
    stored: HashMap<ReservationKey, Reservation>,
}

impl Books {
    fn operation(&mut self, recorded: &RecordedOperation) {
        let operation = &recorded.operation;
        self.summary.operations += 1;
        let amount = i128::from(operation.amount.get());
        match operation.kind {
            OperationKind::Deposit => self.summary.paid_in += amount,
            OperationKind::Withdrawal => self.summary.paid_in -= amount,
            OperationKind::TransferOut => {
                self.summary.transfers_open += amount;
                let sides = (Some(operation.user_id), operation.counterparty_user_id);
                self.transfers = self.transfers.wrapping_add(transfer_hash(sides, operation));
            }
            OperationKind::TransferIn => {
                self.summary.transfers_open -= amount;
                let sides = (operation.counterparty_user_id, Some(operation.user_id));
                self.transfers = self.transfers.wrapping_sub(transfer_hash(sides, operation));
            }
            OperationKind::Capture => self.summary.revenue += amount,
            OperationKind::Refund => self.summary.revenue -= amount,
            OperationKind::Reserve | OperationKind::Release | OperationKind::Expire => {}
        }
        self.months.count(operation);
        let Some(current) = &mut self.current else { return };
        let found = current.fold(recorded, &self.months);
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

/// The same for both halves of a transfer.
fn transfer_hash(sides: (Option<UserId>, Option<UserId>), operation: &Operation) -> u64 {
    let mut hasher = DefaultHasher::new();
    (sides, operation.amount, operation.created_at).hash(&mut hasher);
    hasher.finish()
}

impl Current {
    fn new(account: Account) -> Self {
        Self {
            account,
            seq: 0,
            available: 0,
            reserved: 0,
            last_at: Timestamp::MIN,
            owed: None,
            keys: HashSet::new(),
            folded: HashMap::new(),
            stored: HashMap::new(),
        }
    }

    /// Adds one operation and says what is wrong with it.
    fn fold(&mut self, recorded: &RecordedOperation, months: &Months) -> Vec<String> {
        let operation = &recorded.operation;
        let mut found: Vec<String> =
            request::faults(recorded, &self.account).into_iter().map(String::from).collect();
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
        found.extend(self.fold_reservation(recorded, months));
        self.last_at = operation.created_at;
        if let Some(key) = &operation.idempotency_key
            && !self.keys.insert(key.clone())
        {
            found.push(format!("answers for the key {key} a second time"));
        }
        found
    }

    fn fold_reservation(&mut self, recorded: &RecordedOperation, months: &Months) -> Vec<String> {
        let operation = &recorded.operation;
        let mut found = Vec::new();
        let key = operation.service_id.zip(operation.order_id).map(|(service_id, order_id)| ReservationKey {
            user_id: operation.user_id,
            service_id,
            order_id,
        });
        let is_rest = operation.kind == OperationKind::Release && operation.idempotency_key.is_none();
        if self.owed.take() != key.filter(|_| is_rest).map(|key| (key, operation.amount.get())) {
            found.push("gives back what nobody asked for, or not the rest of the capture before it".into());
        }
        let (Some(key), Some(after)) = (key, recorded.reservation_after) else { return found };
        if let Err(what) = self.fold_movement(key, operation, after.expires_at) {
            found.push(what.into());
        }
        let Some(folded) = self.folded.get(&key) else { return found };
        let mut expected = *folded;
        if operation.kind == OperationKind::Capture && after.state != ReservationState::Active {
            self.owed = Some((key, expected.remaining())).filter(|(_, rest)| *rest > 0);
            expected.released += expected.remaining();
        }
        if after.key != key || !expected.matches(&after) {
            found.push(format!("left {after:?}, the operations say {expected:?}"));
        }
        let earliest = after.expires_at.max(self.last_at);
        if operation.kind == OperationKind::Expire
            && operation.created_at != earliest
            && !months.is_moved_on(earliest, operation.created_at)
        {
            found.push("is not of the time of the deadline".into());
        }
        // The deadline as it stood then: an operation carries it, whatever moved it before or after.
        if matches!(operation.kind, OperationKind::Capture | OperationKind::Release)
            && operation.created_at >= after.expires_at
        {
            found.push("is past the deadline of its reservation".into());
        }
        found
    }

    fn fold_movement(
        &mut self,
        key: ReservationKey,
        operation: &Operation,
        expires_at: Timestamp,
    ) -> Result<(), &'static str> {
        let amount = operation.amount.get();
        if operation.kind == OperationKind::Reserve {
            let made = Folded::new(operation, expires_at);
            let earlier = self.folded.insert(key, made);
            let was_over = earlier.is_none_or(|earlier| earlier.captured == 0 && earlier.remaining() == 0);
            return was_over.then_some(()).ok_or("reserves again what is active or captured");
        }
        let folded = self.folded.get_mut(&key).ok_or("has no reserve before it")?;
        folded.ended_by = operation.kind;
        folded.expires_at = expires_at;
        match operation.kind {
            OperationKind::Capture => folded.captured += amount,
            OperationKind::Release | OperationKind::Expire => folded.released += amount,
            OperationKind::Refund => folded.refunded += amount,
            _ => return Err("names a reservation"),
        }
        let is_sound = folded.remaining() >= 0 && folded.refunded <= folded.captured;
        is_sound.then_some(()).ok_or("takes more than the reservation has")
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
        if self.owed.is_some() {
            found.push("the rest of the last capture was not given back".into());
        }
        for (key, folded) in &self.folded {
            let name = format!("reservation of service {} and order {}", key.service_id, key.order_id);
            match self.stored.get(key) {
                None => found.push(format!("{name} is missing")),
                Some(stored) => {
                    if !folded.matches(stored) || !folded.ends_with(stored) {
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
