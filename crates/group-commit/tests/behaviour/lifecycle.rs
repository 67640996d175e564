//! Ending well, and runtimes that end early.

use std::sync::Arc;

use balance_domain::ports::{BalanceRepo, RepoError};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use tokio::runtime::{Builder, Runtime};

use crate::fake::{Fake, about, call, group, settle, user};

#[tokio::test(start_paused = true)]
async fn draining_waits_for_all_that_is_queued_and_refuses_the_rest() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { lanes: 2, ..GroupCommitOptions::default() });
    let mut answers = Vec::new();
    for id in 1..=20 {
        answers.push(call(&group, &[id]).await);
    }
    let drained = tokio::spawn({
        let group = group.clone();
        async move { group.drain().await }
    });
    settle().await;

    assert!(matches!(call(&group, &[21]).await.await.unwrap(), Err(RepoError::Unavailable(_))));
    assert!(matches!(group.accounts(vec![user(1)]).await, Err(RepoError::Unavailable(_))));
    assert!(matches!(group.ready().await, Err(RepoError::Unavailable(_))));
    assert!(!drained.is_finished());
    fake.release(2).await;
    assert!(!drained.is_finished(), "the queues are not empty yet");
    fake.release(2).await;

    drained.await.unwrap();
    for answer in answers {
        assert!(answer.await.unwrap().is_ok());
    }
    let mut committed = fake.committed();
    committed.sort_unstable();
    assert_eq!(committed, (1..=20).collect::<Vec<_>>());
    group.drain().await;
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_reads() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions { read_batches_max: 1, ..GroupCommitOptions::default() });
    let read = |id| {
        let group = group.clone();
        tokio::spawn(async move { group.accounts(vec![user(id)]).await })
    };
    let answers = [read(2), read(4)];
    settle().await;
    let drained = tokio::spawn({
        let group = group.clone();
        async move { group.drain().await }
    });
    fake.release(1).await;
    assert!(!drained.is_finished());
    fake.release(1).await;
    drained.await.unwrap();
    for answer in answers {
        assert!(answer.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_group_drains_at_once() {
    group(&Fake::gated(), GroupCommitOptions::default()).drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_is_executed_although_the_group_is_dropped() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions::default());
    call(&group, &[1]).await.abort();
    call(&group, &[2]).await.abort();
    drop(group);
    fake.release(2).await;
    assert_eq!(fake.committed(), [1, 2]);
}

/// The runtime of the lanes, and a group on it.
fn elsewhere(fake: &Arc<Fake>) -> (Runtime, Arc<GroupCommit>) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let group = group(fake, GroupCommitOptions::default());
    drop(entered);
    (runtime, group)
}

#[test]
fn a_runtime_that_ends_early_leaves_nobody_waiting() {
    let fake = Fake::gated();
    let (lanes, group) = elsewhere(&fake);
    let callers = Builder::new_current_thread().build().unwrap();
    callers.block_on(async {
        let in_flight = call(&group, &[1]).await;
        while fake.batches().is_empty() {
            tokio::task::yield_now().await;
        }
        let queued = call(&group, &[2]).await;
        lanes.shutdown_background();
        let in_flight = in_flight.await.unwrap();
        assert!(matches!(in_flight, Err(RepoError::Unknown(_))), "{in_flight:?}");
        let queued = queued.await.unwrap();
        assert!(matches!(queued, Err(RepoError::Unavailable(_))), "it was not executed: {queued:?}");
        let later = group.execute(vec![about(3)]).await;
        assert!(matches!(later, Err(RepoError::Unavailable(_))), "{later:?}");
        group.drain().await;
    });
}

/// The panic drops the runtime. Taken for a runner's own panic, it would start another runner on a runtime that is
/// gone, which is dropped, and so on until the stack overflows.
#[test]
fn a_runtime_that_ends_in_a_panic_does_not_take_the_process_down() {
    let fake = Fake::gated();
    let kept = std::sync::Mutex::new(None);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let group = group(&fake, GroupCommitOptions::default());
            *kept.lock().unwrap() = Some(group.clone());
            call(&group, &[1]).await;
            call(&group, &[2]).await;
        });
        panic!("the service ends");
    }));
    assert!(ended.is_err());
    let group = kept.lock().unwrap().take().unwrap();
    Builder::new_current_thread().build().unwrap().block_on(async {
        group.drain().await;
        assert!(matches!(group.execute(vec![about(3)]).await, Err(RepoError::Unavailable(_))));
    });
    assert_eq!(fake.batches(), [vec![1]]);
}
