//! A batch in two parts that run one after the other, and the order that this must keep.

use std::{borrow::Cow, collections::HashSet};

use balance_domain::{
    Command, Submission, UserId,
    ports::{Reply, RepoError, SubmitError},
};

/// A batch in two parts, each in the batch's order.
pub(super) struct Parts<'a> {
    /// What runs first.
    pub(super) first: Cow<'a, [Submission]>,
    /// What is set apart, or comes after something that is and shares an account with it: it runs afterwards, so
    /// that the order of submissions is kept for every account.
    pub(super) apart: Vec<Submission>,
    is_apart: Vec<bool>,
}

impl<'a> Parts<'a> {
    /// Sets apart what touches one of these accounts.
    pub(super) fn of(submissions: &'a [Submission], accounts: HashSet<UserId>) -> Self {
        let mut touched = accounts;
        let is_apart = |submission: &Submission| {
            let is_apart = users_of(submission).any(|user| touched.contains(&user));
            if is_apart {
                touched.extend(users_of(submission));
            }
            is_apart
        };
        let is_apart: Vec<bool> = submissions.iter().map(is_apart).collect();
        if !is_apart.contains(&true) {
            return Self { first: Cow::Borrowed(submissions), apart: Vec::new(), is_apart };
        }
        let part = |wanted| {
            let both = submissions.iter().zip(&is_apart);
            both.filter(move |(_, is_apart)| **is_apart == wanted).map(|(submission, _)| submission.clone())
        };
        Self { first: part(false).collect(), apart: part(true).collect(), is_apart }
    }

    /// The replies once the first part was executed: from here on what was set apart answers for itself.
    pub(super) fn answered(self, first: Vec<Reply>, apart: Result<Vec<Reply>, RepoError>) -> Vec<Reply> {
        let apart = apart.unwrap_or_else(|error| each_failed(&self.apart, &error).collect());
        self.merged(first, apart)
    }

    /// The replies of both parts in the order of the batch.
    fn merged(self, first: Vec<Reply>, apart: Vec<Reply>) -> Vec<Reply> {
        let (mut first, mut apart) = (first.into_iter(), apart.into_iter());
        let next = |is_apart| if is_apart { apart.next() } else { first.next() };
        let missing = || Err(RepoError::Internal("a part of a batch has too few replies".into()).into());
        self.is_apart.into_iter().map(next).map(|reply| reply.unwrap_or_else(missing)).collect()
    }
}

/// The same failure for each.
pub(super) fn each_failed(submissions: &[Submission], error: &RepoError) -> impl Iterator<Item = Reply> {
    submissions.iter().map(|_| Err(SubmitError::Failed(error.clone())))
}

fn users_of(submission: &Submission) -> impl Iterator<Item = UserId> {
    submission.commands.iter().flat_map(Command::user_ids)
}

#[cfg(test)]
mod tests {
    use balance_domain::{Action, Amount, IdempotencyKey, MoneyCommand};

    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn about(id: i64) -> Submission {
        Command::Expire { user_id: user(id) }.into()
    }

    fn transfer(from: i64, to: i64) -> Submission {
        let action = Action::Transfer { from: user(from), to: user(to), amount: Amount::MIN };
        MoneyCommand { action, key: IdempotencyKey::new("k").unwrap(), comment: None }.into()
    }

    fn merged(parts: Parts<'_>, first: &[&str], apart: &[&str]) -> String {
        let failed = |what: &&str| Err(RepoError::Internal((*what).to_owned().into()).into());
        format!("{:?}", parts.merged(first.iter().map(failed).collect(), apart.iter().map(failed).collect()))
    }

    #[test]
    fn the_order_of_every_account_is_kept() {
        let batch = [about(2), about(1), transfer(3, 1), about(3), transfer(4, 3), about(4), about(5)];
        let parts = Parts::of(&batch, HashSet::from([user(1)]));
        assert_eq!(*parts.first, [about(2), about(5)]);
        assert_eq!(parts.apart, [about(1), transfer(3, 1), about(3), transfer(4, 3), about(4)]);
        let whole = Parts::of(&batch, HashSet::new());
        assert_eq!(
            merged(parts, &["2", "5"], &["1", "3-1", "3", "4-3", "4"]),
            merged(whole, &["2", "1", "3-1", "3", "4-3", "4", "5"], &[])
        );
    }

    #[test]
    fn what_comes_before_something_set_apart_stays_in_the_first_part() {
        let batch = [about(2), transfer(1, 2), about(2), about(3)];
        let parts = Parts::of(&batch, HashSet::from([user(1)]));
        assert_eq!(*parts.first, [about(2), about(3)]);
        assert_eq!(parts.apart, [transfer(1, 2), about(2)]);
    }
}
