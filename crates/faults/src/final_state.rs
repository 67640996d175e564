//! What the service returns once all faults are over: every account, every history, every key, every reservation
//! and the report.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use balance_domain::{AccountingZone, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    history::{BalanceView, Call, OperationView, Record, ReportView, ReservationView},
    target::Target,
};

/// How often a user is read again because something expired in between.
const ATTEMPTS_MAX: u32 = 20;

/// The state at the end, by user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FinalState {
    /// Whole histories, earliest first.
    pub operations: BTreeMap<i64, Vec<OperationView>>,
    /// Balances.
    pub balances: BTreeMap<i64, Option<BalanceView>>,
    /// Reservations.
    pub reservations: BTreeMap<i64, Vec<ReservationView>>,
    /// The look-up of every key that was ever sent.
    pub by_key: BTreeMap<i64, BTreeMap<String, Option<OperationView>>>,
    /// The services of this run: reports are compared for these only.
    pub services: Vec<i64>,
    /// Reports.
    pub reports: Vec<ReportView>,
    /// What could not be read although no fault was left: the service's own failures.
    pub unreadable: Vec<String>,
}

impl FinalState {
    /// Reads everything about these users and about the keys in the history. `key_share_percent` of the keys
    /// are looked up one by one: all of them in a short run, fewer in a long one. What cannot be read is listed in
    /// [`FinalState::unreadable`], which the checker counts as a violation.
    pub async fn read(
        target: &dyn Target,
        records: &[Record],
        scope: &Scope,
        key_share_percent: u64,
    ) -> Self {
        let mut finals = Self { services: scope.services.clone(), ..Self::default() };
        for user_id in &scope.users {
            if let Err(error) = finals.read_user(target, *user_id).await {
                finals.unreadable.push(format!("user {user_id}: {error:#}"));
            }
        }
        let mut keys: BTreeSet<(i64, &str)> = BTreeSet::new();
        for record in records {
            if let Call::Money(call) = &record.call {
                keys.insert((call.action.user_id(), &call.key));
            }
        }
        for (position, (user_id, key)) in (0_u64..).zip(keys) {
            if position * key_share_percent / 100 == (position + 1) * key_share_percent / 100 {
                continue;
            }
            match target.operation_by_key(user_id, key).await {
                Ok(operation) => {
                    finals.by_key.entry(user_id).or_default().insert(key.to_owned(), operation);
                }
                Err(error) => finals.unreadable.push(format!("user {user_id}, key {key}: {error:#}")),
            }
        }
        for month in finals.months(&scope.zone) {
            match target.report(&month).await {
                Ok(report) => finals.reports.push(report),
                Err(error) => finals.unreadable.push(format!("report of {month}: {error:#}")),
            }
        }
        finals
    }

    /// The months in which anything happened.
    fn months(&self, zone: &AccountingZone) -> BTreeSet<String> {
        let times =
            self.operations.values().flatten().filter_map(|op| op.created_at.parse::<Timestamp>().ok());
        times.map(|at| zone.month_of(at).to_string()).collect()
    }

    /// A reservation may expire between two reads: then they are made again.
    async fn read_user(&mut self, target: &dyn Target, user_id: i64) -> anyhow::Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            let operations = target.operations(user_id).await?;
            let balance = target.balance(user_id).await?;
            let reservations = target.reservations(user_id).await?;
            let again = target.operations(user_id).await?;
            if again.len() == operations.len() {
                self.operations.insert(user_id, operations);
                self.balances.insert(user_id, balance);
                self.reservations.insert(user_id, reservations);
                return Ok(());
            }
        }
        bail!("does not come to rest")
    }
}

/// Whom and what a run touches.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Every user of the run.
    pub users: Vec<i64>,
    /// Every service of the run.
    pub services: Vec<i64>,
    /// The zone whose months are reported on.
    pub zone: AccountingZone,
}
