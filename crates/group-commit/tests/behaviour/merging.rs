//! Calls are merged while a batch commits, in order, and never wait otherwise.

use balance_domain::{
    Command, Submission,
    ports::{BalanceRepo, MockBalanceRepo},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

use crate::fake::{Fake, about, call, call_with, group, user, users_in, users_of_two_lanes};

#[tokio::test(start_paused = true)]
async fn while_one_batch_commits_the_next_gathers() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions::default());
    let first = call(&group, &[1]).await;
    let others = [call(&group, &[2]).await, call(&group, &[3]).await, call(&group, &[4]).await];
    assert_eq!(fake.batches(), [vec![1]]);

    fake.release(1).await;

    assert_eq!(fake.batches(), [vec![1], vec![2, 3, 4]]);
    assert_eq!(users_in(&first.await.unwrap().unwrap()), [1]);
    assert!(others.iter().all(|other| !other.is_finished()), "nobody is answered before the commit");
    fake.release(1).await;
    for (other, id) in others.into_iter().zip(2..) {
        assert_eq!(users_in(&other.await.unwrap().unwrap()), [id]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_call_leaves_at_once() {
    let fake = Fake::open();
    let group = group(&fake, GroupCommitOptions::default());
    let before = Instant::now();
    for id in 1..=100 {
        let replies = group.execute(vec![about(id)]).await.unwrap();
        assert_eq!(users_in(&replies), [id]);
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "no timer was waited for");
    assert_eq!(fake.batches().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_its_order_and_its_own_replies() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions::default());
    let first = call(&group, &[1]).await;
    let long = call(&group, &[9, 2, 9, 5]).await;
    let pair = Submission::from(vec![
        Command::Expire { user_id: user(7) },
        Command::Close { user_id: user(6) },
        Command::Expire { user_id: user(8) },
    ]);
    let mixed = call_with(&group, vec![about(3), pair, about(4)]).await;
    fake.release(2).await;

    assert_eq!(fake.batches(), [vec![1], vec![9, 2, 9, 5, 3, 7, 4]]);
    assert_eq!(users_in(&first.await.unwrap().unwrap()), [1]);
    assert_eq!(users_in(&long.await.unwrap().unwrap()), [9, 2, 9, 5]);
    let mixed = mixed.await.unwrap().unwrap();
    assert_eq!(mixed.len(), 3, "one reply per submission, however many commands it has");
    assert_eq!(users_in(&mixed), [3, 7, 6, 8, 4]);
}

#[tokio::test(start_paused = true)]
async fn lanes_run_side_by_side_and_each_runs_one_batch_at_a_time() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { lanes: 2, ..GroupCommitOptions::default() });
    let [even, odd] = users_of_two_lanes();
    for user in [even[0], even[1], odd[0], even[2]] {
        call(&group, &[user]).await;
    }
    assert_eq!(fake.batches(), [vec![even[0]], vec![odd[0]]]);
    fake.release(3).await;
    assert_eq!(fake.batches().last(), Some(&vec![even[1], even[2]]));
    assert_eq!(fake.committed().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_no_more_commands_than_it_may() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { batch_commands_max: 3, ..GroupCommitOptions::default() });
    for users in [&[1][..], &[2, 2], &[3], &[4, 4], &[5, 5], &[6, 6, 6, 6, 6], &[7]] {
        call(&group, users).await;
    }
    fake.release(10).await;
    assert_eq!(
        fake.batches(),
        [vec![1], vec![2, 2, 3], vec![4, 4], vec![5, 5], vec![6; 5], vec![7]],
        "a call is never split, and one that is larger than a batch goes alone"
    );
}

#[tokio::test(start_paused = true)]
async fn commands_count_not_submissions() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { batch_commands_max: 3, ..GroupCommitOptions::default() });
    let double = || Submission::from(vec![Command::Expire { user_id: user(2) }; 2]);
    call(&group, &[1]).await;
    call_with(&group, vec![double()]).await;
    call_with(&group, vec![double()]).await;
    fake.release(3).await;
    assert_eq!(fake.batches(), [vec![1], vec![2], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_do_needs_no_batch() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions::default());
    assert_eq!(group.execute(Vec::new()).await.unwrap().len(), 0);
    assert_eq!(fake.batches(), Vec::<Vec<i64>>::new());
}

#[tokio::test]
async fn everything_else_goes_straight_to_the_store() {
    let mut inner = MockBalanceRepo::new();
    inner.expect_due_users().withf(|users_max| *users_max == 3).times(1).returning(|_| Ok(vec![user(4)]));
    inner.expect_ready().times(1).returning(|| Ok(()));
    inner.expect_operation_by_key().times(1).returning(|_, _| Ok(None));
    let group = GroupCommit::new(Arc::new(inner), GroupCommitOptions::default());
    assert_eq!(group.due_users(3).await.unwrap(), [user(4)]);
    group.ready().await.unwrap();
    let key = balance_domain::IdempotencyKey::new("a").unwrap();
    assert_eq!(group.operation_by_key(user(1), key).await.unwrap(), None);
}
