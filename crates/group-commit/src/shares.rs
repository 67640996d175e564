//! Divides a call of many submissions among the lanes of their accounts: what goes to which lane, and how the lanes'
//! answers become the call's.
//!
//! A batch that held accounts of several lanes would wait for rows that the batch beside it writes. Submissions that
//! share no account commute; those that do share one are in the same lane, in their order. So it makes no difference to
//! any answer in which order the lanes run.

use std::{
    collections::{BTreeMap, BTreeSet},
    vec,
};

use balance_domain::{
    Command, Submission, UserId,
    ports::{Reply, RepoError},
};

use crate::{division::Outcome, writes};

/// The lane that writes this user's account.
pub(crate) fn lane_of(user: UserId, lanes_count: usize) -> usize {
    usize::from(user.bucket()) % lanes_count
}

/// The lane of each submission; `None` where the call goes whole: nothing to divide, or a submission (a transfer, an
/// atomic one) with accounts of more than one lane, beside which the others keep their order.
pub(crate) fn lanes_of(submissions: &[Submission], lanes_count: usize) -> Option<Vec<usize>> {
    if submissions.len() == 1 || lanes_count == 1 {
        return None;
    }
    submissions.iter().map(|submission| only_lane(submission, lanes_count)).collect()
}

fn only_lane(submission: &Submission, lanes_count: usize) -> Option<usize> {
    let mut lanes = submission.0.iter().flat_map(Command::user_ids).map(|user| lane_of(user, lanes_count));
    let first = lanes.next().unwrap_or(0);
    lanes.all(|lane| lane == first).then_some(first)
}

/// What goes to each lane, in order; nothing to some.
pub(crate) fn dealt(
    submissions: Vec<Submission>,
    lanes: &[usize],
    lanes_count: usize,
) -> Vec<Vec<Submission>> {
    let mut shares = vec![Vec::new(); lanes_count];
    for (submission, lane) in submissions.into_iter().zip(lanes) {
        shares[*lane].push(submission);
    }
    shares
}

/// The answer to the call, given those of the lanes that had a share, in the order of lanes.
pub(crate) fn joined(
    answers: Vec<Result<Vec<Reply>, RepoError>>,
    lanes: &[usize],
) -> Result<Vec<Reply>, RepoError> {
    let with_share: BTreeSet<usize> = lanes.iter().copied().collect();
    let answers = answers.into_iter().map(|answer| answer.map(Vec::into_iter));
    let mut answers: BTreeMap<usize, _> = with_share.into_iter().zip(answers).collect();
    writes::answer(lanes.iter().map(|lane| next_outcome(answers.get_mut(lane))).collect())
}

fn next_outcome(answer: Option<&mut Result<vec::IntoIter<Reply>, RepoError>>) -> Outcome<Reply> {
    let missing = || RepoError::Unknown("a reply is missing".into());
    match answer.ok_or_else(missing)? {
        Ok(replies) => replies.next().ok_or_else(missing),
        Err(error) => Err(error.clone()),
    }
}
