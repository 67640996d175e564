//! Many commands in one request.

use balance_domain::{
    Action, Command, MoneyCommand, Submission,
    ports::{Reply, SubmitError},
};
use paperclip::actix::api_v2_operation;

use crate::{
    answer::Ok as Answered,
    extract::{Body, Caller, Query},
    operations::PostBatch,
    problem::{Code, Problem},
    routes::submit::count_dry_run,
    wire::{BatchAnswer, BatchMode, BatchRequest, BatchResult, DryRunParameter},
};

/// Execute many commands.
///
/// Each command has a `kind`, the fields of that kind's single call, and an `idempotency_key` in place of the
/// header (an extend needs none). `independent`: every command is accepted or refused by itself; the answer is
/// 200 with one result per command, each with the status that the single call would have answered. `atomic`:
/// all happen or none; if one is refused, the answer is the problem of the first refused command, `errors`
/// points at it (`/commands/3`), and nothing was executed. The caller needs the scope of every kind contained.
#[api_v2_operation]
pub(super) async fn execute(
    caller: Caller<PostBatch>,
    query: Query<DryRunParameter>,
    body: Body<BatchRequest>,
) -> Result<Answered<BatchAnswer>, Problem> {
    caller.dry_run(&query.0);
    let BatchRequest { mode, commands, scopes } = body.0;
    for scope in scopes {
        caller.needs(scope)?;
    }
    caller.weigh(commands.len())?;
    let statuses: Vec<u16> = commands.iter().map(status).collect();
    let actor = caller.actor();
    let _place = caller.turn(commands.len()).await?;
    let ledger = &caller.api().ledger;
    let results = match mode {
        BatchMode::Independent => {
            let submissions =
                commands.into_iter().map(|command| Submission::from(command).by(actor)).collect();
            let replies = if caller.is_dry_run() {
                count_dry_run();
                ledger.dry_run(submissions).await?.replies
            } else {
                ledger.submit(submissions).await?
            };
            independent(&caller, replies, &statuses)?
        }
        BatchMode::Atomic => {
            let submission = Submission::from(commands).by(actor);
            let reply = if caller.is_dry_run() {
                count_dry_run();
                ledger.dry_run_one(submission).await?.0
            } else {
                ledger.submit_one(submission).await
            };
            atomic(&caller, reply, &statuses)?
        }
    };
    Ok(Answered::new(BatchAnswer { mode, results }))
}

/// What the single call answers on success.
fn status(command: &Command) -> u16 {
    match command {
        Command::Money(MoneyCommand {
            action:
                Action::Deposit { .. }
                | Action::Withdraw { .. }
                | Action::Transfer { .. }
                | Action::Reserve { .. },
            ..
        }) => 201,
        _ => 200,
    }
}

fn independent(
    caller: &Caller<PostBatch>,
    replies: Vec<Reply>,
    statuses: &[u16],
) -> Result<Vec<BatchResult>, Problem> {
    if replies.len() != statuses.len() {
        return Err(Problem::new(Code::Internal));
    }
    let replies = replies.into_iter().zip(statuses).enumerate();
    Ok(replies.map(|(index, (reply, &status))| result(caller, index, status, reply)).collect())
}

/// What became of one command that was submitted by itself.
fn result(caller: &Caller<PostBatch>, index: usize, status: u16, reply: Reply) -> BatchResult {
    let first = reply
        .map_err(|error| problem(caller, error))
        .and_then(|accepted| accepted.into_iter().next().ok_or_else(|| Problem::new(Code::Internal)));
    match first {
        Ok(first) => BatchResult::accepted(index, status, first.is_replay, first.receipt),
        Err(problem) => {
            caller.note(&problem);
            BatchResult::failed(index, &problem)
        }
    }
}

/// Why there is no receipt; what a dry run foresees does not count.
fn problem(caller: &Caller<PostBatch>, error: SubmitError) -> Problem {
    if caller.is_dry_run() { Problem::foreseen(error) } else { error.into() }
}

fn atomic(caller: &Caller<PostBatch>, reply: Reply, statuses: &[u16]) -> Result<Vec<BatchResult>, Problem> {
    let accepted = reply.map_err(|error| match error {
        SubmitError::Rejected { index, .. } => problem(caller, error).of_command(index),
        SubmitError::Failed(error) => error.into(),
        postponed @ SubmitError::Postponed(_) => postponed.into(),
    })?;
    if accepted.len() != statuses.len() {
        return Err(Problem::new(Code::Internal));
    }
    let accepted = accepted.into_iter().zip(statuses).enumerate();
    Ok(accepted
        .map(|(index, (one, &status))| BatchResult::accepted(index, status, one.is_replay, one.receipt))
        .collect())
}
