//! Splits a call of many submissions by the lanes of their accounts, and merges the lanes' answers into the call's.
//!
//! A batch that held accounts of several lanes would wait for rows that the batch beside it writes. Submissions that
//! share no account commute; those that do share one are in the same lane, in their order. So it makes no difference to
//! any answer in which order the lanes run.

use std::vec;

use balance_domain::{
    Command, Submission,
    ports::{Reply, RepoError},
};

use crate::{bisect::Outcome, writes};

/// The route of a call.
pub(crate) enum Route {
    /// All of it through one lane.
    Whole(usize),
    /// Each submission through its own: their lanes, in order.
    Split(Vec<usize>),
}

impl Route {
    /// A call is split by lane if every submission has all of its accounts in one lane. A submission with accounts
    /// of several (a transfer, an atomic one) keeps its call whole and in order, in the lane of the first command's
    /// user.
    pub(crate) fn of(submissions: &[Submission], lanes_count: usize) -> Self {
        let whole = || {
            let commands = submissions.iter().flat_map(|submission| &submission.commands);
            Self::Whole(lanes_of(commands, lanes_count).next().unwrap_or(0))
        };
        if submissions.len() == 1 || lanes_count == 1 {
            return whole();
        }
        let lanes: Option<Vec<_>> =
            submissions.iter().map(|submission| only_lane(submission, lanes_count)).collect();
        lanes.filter(|lanes| lanes.iter().any(|lane| *lane != lanes[0])).map_or_else(whole, Self::Split)
    }
}

/// The lane of a user's account, for every account of the commands.
fn lanes_of<'a>(
    commands: impl Iterator<Item = &'a Command>,
    lanes_count: usize,
) -> impl Iterator<Item = usize> {
    commands.flat_map(Command::user_ids).map(move |user| usize::from(user.bucket()) % lanes_count)
}

fn only_lane(submission: &Submission, lanes_count: usize) -> Option<usize> {
    let mut lanes = lanes_of(submission.commands.iter(), lanes_count);
    let first = lanes.next().unwrap_or(0);
    lanes.all(|lane| lane == first).then_some(first)
}

/// The lanes that something goes to, each with its share in order.
pub(crate) fn split_by_lane(
    submissions: Vec<Submission>,
    lanes: &[usize],
    lanes_count: usize,
) -> Vec<(usize, Vec<Submission>)> {
    let mut shares = vec![Vec::new(); lanes_count];
    for (submission, lane) in submissions.into_iter().zip(lanes) {
        shares[*lane].push(submission);
    }
    shares.into_iter().enumerate().filter(|(_, share)| !share.is_empty()).collect()
}

/// The answer to the call, given that of every lane; one without a share has no replies.
pub(crate) fn merge_replies(
    answers: Vec<Result<Vec<Reply>, RepoError>>,
    lanes: &[usize],
) -> Result<Vec<Reply>, RepoError> {
    let mut answers: Vec<_> = answers.into_iter().map(|answer| answer.map(Vec::into_iter)).collect();
    writes::answer(lanes.iter().map(|lane| next_outcome(&mut answers[*lane])).collect())
}

fn next_outcome(answer: &mut Result<vec::IntoIter<Reply>, RepoError>) -> Outcome<Reply> {
    match answer {
        Ok(replies) => replies.next().ok_or_else(|| RepoError::Unknown("a reply is missing".into())),
        Err(error) => Err(error.clone()),
    }
}
