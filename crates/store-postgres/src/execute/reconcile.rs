//! Which answer stands when a batch had to run again because nobody knew whether its commit had happened.

use balance_domain::{
    Command, Rejection, Submission,
    ports::{Reply, SubmitError},
};

/// The answers of the run that is certain, with what earlier runs of the same call (`open`, oldest first) did
/// told as done now: not as a replay, and not as refused because the account is closed already.
pub(super) fn reconcile(
    submissions: &[Submission],
    open: Vec<Vec<Reply>>,
    replies: Vec<Reply>,
) -> Vec<Reply> {
    let mut replies = replies;
    for earlier in open.into_iter().rev() {
        for ((submission, reply), earlier) in submissions.iter().zip(&mut replies).zip(earlier) {
            if earlier.is_ok() && is_same_answer(submission, &earlier, reply) {
                *reply = earlier;
            }
        }
    }
    replies
}

fn is_same_answer(submission: &Submission, earlier: &Reply, now: &Reply) -> bool {
    match (earlier, now) {
        (Ok(earlier), Ok(now)) => {
            earlier.iter().map(|accepted| &accepted.receipt).eq(now.iter().map(|accepted| &accepted.receipt))
        }
        (Ok(_), Err(SubmitError::Rejected { index, rejection: Rejection::AccountClosed(_) })) => {
            matches!(submission.0.get(*index), Some(Command::Close { .. }))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use balance_domain::{
        Accepted, Account, AccountStatus, Action, Amount, IdempotencyKey, MoneyCommand, Receipt, UserId,
    };

    use super::*;

    fn user() -> UserId {
        UserId::new(1).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "a whole reply, as stores give it")]
    fn answered(available: i64, is_replay: bool) -> Reply {
        let account = Account { available, status: AccountStatus::Closed, ..Account::unopened(user()) };
        Ok(vec![Accepted { receipt: Receipt::Account(account), is_replay }])
    }

    fn closed() -> Reply {
        Err(SubmitError::Rejected { index: 0, rejection: Rejection::AccountClosed(user()) })
    }

    fn deposit() -> Submission {
        let action = Action::Deposit { user_id: user(), amount: Amount::MIN };
        MoneyCommand { action, key: IdempotencyKey::new("k").unwrap(), comment: None }.into()
    }

    fn one(submission: Submission, open: Vec<Vec<Reply>>, now: Reply) -> String {
        format!("{:?}", reconcile(&[submission], open, vec![now]))
    }

    #[test]
    fn what_this_call_did_itself_is_no_replay() {
        let first = one(deposit(), vec![vec![answered(5, false)]], answered(5, true));
        assert_eq!(first, format!("{:?}", vec![answered(5, false)]));
    }

    #[test]
    fn what_somebody_else_did_meanwhile_is_told_as_it_is() {
        let other = one(deposit(), vec![vec![answered(5, false)]], answered(6, true));
        assert_eq!(other, format!("{:?}", vec![answered(6, true)]));
    }

    #[test]
    fn a_close_that_finds_its_own_work_has_succeeded() {
        let close = Submission::from(Command::Close { user_id: user() });
        let kept = one(close.clone(), vec![vec![answered(0, false)]], closed());
        assert_eq!(kept, format!("{:?}", vec![answered(0, false)]));
        assert_eq!(one(close, vec![vec![closed()]], closed()), format!("{:?}", vec![closed()]));
        let deposit = one(deposit(), vec![vec![answered(0, false)]], closed());
        assert_eq!(deposit, format!("{:?}", vec![closed()]));
    }
}
