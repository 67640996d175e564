//! The driving side on a store that fails on demand.

use std::sync::Arc;

use balance_domain::{
    Account, AccountAsOf, AccountStatus, Actor, Command, Ledger, OperationFilter, OperationQuery,
    OperationSort, Page, Rejection, ReservationQuery, Submission,
    ports::{MockBalanceRepo, RepoError, SubmitError},
};
use mockall::{Sequence, predicate::eq};

use crate::script::{at, close, deposit, expire, key, user};

fn ledger(repo: MockBalanceRepo) -> Ledger {
    Ledger::new(Arc::new(repo))
}

fn away() -> RepoError {
    RepoError::Unavailable("connection refused".into())
}

fn as_of(has_due: bool) -> AccountAsOf {
    let status = AccountStatus::Open;
    let recorded = Account { user_id: user(1), status, available: 5, reserved: 20, seq: 4, last_at: at(-60) };
    AccountAsOf { at: at(0), recorded, has_due }
}

fn history() -> OperationQuery {
    OperationQuery {
        user_id: user(1),
        filter: OperationFilter::default(),
        sort: OperationSort::default(),
        after: None,
        limit: balance_domain::Limit::default(),
    }
}

fn all_reservations() -> ReservationQuery {
    ReservationQuery { user_id: user(1), state: None, after: None, limit: balance_domain::Limit::default() }
}

/// A store that knows the account, with a due reservation at the first look or without.
fn knowing(has_due: Option<bool>) -> MockBalanceRepo {
    let mut repo = MockBalanceRepo::new();
    let mut is_first = true;
    repo.expect_accounts().with(eq(vec![user(1)])).returning(move |_| {
        let is_due_still = std::mem::take(&mut is_first);
        Ok(vec![has_due.map(|has_due| as_of(has_due && is_due_still))])
    });
    repo
}

/// Expects the expiry of these users, once.
fn expects_expiry(repo: &mut MockBalanceRepo, users: Vec<i64>, reply: Result<(), SubmitError>) {
    let commands: Vec<Command> = users.into_iter().map(expire).collect();
    repo.expect_execute()
        .once()
        .withf(move |submissions| {
            submissions.iter().map(|s| s.commands.clone()).eq(commands.iter().map(|c| vec![c.clone()]))
        })
        .returning(move |submissions| {
            let mut replies: Vec<_> = submissions.iter().map(|_| Ok(Vec::new())).collect();
            if let Err(error) = &reply {
                replies[0] = Err(error.clone());
            }
            Ok(replies)
        });
}

const EMPTY: Page<balance_domain::Operation, balance_domain::OperationPosition> =
    Page { items: Vec::new(), next: None };

#[tokio::test]
async fn history_has_due_expiries_recorded_before_it_is_read() {
    let mut order = Sequence::new();
    let mut repo = knowing(Some(true));
    repo.expect_execute()
        .once()
        .in_sequence(&mut order)
        .withf(|submissions| submissions == &vec![Submission::from(expire(1)).by(Actor::Expiry)])
        .returning(|_| Ok(vec![Ok(Vec::new())]));
    repo.expect_operations().once().in_sequence(&mut order).with(eq(history())).returning(|_| Ok(EMPTY));
    assert_eq!(ledger(repo).operations(history()).await.unwrap(), Some(EMPTY));
}

#[tokio::test]
async fn history_is_read_at_once_when_nothing_is_due() {
    let mut repo = knowing(Some(false));
    repo.expect_execute().never();
    repo.expect_operations().once().returning(|_| Ok(EMPTY));
    assert_eq!(ledger(repo).operations(history()).await.unwrap(), Some(EMPTY));
}

#[tokio::test]
async fn history_of_a_user_whom_nothing_happened_to_is_none() {
    let mut repo = knowing(None);
    repo.expect_operations().never();
    assert_eq!(ledger(repo).operations(history()).await.unwrap(), None);
}

#[tokio::test]
async fn history_fails_if_its_expiries_cannot_be_recorded() {
    let mut repo = knowing(Some(true));
    expects_expiry(&mut repo, vec![1], Err(away().into()));
    repo.expect_operations().never();
    let answer = ledger(repo).operations(history()).await;
    assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn history_of_an_account_that_was_closed_in_between_is_read_all_the_same() {
    let mut repo = knowing(Some(true));
    let closed = SubmitError::Rejected { index: 0, rejection: Rejection::AccountClosed(user(1)) };
    expects_expiry(&mut repo, vec![1], Err(closed));
    repo.expect_operations().once().returning(|_| Ok(EMPTY));
    assert_eq!(ledger(repo).operations(history()).await.unwrap(), Some(EMPTY));
}

/// What is returned is recorded: a balance that nobody can find in the history later is none.
#[tokio::test]
async fn an_account_has_due_expiries_recorded_before_it_is_returned() {
    let mut repo = MockBalanceRepo::new();
    let mut order = Sequence::new();
    repo.expect_accounts().once().in_sequence(&mut order).returning(|_| Ok(vec![Some(as_of(true))]));
    repo.expect_execute()
        .once()
        .in_sequence(&mut order)
        .withf(|submissions| submissions == &vec![Submission::from(expire(1)).by(Actor::Expiry)])
        .returning(|_| Ok(vec![Ok(Vec::new())]));
    let settled = AccountAsOf { at: at(5), ..as_of(false) };
    repo.expect_accounts().once().in_sequence(&mut order).returning(move |_| Ok(vec![Some(settled)]));
    assert_eq!(ledger(repo).account(user(1)).await.unwrap(), Some(settled));
    assert_eq!(ledger(knowing(None)).account(user(1)).await.unwrap(), None);
}

/// What is more than expires at once is submitted again, and nothing else of the call is.
#[tokio::test]
async fn what_was_postponed_is_submitted_again_in_its_order() {
    let mut repo = MockBalanceRepo::new();
    let mut order = Sequence::new();
    let postponed = |id| Err(SubmitError::Postponed(expire(id).into()));
    repo.expect_execute()
        .once()
        .in_sequence(&mut order)
        .returning(move |_| Ok(vec![postponed(1), Ok(Vec::new()), postponed(3)]));
    repo.expect_execute()
        .once()
        .in_sequence(&mut order)
        .withf(|submissions| submissions == &vec![expire(1).into(), expire(3).into()])
        .returning(move |_| Ok(vec![Ok(Vec::new()), postponed(3)]));
    repo.expect_execute()
        .once()
        .in_sequence(&mut order)
        .withf(|submissions| submissions == &vec![expire(3).into()])
        .returning(|_| Err(away()));
    let replies =
        ledger(repo).submit(vec![expire(1).into(), expire(2).into(), expire(3).into()]).await.unwrap();
    assert!(replies[0].is_ok() && replies[1].is_ok(), "{replies:?}");
    assert!(matches!(replies[2], Err(SubmitError::Failed(RepoError::Unavailable(_)))), "{replies:?}");
}

#[tokio::test]
async fn a_backlog_without_an_end_is_given_up() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_execute()
        .returning(|all| Ok(all.into_iter().map(|one| Err(SubmitError::Postponed(one))).collect()));
    let reply = ledger(repo).submit_one(expire(1).into()).await;
    assert!(matches!(reply, Err(SubmitError::Failed(RepoError::Overloaded))), "{reply:?}");
}

#[tokio::test]
async fn no_reservations_of_a_known_user_are_an_empty_page_and_of_an_unknown_one_none() {
    for (has_due, expected) in [(Some(false), Some(Page { items: Vec::new(), next: None })), (None, None)] {
        let mut repo = knowing(has_due);
        repo.expect_reservations()
            .with(eq(all_reservations()))
            .returning(|_| Ok(Page { items: Vec::new(), next: None }));
        assert_eq!(ledger(repo).reservations(all_reservations()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_sweep_expires_the_users_that_are_due_and_counts_them() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_due_users().with(eq(50)).returning(|_| Ok(vec![user(3), user(1)]));
    expects_expiry(&mut repo, vec![3, 1], Ok(()));
    let swept = ledger(repo).sweep(50).await.unwrap();
    assert_eq!((swept.due, swept.done()), (2, 2));
}

#[tokio::test]
async fn a_sweep_with_nothing_due_asks_nothing_of_the_store() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_due_users().returning(|_| Ok(Vec::new()));
    repo.expect_execute().never();
    assert_eq!(ledger(repo).sweep(50).await.unwrap().due, 0);
}

#[tokio::test]
async fn one_damaged_user_does_not_end_a_sweep_and_one_who_closed_is_no_failure() {
    for (reply, fails) in [
        (SubmitError::Failed(RepoError::Internal("damaged".into())), 1),
        (SubmitError::Rejected { index: 0, rejection: Rejection::AccountClosed(user(1)) }, 0),
    ] {
        let mut repo = MockBalanceRepo::new();
        repo.expect_due_users().returning(|_| Ok(vec![user(1), user(2)]));
        expects_expiry(&mut repo, vec![1, 2], Err(reply));
        let swept = ledger(repo).sweep(50).await.unwrap();
        assert_eq!((swept.due, swept.done(), swept.failures.len()), (2, 2 - fails, fails));
    }
}

#[tokio::test]
async fn a_failed_store_gives_its_own_error() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_execute().returning(|_| Err(RepoError::Unknown("the link broke".into())));
    repo.expect_accounts().returning(|_| Err(away()));
    repo.expect_due_users().returning(|_| Err(away()));
    repo.expect_operation_by_key().returning(|_, _| Err(away()));
    repo.expect_ready().returning(|| Err(away()));
    let ledger = ledger(repo);
    let one = ledger.submit_one(deposit("k", 1, 1).into()).await;
    assert!(matches!(one, Err(SubmitError::Failed(RepoError::Unknown(_)))), "{one:?}");
    assert!(matches!(ledger.submit(vec![close(1).into()]).await, Err(RepoError::Unknown(_))));
    assert!(matches!(ledger.account(user(1)).await, Err(RepoError::Unavailable(_))));
    assert!(matches!(ledger.operations(history()).await, Err(RepoError::Unavailable(_))));
    assert!(matches!(ledger.sweep(1).await, Err(RepoError::Unavailable(_))));
    assert!(matches!(ledger.operation_by_key(user(1), key("k")).await, Err(RepoError::Unavailable(_))));
    assert!(matches!(ledger.ready().await, Err(RepoError::Unavailable(_))));
}

#[tokio::test]
async fn a_store_that_gives_no_reply_has_failed_inside() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_execute().returning(|_| Ok(Vec::new()));
    let reply = ledger(repo).submit_one(deposit("k", 1, 1).into()).await;
    assert!(matches!(reply, Err(SubmitError::Failed(RepoError::Internal(_)))), "{reply:?}");
}
