//! A store that fails: the culprit fails alone, errors are honest, and no call waits for ever.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use balance_domain::{
    Submission,
    ports::{BalanceRepo, MockBalanceRepo, Reply, RepoError, SubmitError},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};

use crate::fake::{Answer, Fake, about, call, group, users_in};

/// One call in flight, then all of these queued behind it, then everything let go.
async fn behind_a_commit(fake: &Arc<Fake>, calls: &[&[i64]]) -> Vec<Result<Vec<Reply>, RepoError>> {
    let group = group(fake, GroupCommitOptions::default());
    call(&group, &[1]).await;
    let mut answers: Vec<Answer> = Vec::new();
    for users in calls {
        answers.push(call(&group, users).await);
    }
    fake.release(10_000).await;
    let mut results = Vec::new();
    for answer in answers {
        assert!(answer.is_finished(), "nobody hangs");
        results.push(answer.await.unwrap());
    }
    results
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_changes_nothing() {
    let fake = Fake::gated();
    let group = group(&fake, GroupCommitOptions::default());
    for id in 1..=3 {
        call(&group, &[id]).await.abort();
    }
    let stays = call(&group, &[4]).await;
    fake.release(2).await;
    assert!(stays.await.unwrap().is_ok());
    assert_eq!(fake.committed(), [1, 2, 3, 4], "in flight or queued: it is executed and stored");
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_only_the_culprit() {
    let fake = Fake::with(0, |users| {
        assert!(!users.contains(&13), "a poisoned command");
        Ok(())
    });
    let users: Vec<[i64; 1]> = (2..=65).map(|id| [id]).collect();
    let calls: Vec<&[i64]> = users.iter().map(<[i64; 1]>::as_slice).collect();
    let results = behind_a_commit(&fake, &calls).await;
    for (result, id) in results.into_iter().zip(2..) {
        match result {
            Ok(replies) => assert_eq!(users_in(&replies), [id]),
            Err(error) => {
                assert!(matches!(error, RepoError::Unknown(_)), "a panic tells nothing: {error}");
                assert_eq!(id, 13);
            }
        }
    }
    let others: Vec<i64> = (1..=65).filter(|id| *id != 13).collect();
    assert_eq!(fake.committed(), others, "each once and in order");
    assert!(fake.batches().len() <= 2 + 2 * 6, "halving finds one among 64 in six steps");
}

#[tokio::test(start_paused = true)]
async fn a_lone_panic_leaves_the_lane_alive() {
    let fake = Fake::with(1_000, |users| {
        assert!(!users.contains(&13), "a poisoned command");
        Ok(())
    });
    let group = group(&fake, GroupCommitOptions::default());
    for _ in 0..100 {
        assert!(matches!(group.execute(vec![about(13)]).await, Err(RepoError::Unknown(_))));
        assert!(group.execute(vec![about(2)]).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn an_internal_failure_fails_only_the_culprits() {
    let poison = [7, 13, 14];
    let fake = Fake::with(0, move |users| match users.iter().find(|user| poison.contains(user)) {
        Some(_) => Err(RepoError::Internal("refused text".into())),
        None => Ok(()),
    });
    let users: Vec<[i64; 1]> = (2..=20).map(|id| [id]).collect();
    let calls: Vec<&[i64]> = users.iter().map(<[i64; 1]>::as_slice).collect();
    for (result, id) in behind_a_commit(&fake, &calls).await.into_iter().zip(2..) {
        match result {
            Ok(replies) => assert_eq!(users_in(&replies), [id]),
            Err(error) => {
                assert!(matches!(error, RepoError::Internal(_)), "nothing was executed: {error}");
                assert!(poison.contains(&id), "{id}");
            }
        }
    }
    assert_eq!(fake.committed().len(), 20 - poison.len());
}

#[tokio::test(start_paused = true)]
async fn the_culprit_of_a_call_fails_alone_within_it() {
    let fake = Fake::with(0, |users| {
        if users.contains(&13) { Err(RepoError::Internal("refused text".into())) } else { Ok(()) }
    });
    let results = behind_a_commit(&fake, &[&[2, 13, 3], &[13, 13], &[4, 5]]).await;
    let mixed = results[0].as_ref().unwrap();
    assert_eq!(users_in(&mixed[..1]), [2]);
    assert!(matches!(&mixed[1], Err(SubmitError::Failed(RepoError::Internal(_)))));
    assert_eq!(users_in(&mixed[2..]), [3]);
    assert!(matches!(&results[1], Err(RepoError::Internal(_))), "a call that fails whole fails as one");
    assert_eq!(users_in(results[2].as_ref().unwrap()), [4, 5]);
    assert_eq!(fake.committed(), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn errors_about_the_store_reach_everybody_and_are_not_tried_again() {
    let errors: [fn() -> RepoError; 3] = [
        || RepoError::Unavailable("gone".into()),
        || RepoError::Overloaded,
        || RepoError::Unknown("the commit failed".into()),
    ];
    for error in errors {
        let fake = Fake::with(0, move |users| if users == [1] { Ok(()) } else { Err(error()) });
        for result in behind_a_commit(&fake, &[&[2], &[3, 4], &[5]]).await {
            let answer = result.unwrap_err();
            assert_eq!(answer.to_string(), error().to_string());
        }
        assert_eq!(fake.batches(), [vec![1], vec![2, 3, 4, 5]]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_no_caller_gets_that_nothing_was_executed() {
    let runs = AtomicUsize::new(0);
    let fake = Fake::with(0, move |users| match (users, runs.fetch_add(1, Ordering::Relaxed)) {
        ([1], _) => Ok(()),
        (_, 1) => panic!("perhaps after the commit"),
        _ => Err(RepoError::Unavailable("gone".into())),
    });
    for result in behind_a_commit(&fake, &[&[2], &[3], &[4], &[5]]).await {
        assert!(matches!(result, Err(RepoError::Unknown(_))), "{result:?}");
    }
    assert_eq!(fake.batches().len(), 3, "the second half is not run on a store that is away");
}

#[tokio::test(start_paused = true)]
async fn after_an_internal_failure_a_store_that_goes_away_has_executed_nothing() {
    let runs = AtomicUsize::new(0);
    let fake = Fake::with(0, move |users| match (users, runs.fetch_add(1, Ordering::Relaxed)) {
        ([1], _) | (_, 2) => Ok(()),
        (_, 1) => Err(RepoError::Internal("refused text".into())),
        _ => Err(RepoError::Unavailable("gone".into())),
    });
    let results = behind_a_commit(&fake, &[&[2], &[3], &[4], &[5, 6]]).await;
    assert!(results[..1].iter().all(Result::is_ok));
    assert!(results[2..].iter().all(|result| matches!(result, Err(RepoError::Unavailable(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_on_everything_is_not_asked_for_ever() {
    let fake = Fake::with(0, |users| match users {
        [1] => Ok(()),
        _ => Err(RepoError::Internal("no such table".into())),
    });
    let users = vec![2; 900];
    let results = behind_a_commit(&fake, &[&users, &[3], &[4]]).await;
    assert!(results.iter().all(|result| matches!(result, Err(RepoError::Internal(_)))));
    assert!(fake.batches().len() < 300, "{}", fake.batches().len());
}

#[tokio::test(start_paused = true)]
async fn replies_that_belong_to_nobody_knows_whom_are_given_to_nobody() {
    let mut inner = MockBalanceRepo::new();
    inner.expect_execute().returning(|submissions: Vec<Submission>| {
        Ok(submissions.iter().skip(1).map(|_| Ok(Vec::new())).collect())
    });
    let group = GroupCommit::new(Arc::new(inner), GroupCommitOptions::default());
    let answer = group.execute(vec![about(1), about(2)]).await;
    assert!(matches!(answer, Err(RepoError::Unknown(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn doubt_after_a_panic_stays_however_often_the_batch_is_divided() {
    let runs = AtomicUsize::new(0);
    let fake = Fake::with(0, move |users| match (users, runs.fetch_add(1, Ordering::Relaxed)) {
        ([1], _) => Ok(()),
        (_, 1) => panic!("perhaps after the commit"),
        _ => Err(RepoError::Internal("no such table".into())),
    });
    for result in behind_a_commit(&fake, &[&[2], &[3], &[4], &[5]]).await {
        assert!(matches!(result, Err(RepoError::Unknown(_))), "{result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_in_different_ways_is_unknown() {
    let fake = Fake::with(0, |users| match users {
        [1] => Ok(()),
        [3] => Err(RepoError::Unknown("the commit failed".into())),
        _ => Err(RepoError::Internal("refused text".into())),
    });
    let results = behind_a_commit(&fake, &[&[2, 3]]).await;
    assert!(matches!(results[0], Err(RepoError::Unknown(_))), "{:?}", results[0]);
}
