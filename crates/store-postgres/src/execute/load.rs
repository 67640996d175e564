//! What a batch is decided on: rows out of the cache, and one snapshot of the others.
//!
//! An account and all that is its user's come from one source. Both sources are alike in the end, since a batch is
//! written only if every account that it writes is still of the version that was read here. What is not written is not
//! confirmed: a submission that changes nothing is answered out of the snapshot alone.

use std::collections::{HashMap, HashSet};

use balance_domain::{
    Account, Changes, Command, EXPIRIES_MAX, LoadedService, Moment, Needs, RecordedOperation, Reservation,
    ReservationKey, ReservationState, Rows, ServiceId, ServiceStatus, Submission, Timestamp, UserId,
    ports::Reply,
};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use crate::{
    cache::{AccountCache, CachedAccount, Versions},
    error::Failure,
    records::Records,
    rows::{self, column},
    statements::{
        SNAPSHOT, SNAPSHOT_CLOSED_UNTIL, SNAPSHOT_OPERATION, SNAPSHOT_RESERVATION, SNAPSHOT_SERVICE,
    },
    store::query,
    values::{At, RowVersion},
};

/// The rows that a batch names.
pub(super) struct ReadSet {
    needs: Needs,
    cached: HashMap<UserId, CachedAccount>,
    cached_services: Vec<ServiceId>,
    snapshot: Option<Snapshot>,
}

/// The rows of one snapshot.
#[derive(Default)]
struct Snapshot {
    /// All whose rows were asked for.
    users: HashSet<UserId>,
    /// Those that have one.
    accounts: HashMap<UserId, (Account, RowVersion)>,
    reservations: HashMap<ReservationKey, Reservation>,
    keyed_operations: Vec<RecordedOperation>,
    services: Vec<LoadedService>,
    closed_until: Option<Timestamp>,
}

impl ReadSet {
    /// Nothing but what is cached.
    pub(super) fn cached(needs: Needs, cache: &AccountCache) -> Self {
        let (cached, cached_services) = cache.of_batch(&needs);
        Self { needs, cached, cached_services, snapshot: None }
    }

    /// Nothing.
    pub(super) fn empty(needs: Needs) -> Self {
        Self { needs, cached: HashMap::new(), cached_services: Vec::new(), snapshot: None }
    }

    /// All accounts, in the canonical order.
    pub(super) fn users(&self) -> &[UserId] {
        &self.needs.accounts
    }

    /// Whose rows must be read before anything is decided; `None` if everything is cached.
    pub(super) fn missing(&self) -> Option<HashSet<UserId>> {
        let missing: HashSet<UserId> =
            self.users().iter().filter(|user| !self.cached.contains_key(user)).copied().collect();
        let has_all = missing.is_empty() && self.cached_services.len() == self.needs.services.len();
        (!has_all).then_some(missing)
    }

    /// Reads all of these users, and all services, and replaces what was there of them.
    pub(super) async fn read(
        &mut self,
        client: &ClientWrapper,
        users: HashSet<UserId>,
        moment: Moment,
    ) -> Result<(), Failure> {
        let needs = &self.needs;
        let accounts: Vec<UserId> =
            needs.accounts.iter().filter(|user| users.contains(user)).copied().collect();
        let keys: Vec<_> = needs.keys.iter().filter(|(user, _)| users.contains(user)).cloned().collect();
        let named = needs.reservations.iter().filter(|key| users.contains(&key.user_id));
        let named: Vec<ReservationKey> = named.copied().collect();
        let services: Vec<i64> = needs.services.iter().map(|id| id.get()).collect();
        let found = query(
            client,
            SNAPSHOT,
            &[&Records(&accounts), &Records(&keys), &Records(&named), &At(moment.now()), &services],
        )
        .await?;
        let mut snapshot = Snapshot { users, ..Snapshot::default() };
        for row in &found {
            snapshot.add(row)?;
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Up to when the books were closed in the snapshot, if there is one.
    pub(super) fn closed_until(&self) -> Option<Timestamp> {
        self.snapshot.as_ref()?.closed_until
    }

    /// Has the cache drop what was found to be otherwise.
    pub(super) fn correct(&self, cache: &AccountCache) {
        if let Some(Snapshot { users, services, .. }) = &self.snapshot {
            let found = users.iter().map(|user| (*user, self.version(*user)));
            cache.compare(found, &self.needs.services, services);
        }
    }

    /// The rows to decide on, with no more due reservations than may expire in one transaction.
    pub(super) fn rows(&self, moment: Moment) -> Rows {
        let mut rows = match &self.snapshot {
            Some(snapshot) => snapshot.rows(),
            None => Rows {
                services: self.cached_services.iter().copied().map(as_confirmed).collect(),
                ..Rows::default()
            },
        };
        for (user, cached) in &self.cached {
            if !self.is_fresh(*user) {
                rows.accounts.push(cached.account.account());
                rows.reservations.extend(cached.account.active());
            }
        }
        if rows.reservations.len() > EXPIRIES_MAX {
            self.postpone(&mut rows, moment);
        }
        rows
    }

    /// Leaves due reservations beyond [`EXPIRIES_MAX`] out, those of each account with the latest deadlines, and names
    /// their accounts as ones with a backlog. What a command names stays.
    fn postpone(&self, rows: &mut Rows, moment: Moment) {
        let is_due = |reservation: &&Reservation| reservation.is_due(moment.now());
        let mut due: Vec<Reservation> = rows.reservations.iter().filter(is_due).copied().collect();
        if due.len() <= EXPIRIES_MAX {
            return;
        }
        due.sort_unstable_by_key(|due| (due.key.user_id.bucket(), due.key.user_id, due.expires_at, due.key));
        let postponed: HashSet<ReservationKey> = due[EXPIRIES_MAX..].iter().map(|due| due.key).collect();
        let named: HashSet<ReservationKey> = self.needs.reservations.iter().copied().collect();
        rows.reservations.retain(|one| !postponed.contains(&one.key) || named.contains(&one.key));
        let users: HashSet<UserId> = postponed.iter().map(|key| key.user_id).collect();
        rows.backlog = users.into_iter().collect();
    }

    /// Whether anything was decided on cached rows.
    pub(super) fn rests_on_cache(&self) -> bool {
        self.cached.keys().any(|user| !self.is_fresh(*user))
    }

    /// Users to read from the database: their submission was decided on cached rows, but writes nothing that would
    /// confirm those rows.
    pub(super) fn unproven(
        &self,
        submissions: &[Submission],
        replies: &[Reply],
        changes: &Changes,
    ) -> Option<HashSet<UserId>> {
        if !self.rests_on_cache() {
            return None;
        }
        let written: HashSet<UserId> = changes.accounts.iter().map(|account| account.user_id).collect();
        let mut unproven = HashSet::new();
        for (submission, reply) in submissions.iter().zip(replies) {
            let is_proven = |user: UserId| self.is_fresh(user) || reply.is_ok() && written.contains(&user);
            if !users_of(submission).all(is_proven) {
                unproven.extend(users_of(submission));
            }
        }
        if unproven.is_empty() {
            return None;
        }
        unproven.extend(self.snapshot.iter().flat_map(|snapshot| &snapshot.users));
        Some(unproven)
    }

    /// Accounts that a submission read but does not change, while it changes others. They are written unchanged, so
    /// that their versions are checked too, and all that the submission was decided on is one snapshot.
    pub(super) fn beside(&self, submissions: &[Submission], changes: &Changes) -> Vec<Account> {
        let written: HashSet<UserId> = changes.accounts.iter().map(|account| account.user_id).collect();
        let mut beside = HashSet::new();
        for submission in submissions {
            if users_of(submission).any(|user| written.contains(&user)) {
                beside.extend(users_of(submission).filter(|user| !written.contains(user)));
            }
        }
        beside.into_iter().filter_map(|user| self.account(user)).collect()
    }

    /// All accounts that have a row and are not written.
    pub(super) fn unwritten(&self, changes: &Changes) -> Vec<Account> {
        let written: HashSet<UserId> = changes.accounts.iter().map(|account| account.user_id).collect();
        self.users()
            .iter()
            .filter(|user| !written.contains(user))
            .filter_map(|user| self.account(*user))
            .collect()
    }

    /// Which version the account was read in; `None` if it has no row.
    pub(super) fn version(&self, user: UserId) -> Option<RowVersion> {
        match &self.snapshot {
            Some(snapshot) if snapshot.users.contains(&user) => {
                snapshot.accounts.get(&user).map(|(_, version)| *version)
            }
            _ => self.cached.get(&user).map(|cached| cached.version),
        }
    }

    /// The versions of all accounts that have a row.
    pub(super) fn versions(&self) -> Versions {
        self.users().iter().filter_map(|user| Some((*user, self.version(*user)?))).collect()
    }

    /// Whether the reservation is known to have a row.
    pub(super) fn has(&self, key: ReservationKey) -> bool {
        match &self.snapshot {
            Some(snapshot) if snapshot.users.contains(&key.user_id) => {
                snapshot.reservations.contains_key(&key)
            }
            _ => self.cached.get(&key.user_id).is_some_and(|cached| cached.account.has(key)),
        }
    }

    /// Active reservations that were read, by key.
    pub(super) fn active(&self) -> Vec<Reservation> {
        let read = self.snapshot.iter().flat_map(|snapshot| snapshot.reservations.values());
        let mut active: Vec<_> = read.filter(|r| r.state == ReservationState::Active).copied().collect();
        active.sort_unstable_by_key(|reservation| reservation.key);
        active
    }

    fn is_fresh(&self, user: UserId) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.users.contains(&user))
    }

    fn account(&self, user: UserId) -> Option<Account> {
        match &self.snapshot {
            Some(snapshot) if snapshot.users.contains(&user) => {
                snapshot.accounts.get(&user).map(|(account, _)| *account)
            }
            _ => self.cached.get(&user).map(|cached| cached.account.account()),
        }
    }
}

impl Snapshot {
    fn rows(&self) -> Rows {
        Rows {
            // A row that was only claimed is no account.
            accounts: self.accounts.values().map(|(account, _)| *account).filter(|a| a.seq > 0).collect(),
            keyed_operations: self.keyed_operations.clone(),
            reservations: self.reservations.values().copied().collect(),
            services: self.services.clone(),
            backlog: Vec::new(),
        }
    }

    /// One row of [`SNAPSHOT`].
    fn add(&mut self, row: &Row) -> Result<(), Failure> {
        let has = |index| Ok::<bool, Failure>(column::<Option<i64>>(row, index)?.is_some());
        if has(0)? {
            let account = rows::account(row, 0)?;
            self.accounts.insert(account.user_id, (account, rows::version(row, 6)?));
        } else if has(SNAPSHOT_OPERATION)? {
            self.keyed_operations.push(rows::recorded(row, SNAPSHOT_OPERATION)?);
        } else if has(SNAPSHOT_RESERVATION)? {
            let reservation = rows::reservation(row, SNAPSHOT_RESERVATION)?;
            self.reservations.insert(reservation.key, reservation);
        } else if has(SNAPSHOT_SERVICE)? {
            self.services.push(rows::loaded_service(row, SNAPSHOT_SERVICE)?);
        } else {
            self.closed_until = Some(column::<At>(row, SNAPSHOT_CLOSED_UNTIL)?.0);
        }
        Ok(())
    }
}

/// A service that takes reservations and was reserved for: the write counts those that are so.
fn as_confirmed(id: ServiceId) -> LoadedService {
    LoadedService { id, status: ServiceStatus::Active, is_used: true }
}

fn users_of(submission: &Submission) -> impl Iterator<Item = UserId> {
    submission.commands.iter().flat_map(Command::user_ids)
}
