//! Every message that one request sends to PostgreSQL is broken once: the k-th for each k, before and after
//! the server gets it, by a reset and by a close, for three shapes of a batch. Exhaustive where the other runs
//! are random.

use std::time::Duration;

use anyhow::bail;

use crate::{
    history::{MoneyAction, MoneyCall, OrderRef},
    pgproxy::{Fault, Rule, Side, Trigger},
    report::{Reporter, RunReport},
    runs::{
        RunOptions, progress,
        round::{Round, Shape},
    },
    supervisor::{Stage, StageOptions, Store},
};

/// No request sends more messages than this.
const MESSAGES_MAX: u64 = 400;

/// What is sent while a message of it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// One deposit.
    Deposit,
    /// One transfer between two accounts.
    Transfer,
    /// Twenty commands of all kinds as one request.
    Mixed,
}

/// Breaks every message. With `shapes` below 3 only the first batch shapes are tried. All of it twice: with instances
/// that cache accounts, and with one that reads a snapshot each time.
pub async fn every_round_trip(options: &RunOptions, shapes: usize) -> anyhow::Result<RunReport> {
    let name = "every-round-trip";
    let mut reporter = Reporter::new(name, options.seed, "message broken");
    let bar = progress(name, 0);
    let mut round_number = 0;
    for caches_accounts in [true, false] {
        let mut stage = stage(options, caches_accounts).await?;
        for batch in [Batch::Deposit, Batch::Transfer, Batch::Mixed].into_iter().take(shapes) {
            for side in [Side::Before, Side::After] {
                for fault in [Fault::Reset, Fault::Cut] {
                    let round = Round::prepare(&stage, round_number, options.seed, Shape::MIXED).await?;
                    let broken = break_each(&stage, &round, batch, side, fault).await?;
                    reporter.trials(broken);
                    reporter.figure(figure(batch, caches_accounts), broken);
                    bar.inc(broken);
                    round.finish(&mut stage, &mut reporter).await?;
                    round_number += 1;
                }
            }
        }
    }
    Ok(reporter.finish())
}

async fn stage(options: &RunOptions, caches_accounts: bool) -> anyhow::Result<Stage> {
    Stage::start(StageOptions {
        binary: options.binary.clone(),
        store: Store::Postgres,
        instances: 1,
        with_proxy: true,
        sweep_interval: Duration::ZERO,
        caches_accounts,
        keep: options.keep.clone(),
    })
    .await
}

const fn figure(batch: Batch, caches_accounts: bool) -> &'static str {
    match (batch, caches_accounts) {
        (Batch::Deposit, true) => "points_deposit",
        (Batch::Transfer, true) => "points_transfer",
        (Batch::Mixed, true) => "points_mixed",
        (Batch::Deposit, false) => "points_deposit_fresh",
        (Batch::Transfer, false) => "points_transfer_fresh",
        (Batch::Mixed, false) => "points_mixed_fresh",
    }
}

/// Breaks message 1, 2, 3 … until a request gets through without reaching the next.
async fn break_each(
    stage: &Stage,
    round: &Round,
    batch: Batch,
    side: Side,
    fault: Fault,
) -> anyhow::Result<u64> {
    let Some(proxy) = &stage.proxy else { bail!("no proxy") };
    for user_id in round.users() {
        let deposit = MoneyAction::Deposit { user_id: *user_id, amount: 1_000_000 };
        round.load.money(0, format!("first-{user_id}"), deposit).await;
    }
    for message in 1..=MESSAGES_MAX {
        // A connection that is open and warm, whatever the last fault left.
        let warm = MoneyAction::Deposit { user_id: round.users()[0], amount: 1 };
        round.load.money(0, format!("warm-{message}"), warm).await;
        let fired = proxy.fired();
        proxy.arm(Rule { trigger: Trigger::Message(message), side, fault });
        send(round, batch, message).await;
        proxy.disarm();
        if proxy.fired() == fired {
            return Ok(message - 1);
        }
        round.load.resolve(Duration::from_secs(30)).await;
    }
    bail!("a request sends more than {MESSAGES_MAX} messages")
}

async fn send(round: &Round, batch: Batch, number: u64) {
    let (user, other) = (round.users()[1], round.users()[2]);
    match batch {
        Batch::Deposit => {
            let action = MoneyAction::Deposit { user_id: user, amount: 7 };
            round.load.money(0, format!("k-{number}"), action).await;
        }
        Batch::Transfer => {
            let action = MoneyAction::Transfer { from_user_id: user, to_user_id: other, amount: 7 };
            round.load.money(0, format!("k-{number}"), action).await;
        }
        Batch::Mixed => round.load.batch(0, &mixed(round, number), false).await,
    }
}

/// Ten kinds of work over several users and two orders, some of it refused.
fn mixed(round: &Round, number: u64) -> Vec<MoneyCall> {
    let (users, service_id) = (round.users(), round.services()[0]);
    let order_id = i64::try_from(number).unwrap_or(1);
    let mut actions = Vec::new();
    for pair in [[1, 2], [4, 3]] {
        let (user_id, to_user_id) = (users[pair[0]], users[pair[1]]);
        let order = OrderRef { user_id, service_id, order_id };
        actions.extend([
            MoneyAction::Deposit { user_id, amount: 500 },
            MoneyAction::Withdraw { user_id, amount: 3 },
            MoneyAction::Withdraw { user_id, amount: 1_000_000_000 },
            MoneyAction::Transfer { from_user_id: user_id, to_user_id, amount: 11 },
            MoneyAction::Transfer { from_user_id: to_user_id, to_user_id: user_id, amount: 5 },
            MoneyAction::Reserve { order, amount: 100, expires_in_seconds: 600 },
            MoneyAction::Capture { order, amount: Some(30), is_final: false },
            MoneyAction::Capture { order, amount: Some(20), is_final: true },
            MoneyAction::Refund { order, amount: Some(10) },
            MoneyAction::Release { order },
        ]);
    }
    let call = |(position, action): (usize, MoneyAction)| {
        let key = format!("k-{number}-{position}");
        MoneyCall { comment: format!("for {key}"), key, action }
    };
    actions.into_iter().enumerate().map(call).collect()
}
