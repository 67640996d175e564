//! What holds after every batch of every script, however it is cut into batches.

use std::collections::BTreeMap;

use balance_domain::{
    Account, AccountStatus, BALANCE_MAX, Command, Decision, IdempotencyKey, Needs, OperationKind, Receipt,
    Rejection, ReservationState, State, Submission, Timestamp, UserId, decide, decide_batch, decide_batch_by,
};
use proptest::prelude::*;

use crate::{
    script::{at, expire, key, moment},
    scripts::{Step, huge, script, small},
    store::{Answer, Store},
};

/// Executes the steps and shows each to the observer.
fn play(
    steps: &[Step],
    mut observe: impl FnMut(&Store, &[Submission], &[Answer], Timestamp),
) -> (Store, i64) {
    let (mut store, mut seconds) = (Store::new(), 0);
    for step in steps {
        seconds += step.seconds;
        let answers = store.execute(&step.batch, at(seconds));
        observe(&store, &step.batch, &answers, at(seconds));
    }
    (store, seconds)
}

/// The sum of all operations of these kinds; sums of many balances are wider than a balance.
fn moved(store: &Store, kind: OperationKind) -> i128 {
    let all = store.operations.values().map(|recorded| &recorded.operation);
    all.filter(|operation| operation.kind == kind).map(|operation| i128::from(operation.amount.get())).sum()
}

/// paid in = available + reserved + revenue + paid out.
fn money_is_conserved(store: &Store) {
    let held: i128 = store.accounts.values().map(|a| i128::from(a.available) + i128::from(a.reserved)).sum();
    let revenue = moved(store, OperationKind::Capture) - moved(store, OperationKind::Refund);
    let paid_out = moved(store, OperationKind::Withdrawal);
    assert_eq!(moved(store, OperationKind::Deposit), held + revenue + paid_out);
    assert_eq!(moved(store, OperationKind::TransferOut), moved(store, OperationKind::TransferIn));
}

fn balances_stay_within_bounds(store: &Store) {
    for Account { user_id, available, reserved, .. } in store.accounts.values() {
        assert!(*available >= 0 && *reserved >= 0 && available + reserved <= BALANCE_MAX, "user {user_id}");
        let of_user = store.reservations.values().filter(|r| r.key.user_id == *user_id);
        let active = of_user.filter(|r| r.state == ReservationState::Active);
        assert_eq!(
            *reserved,
            active.map(balance_domain::Reservation::remaining).sum::<i64>(),
            "user {user_id}"
        );
    }
    for r in store.reservations.values() {
        assert!(r.captured >= 0 && r.released >= 0 && r.captured + r.released <= r.amount.get(), "{r:?}");
        assert!((0..=r.captured).contains(&r.refunded), "{r:?}");
        assert_eq!(r.remaining() > 0, r.state == ReservationState::Active, "{r:?}");
        assert!(r.created_at < r.expires_at, "{r:?}");
    }
}

fn histories_have_no_gap_and_run_forward(store: &Store) {
    for account in store.accounts.values() {
        let (mut seq, mut last_at) = (0, Timestamp::MIN);
        for recorded in store.history(account.user_id) {
            let operation = &recorded.operation;
            seq += 1;
            assert_eq!(operation.seq, seq);
            assert!(operation.created_at >= last_at, "user {} at {seq}", account.user_id);
            last_at = operation.created_at;
        }
        assert_eq!((account.seq, account.last_at), (seq, last_at), "user {}", account.user_id);
    }
}

fn books_are_sound(store: &Store) {
    money_is_conserved(store);
    balances_stay_within_bounds(store);
    histories_have_no_gap_and_run_forward(store);
    let summary = store.audit();
    assert!(summary.is_clean(), "{summary:#?}");
}

/// What a command is answered once its user is gone: the receipt without free text.
fn without_comment(receipt: &Receipt) -> Receipt {
    match receipt.clone() {
        Receipt::Operation(operation) => {
            Receipt::Operation(balance_domain::Operation { comment: None, ..operation })
        }
        other => other,
    }
}

fn is_money(command: &Command) -> bool {
    matches!(command, Command::Money(_))
}

/// First answers by key. Within a batch a receipt may come before or after its account was closed.
#[derive(Default)]
struct Memory(BTreeMap<(UserId, IdempotencyKey), Receipt>);

impl Memory {
    fn compare(&mut self, batch: &[Submission], answers: &[Answer]) {
        for (submission, answer) in batch.iter().zip(answers) {
            let Answer::Accepted(accepted) = answer else { continue };
            let mut keyed = submission.commands.iter().zip(accepted).filter(|(command, _)| is_money(command));
            let is_repeat = keyed.next().is_some_and(|(_, first)| first.is_replay)
                && keyed.all(|(_, accepted)| accepted.is_replay);
            for (command, accepted) in submission.commands.iter().zip(accepted) {
                let Command::Money(money) = command else {
                    assert!(
                        !accepted.is_replay || is_repeat,
                        "{command:?} has no key, and keys beside it are new"
                    );
                    continue;
                };
                let scope = (money.action.user_id(), money.key.clone());
                if let Some(first) = self.0.get(&scope) {
                    assert!(accepted.is_replay, "{command:?} happened twice");
                    assert_eq!(without_comment(&accepted.receipt), without_comment(first));
                } else {
                    assert!(!accepted.is_replay, "{command:?} never happened");
                    self.0.insert(scope, accepted.receipt.clone());
                }
            }
        }
    }

    /// Everything ever accepted, asked again one by one.
    fn ask_again(&self, store: &mut Store, steps: &[Step], now: Timestamp) {
        let before = store.clone();
        let commands = steps.iter().flat_map(|step| &step.batch).flat_map(|submission| &submission.commands);
        for command in commands {
            let Command::Money(money) = command else { continue };
            let Some(first) = self.0.get(&(money.action.user_id(), money.key.clone())) else { continue };
            let closed = store.accounts[&money.action.user_id()].status == AccountStatus::Closed;
            match store.execute(&[command.clone().into()], now).remove(0) {
                Answer::Accepted(accepted) => {
                    let expected = if closed { without_comment(first) } else { first.clone() };
                    assert!(accepted[0].is_replay);
                    assert_eq!(accepted[0].receipt, expected);
                }
                Answer::Rejected(_, rejection) => assert_eq!(rejection, Rejection::IdempotencyKeyReused),
                Answer::Failed(text) => panic!("{text}"),
            }
        }
        assert_eq!(store.history_of_requests(), before.history_of_requests(), "repeats move nothing");
    }
}

proptest! {
    // 128 cases each, or half of what PROPTEST_CASES says.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn books_are_sound_after_every_batch(steps in script(&small(), 12)) {
        play(&steps, |store, _, _, _| books_are_sound(store));
    }

    #[test]
    fn books_are_sound_where_amounts_meet_their_limits(steps in script(&huge(), 12)) {
        play(&steps, |store, _, answers, _| {
            books_are_sound(store);
            assert!(!answers.iter().any(|answer| matches!(answer, Answer::Failed(_))), "{answers:?}");
        });
    }

    #[test]
    fn a_repeat_gets_the_first_answer_at_once_and_ever_after(steps in script(&small(), 10)) {
        let mut memory = Memory::default();
        let (mut store, seconds) = play(&steps, |_, batch, answers, _| memory.compare(batch, answers));
        memory.ask_again(&mut store, &steps, at(seconds + 1_000_000));
    }

    #[test]
    fn a_rejected_submission_is_as_if_it_had_not_been_there(steps in script(&small(), 8)) {
        let mut before = Store::new();
        play(&steps, |after, batch, answers, now| {
            let rows = || before.load(&Needs::of(batch), now);
            let accepted: Vec<Submission> = batch
                .iter()
                .zip(answers)
                .filter(|(_, answer)| matches!(answer, Answer::Accepted(_)))
                .map(|(submission, _)| submission.clone())
                .collect();
            let (all, without) = (decide_batch(rows(), batch, moment(now)), decide_batch(rows(), &accepted, moment(now)));
            assert_eq!(all.changes, without.changes);
            let kept: Vec<Answer> = without.replies.into_iter().map(Answer::from).collect();
            let expected: Vec<Answer> =
                answers.iter().filter(|answer| matches!(answer, Answer::Accepted(_))).cloned().collect();
            assert_eq!(kept, expected);
            before = after.clone();
        });
    }

    #[test]
    fn how_submissions_are_cut_into_batches_makes_no_difference(
        steps in script(&small(), 10),
        cuts in proptest::collection::vec(1..6_usize, 1..20),
    ) {
        let (last, earlier) = (steps.len() / 2, &steps[..steps.len() / 2]);
        let (store, seconds) = play(earlier, |_, _, _, _| {});
        let submissions: Vec<Submission> = steps[last..].iter().flat_map(|step| step.batch.clone()).collect();
        let now = at(seconds + steps[last].seconds);
        let run = |mut sizes: Box<dyn Iterator<Item = usize>>| {
            let (mut store, mut rest, mut answers) = (store.clone(), &submissions[..], Vec::new());
            while !rest.is_empty() {
                let (batch, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                answers.extend(store.execute(batch, now));
                rest = later;
            }
            (answers, store)
        };
        let whole = run(Box::new(std::iter::repeat(usize::MAX)));
        prop_assert_eq!(&run(Box::new(std::iter::repeat(1))), &whole);
        prop_assert_eq!(&run(Box::new(cuts.into_iter().cycle())), &whole);
    }

    #[test]
    fn a_submission_that_panics_takes_no_other_with_it(steps in script(&small(), 6), bomb in 0..40_u8) {
        let (store, seconds) = play(&steps[..steps.len() - 1], |_, _, _, _| {});
        let (batch, now) = (&steps[steps.len() - 1].batch, at(seconds));
        let bomb = key(&format!("k{bomb}"));
        let panicking = |state: &State, command: &Command, actor, now| -> Result<Decision, Rejection> {
            let decision = decide(state, command, actor, now);
            match command {
                Command::Money(money) if money.key <= bomb => std::panic::resume_unwind(Box::new("boom")),
                _ => decision,
            }
        };
        let decided = decide_batch_by(panicking, store.load(&Needs::of(batch), now), batch, moment(now));
        let answers: Vec<Answer> = decided.replies.into_iter().map(Answer::from).collect();
        let sound: Vec<usize> =
            (0..batch.len()).filter(|at| !matches!(answers[*at], Answer::Failed(_))).collect();
        let alone: Vec<Submission> = sound.iter().map(|at| batch[*at].clone()).collect();
        let expected = decide_batch(store.load(&Needs::of(batch), now), &alone, moment(now));
        prop_assert_eq!(decided.changes, expected.changes);
        let expected: Vec<Answer> = expected.replies.into_iter().map(Answer::from).collect();
        prop_assert_eq!(sound.iter().map(|at| answers[*at].clone()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_expiry_leaves_nothing_due_and_moves_no_money_between_users(
        steps in script(&small(), 8),
        later in 0..900_i64,
    ) {
        let (mut store, seconds) = play(&steps, |_, _, _, _| {});
        let now = at(seconds + later);
        let totals = |store: &Store| store.accounts.values().map(Account::total).collect::<Vec<_>>();
        let before = totals(&store);
        store.execute(&[1, 2, 3].map(|user| expire(user).into()), now);
        prop_assert_eq!(totals(&store), before);
        let needs = Needs::of(&[1, 2, 3].map(|user| Submission::from(expire(user))));
        prop_assert_eq!(store.load(&needs, now).reservations, Vec::new());
    }
}

/// Proves the generator: scripts reach every outcome, so that the properties above are about something.
#[test]
fn scripts_reach_every_kind_of_operation_and_every_rejection() {
    use proptest::{
        strategy::{Strategy, ValueTree},
        test_runner::TestRunner,
    };
    let mut runner = TestRunner::deterministic();
    // How often each outcome was met.
    let (mut kinds, mut codes, mut replays) = (BTreeMap::new(), BTreeMap::new(), 0);
    for amounts in [small(), huge()] {
        let scripts = script(&amounts, 12);
        for _ in 0..150 {
            let steps = scripts.new_tree(&mut runner).unwrap().current();
            let (store, _) = play(&steps, |_, _, answers, _| {
                for answer in answers {
                    match answer {
                        Answer::Accepted(accepted) => {
                            replays += accepted.iter().filter(|a| a.is_replay).count();
                        }
                        Answer::Rejected(_, rejection) => *codes.entry(rejection.code()).or_insert(0) += 1,
                        Answer::Failed(text) => panic!("{text}"),
                    }
                }
            });
            for recorded in store.operations.values() {
                *kinds.entry(recorded.operation.kind.as_str()).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(kinds.len(), OperationKind::ALL.len(), "{kinds:?}");
    assert_eq!(codes.len(), 17, "{codes:?}");
    assert!(replays > 100 && kinds.values().all(|count| *count > 15), "{replays} {kinds:?}");
}
