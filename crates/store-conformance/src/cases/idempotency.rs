//! One effect per key, and the first answer for ever.

use balance_domain::{
    AccountStatus, Action, Actor, ApiKeyId, Command, Comment, MoneyCommand, Operation, Receipt, Rejection,
    Submission, TimeLimit,
};

use crate::teller::{
    Teller, amount, capture_of, deposit_of, operation_of, order, part_of, refund_of, rejection_of,
    release_of, reservation_of, reserve_of, seconds, transfer_of, under, user, withdrawal_of,
};

/// The defect of the origin: a retried deposit deposited twice.
pub async fn defect_07_a_repeated_deposit_deposits_once(teller: Teller) {
    let command = under("k", deposit_of(1, 100));
    let first = teller.accepted(command.clone()).await;
    assert!(!first.is_replay);
    teller.pass(3600);
    teller.deposit(1, 5).await;
    let again = teller.accepted(command).await;
    assert!(again.is_replay);
    assert_eq!(again.receipt, first.receipt);
    assert_eq!(teller.balance(1).await, (105, 0));
    assert_eq!(teller.by_key(1, "k").await, Some(operation_of(first.receipt)));
    assert_eq!(teller.by_key(1, "other").await, None);
    assert_eq!(teller.by_key(2, "k").await, None);
}

/// Every kind of command repeats word for word, even after all that followed it.
pub async fn every_command_repeats_its_first_answer(teller: Teller) {
    teller.add_services(&[7]).await;
    let key = order(1, 7, 1);
    let mut firsts: Vec<(MoneyCommand, Receipt)> = Vec::new();
    for action in [
        deposit_of(1, 1000),
        withdrawal_of(1, 100),
        transfer_of(1, 2, 100),
        reserve_of(key, 300, 600),
        part_of(key, 100),
        capture_of(key, Some(50)),
        refund_of(key, Some(20)),
        reserve_of(order(1, 7, 2), 50, 600),
        release_of(order(1, 7, 2)),
    ] {
        let mut command = teller.fresh(action);
        command.comment = Comment::new(format!("for {}", command.key)).ok();
        let receipt = teller.accepted(command.clone()).await.receipt;
        firsts.push((command, receipt));
        teller.pass(1);
    }
    let before = (teller.history(1).await, teller.account(1).await);
    teller.pass(3600);
    for (command, receipt) in firsts {
        let again = teller.accepted(command.clone()).await;
        assert!(again.is_replay, "{command:?}");
        assert_eq!(again.receipt, receipt, "{command:?}");
    }
    assert_eq!((teller.history(1).await, teller.account(1).await), before);
}

/// A key belongs to one meaning: whatever differs, it is refused, and the first answer stands.
pub async fn a_key_with_another_meaning_is_refused_over_every_field(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 1000).await;
    let reservation = order(1, 7, 1);
    let first = under("k", reserve_of(reservation, 100, 600));
    let receipt = teller.accepted(first.clone()).await.receipt;
    for other in other_meanings(&first) {
        let refused = teller.rejected(other.clone()).await;
        assert_eq!(refused, Rejection::IdempotencyKeyReused, "{other:?}");
    }
    assert_eq!(teller.accepted(first).await.receipt, receipt);
    assert_eq!(teller.balance(1).await, (900, 100));
}

fn other_meanings(first: &MoneyCommand) -> Vec<MoneyCommand> {
    let reservation = order(1, 7, 1);
    let asked = |ttl| TimeLimit::Asked(seconds(ttl));
    let reserve =
        |reservation, minor, time_limit| Action::Reserve { reservation, amount: amount(minor), time_limit };
    let mut others: Vec<MoneyCommand> = [
        reserve(order(1, 8, 1), 100, asked(600)),
        reserve(order(1, 7, 2), 100, asked(600)),
        reserve(reservation, 101, asked(600)),
        reserve(reservation, 100, asked(601)),
        reserve(reservation, 100, TimeLimit::Default(seconds(600))),
        capture_of(reservation, Some(100)),
        release_of(reservation),
        refund_of(reservation, Some(100)),
        deposit_of(1, 100),
        withdrawal_of(1, 100),
        transfer_of(1, 2, 100),
    ]
    .map(|action| under("k", action))
    .to_vec();
    for comment in ["", "c"] {
        let mut commented = first.clone();
        commented.comment = Comment::new(comment).ok();
        others.push(commented);
    }
    others
}

/// What is optional is part of the meaning, too.
pub async fn optional_fields_are_part_of_the_meaning(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 1000).await;
    let reservation = order(1, 7, 1);
    teller.reserve(reservation, 100, 600).await;
    teller.accepted(under("capture", capture_of(reservation, Some(100)))).await;
    for other in [capture_of(reservation, None), part_of(reservation, 100), capture_of(reservation, Some(99))]
    {
        assert_eq!(teller.rejected(under("capture", other)).await, Rejection::IdempotencyKeyReused);
    }
    teller.accepted(under("refund", refund_of(reservation, None))).await;
    let other = under("refund", refund_of(reservation, Some(100)));
    assert_eq!(teller.rejected(other).await, Rejection::IdempotencyKeyReused);
    teller.accepted(under("transfer", transfer_of(1, 2, 10))).await;
    let other = under("transfer", transfer_of(1, 3, 10));
    assert_eq!(teller.rejected(other).await, Rejection::IdempotencyKeyReused);
}

/// A time limit that we chose is not the caller's: a repeat after a change of configuration is the same request.
pub async fn a_default_time_limit_is_not_part_of_the_meaning(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let reserve = |ttl| {
        let time_limit = TimeLimit::Default(seconds(ttl));
        under("k", Action::Reserve { reservation: order(1, 7, 1), amount: amount(10), time_limit })
    };
    let first = teller.accepted(reserve(600)).await;
    let again = teller.accepted(reserve(1200)).await;
    assert!(again.is_replay);
    assert_eq!(again.receipt, first.receipt);
}

/// A rejection is not kept: the key may be tried again, even for something else.
pub async fn a_rejected_key_may_be_tried_again(teller: Teller) {
    teller.deposit(1, 10).await;
    let command = under("k", withdrawal_of(1, 20));
    assert_eq!(teller.rejected(command.clone()).await, Rejection::InsufficientFunds { available: 10 });
    assert_eq!(teller.by_key(1, "k").await, None);
    teller.deposit(1, 10).await;
    assert!(!teller.accepted(command).await.is_replay);
    teller.rejected(under("j", withdrawal_of(1, 20))).await;
    assert!(!teller.accepted(under("j", deposit_of(1, 1))).await.is_replay);
}

/// Keys belong to users: two users may use the same.
pub async fn keys_of_two_users_are_apart(teller: Teller) {
    for id in [1, 2] {
        assert!(!teller.accepted(under("k", deposit_of(id, 100))).await.is_replay);
    }
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((100, 0), (100, 0)));
}

/// Keys differ to the last bit: case, length, trailing signs.
pub async fn similar_keys_are_different_keys(teller: Teller) {
    let long = "k".repeat(255);
    let keys = ["k", "K", "kk", "k ", "k%", "k_", "k'", "k\\", "k\"", &long, &long[1..]];
    let keys: Vec<&str> = keys.into_iter().filter(|key| !key.contains(' ')).collect();
    for key in &keys {
        assert!(!teller.accepted(under(key, deposit_of(1, 1))).await.is_replay, "{key}");
    }
    for key in &keys {
        let operation = teller.by_key(1, key).await;
        assert_eq!(operation.and_then(|o| o.idempotency_key).map(|k| k.to_string()).as_deref(), Some(*key));
    }
    assert_eq!(teller.history(1).await.len(), keys.len());
}

/// The same request twice in one batch has one effect and one receipt.
pub async fn a_duplicate_in_one_batch_has_one_effect(teller: Teller) {
    let command = under("k", deposit_of(1, 100));
    let mut replies = teller.batch(vec![Submission::from(command.clone()); 3]).await.into_iter();
    let mut next = || replies.next().and_then(Result::ok).and_then(|mut accepted| accepted.pop());
    let (first, second, third) = (next(), next(), next());
    let flags = [&first, &second, &third].map(|accepted| accepted.as_ref().map(|a| a.is_replay));
    assert_eq!(flags, [Some(false), Some(true), Some(true)]);
    let receipts = [second, third].map(|accepted| accepted.map(|a| a.receipt));
    assert_eq!(receipts, [(); 2].map(|()| first.as_ref().map(|a| a.receipt.clone())));
    assert_eq!(teller.balance(1).await, (100, 0));
    assert_eq!(teller.history(1).await.len(), 1);
}

/// One key with two meanings in one batch: the first wins, the second is refused.
pub async fn a_key_reused_in_one_batch_is_refused(teller: Teller) {
    let batch = vec![
        under("k", deposit_of(1, 100)).into(),
        under("k", deposit_of(1, 101)).into(),
        under("k", deposit_of(1, 100)).into(),
    ];
    let replies = teller.batch(batch).await;
    assert!(replies[0].is_ok() && replies[2].is_ok(), "{replies:?}");
    assert_eq!(rejection_of(&replies[1]), Some(Rejection::IdempotencyKeyReused));
    assert_eq!(teller.balance(1).await, (100, 0));
}

/// A key that was rejected earlier in a batch is free for a later command of the batch.
pub async fn a_key_rejected_in_a_batch_is_free_again(teller: Teller) {
    let batch = vec![
        under("k", withdrawal_of(1, 100)).into(),
        under("j", deposit_of(1, 100)).into(),
        under("k", withdrawal_of(1, 100)).into(),
    ];
    let replies = teller.batch(batch).await;
    assert!(replies[0].is_err() && replies[1].is_ok() && replies[2].is_ok(), "{replies:?}");
    assert_eq!(teller.balance(1).await, (0, 0));
}

/// A repeat is recognised before any rule: the money may be gone, the service retired, the account closed.
pub async fn a_repeat_comes_before_every_rule(teller: Teller) {
    teller.add_services(&[7]).await;
    let deposit = under("deposit", deposit_of(1, 100));
    let reserve = under("reserve", reserve_of(order(1, 7, 1), 10, 600));
    let withdraw = under("withdraw", withdrawal_of(1, 100));
    let mut firsts = Vec::new();
    for command in [deposit, reserve] {
        firsts.push((command.clone(), teller.accepted(command).await.receipt));
    }
    teller.release(order(1, 7, 1)).await;
    firsts.push((withdraw.clone(), teller.accepted(withdraw).await.receipt));
    let removed = teller.store().remove_service(crate::teller::service(7)).await;
    assert!(matches!(removed, Ok(Ok(_))), "{removed:?}");
    teller.close(1).await;
    for (command, receipt) in firsts {
        let again = teller.accepted(command.clone()).await;
        assert_eq!((again.is_replay, again.receipt), (true, receipt), "{command:?}");
    }
}

/// A submission whose keys were all answered happened as a whole: a command without a key in it is not refused
/// because its reservation has ended.
pub async fn a_submission_repeats_as_a_whole(teller: Teller) {
    teller.add_services(&[7]).await;
    let key = order(1, 7, 1);
    teller.deposit(1, 100).await;
    teller.reserve(key, 50, 60).await;
    let extend = Command::Extend { reservation: key.into(), ttl: seconds(90) };
    let capture = Command::Money(under("capture", capture_of(key, None)));
    let both = Submission::from(vec![extend.clone(), capture]);
    let first = teller.submit(both.clone()).await.unwrap_or_else(|error| panic!("{error}"));
    teller.pass(10);
    let again = teller.submit(both).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(again.iter().all(|accepted| accepted.is_replay), "{again:?}");
    assert_eq!(again[1].receipt, first[1].receipt);
    assert_eq!(reservation_of(&again[0].receipt), teller.found(key).await);

    // One new key makes it a new submission, which is refused as a whole.
    let deposit = Command::Money(under("new", deposit_of(1, 5)));
    let known = Command::Money(under("capture", capture_of(key, None)));
    let refused = teller.submit(Submission::from(vec![known, deposit, extend])).await;
    assert_eq!(rejection_of(&refused), Some(Rejection::ReservationCaptured));
    assert_eq!(teller.balance(1).await, (50, 0));

    let close = Command::Close { user_id: user(1) };
    let withdraw = Command::Money(under("withdraw", withdrawal_of(1, 50)));
    let both = Submission::from(vec![withdraw, close]);
    teller.submit(both.clone()).await.unwrap_or_else(|error| panic!("{error}"));
    let again = teller.submit(both).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(again.iter().all(|accepted| accepted.is_replay), "{again:?}");
    assert_eq!(teller.account(1).await.map(|account| account.status), Some(AccountStatus::Closed));
}

/// Every operation of a request names the caller; a repeat by another gets the first answer, with the first actor. What
/// nobody asked for names the deadline.
pub async fn operations_say_who_did_them(teller: Teller) {
    teller.add_services(&[7]).await;
    let [first, second] = ["0123456789ab", "fedcba987654"]
        .map(|id| Actor::Key(ApiKeyId::new(id).unwrap_or_else(|invalid| panic!("{id}: {invalid}"))));
    let deposit = teller.fresh(deposit_of(1, 100));
    let transfer = teller.fresh(transfer_of(1, 2, 10));
    let by = |command: &MoneyCommand, actor| Submission::from(command.clone()).by(actor);
    let batch = vec![by(&deposit, first), by(&transfer, second), by(&deposit, second)];
    let replies = teller.batch(batch).await;
    let receipts: Vec<_> = replies.into_iter().flatten().flatten().map(|accepted| accepted.receipt).collect();
    let actors: Vec<_> = receipts.iter().cloned().map(|receipt| operation_of(receipt).actor).collect();
    assert_eq!(actors, [first, second, first], "{receipts:?}");
    assert_eq!(
        teller.submit(by(&transfer, Actor::Anonymous)).await.map(|all| all[0].is_replay).ok(),
        Some(true)
    );
    teller.reserve(order(1, 7, 1), 50, 60).await;
    let capture = teller.fresh(capture_of(order(1, 7, 1), Some(20)));
    assert!(teller.submit(by(&capture, second)).await.is_ok());
    teller.reserve(order(1, 7, 2), 40, 60).await;
    teller.pass(60);
    assert!(teller.submit(by(&teller.fresh(withdrawal_of(1, 1)), first)).await.is_ok());

    let actors = |history: Vec<Operation>| history.into_iter().map(|o| o.actor).collect::<Vec<_>>();
    let anonymous = Actor::Anonymous;
    let of_payer = [first, second, anonymous, second, second, anonymous, Actor::Expiry, first];
    assert_eq!(actors(teller.history(1).await), of_payer);
    assert_eq!(actors(teller.history(2).await), [second]);
    let by_key = teller.by_key(1, deposit.key.as_str()).await;
    assert_eq!(by_key.map(|operation| operation.actor), Some(first));
}
