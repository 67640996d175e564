//! What was answered is there after the store was closed and opened again.

use balance_domain::{
    Actor, ApiKey, ApiKeyId, Command, Comment, MoneyCommand, Period, Receipt, RevenueReport, Scope,
    SecretHash,
};

use crate::{
    Harness,
    audited::audit,
    snapshot::snapshot,
    teller::{
        Teller, at, capture_of, deposit_of, failed, order, refund_of, release_of, reserve_of, seconds,
        service, transfer_of, user, withdrawal_of,
    },
};

async fn reopened<H: Harness>(harness: H, teller: Teller) -> (H, Teller) {
    let absent = teller.leave();
    let harness = harness.reopen().await;
    let teller = absent.at_store(harness.store());
    (harness, teller)
}

/// Balances, history, reservations, receipts and keys survive, and life goes on.
pub async fn everything_survives<H: Harness>(harness: H) {
    let teller = Teller::new(harness.store(), harness.clock());
    teller.add_services(&[7, 8]).await;
    let mut answered: Vec<(MoneyCommand, Receipt)> = Vec::new();
    for action in [
        deposit_of(1, 1000),
        transfer_of(1, 2, 100),
        withdrawal_of(1, 50),
        reserve_of(order(1, 7, 1), 100, 60),
        reserve_of(order(1, 7, 2), 100, 600),
        reserve_of(order(1, 8, 2), 100, 600),
        capture_of(order(1, 7, 2), Some(60)),
        refund_of(order(1, 7, 2), Some(10)),
        release_of(order(1, 8, 2)),
    ] {
        let mut command = teller.fresh(action);
        command.comment = Comment::new("still here? 🦀").ok();
        let receipt = teller.accepted(command.clone()).await.receipt;
        answered.push((command, receipt));
    }
    let extend = Command::Extend { reservation: order(1, 7, 1).into(), ttl: seconds(90) };
    teller.accepted(extend).await;
    let before = (snapshot(teller.store()).await, teller.reservations(1, None, 2).await);

    let (harness, teller) = reopened(harness, teller).await;
    assert_eq!((snapshot(teller.store()).await, teller.reservations(1, None, 2).await), before);
    for (command, receipt) in answered {
        let again = teller.accepted(command.clone()).await;
        assert_eq!((again.is_replay, again.receipt), (true, receipt), "{command:?}");
    }
    teller.pass(89);
    assert_eq!(teller.balance(1).await, (700, 100));
    teller.pass(1);
    assert_eq!(teller.deposit(1, 1).await.available_after, 801);
    audit(teller.store()).await;
    drop(harness);
}

/// The defect of the origin: expiry timers lived in memory and were lost on restart.
pub async fn defect_05_a_deadline_survives_a_restart<H: Harness>(harness: H) {
    let teller = Teller::new(harness.store(), harness.clock());
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    let (harness, teller) = reopened(harness, teller).await;
    teller.pass_micros(599_999_999);
    assert_eq!(teller.balance(1).await, (40, 60));
    teller.pass_micros(1);
    assert_eq!(teller.store().due_users(9).await.ok(), Some(vec![user(1)]));
    assert_eq!(teller.balance(1).await, (100, 0));
    let (harness, teller) = reopened(harness, teller).await;
    assert_eq!(teller.history(1).await.len(), 3);
    assert_eq!(teller.balance(1).await, (100, 0));
    drop(harness);
}

/// The catalogue, kept reports, revenue and API keys survive.
pub async fn catalogue_reports_and_api_keys_survive<H: Harness>(harness: H) {
    let teller = Teller::new(harness.store(), harness.clock());
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 60, 600).await;
    teller.capture(order(1, 7, 1), None).await;
    let retired = teller.store().remove_service(service(7)).await;
    assert!(matches!(retired, Ok(Ok(_))), "{retired:?}");
    let period = Period { start: at("2026-11-01T00:00:00Z"), end: at("2026-12-01T00:00:00Z") };
    let lines = teller.store().revenue(period).await.unwrap_or_else(|error| failed(&error));
    assert_eq!(lines.len(), 1);
    let month = "2026-11".parse().unwrap_or_else(|invalid| panic!("{invalid}"));
    let report = RevenueReport { month, is_final: true, built_at: teller.now(), lines };
    assert!(teller.store().save_report(report.clone()).await.is_ok());
    let id = ApiKeyId::new("0123456789ab").unwrap_or_else(|invalid| panic!("{invalid}"));
    let api_key = ApiKey {
        id,
        name: "shop".into(),
        scopes: Scope::ALL.to_vec(),
        secret_hash: SecretHash::of("secret"),
        created_at: teller.now(),
        expires_at: None,
        parent_id: None,
        revoked_at: None,
        last_used_at: None,
    };
    assert!(teller.store().add_api_key(api_key.clone(), Actor::CommandLine).await.is_ok());
    let revoked = teller.store().revoke_api_key(id, Actor::CommandLine, teller.now()).await;
    let catalogue = catalogue(&teller).await;

    let (harness, teller) = reopened(harness, teller).await;
    assert_eq!(self::catalogue(&teller).await, catalogue);
    assert_eq!(teller.store().report(month).await.ok(), Some(Some(report.clone())));
    let lines = teller.store().revenue(period).await.unwrap_or_else(|error| failed(&error));
    assert_eq!(lines, report.lines);
    let api_keys = teller.store().api_keys().await.unwrap_or_else(|error| failed(&error));
    assert_eq!(api_keys.keys, revoked.ok().flatten().into_iter().collect::<Vec<_>>());
    drop(harness);
}

async fn catalogue(teller: &Teller) -> Vec<balance_domain::Service> {
    let page = teller.store().services(None, crate::teller::limit(50)).await;
    page.unwrap_or_else(|error| failed(&error)).items
}

/// A closed account stays closed, and its erased text stays erased.
pub async fn a_closed_account_stays_closed<H: Harness>(harness: H) {
    let teller = Teller::new(harness.store(), harness.clock());
    let mut deposit = teller.fresh(deposit_of(1, 10));
    deposit.comment = Comment::new("secret").ok();
    teller.accepted(deposit.clone()).await;
    teller.withdraw(1, 10).await;
    let closed = teller.close(1).await;
    let (harness, teller) = reopened(harness, teller).await;
    assert_eq!(teller.account(1).await, Some(closed));
    assert!(teller.history(1).await.iter().all(|operation| operation.comment.is_none()));
    assert!(teller.accepted(deposit).await.is_replay);
    teller.refused(deposit_of(1, 1)).await;
    drop(harness);
}
