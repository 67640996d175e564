//! A request happens once: retries, their scope, and their answers.

use balance_domain::{AccountStatus, Receipt, Rejection};

use crate::{
    play::{balance, funded, receipts, rejected, run, run_one},
    script::{
        at, atomic, capture, close, deposit, each, extend, order, refund, release, reserve, reserve_for,
        saying, transfer, user, withdraw,
    },
    store::{Answer, Store},
};

#[test]
fn defect_07_a_repeated_deposit_deposits_once_and_gives_the_first_receipt() {
    let mut store = Store::new();
    let first = run(&mut store, 0, [deposit("k", 1, 15)]).remove(0);
    run(&mut store, 1, [withdraw("w", 1, 10)]);
    let before = store.clone();
    let Answer::Accepted(again) = run_one(&mut store, 99, deposit("k", 1, 15)) else { panic!("refused") };
    assert!(again[0].is_replay);
    assert_eq!((again[0].receipt.clone(), &store), (first, &before));
    let other = run_one(&mut store, 99, deposit("k", 1, 16));
    assert_eq!((other, &store), (rejected(Rejection::IdempotencyKeyReused), &before));
}

#[test]
fn a_key_belongs_to_the_user_whose_money_moves_first() {
    let mut store = funded(100);
    run(&mut store, 1, [deposit("k", 2, 1), transfer("k", 1, 2, 5), deposit("k", 3, 1)]);
    assert_eq!((balance(&store, 1), balance(&store, 2), balance(&store, 3)), ((95, 0), (6, 0), (1, 0)));
    let reused = run_one(&mut store, 2, withdraw("k", 1, 1));
    assert_eq!(reused, rejected(Rejection::IdempotencyKeyReused));
}

#[test]
fn a_rejected_command_leaves_its_key_free() {
    let mut store = funded(100);
    let answers = store.execute(&each([withdraw("k", 1, 101), deposit("k", 1, 1)]), at(1));
    assert_eq!(answers[0], rejected(Rejection::InsufficientFunds { available: 100 }));
    assert_eq!(receipts(answers[1].clone()).len(), 1);
    assert_eq!(balance(&store, 1), (101, 0));
}

#[test]
fn a_repeat_within_one_submission_is_a_replay_and_moves_money_once() {
    let mut store = funded(100);
    let twice = atomic([withdraw("k", 1, 60), withdraw("k", 1, 60)]);
    let Answer::Accepted(accepted) = store.execute(&[twice], at(1)).remove(0) else { panic!("refused") };
    assert_eq!(accepted.iter().map(|a| a.is_replay).collect::<Vec<_>>(), [false, true]);
    assert_eq!(accepted[0].receipt, accepted[1].receipt);
    assert_eq!(balance(&store, 1), (40, 0));
    let reused = atomic([deposit("d", 1, 1), withdraw("k", 1, 1)]);
    assert_eq!(store.execute(&[reused], at(1)), [Answer::Rejected(1, Rejection::IdempotencyKeyReused)]);
    assert_eq!(balance(&store, 1), (40, 0));
}

#[test]
fn a_first_reserve_is_answered_again_after_the_same_order_was_reserved_again() {
    let mut store = funded(100);
    let the = order(1, 1, 1);
    let first = run(&mut store, 1, [reserve_for("a", the, 10, 60)]).remove(0);
    run(&mut store, 61, [reserve_for("b", the, 20, 60)]);
    let again = run(&mut store, 62, [reserve_for("a", the, 10, 60)]).remove(0);
    assert_eq!(again, first);
    assert_eq!(balance(&store, 1), (80, 20));
}

/// What a store reads after the closing has no comment; a repeat in the batch of the closing must not differ.
#[test]
fn a_repeat_after_the_closing_is_answered_without_the_erased_comment_in_any_batch() {
    let script = [
        saying("pocket money", deposit("d", 1, 5)),
        saying("rent", transfer("t", 1, 2, 5)),
        close(1),
        saying("pocket money", deposit("d", 1, 5)),
        saying("rent", transfer("t", 1, 2, 5)),
    ];
    let (mut together, mut apart) = (Store::new(), Store::new());
    let answers = together.execute(&each(script.clone()), at(0));
    let one_by_one: Vec<_> = script.into_iter().map(|command| run_one(&mut apart, 0, command)).collect();
    assert_eq!(answers, one_by_one);
    assert_eq!(together, apart);
    for (answer, is_replay, has_comment) in [(0, false, true), (3, true, false), (4, true, false)] {
        let Answer::Accepted(accepted) = &answers[answer] else { panic!("{answers:?}") };
        let Receipt::Operation(operation) = &accepted[0].receipt else { panic!("{accepted:?}") };
        assert_eq!(
            (accepted[0].is_replay, operation.comment.is_some()),
            (is_replay, has_comment),
            "{answer}"
        );
    }
    let received = store_comment(&together, 2);
    assert_eq!(received.as_deref(), Some("rent"), "the other side keeps its comment");
}

fn store_comment(store: &Store, id: i64) -> Option<String> {
    let last = store.history(user(id)).last()?;
    last.operation.comment.as_ref().map(|comment| comment.as_str().to_owned())
}

#[test]
fn a_repeat_inside_the_submission_that_closes_is_answered_without_the_comment() {
    let mut store = funded(5);
    let paid = saying("all", withdraw("w", 1, 5));
    let all = atomic([paid.clone(), close(1), paid]);
    let receipts = receipts(store.execute(&[all], at(1)).remove(0));
    let [Receipt::Operation(first), _, Receipt::Operation(again)] = &receipts[..] else {
        panic!("{receipts:?}")
    };
    assert_eq!((first.comment.is_some(), again.comment.is_some()), (true, false));
    assert_eq!(store.accounts[&user(1)].status, AccountStatus::Closed);
}

#[test]
fn a_closed_account_answers_repeats_and_nothing_else() {
    let mut store = funded(5);
    run(&mut store, 1, [withdraw("w", 1, 5), close(1)]);
    let before = store.clone();
    run(&mut store, 2, [deposit("start", 1, 5), withdraw("w", 1, 5)]);
    let gone = rejected(Rejection::AccountClosed(user(1)));
    let the = order(1, 1, 1);
    let others = [
        deposit("a", 1, 1),
        withdraw("b", 1, 1),
        transfer("c", 1, 2, 1),
        reserve("d", the, 1),
        capture("e", the, None),
        release("f", the),
        refund("g", the, None),
        extend(the, 1),
        close(1),
    ];
    for command in others {
        assert_eq!(run_one(&mut store, 3, command), gone);
    }
    assert_eq!(store, before);
}
