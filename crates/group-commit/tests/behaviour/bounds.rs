//! Queues are bounded; what does not fit is refused at once and not executed.

use std::time::Duration;

use balance_domain::{
    Action, Amount, Comment, IdempotencyKey, MoneyCommand, Submission,
    ports::{BalanceRepo, RepoError},
};
use balance_group_commit::GroupCommitOptions;
use tokio::time::advance;

use crate::fake::{Answer, Fake, call, call_with, group, settle, user};

async fn is_overloaded(answer: Answer) -> bool {
    assert!(answer.is_finished(), "a refusal does not wait");
    matches!(answer.await.unwrap(), Err(RepoError::Overloaded))
}

fn deposit(id: i64, comment_bytes: usize) -> Submission {
    let action = Action::Deposit { user_id: user(id), amount: Amount::MIN };
    let comment = Some(Comment::new("c".repeat(comment_bytes)).unwrap());
    MoneyCommand { action, key: IdempotencyKey::new("k").unwrap(), comment }.into()
}

#[tokio::test(start_paused = true)]
async fn by_count_of_commands() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { queue_commands_max: 3, ..GroupCommitOptions::default() });
    call(&group, &[1]).await;
    call(&group, &[2, 2]).await;
    assert!(is_overloaded(call(&group, &[3, 3]).await).await, "it would be the fourth command");
    let fits = call(&group, &[4]).await;
    assert!(is_overloaded(call(&group, &[5]).await).await);

    fake.release(2).await;

    assert!(fits.await.unwrap().is_ok());
    assert_eq!(fake.committed(), [1, 2, 2, 4], "what was refused was not executed");
    let later = call(&group, &[6]).await;
    fake.release(1).await;
    assert!(later.await.unwrap().is_ok(), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_takes_a_call_of_any_size() {
    let fake = Fake::gated();
    let options = GroupCommitOptions {
        queue_commands_max: 2,
        queue_bytes_max: 10,
        batch_commands_max: 2,
        ..GroupCommitOptions::default()
    };
    let group = group(&fake, options);
    call(&group, &[1; 50]).await;
    call(&group, &[2; 50]).await;
    assert!(is_overloaded(call(&group, &[3]).await).await);
    fake.release(2).await;
    assert_eq!(fake.batches(), [vec![1; 50], vec![2; 50]]);
}

#[tokio::test(start_paused = true)]
async fn by_bytes() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { queue_bytes_max: 2_000, ..GroupCommitOptions::default() });
    call(&group, &[1]).await;
    let large = call_with(&group, vec![deposit(2, 1_024)]).await;
    assert!(!large.is_finished());
    assert!(is_overloaded(call_with(&group, vec![deposit(3, 1_024)]).await).await);
    let small = call(&group, &[5]).await;
    assert!(!small.is_finished(), "a small call still fits");
    fake.release(2).await;
    assert!(small.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn by_age_where_more_waits_than_one_batch_carries() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { batch_commands_max: 2, ..GroupCommitOptions::default() });
    let in_flight = call(&group, &[1]).await;
    let old = call(&group, &[2]).await;
    advance(Duration::from_millis(1_900)).await;
    let young = [call(&group, &[3]).await, call(&group, &[4]).await];
    advance(Duration::from_millis(200)).await;
    assert!(is_overloaded(call(&group, &[5]).await).await, "nothing joins behind a call that is too old");

    fake.release(2).await;

    assert!(in_flight.await.unwrap().is_ok(), "what is in the store is not aborted");
    assert!(is_overloaded(old).await);
    for answer in young {
        assert!(answer.await.unwrap().is_ok());
    }
    assert_eq!(fake.committed(), [1, 3, 4]);
}

/// A flush that takes seconds is no overload: those behind it are few, and the next batch carries them all.
#[tokio::test(start_paused = true)]
async fn one_slow_commit_refuses_nobody() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions::default());
    let in_flight = call(&group, &[1]).await;
    let behind = [call(&group, &[2]).await, call(&group, &[3]).await];
    advance(Duration::from_secs(4)).await;
    let late = call(&group, &[4]).await;
    fake.release(2).await;
    for answer in [in_flight, late].into_iter().chain(behind) {
        assert!(answer.await.unwrap().is_ok());
    }
    assert_eq!(fake.batches(), [vec![1], vec![2, 3, 4]]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_old_calls_is_cleared_without_the_store() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { batch_commands_max: 2, ..GroupCommitOptions::default() });
    call(&group, &[1]).await;
    let mut old = Vec::new();
    for id in 2..=9 {
        old.push(call(&group, &[id]).await);
    }
    advance(Duration::from_secs(3)).await;
    fake.release(1).await;
    for answer in old {
        assert!(is_overloaded(answer).await);
    }
    assert_eq!(fake.batches(), [vec![1]]);
    let next = call(&group, &[10]).await;
    fake.release(1).await;
    assert!(next.await.unwrap().is_ok(), "the lane goes on");
}

#[tokio::test(start_paused = true)]
async fn reads_are_bounded_too() {
    let fake = Fake::gated();
    let options =
        GroupCommitOptions { read_batches_max: 1, read_queue_users_max: 2, ..GroupCommitOptions::default() };
    let group = group(&fake, options);
    let read = |id| {
        let group = group.clone();
        tokio::spawn(async move { group.accounts(vec![user(id)]).await })
    };
    let answers = [read(1), read(2), read(3)];
    settle().await;
    assert!(matches!(read(4).await.unwrap(), Err(RepoError::Overloaded)));
    fake.release(2).await;
    for answer in answers {
        assert!(answer.await.unwrap().is_ok());
    }
    assert_eq!(fake.reads(), [vec![1], vec![2, 3]]);
}

/// A call that waited through a batch that found the store unavailable gets the same error: the queue is not the
/// cause, and asking the store again for each call would make those behind wait as long again.
#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_an_unavailable_store_gets_its_error() {
    let fake = Fake::with(0, |users| match users {
        [1] => Err(RepoError::Unavailable("away".into())),
        _ => Ok(()),
    });
    let group = group(&fake, GroupCommitOptions::default());
    let in_flight = call(&group, &[1]).await;
    let old = call(&group, &[2]).await;
    advance(Duration::from_millis(2_100)).await;
    let young = call(&group, &[3]).await;
    fake.release(1).await;
    for answer in [in_flight, old] {
        assert!(answer.is_finished(), "such a call does not wait for the next batch");
        let answer = answer.await.unwrap();
        assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
    }

    fake.release(1).await;
    assert!(young.await.unwrap().is_ok(), "the store is back, and it did not wait long");
    let later = call(&group, &[4]).await;
    advance(Duration::from_millis(2_100)).await;
    let behind = call(&group, &[5]).await;
    advance(Duration::from_millis(2_100)).await;
    fake.release(2).await;
    assert!(later.await.unwrap().is_ok());
    assert!(behind.await.unwrap().is_ok(), "the error is forgotten with the next batch");
    assert_eq!(fake.committed(), [3, 4, 5]);
}
