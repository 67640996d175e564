//! Reads of balances merge as well, and never return what was so before they were asked.

use std::sync::Arc;

use balance_domain::{
    AccountAsOf,
    ports::{BalanceRepo, RepoError},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use tokio::task::JoinHandle;

use crate::fake::{Fake, RECALLED, group, settle, user};

type Accounts = Result<Vec<Option<AccountAsOf>>, RepoError>;

async fn read(group: &Arc<GroupCommit>, users: &[i64]) -> JoinHandle<Accounts> {
    let group = group.clone();
    let users = users.iter().map(|id| user(*id)).collect();
    let answer = tokio::spawn(async move { group.accounts(users).await });
    settle().await;
    answer
}

/// The users found, 0 for one that was not.
fn found(accounts: Accounts) -> Vec<i64> {
    let id_of = |account: Option<AccountAsOf>| account.map_or(0, |account| account.recorded.user_id.get());
    accounts.unwrap().into_iter().map(id_of).collect()
}

fn one_at_a_time() -> GroupCommitOptions {
    GroupCommitOptions { read_batches_max: 1, ..GroupCommitOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn reads_that_wait_become_one_read_of_each_user() {
    let fake = Fake::gated();
    let group = group(&fake, one_at_a_time());
    let first = read(&group, &[2]).await;
    let second = read(&group, &[4, 3, 4]).await;
    let third = read(&group, &[6, 4]).await;
    fake.release(2).await;
    assert_eq!(fake.reads(), [vec![2], vec![4, 3, 6]]);
    assert_eq!(found(first.await.unwrap()), [2]);
    assert_eq!(found(second.await.unwrap()), [4, 0, 4], "in the order asked for, repeats included");
    assert_eq!(found(third.await.unwrap()), [6, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_read_never_joins_one_that_is_in_flight() {
    let fake = Fake::gated();
    let group = group(&fake, one_at_a_time());
    let early = read(&group, &[2]).await;
    let late = read(&group, &[2]).await;
    fake.release(1).await;
    assert!(early.is_finished());
    assert!(!late.is_finished(), "the first read may have looked before the second was asked");
    assert_eq!(fake.reads(), [vec![2], vec![2]]);
    fake.release(1).await;
    assert_eq!(found(late.await.unwrap()), [2]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_lane_lets_reads_through_side_by_side() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { read_batches_max: 2, ..GroupCommitOptions::default() });
    for id in [2, 4, 6, 8] {
        read(&group, &[id]).await;
    }
    assert_eq!(fake.reads(), [vec![2], vec![4]]);
    fake.release(1).await;
    assert_eq!(fake.reads(), [vec![2], vec![4], vec![6, 8]]);
}

#[tokio::test(start_paused = true)]
async fn reads_do_not_wait_for_commits() {
    let fake = Fake::gated();
    let group = group(&fake, one_at_a_time());
    crate::fake::call(&group, &[2]).await;
    read(&group, &[2]).await;
    assert_eq!((fake.batches().len(), fake.reads().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_leaves_nobody_behind() {
    let fake = Fake::gated();
    let group = group(&fake, one_at_a_time());
    let leaver = read(&group, &[2]).await;
    let waiting = read(&group, &[4]).await;
    leaver.abort();
    fake.release(1).await;
    assert_eq!(found(waiting.await.unwrap()), [4]);
    let next = read(&group, &[6]).await;
    fake.release(1).await;
    assert_eq!(found(next.await.unwrap()), [6], "the slot came back");
}

#[tokio::test(start_paused = true)]
async fn a_merged_read_takes_no_more_users_than_it_may() {
    let fake = Fake::gated();
    let options = GroupCommitOptions { read_batch_users_max: 2, ..one_at_a_time() };
    let group = group(&fake, options);
    for users in [&[2][..], &[4], &[6], &[8]] {
        read(&group, users).await;
    }
    fake.release(3).await;
    assert_eq!(fake.reads(), [vec![2], vec![4, 6], vec![8]]);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_fails_only_those_who_ask_for_it() {
    for panics in [true, false] {
        let fake = Fake::with(0, move |users| match users.contains(&14) {
            true if panics => panic!("damaged"),
            true => Err(RepoError::Internal("damaged".into())),
            false => Ok(()),
        });
        let group = group(&fake, one_at_a_time());
        read(&group, &[2]).await;
        let good = read(&group, &[4, 6]).await;
        let bad = read(&group, &[8, 14]).await;
        let also_good = read(&group, &[8]).await;
        fake.release(100).await;
        assert_eq!(found(good.await.unwrap()), [4, 6]);
        assert!(matches!(bad.await.unwrap(), Err(RepoError::Internal(_))), "a read executes nothing");
        assert_eq!(found(also_good.await.unwrap()), [8]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_not_asked_again_for_each_reader() {
    let fake = Fake::with(0, |users| match users {
        [2] => Ok(()),
        _ => Err(RepoError::Unavailable("gone".into())),
    });
    let group = group(&fake, one_at_a_time());
    read(&group, &[2]).await;
    let answers = [read(&group, &[4]).await, read(&group, &[6]).await];
    fake.release(10).await;
    for answer in answers {
        assert!(matches!(answer.await.unwrap(), Err(RepoError::Unavailable(_))));
    }
    assert_eq!(fake.reads().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_recalls_waits_for_nobody() {
    let fake = Fake::gated();
    let group = group(&fake, one_at_a_time());
    let slow = read(&group, &[2]).await;
    let recalled = read(&group, &[RECALLED]).await.await.unwrap().unwrap();
    assert!(recalled[0].is_some());
    let several = read(&group, &[RECALLED, 4]).await;
    assert!(!slow.is_finished() && !several.is_finished(), "accounts of one call are one snapshot");
    fake.release(2).await;
    assert_eq!(found(several.await.unwrap()), [RECALLED, 4]);
    assert_eq!(fake.reads(), [vec![2], vec![RECALLED, 4]]);
    group.drain().await;
    let refused = read(&group, &[RECALLED]).await.await.unwrap();
    assert!(matches!(refused, Err(RepoError::Unavailable(_))), "{refused:?}");
}
