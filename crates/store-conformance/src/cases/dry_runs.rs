//! What would happen, without it happening; and active reservations of all users.

use balance_domain::{
    Account, Limit, Rejection, ReservationSearch, SearchSort, Submission, ports::SubmitError,
};

use crate::teller::{
    Teller, capture_of, failed, order, reserve_of, service, transfer_of, under, user, withdrawal_of,
};

/// What the submissions would do: each reply as text, and the balances before and after.
async fn foreseen(
    teller: &Teller,
    submissions: Vec<Submission>,
) -> (Vec<String>, Vec<(i64, i64)>, Vec<(i64, i64)>) {
    let run = teller.store().dry_run(submissions).await.unwrap_or_else(|error| failed(&error));
    let replies = run.replies.iter().map(|reply| match reply {
        Ok(accepted) if accepted.iter().any(|one| one.is_replay) => "repeated".to_owned(),
        Ok(_) => "accepted".to_owned(),
        Err(SubmitError::Rejected { rejection, .. }) => rejection.code().to_owned(),
        Err(other) => panic!("{other}"),
    });
    let balances = |accounts: &[Account]| accounts.iter().map(|one| (one.available, one.reserved)).collect();
    (replies.collect(), balances(&run.before), balances(&run.after))
}

/// The answer is that of the call; nothing is written, and the key is not used up.
pub async fn a_dry_run_answers_and_leaves_no_trace(teller: Teller) {
    teller.deposit(1, 100).await;
    let withdrawal = || Submission::from(under("dry", withdrawal_of(1, 60)));
    for _ in 0..2 {
        let (replies, before, after) = foreseen(&teller, vec![withdrawal()]).await;
        assert_eq!((replies, before, after), (vec!["accepted".to_owned()], vec![(100, 0)], vec![(40, 0)]));
    }
    assert_eq!(teller.balance(1).await, (100, 0));
    assert_eq!(teller.history(1).await.len(), 1);
    let first = teller.store().execute(vec![withdrawal()]).await.unwrap_or_else(|error| failed(&error));
    assert!(matches!(first[0].as_deref(), Ok([accepted]) if !accepted.is_replay), "{first:?}");
    let (replies, before, after) = foreseen(&teller, vec![withdrawal()]).await;
    assert_eq!((replies, before, after), (vec!["repeated".to_owned()], vec![(40, 0)], vec![(40, 0)]));
}

/// Later submissions see what earlier ones would have done, and new accounts appear in what would be only.
pub async fn a_dry_run_of_many_sees_its_own_steps(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let submissions = vec![
        under("a", transfer_of(1, 2, 30)).into(),
        under("b", reserve_of(order(2, 7, 1), 30, 600)).into(),
        under("c", withdrawal_of(2, 1)).into(),
        under("d", capture_of(order(2, 7, 1), None)).into(),
    ];
    let (replies, before, after) = foreseen(&teller, submissions).await;
    assert_eq!(replies, ["accepted", "accepted", "insufficient_funds", "accepted"]);
    assert_eq!((before, after), (vec![(100, 0)], vec![(70, 0), (0, 0)]));
    assert_eq!(teller.account(2).await, None, "nobody has appeared");
    assert_eq!(teller.refused(withdrawal_of(2, 1)).await, Rejection::AccountNotFound(user(2)));
}

/// What is due counts as expired, and stays unrecorded.
pub async fn a_dry_run_expires_what_is_due(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 100, 60).await;
    teller.pass(60);
    let submissions = vec![under("a", withdrawal_of(1, 100)).into()];
    let (replies, before, after) = foreseen(&teller, submissions).await;
    assert_eq!((replies, before, after), (vec!["accepted".to_owned()], vec![(100, 0)], vec![(0, 0)]));
}

/// Those that end next come first, page by page; what has ended or is due is not among them.
pub async fn active_reservations_of_all_are_found_by_deadline(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    for id in 1..=3 {
        teller.deposit(id, 1_000).await;
    }
    teller.reserve(order(1, 7, 1), 10, 300).await;
    teller.reserve(order(2, 7, 1), 10, 100).await;
    teller.reserve(order(3, 8, 2), 10, 200).await;
    teller.reserve(order(3, 7, 3), 10, 30).await;
    teller.reserve(order(3, 7, 4), 10, 250).await;
    teller.done(capture_of(order(3, 7, 4), None)).await;
    teller.pass(30);
    let all = ReservationSearch {
        service_id: None,
        order_id: None,
        expires_before: None,
        sort: SearchSort::SoonestFirst,
        after: None,
        limit: Limit::new(2).unwrap_or_default(),
    };
    let found = async |search: ReservationSearch| {
        let page = teller.store().search_reservations(search).await.unwrap_or_else(|error| failed(&error));
        let users: Vec<i64> = page.items.iter().map(|row| row.key.user_id.get()).collect();
        (users, page.next)
    };
    let (first, next) = found(all.clone()).await;
    assert_eq!(first, [2, 3]);
    let (second, end) = found(ReservationSearch { after: next, ..all.clone() }).await;
    assert_eq!((second, end), (vec![1], None));
    let of_service = ReservationSearch { service_id: Some(service(8)), ..all.clone() };
    assert_eq!(found(of_service).await.0, [3]);
    let of_order = ReservationSearch { order_id: Some(order(1, 7, 1).order_id), ..all.clone() };
    assert_eq!(found(of_order).await.0, [2, 1]);
    let newest = ReservationSearch { sort: SearchSort::NewestFirst, ..all.clone() };
    let (latest, next) = found(newest.clone()).await;
    let (earliest, _) = found(ReservationSearch { after: next, ..newest }).await;
    assert_eq!([latest, earliest].concat(), [3, 2, 1], "all were made at once");
    let before = teller.reservation(order(3, 8, 2)).await.map(|row| row.expires_at);
    assert_eq!(found(ReservationSearch { expires_before: before, ..all }).await.0, [2]);
}
