//! Which answer stands when a batch was retried because the outcome of its commit was unknown.

use balance_domain::{
    Accepted, Command, Rejection, Submission,
    ports::{Reply, RepoError, SubmitError},
};

/// The answers of the run that is certain, with what earlier runs of the same call (`open`, oldest first) did
/// reported as done now: not as a replay, and not as refused because the account is closed already.
///
/// Of an extension alone nothing tells whether it happened. If it is refused now, that is unknown.
pub(super) fn reconcile(
    submissions: &[Submission],
    open: Vec<Vec<Reply>>,
    replies: Vec<Reply>,
) -> Vec<Reply> {
    let mut replies = replies;
    for earlier in open.into_iter().rev() {
        for ((submission, reply), earlier) in submissions.iter().zip(&mut replies).zip(earlier) {
            if let Ok(earlier) = earlier {
                reconcile_one(submission, reply, earlier);
            }
        }
    }
    replies
}

fn reconcile_one(submission: &Submission, reply: &mut Reply, earlier: Vec<Accepted>) {
    match reply {
        Ok(now) => {
            for ((command, now), earlier) in submission.commands.iter().zip(now).zip(earlier) {
                let came_too_late = now.is_replay && !is_money(command);
                if now.receipt == earlier.receipt || came_too_late {
                    *now = earlier;
                }
            }
        }
        Err(SubmitError::Rejected { index, rejection }) => match (submission.commands.get(*index), rejection)
        {
            (Some(Command::Close { .. }), Rejection::AccountClosed(_)) => *reply = Ok(earlier),
            // With keys it has not happened before: it would be a repeat.
            (Some(Command::Extend { .. }), _) if !submission.commands.iter().any(is_money) => {
                let cause = "nobody knows whether a deadline was moved before its reservation ended";
                *reply = Err(SubmitError::Failed(RepoError::Unknown(cause.into())));
            }
            _ => {}
        },
        Err(SubmitError::Failed(_) | SubmitError::Postponed(_)) => {}
    }
}

fn is_money(command: &Command) -> bool {
    matches!(command, Command::Money(_))
}

#[cfg(test)]
mod tests {
    use balance_domain::{
        Account, AccountStatus, Action, Amount, IdempotencyKey, MoneyCommand, OrderId, Receipt,
        ReservationKey, ServiceId, Ttl, UserId,
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
    fn what_another_did_meanwhile_is_returned_as_it_is() {
        let other = one(deposit(), vec![vec![answered(5, false)]], answered(6, true));
        assert_eq!(other, format!("{:?}", vec![answered(6, true)]));
    }

    #[test]
    fn an_extension_that_is_refused_now_may_have_happened() {
        let key = ReservationKey {
            user_id: user(),
            service_id: ServiceId::new(1).unwrap(),
            order_id: OrderId::new(1).unwrap(),
        };
        let extend = Command::Extend { reservation: key.into(), ttl: Ttl::from_seconds(1).unwrap() };
        let refused =
            || Err(SubmitError::Rejected { index: 0, rejection: Rejection::ReservationNotFound(key) });
        let alone = one(extend.clone().into(), vec![vec![answered(0, false)]], refused());
        assert!(alone.contains("Unknown"), "{alone}");
        let Command::Money(deposit) = deposit().commands.remove(0) else { unreachable!() };
        let with_a_key = Submission::from(vec![extend, Command::Money(deposit)]);
        let twice = || answered(0, false).map(|accepted| [accepted.clone(), accepted].concat());
        let with_a_key = one(with_a_key, vec![vec![twice()]], refused());
        assert_eq!(with_a_key, format!("{:?}", vec![refused()]), "it would have been a repeat");
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
