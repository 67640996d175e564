//! Many submissions in one call, and submissions of many commands.

use balance_domain::{Command, Receipt, Rejection, Submission, ports::SubmitError};

use crate::teller::{
    Teller, capture_of, deposit_of, order, rejection_of, release_of, reserve_of, transfer_of, under, user,
    withdrawal_of,
};

fn together(teller: &Teller, actions: impl IntoIterator<Item = balance_domain::Action>) -> Submission {
    actions.into_iter().map(|action| Command::Money(teller.fresh(action))).collect::<Vec<_>>().into()
}

/// Submissions of a batch see what those before them did.
pub async fn a_batch_happens_in_order(teller: Teller) {
    teller.add_services(&[7]).await;
    let key = order(1, 7, 1);
    let batch = [
        withdrawal_of(1, 10),
        deposit_of(1, 100),
        transfer_of(1, 2, 30),
        withdrawal_of(2, 30),
        reserve_of(key, 50, 600),
        capture_of(key, Some(20)),
        withdrawal_of(1, 51),
        withdrawal_of(1, 50),
    ];
    let replies = teller.batch(batch.map(|action| teller.fresh(action).into()).to_vec()).await;
    let accepted: Vec<bool> = replies.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [false, true, true, true, true, true, false, true]);
    assert_eq!(rejection_of(&replies[0]), Some(Rejection::AccountNotFound(user(1))));
    assert_eq!(rejection_of(&replies[6]), Some(Rejection::InsufficientFunds { available: 50 }));
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((0, 0), (0, 0)));
    let numbers: Vec<i64> = teller.history(1).await.iter().map(|operation| operation.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

/// A rejected submission does not disturb those before and behind it.
pub async fn one_rejected_neighbour_disturbs_nobody(teller: Teller) {
    teller.deposit(1, 10).await;
    let mut batch = Vec::new();
    for id in 2..40 {
        batch.push(teller.fresh(deposit_of(id, id)).into());
        batch.push(teller.fresh(withdrawal_of(1, 11)).into());
    }
    let replies = teller.batch(batch).await;
    for (position, reply) in replies.iter().enumerate() {
        assert_eq!(reply.is_ok(), position % 2 == 0, "{position}: {reply:?}");
    }
    for id in 2..40 {
        assert_eq!(teller.balance(id).await, (id, 0));
    }
    assert_eq!(teller.history(1).await.len(), 1);
}

/// Many commands on one account in one batch: every one has its number and its balance.
pub async fn a_thousand_commands_on_one_account(teller: Teller) {
    let batch = (0..1000).map(|_| teller.fresh(deposit_of(1, 1)).into()).collect();
    let replies = teller.batch(batch).await;
    for (position, reply) in (1_i64..).zip(replies) {
        match reply.as_deref() {
            Ok([accepted]) => match &accepted.receipt {
                Receipt::Operation(operation) => {
                    assert_eq!((operation.seq, operation.available_after), (position, position));
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(teller.history(1).await.len(), 1000);
}

/// A thousand accounts in one batch.
pub async fn a_thousand_accounts_in_one_batch(teller: Teller) {
    let batch = (1..=1000).map(|id| teller.fresh(deposit_of(id, id)).into()).collect();
    assert!(teller.batch(batch).await.iter().all(Result::is_ok));
    let back = (1..=999).map(|id| teller.fresh(transfer_of(id, id + 1, 1)).into()).collect();
    assert!(teller.batch(back).await.iter().all(Result::is_ok));
    assert_eq!(teller.balance(1).await, (0, 0));
    assert_eq!(teller.balance(500).await, (500, 0));
    assert_eq!(teller.balance(1000).await, (1001, 0));
}

/// An atomic submission is accepted whole, its later commands seeing the earlier ones.
pub async fn an_atomic_submission_is_accepted_whole(teller: Teller) {
    teller.add_services(&[7]).await;
    let key = order(1, 7, 1);
    let all = [
        deposit_of(1, 100),
        reserve_of(key, 40, 600),
        capture_of(key, None),
        transfer_of(1, 2, 60),
        withdrawal_of(2, 60),
    ];
    let reply = teller.submit(together(&teller, all)).await;
    assert_eq!(reply.map(|accepted| accepted.len()).ok(), Some(5));
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((0, 0), (0, 0)));
    assert_eq!((teller.history(1).await.len(), teller.history(2).await.len()), (4, 2));
}

/// ... or leaves no trace: no account, no reservation, no key, no used service.
pub async fn an_atomic_submission_leaves_no_trace_if_one_command_is_rejected(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(3, 5).await;
    let key = order(1, 7, 1);
    let submission = Submission::from(
        vec![
            under("a", deposit_of(1, 100)).into(),
            under("b", reserve_of(key, 40, 600)).into(),
            under("c", transfer_of(3, 2, 5)).into(),
            under("d", withdrawal_of(1, 61)).into(),
        ]
        .into_iter()
        .flat_map(|submission: Submission| submission.commands)
        .collect::<Vec<_>>(),
    );
    match teller.submit(submission).await {
        Err(SubmitError::Rejected { index, rejection }) => {
            assert_eq!((index, rejection), (3, Rejection::InsufficientFunds { available: 60 }));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((teller.account(1).await, teller.account(2).await), (None, None));
    assert_eq!(teller.reservation(key).await, None);
    assert_eq!(teller.balance(3).await, (5, 0));
    for text in ["a", "b", "d"] {
        assert_eq!(teller.by_key(1, text).await, None);
    }
    assert_eq!(teller.by_key(3, "c").await, None);
    let removed = teller.store().remove_service(crate::teller::service(7)).await;
    assert_eq!(removed.ok(), Some(Ok(balance_domain::Removal::Deleted)), "the service was never used");
}

/// What an atomic submission did not do, those behind it in the batch do not see.
pub async fn a_rejected_atomic_submission_does_not_disturb_its_batch(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let key = order(1, 7, 1);
    let batch = vec![
        teller.fresh(reserve_of(key, 60, 600)).into(),
        together(&teller, [release_of(key), withdrawal_of(1, 100), withdrawal_of(1, 1)]),
        teller.fresh(withdrawal_of(1, 41)).into(),
        together(&teller, [capture_of(key, None), withdrawal_of(1, 40)]),
    ];
    let replies = teller.batch(batch).await;
    let accepted: Vec<bool> = replies.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, false, true]);
    assert_eq!(rejection_of(&replies[2]), Some(Rejection::InsufficientFunds { available: 40 }));
    assert_eq!(teller.balance(1).await, (0, 0));
}

/// An atomic submission that was accepted repeats whole; repeats and new commands may be mixed.
pub async fn an_atomic_submission_repeats(teller: Teller) {
    let first = Submission::from(vec![
        Command::Money(under("a", deposit_of(1, 100))),
        Command::Money(under("b", withdrawal_of(1, 30))),
        Command::Money(under("a", deposit_of(1, 100))),
    ]);
    let flags = |reply: balance_domain::ports::Reply| -> Vec<bool> {
        reply.into_iter().flatten().map(|accepted| accepted.is_replay).collect()
    };
    assert_eq!(flags(teller.submit(first.clone()).await), [false, false, true]);
    assert_eq!(flags(teller.submit(first.clone()).await), [true, true, true]);
    let mut longer = first;
    longer.commands.push(Command::Money(under("c", withdrawal_of(1, 70))));
    assert_eq!(flags(teller.submit(longer).await), [true, true, true, false]);
    assert_eq!(teller.balance(1).await, (0, 0));
}

/// Commands without a key may stand in a batch with others, extension and closing included.
pub async fn commands_of_every_kind_share_a_batch(teller: Teller) {
    teller.add_services(&[7]).await;
    let key = order(1, 7, 1);
    let ttl = crate::teller::seconds(900);
    let mut batch: Vec<Submission> =
        [deposit_of(1, 10), reserve_of(key, 10, 600)].map(|action| teller.fresh(action).into()).to_vec();
    batch.push(Command::Extend { reservation: key.into(), ttl }.into());
    batch.push(teller.fresh(capture_of(key, None)).into());
    batch.push(Command::Expire { user_id: user(1) }.into());
    batch.push(Command::Close { user_id: user(1) }.into());
    batch.push(teller.fresh(deposit_of(1, 1)).into());
    let replies = teller.batch(batch).await;
    let accepted: Vec<bool> = replies.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, true, true, true, true, true, false]);
    assert_eq!(rejection_of(&replies[6]), Some(Rejection::AccountClosed(user(1))));
    let expires_at = teller.now().micros() + 900_000_000;
    assert_eq!(teller.found(key).await.expires_at.micros(), expires_at);
}
