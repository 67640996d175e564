//! Random scripts: few users, few orders, few keys, so that commands meet each other often.

use balance_domain::{BALANCE_MAX, Command, IdempotencyKey, MoneyCommand, ReservationKey, Submission};
use proptest::{collection::vec, prelude::*, strategy::Union};

use crate::script::{
    atomic, capture, capture_part, close, deposit, each, expire, extend, key, order, refund, release,
    reserve, reserve_for, saying, transfer, withdraw,
};

/// What happens at one time.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Seconds since the step before; the clock may step back.
    pub(crate) seconds: i64,
    pub(crate) batch: Vec<Submission>,
}

/// A command to be, before keys and repeats are filled in.
#[derive(Clone, Debug)]
enum Plan {
    New(Command, u8),
    /// The command that was sent this many commands ago.
    Repeat(usize),
}

/// Amounts of everyday size.
pub(crate) fn small() -> BoxedStrategy<i64> {
    prop_oneof![5 => 1..=100_i64, 2 => 1..=5_i64, 3 => Just(50_i64)].boxed()
}

/// Amounts where sums meet the limit of a balance.
pub(crate) fn huge() -> BoxedStrategy<i64> {
    prop_oneof![
        2 => BALANCE_MAX - 8..=BALANCE_MAX,
        2 => BALANCE_MAX / 2 - 4..=BALANCE_MAX / 2 + 4,
        1 => (0..53_u32).prop_map(|bit| 1_i64 << bit),
        1 => 1..=8_i64,
    ]
    .boxed()
}

/// A script of up to `steps_max` steps, after deposits to users 1 and 2.
pub(crate) fn script(amounts: &BoxedStrategy<i64>, steps_max: usize) -> impl Strategy<Value = Vec<Step>> {
    let funding = vec(amounts.clone(), 2);
    let plan = prop_oneof![
        9 => (command(amounts), any::<u8>()).prop_map(|(command, key)| Plan::New(command, key)),
        2 => (0..40_usize).prop_map(Plan::Repeat),
    ];
    let submission = prop_oneof![3 => vec(plan.clone(), 1), 1 => vec(plan, 2..5)];
    let seconds = prop_oneof![4 => 0..40_i64, 1 => -90..0_i64, 1 => 100..900_i64];
    let steps = vec((seconds, vec(submission, 1..10)), 1..=steps_max);
    (funding, steps).prop_map(|(funding, steps)| {
        let first = Step {
            seconds: 0,
            batch: each((1..).zip(funding).map(|(user, amount)| deposit("fund", user, amount))),
        };
        std::iter::once(first).chain(fill_in(steps)).collect()
    })
}

fn fill_in(steps: Vec<(i64, Vec<Vec<Plan>>)>) -> Vec<Step> {
    let mut asked: Vec<Command> = Vec::new();
    let mut fill = |plan| {
        let command = match plan {
            Plan::New(command, number) => under_key(command, &key(&format!("k{number}"))),
            Plan::Repeat(ago) => asked.iter().rev().nth(ago).cloned().unwrap_or_else(|| expire(1)),
        };
        asked.push(command.clone());
        command
    };
    let mut step = |(seconds, batch): (i64, Vec<Vec<Plan>>)| Step {
        seconds,
        batch: batch.into_iter().map(|plans| atomic(plans.into_iter().map(&mut fill))).collect(),
    };
    steps.into_iter().map(&mut step).collect()
}

fn under_key(command: Command, key: &IdempotencyKey) -> Command {
    match command {
        Command::Money(command) => Command::Money(MoneyCommand { key: key.clone(), ..command }),
        other => other,
    }
}

/// Mostly the same few, or nothing would be left to capture and refund; user 3 has none and can be closed.
fn an_order() -> impl Strategy<Value = ReservationKey> {
    let service = prop_oneof![12 => Just(1_i64), 4 => Just(2_i64), 1 => 3..=4_i64];
    let number = prop_oneof![4 => Just(1_i64), 1 => Just(2_i64)];
    (1..=2_i64, service, number).prop_map(|(user, service, number)| order(user, service, number))
}

fn command(amounts: &BoxedStrategy<i64>) -> BoxedStrategy<Command> {
    let user = || 1..=3_i64;
    let optional = || prop::option::of(amounts.clone());
    let seconds = || 1..=300_u32;
    let kinds: Vec<(u32, BoxedStrategy<Command>)> = vec![
        (6, (user(), amounts.clone()).prop_map(|(user, amount)| deposit("k", user, amount)).boxed()),
        (2, (user(), amounts.clone()).prop_map(|(user, amount)| withdraw("k", user, amount)).boxed()),
        (
            3,
            (user(), user(), amounts.clone())
                .prop_map(|(from, to, amount)| transfer("k", from, to, amount))
                .boxed(),
        ),
        (3, (an_order(), amounts.clone()).prop_map(|(the, amount)| reserve("k", the, amount)).boxed()),
        (
            4,
            (an_order(), amounts.clone(), seconds())
                .prop_map(|(the, amount, seconds)| reserve_for("k", the, amount, seconds))
                .boxed(),
        ),
        (3, (an_order(), optional()).prop_map(|(the, amount)| capture("k", the, amount)).boxed()),
        (4, (an_order(), optional()).prop_map(|(the, amount)| capture_part("k", the, amount)).boxed()),
        (2, an_order().prop_map(|the| release("k", the)).boxed()),
        (5, (an_order(), optional()).prop_map(|(the, amount)| refund("k", the, amount)).boxed()),
        (2, (an_order(), seconds()).prop_map(|(the, seconds)| extend(the, seconds)).boxed()),
        (1, user().prop_map(expire).boxed()),
        (2, prop_oneof![1 => 1..=2_i64, 4 => Just(3_i64)].prop_map(close).boxed()),
    ];
    let comment = prop_oneof![3 => Just(None), 1 => Just(Some("")), 1 => Just(Some("for a reason"))];
    (Union::new_weighted(kinds), comment)
        .prop_map(|(command, comment)| match comment {
            Some(comment) => saying(comment, command),
            None => command,
        })
        .boxed()
}
