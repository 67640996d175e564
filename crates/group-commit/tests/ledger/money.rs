//! Money under concurrency: sums are exact, keys work once, and nobody can tell how calls were cut into batches.

use std::{collections::HashSet, sync::Arc};

use balance_domain::{
    Account, Action, Amount, Command, IdempotencyKey, MoneyCommand, OrderId, Rejection, ReservationKey,
    ServiceId, ServiceName, Submission, TimeLimit, Ttl, UserId,
    ports::{BalanceRepo, Reply, ServiceRepo, SubmitError},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use balance_store_conformance::MemoryStore;
use tokio::{runtime::Builder, task::JoinSet};

use crate::grouped::Slow;

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).unwrap()
}

fn money(action: Action, key: &str) -> Command {
    Command::Money(MoneyCommand { action, key: IdempotencyKey::new(key).unwrap(), comment: None })
}

fn deposit(user_id: i64, minor_units: i64, key: &str) -> Vec<Submission> {
    vec![money(Action::Deposit { user_id: user(user_id), amount: amount(minor_units) }, key).into()]
}

fn withdrawal(user_id: i64, minor_units: i64, key: &str) -> Vec<Submission> {
    vec![money(Action::Withdraw { user_id: user(user_id), amount: amount(minor_units) }, key).into()]
}

async fn account(repo: &impl BalanceRepo, id: i64) -> Account {
    repo.accounts(vec![user(id)]).await.unwrap().pop().unwrap().unwrap().recorded
}

/// The answer to a call of one submission of one command.
fn only(replies: Vec<Reply>) -> Result<bool, Rejection> {
    match replies.into_iter().next().unwrap() {
        Ok(accepted) => Ok(accepted[0].is_replay),
        Err(SubmitError::Rejected { rejection, .. }) => Err(rejection),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_on_one_account_keep_exact_sums() {
    let store = Arc::new(Slow::new(MemoryStore::new()));
    let group = Arc::new(GroupCommit::new(store.clone(), GroupCommitOptions::default()));
    let mut clients = JoinSet::new();
    for client in 0..64_i64 {
        let group = group.clone();
        clients.spawn(async move {
            let mut balance = 0;
            for turn in 0..50_i64 {
                let paid_in = deposit(1, client + 1, &format!("in-{client}-{turn}"));
                assert_eq!(only(group.execute(paid_in).await.unwrap()), Ok(false));
                balance += client + 1;
                let paid_out = withdrawal(1, 2 * turn + 1, &format!("out-{client}-{turn}"));
                match only(group.execute(paid_out).await.unwrap()) {
                    Ok(_) => balance -= 2 * turn + 1,
                    Err(rejection) => assert!(matches!(rejection, Rejection::InsufficientFunds { .. })),
                }
                assert!(account(&*group, 1).await.available >= 0);
            }
            balance
        });
    }
    let expected: i64 = clients.join_all().await.into_iter().sum();
    assert_eq!(account(&*group, 1).await.available, expected);
    assert!(store.commits() < 64 * 50, "calls were merged: {} commits", store.commits());
}

#[test]
fn web_workers_on_runtimes_of_their_own_share_batches() {
    let lanes = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let memory = MemoryStore::new();
    let group = lanes.block_on(async {
        let store = Arc::new(Slow::new(memory.clone()));
        Arc::new(GroupCommit::new(store, GroupCommitOptions { lanes: 2, ..GroupCommitOptions::default() }))
    });
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let group = &group;
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let mut calls = JoinSet::new();
                    for call in 0..200 {
                        let group = group.clone();
                        let submissions = deposit(call % 5 + 1, 1, &format!("{worker}-{call}"));
                        calls.spawn(async move { only(group.execute(submissions).await.unwrap()) });
                    }
                    assert!(calls.join_all().await.into_iter().all(|answer| answer == Ok(false)));
                });
            });
        }
    });
    lanes.block_on(async {
        for id in 1..=5 {
            assert_eq!(account(&*group, id).await.available, 3 * 40);
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_and_come_back_pay_once() {
    let store = Arc::new(Slow::new(MemoryStore::new()));
    let group = Arc::new(GroupCommit::new(store, GroupCommitOptions::default()));
    let mut clients = JoinSet::new();
    for client in 0..500 {
        let group = group.clone();
        clients.spawn(async move {
            let pay = || {
                let group = group.clone();
                tokio::spawn(async move { group.execute(deposit(1, 3, &format!("{client}"))).await })
            };
            let hung_up = pay();
            for _ in 0..client % 7 {
                tokio::task::yield_now().await;
            }
            hung_up.abort();
            only(pay().await.unwrap().unwrap()).unwrap()
        });
    }
    let replays = clients.join_all().await.into_iter().filter(|is_replay| *is_replay).count();
    assert_eq!(account(&*group, 1).await.available, 3 * 500);
    assert!(replays > 0, "some that hung up had been executed");
}

#[tokio::test]
async fn a_panic_after_the_commit_does_not_pay_twice() {
    let store = Arc::new(Slow::panicking_after(MemoryStore::new(), 3));
    let group = Arc::new(GroupCommit::new(store, GroupCommitOptions::default()));
    let mut clients = JoinSet::new();
    for client in 0..200 {
        let group = group.clone();
        clients.spawn(async move {
            loop {
                // A client that gets "unknown" retries under the same key.
                if let Ok(replies) = group.execute(deposit(1, 1, &format!("{client}"))).await {
                    return only(replies).unwrap();
                }
            }
        });
        if client % 20 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let replays = clients.join_all().await.into_iter().filter(|is_replay| *is_replay).count();
    assert!(replays > 0, "the store did panic after a commit");
    assert_eq!(account(&*group, 1).await.available, 200);
}

/// A small generator of numbers, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % sides
    }

    /// A command on a few users, services, orders and keys, so that many meet.
    fn command(&mut self) -> Command {
        let reservation = ReservationKey {
            user_id: user(self.below(3) + 1),
            service_id: ServiceId::new(self.below(2) + 1).unwrap(),
            order_id: OrderId::new(self.below(2) + 1).unwrap(),
        };
        let user_id = reservation.user_id;
        let amount = amount(self.below(20) + 1);
        let time_limit = TimeLimit::Asked(Ttl::from_seconds(60).unwrap());
        let action = match self.below(9) {
            0..=2 => Action::Deposit { user_id, amount },
            3 => Action::Withdraw { user_id, amount },
            4 => Action::Transfer { from: user_id, to: user(self.below(3) + 1), amount },
            5 => Action::Reserve { reservation, amount, time_limit },
            6 => Action::Capture {
                reservation: reservation.into(),
                amount: Some(amount),
                is_final: self.below(2) == 0,
            },
            7 => Action::Release { reservation: reservation.into() },
            _ => Action::Refund { reservation: reservation.into(), amount: None },
        };
        money(action, &format!("key-{}", self.below(60)))
    }

    /// Submissions about one user each.
    fn call_of_lone_users(&mut self) -> Vec<Submission> {
        let commands = (0..=self.below(5)).map(|_| self.command());
        commands.filter(|command| command.user_ids().count() == 1).map(Submission::from).collect()
    }

    fn call(&mut self) -> Vec<Submission> {
        let submission = |dice: &mut Self| {
            Submission::from((0..=dice.below(3)).map(|_| dice.command()).collect::<Vec<_>>())
        };
        (0..=self.below(3)).map(|_| submission(self)).collect()
    }
}

async fn with_services() -> MemoryStore {
    let memory = MemoryStore::new();
    let services =
        [1, 2].map(|id| (ServiceId::new(id).unwrap(), ServiceName::new(format!("s{id}")).unwrap()));
    memory.add_services(services.into()).await.unwrap().unwrap();
    memory
}

/// Runs the calls one by one and concurrently through group commit, and compares the answers. Returns how many
/// commits the latter took.
async fn commits_that_nobody_can_tell(
    calls: Vec<Vec<Submission>>,
    options: GroupCommitOptions,
    seed: u64,
) -> usize {
    let one_by_one = with_services().await;
    let mut expected = Vec::new();
    for call in &calls {
        expected.push(format!("{:?}", one_by_one.execute(call.clone()).await.unwrap()));
    }

    let store = Arc::new(Slow::new(with_services().await));
    let group = Arc::new(GroupCommit::new(store.clone(), options));
    // On one thread tasks start in the order they were made, and within a lane that is the queue's order.
    let answers: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let group = group.clone();
            tokio::spawn(async move { group.execute(call).await })
        })
        .collect();
    for (answer, expected) in answers.into_iter().zip(expected) {
        assert_eq!(format!("{:?}", answer.await.unwrap().unwrap()), expected, "seed {seed}");
    }
    for id in 1..=3 {
        let both = (account_or_none(&one_by_one, id).await, account_or_none(&store.memory, id).await);
        assert_eq!(both.0, both.1, "seed {seed}");
    }
    store.commits()
}

#[tokio::test]
async fn how_calls_are_cut_into_batches_makes_no_difference() {
    let mut commits = 0;
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let calls = (0..40).map(|_| dice.call()).collect();
        let options =
            GroupCommitOptions { batch_commands_max: 1 << dice.below(9), ..GroupCommitOptions::default() };
        commits += commits_that_nobody_can_tell(calls, options, seed).await;
    }
    assert!((300..300 * 40 / 2).contains(&commits), "calls were merged, in many ways: {commits} commits");
}

/// With several lanes there is an order among the commands of one user alone.
#[tokio::test]
async fn how_calls_are_divided_among_lanes_makes_no_difference() {
    for lanes in 2..5 {
        let lanes_of_users: HashSet<_> = (1..=3).map(|id| user(id).bucket() % lanes).collect();
        assert!(lanes_of_users.len() > 1, "the three users have different lanes of {lanes}");
    }
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let calls = (0..40).map(|_| dice.call_of_lone_users()).collect();
        let options = GroupCommitOptions {
            lanes: usize::try_from(2 + dice.below(3)).unwrap(),
            batch_commands_max: 1 << dice.below(9),
            ..GroupCommitOptions::default()
        };
        commits_that_nobody_can_tell(calls, options, seed).await;
    }
}

async fn account_or_none(repo: &impl BalanceRepo, id: i64) -> Option<Account> {
    repo.accounts(vec![user(id)]).await.unwrap().pop().unwrap().map(|account| account.recorded)
}
