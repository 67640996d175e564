//! The driving side on a store that fails on demand.

use std::sync::Arc;

use balance_domain::{
    Account, AccountAsOf, AccountStatus, Actor, Command, Ledger, OperationFilter, OperationQuery,
    OperationSort, Page, Rejection, ReservationQuery, Submission,
    ports::{MockBalanceRepo, MockClock, RepoError, SubmitError},
};
use mockall::{Sequence, predicate::eq};

use crate::script::{at, close, deposit, expire, key, user};

fn ledger(repo: MockBalanceRepo) -> Ledger {
    let mut clock = MockClock::new();
    clock.expect_now().return_const(at(0));
    Ledger::new(Arc::new(repo), Arc::new(clock))
}

fn away() -> RepoError {
    RepoError::Unavailable("connection refused".into())
}

fn as_of(due_count: i64) -> AccountAsOf {
    let status = AccountStatus::Open;
    let recorded = Account { user_id: user(1), status, available: 5, reserved: 20, seq: 4, last_at: at(-60) };
    AccountAsOf { at: at(0), recorded, due_count, due_remaining: 10 * due_count }
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

/// A store that knows the account, with so many due reservations.
fn knowing(due_count: Option<i64>) -> MockBalanceRepo {
    let mut repo = MockBalanceRepo::new();
    repo.expect_accounts()
        .with(eq(vec![user(1)]), eq(at(0)))
        .returning(move |_, _| Ok(vec![due_count.map(as_of)]));
    repo
}

/// Expects the expiry of these users, once.
fn expects_expiry(repo: &mut MockBalanceRepo, users: Vec<i64>, reply: Result<(), SubmitError>) {
    let commands: Vec<Command> = users.into_iter().map(expire).collect();
    repo.expect_execute()
        .once()
        .withf(move |submissions, now| {
            *now == at(0)
                && submissions.iter().map(|s| s.commands.clone()).eq(commands.iter().map(|c| vec![c.clone()]))
        })
        .returning(move |submissions, _| {
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
    let mut repo = knowing(Some(2));
    repo.expect_execute()
        .once()
        .in_sequence(&mut order)
        .withf(|submissions, now| {
            *now == at(0) && submissions == &vec![Submission::from(expire(1)).by(Actor::Expiry)]
        })
        .returning(|_, _| Ok(vec![Ok(Vec::new())]));
    repo.expect_operations().once().in_sequence(&mut order).with(eq(history())).returning(|_| Ok(EMPTY));
    assert_eq!(ledger(repo).operations(history()).await.unwrap(), Some(EMPTY));
}

#[tokio::test]
async fn history_is_read_at_once_when_nothing_is_due() {
    let mut repo = knowing(Some(0));
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
    let mut repo = knowing(Some(1));
    expects_expiry(&mut repo, vec![1], Err(away().into()));
    repo.expect_operations().never();
    let answer = ledger(repo).operations(history()).await;
    assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn history_of_an_account_that_was_closed_in_between_is_read_all_the_same() {
    let mut repo = knowing(Some(1));
    let closed = SubmitError::Rejected { index: 0, rejection: Rejection::AccountClosed(user(1)) };
    expects_expiry(&mut repo, vec![1], Err(closed));
    repo.expect_operations().once().returning(|_| Ok(EMPTY));
    assert_eq!(ledger(repo).operations(history()).await.unwrap(), Some(EMPTY));
}

#[tokio::test]
async fn an_account_is_told_with_its_due_reservations_given_back() {
    let (account, now) = ledger(knowing(Some(2))).account(user(1)).await.unwrap();
    let account = account.unwrap();
    assert_eq!((account.available, account.reserved, account.seq, now), (25, 0, 6, at(0)));
    let (account, _) = ledger(knowing(None)).account(user(1)).await.unwrap();
    assert_eq!(account, None);
}

/// Reads that are merged are of the last caller's time: what is due by then must not be told as of an earlier one.
#[tokio::test]
async fn an_account_is_told_as_of_the_time_that_the_store_read_it_at() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_accounts()
        .returning(|_, _| Ok(vec![Some(balance_domain::AccountAsOf { at: at(5), ..as_of(1) })]));
    let (_, told) = ledger(repo).account(user(1)).await.unwrap();
    assert_eq!(told, at(5));
}

#[tokio::test]
async fn no_reservations_of_a_known_user_are_an_empty_page_and_of_an_unknown_one_none() {
    for (due_count, expected) in [(Some(0), Some(Page { items: Vec::new(), next: None })), (None, None)] {
        let mut repo = knowing(due_count);
        repo.expect_reservations()
            .with(eq(all_reservations()), eq(at(0)))
            .returning(|_, _| Ok(Page { items: Vec::new(), next: None }));
        assert_eq!(ledger(repo).reservations(all_reservations()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_sweep_expires_the_users_that_are_due_and_counts_them() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_due_users().with(eq(at(0)), eq(50)).returning(|_, _| Ok(vec![user(3), user(1)]));
    expects_expiry(&mut repo, vec![3, 1], Ok(()));
    let swept = ledger(repo).sweep(50).await.unwrap();
    assert_eq!((swept.due, swept.done()), (2, 2));
}

#[tokio::test]
async fn a_sweep_with_nothing_due_asks_nothing_of_the_store() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_due_users().returning(|_, _| Ok(Vec::new()));
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
        repo.expect_due_users().returning(|_, _| Ok(vec![user(1), user(2)]));
        expects_expiry(&mut repo, vec![1, 2], Err(reply));
        let swept = ledger(repo).sweep(50).await.unwrap();
        assert_eq!((swept.due, swept.done(), swept.failures.len()), (2, 2 - fails, fails));
    }
}

#[tokio::test]
async fn a_failed_store_gives_its_own_error() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_execute().returning(|_, _| Err(RepoError::Unknown("the link broke".into())));
    repo.expect_accounts().returning(|_, _| Err(away()));
    repo.expect_due_users().returning(|_, _| Err(away()));
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
    repo.expect_execute().returning(|_, _| Ok(Vec::new()));
    let reply = ledger(repo).submit_one(deposit("k", 1, 1).into()).await;
    assert!(matches!(reply, Err(SubmitError::Failed(RepoError::Internal(_)))), "{reply:?}");
}

#[tokio::test]
async fn a_submission_is_decided_at_the_time_of_the_clock() {
    let mut repo = MockBalanceRepo::new();
    repo.expect_execute()
        .once()
        .withf(|submissions, now| submissions == &vec![deposit("k", 1, 1).into()] && *now == at(0))
        .returning(|_, _| Ok(vec![Ok(Vec::new())]));
    assert!(ledger(repo).submit_one(deposit("k", 1, 1).into()).await.is_ok());
}
