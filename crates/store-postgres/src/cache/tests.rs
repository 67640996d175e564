//! What is kept, what is evicted, and of what version.

use balance_domain::{Account, AccountStatus};

use super::*;
use crate::values::RowPlace;

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn version(number: i64) -> RowVersion {
    RowVersion { number, place: RowPlace([0; 6]) }
}

/// Learns accounts with this much reserved, which were of the version `before`, and are of the version `after`.
fn learn(cache: &AccountCache, ids: &[i64], reserved: i64, before: i64, after: i64) {
    let account =
        |id: &i64| Account { reserved, seq: 1, status: AccountStatus::Open, ..Account::unopened(user(*id)) };
    let of = |number| ids.iter().map(|id| (user(*id), version(number))).collect();
    let changes = Changes { accounts: ids.iter().map(account).collect(), ..Changes::default() };
    let (before, after) = (of(before), of(after));
    cache.learn(&Written { changes: &changes, before: &before, after: &after, active: &[], services: &[] });
}

fn cached(cache: &AccountCache, ids: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
    let users: Vec<UserId> = ids.into_iter().map(user).collect();
    let found = cache.of_readers(&users, |cached| cached.version.number);
    users.iter().zip(found).filter_map(|(user, number)| Some((user.get(), number?))).collect()
}

#[test]
fn the_accounts_used_last_are_kept() {
    let cache = AccountCache::new(3);
    learn(&cache, &[1, 2, 3], 0, 0, 1);
    let needs = Needs { accounts: vec![user(1), user(9)], ..Needs::default() };
    assert_eq!(cache.of_batch(&needs).0.len(), 1);
    assert_eq!(cached(&cache, [2]), [(2, 1)], "which is no use");
    learn(&cache, &[4], 0, 0, 1);
    assert_eq!(cached(&cache, 1..=4), [(1, 1), (3, 1), (4, 1)]);
    let none = AccountCache::new(0);
    learn(&none, &[1, 2, 3], 0, 0, 1);
    assert_eq!(cached(&none, 1..=3), []);
}

#[test]
fn what_a_snapshot_shows_otherwise_is_evicted() {
    let cache = AccountCache::new(9);
    learn(&cache, &[1, 2, 3, 4], 0, 0, 1);
    // 1 is as it was, 2 was written by somebody else, 3 is gone, 4 was not asked for.
    let found = [(user(1), Some(version(1))), (user(2), Some(version(7))), (user(3), None)];
    cache.compare(found, &[], &[]);
    assert_eq!(cached(&cache, 1..=4), [(1, 1), (4, 1)]);
}

#[test]
fn what_a_reader_found_otherwise_is_evicted_unless_it_was_learned_again() {
    let cache = AccountCache::new(9);
    learn(&cache, &[1, 2, 3], 0, 0, 1);
    learn(&cache, &[2], 0, 1, 2);
    cache.have_read(5, &[(user(1), Some(version(1))), (user(2), Some(version(1))), (user(3), None)]);
    assert_eq!(cached(&cache, 1..=3), [(2, 2), (3, 1)]);
    assert_eq!(cache.account_reads(), AccountReads { confirmed: 5, looked_up: 3 });
}

/// An account is kept if all that it has reserved is known: not after somebody else has written it.
#[test]
fn reservations_are_those_of_the_version_that_was_decided_on() {
    let cache = AccountCache::new(9);
    learn(&cache, &[1], 0, 0, 1);
    learn(&cache, &[1], 5, 1, 2);
    assert_eq!(cached(&cache, [1]), [], "nobody knows what the 5 are reserved for");
}

#[test]
fn a_service_is_kept_while_it_takes_reservations_and_was_reserved_for() {
    let cache = AccountCache::new(9);
    let id = ServiceId::new(7).unwrap();
    let needs = Needs { services: vec![id], ..Needs::default() };
    let service = |status, is_used| LoadedService { id, status, is_used };
    for (loaded, is_kept) in [
        (vec![service(ServiceStatus::Active, false)], false),
        (vec![service(ServiceStatus::Active, true)], true),
        (vec![service(ServiceStatus::Retired, true)], false),
        (vec![], false),
    ] {
        cache.compare([], &[id], &loaded);
        assert_eq!(!cache.of_batch(&needs).1.is_empty(), is_kept, "{loaded:?}");
    }
}
