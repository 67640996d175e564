//! The scan of the whole ledger, and the audit over it.

use balance_domain::{AuditSummary, Submission};

use crate::{
    audited::audit,
    snapshot::snapshot,
    teller::{
        Teller, capture_of, deposit_of, order, refund_of, release_of, reserve_of, transfer_of, user,
        withdrawal_of,
    },
};

/// An empty ledger is clean and has nothing in it.
pub async fn an_empty_ledger_is_clean(teller: Teller) {
    assert_eq!(audit(teller.store()).await, AuditSummary::default());
    assert!(snapshot(teller.store()).await.is_empty());
    assert!(teller.store().ready().await.is_ok());
}

/// After a busy history everything adds up, and the audit has seen all of it.
pub async fn a_busy_ledger_is_clean(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    for round in 0..6 {
        let mut batch: Vec<Submission> = Vec::new();
        for id in 1..=10 {
            let key = order(id, 7 + round % 2, round + 1);
            for action in [
                deposit_of(id, 100 * id + round),
                reserve_of(key, 30, if round % 3 == 0 { 60 } else { 600 }),
                transfer_of(id, id % 10 + 1, 5),
                withdrawal_of(id, 7),
                withdrawal_of(id, 1_000_000),
                if id % 3 == 0 { release_of(key) } else { capture_of(key, Some(id)) },
                refund_of(key, Some(1)),
                reserve_of(order(id, 8, 100 + round), 10, 60),
            ] {
                batch.push(teller.fresh(action).into());
            }
        }
        teller.batch(batch).await;
        teller.pass(45);
    }
    let summary = audit(teller.store()).await;
    let pages = snapshot(teller.store()).await;
    assert_eq!((summary.accounts, pages.len()), (10, 10));
    let operations: usize = pages.values().map(|pages| pages.operations.len()).sum();
    assert_eq!(summary.operations, operations.try_into().unwrap_or(u64::MAX));
    assert!(summary.revenue > 0 && summary.held > 0);
}

/// The scan tells recorded rows: what is due but not written down is still active in it.
pub async fn the_scan_tells_what_is_recorded(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let made = teller.reserve(order(1, 7, 1), 60, 60).await;
    teller.pass(60);
    let pages = snapshot(teller.store()).await.remove(&user(1));
    let Some(pages) = pages else { panic!("user 1 is missing") };
    assert_eq!((pages.account.available, pages.account.reserved, pages.account.seq), (40, 60, 2));
    assert_eq!(pages.reservations.get(&order(1, 7, 1)), Some(&made));
    assert_eq!(pages.operations[1].reservation_after, Some(made));
    audit(teller.store()).await;
}

/// Each operation is kept with what answers its request again: the meaning with the key, and the reservation.
pub async fn operations_are_kept_with_their_request(teller: Teller) {
    teller.add_services(&[7]).await;
    let commands = [deposit_of(1, 100), transfer_of(1, 2, 10), reserve_of(order(1, 7, 1), 60, 60)]
        .map(|action| teller.fresh(action));
    for command in &commands {
        teller.accepted(command.clone()).await;
    }
    let mut pages = snapshot(teller.store()).await;
    let mut operations = |id| pages.remove(&user(id)).map(|pages| pages.operations).unwrap_or_default();
    for (recorded, command) in operations(1).iter().zip(&commands) {
        assert_eq!(recorded.operation.idempotency_key.as_ref(), Some(&command.key));
        assert_eq!(recorded.fingerprint, Some(command.fingerprint()));
    }
    let income = operations(2);
    assert_eq!((income.len(), income[0].fingerprint, income[0].reservation_after), (1, None, None));
}
