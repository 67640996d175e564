//! A runner that meets a defect of this crate. No store can bring that about, so the work here panics itself.

use std::time::Duration;

use tokio::task::yield_now;

use super::*;
use crate::metrics;

/// Answers each request with itself, but panics on 13.
struct Echo;

impl Work for Echo {
    type Request = u32;
    type Answer = u32;
    const NAME: &'static str = "echo";

    async fn run(&self, requests: Vec<u32>) -> Vec<Result<u32, RepoError>> {
        yield_now().await;
        assert!(!requests.contains(&13), "a defect");
        requests.into_iter().map(Ok).collect()
    }

    fn lost() -> RepoError {
        RepoError::Unknown("lost".into())
    }
}

#[tokio::test]
async fn a_runner_survives_a_panic_and_nobody_hangs() {
    let limits = Limits {
        in_flight_max: 1,
        batch_count_max: 1,
        queue_count_max: 100,
        queue_bytes_max: 100,
        queue_age_max: Duration::from_mins(1),
    };
    let lane = Lane::new(Echo, limits, metrics::for_reads(), Handle::current());
    let one = Size { count: 1, bytes: 1 };
    let calls: Vec<_> = [1, 13, 2, 13, 3]
        .map(|request| {
            tokio::spawn({
                let lane = lane.clone();
                async move { lane.submit(request, one).await }
            })
        })
        .into();

    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }

    assert!(matches!(
        answers[..],
        [Ok(1), Err(RepoError::Unknown(_)), Ok(2), Err(RepoError::Unknown(_)), Ok(3)]
    ));
    assert!(matches!(lane.submit(4, one).await, Ok(4)), "the lane lives");
    lane.close();
    lane.idle().await;
}
