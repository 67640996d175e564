//! Many commands in one request.

use balance_domain::{
    Action, Command, MoneyCommand, Submission,
    ports::{Reply, SubmitError},
};
use paperclip::actix::api_v2_operation;

use crate::{
    answer::Ok as Answered,
    extract::{Body, Caller, NoQuery},
    operations::PostBatch,
    problem::{Code, Problem},
    wire::{BatchAnswer, BatchMode, BatchRequest, BatchResult},
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
    _query: NoQuery,
    body: Body<BatchRequest>,
) -> Result<Answered<BatchAnswer>, Problem> {
    let BatchRequest { mode, commands, scopes } = body.0;
    for scope in scopes {
        caller.needs(scope)?;
    }
    let statuses: Vec<u16> = commands.iter().map(status).collect();
    let actor = caller.actor();
    let ledger = &caller.api().ledger;
    let results = match mode {
        BatchMode::Independent => {
            let submissions =
                commands.into_iter().map(|command| Submission::from(command).by(actor)).collect();
            let replies = ledger.submit(submissions).await?;
            independent(&caller, replies, &statuses)?
        }
        BatchMode::Atomic => {
            atomic(ledger.submit_one(Submission::from(commands).by(actor)).await, &statuses)?
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
        .map_err(Problem::from)
        .and_then(|accepted| accepted.into_iter().next().ok_or_else(|| Problem::new(Code::Internal)));
    match first {
        Ok(first) => BatchResult::accepted(index, status, first.is_replay, first.receipt),
        Err(problem) => {
            caller.note(&problem);
            BatchResult::failed(index, &problem)
        }
    }
}

fn atomic(reply: Reply, statuses: &[u16]) -> Result<Vec<BatchResult>, Problem> {
    let accepted = reply.map_err(|error| match error {
        SubmitError::Rejected { index, rejection } => Problem::from(rejection).of_command(index),
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
