//! What a batch promises to each submission in it.

use balance_domain::{
    Account, Decision, Rejection, Reservation, Submission, decide, decide_batch, decide_batch_by,
};

use crate::{
    play::{balance, funded, receipts, run},
    script::{
        at, atomic, capture_part, close, deposit, each, expire, key, moment, order, release, reserve,
        reserve_for, service, transfer, user, withdraw,
    },
    store::{Answer, Store},
};

#[test]
fn an_atomic_submission_sees_what_its_neighbours_did_before_it() {
    let mut store = Store::new();
    let the = order(1, 1, 1);
    let batch = [
        deposit("d", 1, 50).into(),
        reserve("r", the, 20).into(),
        atomic([capture_part("c", the, Some(5)), transfer("t", 1, 2, 30), withdraw("w", 2, 30)]),
        release("e", the).into(),
    ];
    for answer in store.execute(&batch, at(1)) {
        receipts(answer);
    }
    assert_eq!((balance(&store, 1), balance(&store, 2)), ((15, 0), (0, 0)));
    assert!(store.audit().is_clean());
}

#[test]
fn an_atomic_submission_is_rejected_whole_at_the_first_command_refused() {
    let mut store = funded(50);
    let before = store.clone();
    let batch =
        atomic([transfer("t", 1, 2, 30), reserve("r", order(1, 1, 1), 20), withdraw("w", 1, 1), close(9)]);
    let answers = store.execute(&[batch], at(1));
    assert_eq!(answers, [Answer::Rejected(2, Rejection::InsufficientFunds { available: 0 })]);
    assert_eq!(store, before);
}

#[test]
fn a_submission_without_commands_is_accepted_and_changes_nothing() {
    let mut store = funded(50);
    let before = store.clone();
    assert_eq!(store.execute(&[atomic([])], at(1)), [Answer::Accepted(Vec::new())]);
    assert_eq!(store, before);
}

#[test]
fn a_service_is_marked_as_used_once_and_not_by_a_rejected_submission() {
    let store = funded(50);
    let reserve_1 = |key: &str, order_id| reserve(key, order(1, 1, order_id), 10);
    let used = |submissions: &[Submission]| {
        let needs = balance_domain::Needs::of(submissions);
        decide_batch(store.load(&needs, at(1)), submissions, moment(at(1))).changes.services_used
    };
    assert_eq!(
        used(&[atomic([reserve_1("a", 1), reserve_1("b", 2)]), reserve_1("c", 3).into()]),
        [service(1)]
    );
    assert_eq!(used(&[atomic([reserve_1("a", 1), withdraw("w", 1, 50)])]), []);
    assert_eq!(used(&each([reserve("a", order(1, 2, 1), 1), reserve_1("b", 1)])), [service(1), service(2)]);
}

#[test]
fn a_decider_that_panics_fails_its_own_submission_and_no_other() {
    let store = funded(100);
    let submissions = [
        withdraw("a", 1, 10).into(),
        atomic([withdraw("b", 1, 20), withdraw("bomb", 1, 30)]),
        withdraw("c", 1, 40).into(),
    ];
    let needs = balance_domain::Needs::of(&submissions);
    let bomb = key("bomb");
    let panicking = |state: &_, command: &_, actor, now| -> Result<Decision, Rejection> {
        if let balance_domain::Command::Money(money) = command {
            assert_ne!(money.key, bomb, "boom");
        }
        decide(state, command, actor, now)
    };
    let decided = decide_batch_by(panicking, store.load(&needs, at(1)), &submissions, moment(at(1)));
    let answers: Vec<Answer> = decided.replies.into_iter().map(Answer::from).collect();
    let Answer::Failed(text) = &answers[1] else { panic!("{answers:?}") };
    assert!(text.contains("boom"), "{text}");
    let neighbours = [withdraw("a", 1, 10).into(), withdraw("c", 1, 40).into()];
    let without = decide_batch(store.load(&needs, at(1)), &neighbours, moment(at(1)));
    assert_eq!(decided.changes, without.changes);
    let replies: Vec<Answer> = without.replies.into_iter().map(Answer::from).collect();
    assert_eq!(vec![answers[0].clone(), answers[2].clone()], replies);
}

/// A due reservation whose money the account does not hold, or which holds none: nothing that such a user asks
/// for can be right, and everybody else's can.
#[test]
fn damaged_rows_of_a_due_reservation_fail_the_submissions_of_their_user_alone() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    run(&mut store, 0, [reserve_for("a", the, 40, 60), deposit("x", 2, 70)]);
    let damages: [fn(&mut Account, &mut Reservation); 3] = [
        |account, _| account.reserved = 39,
        |_, reservation| reservation.captured = 40,
        |_, reservation| reservation.released = 41,
    ];
    for damage in damages {
        let mut store = store.clone();
        damage(store.accounts.get_mut(&user(1)).unwrap(), store.reservations.get_mut(&the).unwrap());
        let before = store.clone();
        let batch = [
            expire(1).into(),
            withdraw("b", 1, 1).into(),
            deposit("start", 1, 100).into(),
            transfer("c", 2, 1, 5).into(),
            atomic([deposit("d", 2, 1), transfer("e", 2, 1, 5)]),
            withdraw("f", 2, 70).into(),
        ];
        let answers = store.execute(&batch, at(60));
        for failed in [0, 1, 3, 4] {
            let Answer::Failed(text) = &answers[failed] else { panic!("{answers:?}") };
            assert!(text.contains("user 1"), "{text}");
        }
        assert!(matches!(answers[2], Answer::Accepted(_)), "a repeat needs no balance: {answers:?}");
        assert!(matches!(answers[5], Answer::Accepted(_)), "{answers:?}");
        assert_eq!(balance(&store, 2), (0, 0));
        assert_eq!(store.accounts[&user(1)], before.accounts[&user(1)], "damaged rows are left as they are");
        assert_eq!(store.reservations, before.reservations);
    }
}
