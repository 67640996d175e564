//! A call of many submissions is divided among the lanes of its accounts, and nobody can tell.

use std::sync::Arc;

use balance_domain::{
    Command, Submission,
    ports::{RepoError, SubmitError},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};

use crate::fake::{Fake, about, call, call_with, group, user, users_in, users_of_two_lanes};

fn two_lanes(fake: &Arc<Fake>) -> Arc<GroupCommit> {
    group(fake, GroupCommitOptions { lanes: 2, ..GroupCommitOptions::default() })
}

#[tokio::test(start_paused = true)]
async fn each_submission_runs_in_its_own_lane_and_replies_keep_their_order() {
    let fake = Fake::gated();
    let group = two_lanes(&fake);
    let [even, odd] = users_of_two_lanes();
    let asked = [odd[0], even[0], even[1], odd[1], odd[0]];
    let answer = call(&group, &asked).await;
    assert_eq!(fake.batches(), [vec![even[0], even[1]], vec![odd[0], odd[1], odd[0]]]);
    fake.release(1).await;
    assert!(!answer.is_finished(), "the other lane has not committed yet");
    fake.release(1).await;
    assert_eq!(users_in(&answer.await.unwrap().unwrap()), asked);
}

#[tokio::test(start_paused = true)]
async fn a_submission_with_accounts_of_two_lanes_keeps_its_call_whole() {
    let fake = Fake::gated();
    let group = two_lanes(&fake);
    let [even, odd] = users_of_two_lanes();
    let expire = |id| Command::Expire { user_id: user(id) };
    let both = Submission::from(vec![expire(even[1]), expire(odd[1])]);
    let answer = call_with(&group, vec![about(odd[0]), both, about(even[0])]).await;
    assert_eq!(fake.batches(), [vec![odd[0], even[1], even[0]]]);
    fake.release(1).await;
    assert_eq!(users_in(&answer.await.unwrap().unwrap()), [odd[0], even[1], odd[1], even[0]]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_fails_fails_its_own_submissions() {
    let [even, odd] = users_of_two_lanes();
    let failing = odd[0];
    let fake = Fake::with(1_000, move |users| {
        if users.contains(&failing) { Err(RepoError::Unavailable("away".into())) } else { Ok(()) }
    });
    let group = two_lanes(&fake);
    let replies = call(&group, &[odd[0], even[0], odd[1]]).await.await.unwrap().unwrap();
    let is_away =
        |index: usize| matches!(replies[index], Err(SubmitError::Failed(RepoError::Unavailable(_))));
    assert!(is_away(0) && replies[1].is_ok() && is_away(2), "{replies:?}");

    let all_of_it = call(&group, &[odd[0], odd[1]]).await.await.unwrap();
    assert!(matches!(all_of_it, Err(RepoError::Unavailable(_))), "{all_of_it:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_one_lane_has_no_room_for_is_refused_whole() {
    let fake = Fake::gated();
    let group =
        group(&fake, GroupCommitOptions { lanes: 2, queue_commands_max: 1, ..GroupCommitOptions::default() });
    let [even, odd] = users_of_two_lanes();
    call(&group, &[odd[0]]).await;
    call(&group, &[odd[1]]).await;
    let refused = call(&group, &[even[0], odd[2]]).await;
    assert!(matches!(refused.await.unwrap(), Err(RepoError::Overloaded)));
    fake.release(10).await;
    assert_eq!(fake.committed(), [odd[0], odd[1]], "nothing of it was executed");
}

#[tokio::test(start_paused = true)]
async fn every_share_is_executed_though_the_caller_goes_away() {
    let fake = Fake::gated();
    let group = two_lanes(&fake);
    let [even, odd] = users_of_two_lanes();
    for _ in 0..2 {
        call(&group, &[even[0], odd[0]]).await.abort();
    }
    fake.release(10).await;
    let mut committed = fake.committed();
    committed.sort_unstable();
    let mut expected = vec![even[0], even[0], odd[0], odd[0]];
    expected.sort_unstable();
    assert_eq!(committed, expected);
}
