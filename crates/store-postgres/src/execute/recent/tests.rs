//! What is kept, what is forgotten, and what is known to be enough.

use balance_domain::{Account, AccountStatus, Amount, IdempotencyKey, MoneyCommand};

use super::*;
use crate::values::{RowPlace, TransactionId};

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn account(id: i64, reserved: i64) -> Account {
    Account { reserved, seq: 1, status: AccountStatus::Open, ..Account::unopened(user(id)) }
}

fn version(number: u32) -> RowVersion {
    RowVersion { transaction: TransactionId(number), place: RowPlace([0; 6]) }
}

fn deposit(id: i64) -> Submission {
    let action = Action::Deposit { user_id: user(id), amount: Amount::MIN };
    MoneyCommand { action, key: IdempotencyKey::new("k").unwrap(), comment: None }.into()
}

/// Learns accounts as if they had been written under locks.
fn learn(recent: &Recent, ids: impl IntoIterator<Item = i64>) {
    let accounts: Vec<Account> = ids.into_iter().map(|id| account(id, 0)).collect();
    let written = accounts.iter().map(|account| (account.user_id, version(1))).collect();
    recent.learn(&seen(recent, []), &Changes { accounts, ..Changes::default() }, &written);
}

/// An attempt that found these accounts, of these versions, and no reservations.
fn seen(recent: &Recent, found: impl IntoIterator<Item = (i64, Option<u32>)>) -> Seen {
    let found: Vec<(i64, Option<u32>)> = found.into_iter().collect();
    let versions = found.iter().filter_map(|(id, number)| Some((user(*id), version((*number)?))));
    Seen {
        era: Some(recent.lock().era),
        accounts: found.iter().map(|(id, _)| user(*id)).collect(),
        versions: versions.collect(),
        active: Vec::new(),
        services: Vec::new(),
    }
}

fn knows(recent: &Recent, id: i64) -> bool {
    recent.judge(Instant::now()).is_some_and(|is_known| is_known(&deposit(id)))
}

#[test]
fn the_accounts_used_last_are_kept() {
    let recent = Recent::new(3, Duration::ZERO);
    learn(&recent, 1..=3);
    let taken = recent.take(&[deposit(1)]).unwrap();
    recent.put_back(taken);
    learn(&recent, [4]);
    assert_eq!((1..=4).filter(|id| knows(&recent, *id)).collect::<Vec<_>>(), [1, 3, 4]);
    let none = Recent::new(0, Duration::ZERO);
    learn(&none, 1..=3);
    assert!(none.judge(Instant::now()).is_none());
}

#[test]
fn what_is_taken_is_nobody_elses_and_nothing_is_taken_in_part() {
    let recent = Recent::new(9, Duration::ZERO);
    learn(&recent, [1, 2]);
    let taken = recent.take(&[deposit(1)]).unwrap();
    assert!(recent.take(&[deposit(2), deposit(1)]).is_none());
    assert!(knows(&recent, 2));
    recent.put_back(taken);
    assert!(recent.take(&[deposit(2), deposit(1)]).is_some());
}

#[test]
fn what_turns_out_to_be_right_stays_and_what_is_wrong_goes() {
    let recent = Recent::new(9, Duration::ZERO);
    learn(&recent, 1..=4);
    // 1 was refused, 2 was written by somebody else, 3 is gone, 4 was not asked for.
    let seen = seen(&recent, [(1, Some(1)), (2, Some(7)), (3, None)]);
    recent.learn(&seen, &Changes::default(), &Versions::new());
    assert_eq!((1..=4).filter(|id| knows(&recent, *id)).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn another_server_is_another_era() {
    let recent = Recent::new(9, Duration::ZERO);
    recent.connected(Timestamp::MIN);
    learn(&recent, [1, 2]);
    let taken = recent.take(&[deposit(1)]).unwrap();
    assert_eq!(recent.connected(Timestamp::MIN), taken.era());
    assert!(knows(&recent, 2));
    assert_ne!(recent.connected(Timestamp::MAX), taken.era());
    assert!(!knows(&recent, 2));
    recent.put_back(taken);
    assert!(!knows(&recent, 1), "what was taken before must not come back");
}

#[test]
fn rests_are_twice_as_long_each_time_and_end_with_a_success() {
    let recent = Recent::new(9, Duration::from_millis(25));
    learn(&recent, [1]);
    let now = Instant::now();
    let is_awake = |after| recent.judge(now + Duration::from_millis(after)).is_some();
    recent.rest(now);
    assert!(!is_awake(9) && is_awake(10));
    recent.rest(now);
    assert!(!is_awake(19) && is_awake(20));
    recent.rest(now);
    assert!(!is_awake(24) && is_awake(25), "not longer than the longest");
    recent.confirmed(Taken::default(), &Changes::default(), &Versions::new());
    recent.rest(now);
    assert!(!is_awake(9) && is_awake(10));
}
