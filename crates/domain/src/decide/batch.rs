//! The script that every store runs between loading and writing: decide each submission in turn, sum up what
//! is to be written.

use std::{
    collections::{BTreeMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    Account, Actor, Command, Decision, Fact, Moment, Receipt, RecordedOperation, Rejection, Reservation,
    ReservationKey, ServiceId, Submission, UserId,
    decide::{Changes, Needs, Rows, State, decide},
    ports::{Reply, RepoError, SubmitError},
};

/// The receipt of an accepted command, and whether it is the first time it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The receipt.
    pub receipt: Receipt,
    /// The command happened before; this is the first answer again.
    pub is_replay: bool,
}

/// A decided batch: what to write, and what to answer once it is durable.
#[derive(Debug)]
pub struct Decided {
    /// One per submission, in order.
    pub replies: Vec<Reply>,
    /// The sum of all decisions; every row once, accounts by (bucket, user id), reservations by key.
    pub changes: Changes,
}

/// Decides the submissions in order on the loaded rows.
///
/// Due reservations of the loaded accounts expire first, whatever becomes of the submissions. A submission is
/// accepted whole or leaves no trace; one that panics (damaged rows) fails alone. Submissions of users in
/// [`Rows::backlog`] are postponed.
pub fn decide_batch(rows: Rows, submissions: &[Submission], moment: Moment) -> Decided {
    decide_batch_by(decide, rows, submissions, moment)
}

/// [`decide_batch`] with another decider, for tests that need one to misbehave.
pub fn decide_batch_by(
    decider: impl Fn(&State, &Command, Actor, Moment) -> Result<Decision, Rejection>,
    mut rows: Rows,
    submissions: &[Submission],
    moment: Moment,
) -> Decided {
    let mut waiting: HashSet<UserId> = std::mem::take(&mut rows.backlog).into_iter().collect();
    let (mut state, expired) = State::new(rows, moment);
    let commands_count = submissions.iter().map(|submission| submission.commands.len()).sum();
    state.reserve(commands_count);
    let mut sum = Sum { operations: Vec::with_capacity(commands_count), ..Sum::default() };
    sum.add(expired);
    let replies = submissions
        .iter()
        .map(|submission| {
            if !waiting.is_empty() && has_to_wait(submission, &mut waiting) {
                return Err(SubmitError::Postponed(submission.clone()));
            }
            let attempt = catch_unwind(AssertUnwindSafe(|| attempt(&decider, &state, submission, moment)));
            let (changes, accepted) = attempt.unwrap_or_else(|panic| Err(failed(panic.as_ref())))?;
            for changes in changes {
                state.apply(&changes);
                sum.add(changes);
            }
            Ok(accepted)
        })
        .collect();
    Decided { replies, changes: sum.into_changes() }
}

/// Whether a submission names someone who waits. Then all whom it names do: submissions that share an account keep
/// their order.
fn has_to_wait(submission: &Submission, waiting: &mut HashSet<UserId>) -> bool {
    let users = || submission.commands.iter().flat_map(Command::user_ids);
    let has_to_wait = users().any(|user_id| waiting.contains(&user_id));
    if has_to_wait {
        waiting.extend(users());
    }
    has_to_wait
}

/// Whether a submission of several commands may have happened before: all of its keys were answered.
fn is_repeat(state: &State, submission: &Submission) -> bool {
    let mut keyed = submission.commands.iter().filter_map(|command| match command {
        Command::Money(command) => Some((command.action.user_id(), &command.key)),
        _ => None,
    });
    let is_answered = |(user_id, key)| state.answered(user_id, key).is_some();
    submission.commands.len() > 1 && keyed.next().is_some_and(is_answered) && keyed.all(is_answered)
}

/// The answer to a command without a key in a retry that comes too late for it: after `[extend, capture]` nothing
/// is left to extend, but the retry must not be refused. It gets the current state of its reservation.
fn too_late(state: &State, command: &Command, rejection: &Rejection) -> Option<Decision> {
    use Rejection::{
        AccountClosed, ReservationCaptured, ReservationExpired, ReservationReleased, ReservationSuperseded,
    };
    let receipt = match (command, rejection) {
        (
            Command::Extend { reservation, .. },
            ReservationCaptured | ReservationReleased | ReservationExpired | ReservationSuperseded { .. },
        ) => Receipt::Reservation { reservation: state.reservation(reservation.key)?, operation_seq: None },
        (Command::Close { user_id }, AccountClosed(_)) => Receipt::Account(state.account(*user_id)),
        _ => return None,
    };
    Some(Decision::Replay(receipt))
}

/// Decides one submission without touching the state; later commands of it see the earlier ones.
fn attempt(
    decider: &impl Fn(&State, &Command, Actor, Moment) -> Result<Decision, Rejection>,
    state: &State,
    submission: &Submission,
    moment: Moment,
) -> Result<(Vec<Changes>, Vec<Accepted>), SubmitError> {
    let mut trial = None;
    let mut all_changes = Vec::new();
    let mut accepted = Vec::with_capacity(submission.commands.len());
    let is_repeat = is_repeat(state, submission);
    for (index, command) in submission.commands.iter().enumerate() {
        let current = trial.as_ref().unwrap_or(state);
        let decision = decider(current, command, submission.actor, moment).or_else(|rejection| {
            let repeated = if is_repeat { too_late(current, command, &rejection) } else { None };
            repeated.ok_or(SubmitError::Rejected { index, rejection })
        })?;
        let (receipt, is_replay) = match decision {
            Decision::Replay(receipt) => (receipt, true),
            Decision::Commit(changes, receipt) => {
                if submission.commands.len() > 1 {
                    trial.get_or_insert_with(|| state.excerpt(&Needs::of([submission]))).apply(&changes);
                }
                all_changes.push(changes);
                (receipt, false)
            }
        };
        accepted.push(Accepted { receipt, is_replay });
    }
    Ok((all_changes, accepted))
}

fn failed(panic: &(dyn std::any::Any + Send)) -> SubmitError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    RepoError::Internal(format!("deciding panicked: {}", text.unwrap_or("without a message")).into()).into()
}

/// Adds changes up so that every row is written once.
#[derive(Default)]
struct Sum {
    accounts: BTreeMap<(u8, UserId), Account>,
    reservations: BTreeMap<ReservationKey, Reservation>,
    operations: Vec<RecordedOperation>,
    services_used: Vec<ServiceId>,
    closed: Vec<UserId>,
    facts: Vec<Fact>,
}

impl Sum {
    fn add(&mut self, changes: Changes) {
        self.accounts.extend(
            changes
                .accounts
                .into_iter()
                .map(|account| ((account.user_id.bucket(), account.user_id), account)),
        );
        self.reservations.extend(changes.reservations.into_iter().map(|r| (r.key, r)));
        self.operations.extend(changes.operations);
        self.services_used.extend(changes.services_used);
        self.closed.extend(changes.closed);
        self.facts.extend(changes.facts);
    }

    fn into_changes(mut self) -> Changes {
        self.services_used.sort_unstable();
        Changes {
            accounts: self.accounts.into_values().collect(),
            reservations: self.reservations.into_values().collect(),
            operations: self.operations,
            services_used: self.services_used,
            closed: self.closed,
            facts: self.facts,
        }
    }
}
