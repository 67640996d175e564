//! Revenue, and reports that are kept.

use balance_domain::{
    AccountingZone, BALANCE_MAX, Month, Period, RevenueLine, RevenueReport, ports::RepoError,
};

use crate::{
    audited::audit,
    teller::{Teller, at, at_micros, failed, name, order, service},
};

async fn revenue(teller: &Teller, period: Period) -> Vec<(i64, i128, i128)> {
    let lines = teller.store().revenue(period).await.unwrap_or_else(|error| failed(&error));
    let mut lines: Vec<_> =
        lines.into_iter().map(|line| (line.service_id.get(), line.captured, line.refunded)).collect();
    lines.sort_unstable();
    lines
}

fn period(start: &str, end: &str) -> Period {
    Period { start: at(start), end: at(end) }
}

fn november() -> Period {
    period("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
}

/// Captures and refunds are summed per service over all users; other movements are no revenue.
pub async fn revenue_is_captures_and_refunds_per_service(teller: Teller) {
    teller.add_services(&[7, 8, 9]).await;
    for id in [1, 2] {
        teller.deposit(id, 1000).await;
        teller.reserve(order(id, 7, 1), 100, 600).await;
        teller.capture(order(id, 7, 1), Some(60)).await;
        teller.reserve(order(id, 8, 1), 100, 600).await;
        teller.reserve(order(id, 9, 1), 100, 600).await;
        teller.release(order(id, 9, 1)).await;
    }
    teller.capture_part(order(1, 8, 1), 5).await;
    teller.capture_part(order(1, 8, 1), 5).await;
    teller.refund(order(2, 7, 1), Some(25)).await;
    assert_eq!(revenue(&teller, november()).await, [(7, 120, 25), (8, 10, 0)]);
}

/// The defect of the origin: the first instant of the next month was counted, too. A period holds its start
/// and not its end, to the microsecond.
pub async fn defect_08_report_month_is_half_open(teller: Teller) {
    let zone = AccountingZone::new("Europe/Moscow").unwrap_or_else(|invalid| panic!("{invalid}"));
    let month = "2026-11".parse::<Month>().unwrap_or_else(|invalid| panic!("{invalid}"));
    let period = zone.period(month);
    teller.add_services(&[7]).await;
    teller.set_now(at("2026-10-01T00:00:00Z"));
    teller.deposit(1, 10_000).await;
    for order_id in 1..=4 {
        teller.reserve(order(1, 7, order_id), 1000, 2_592_000).await;
    }
    for order_id in 1..=4 {
        teller.pass(86_400 * 5);
        teller.extend(order(1, 7, order_id), 2_592_000).await;
    }
    let edges = [
        (1, period.start.micros() - 1, 1),
        (2, period.start.micros(), 10),
        (3, period.end.micros() - 1, 100),
        (4, period.end.micros(), 1000),
    ];
    for (order_id, micros, minor) in edges {
        for order_id in order_id..=4 {
            teller.set_now(at_micros(teller.now().micros().max(micros - 86_400_000_000)));
            teller.extend(order(1, 7, order_id), 2_592_000).await;
        }
        teller.set_now(at_micros(micros));
        teller.capture(order(1, 7, order_id), Some(minor)).await;
    }
    assert_eq!(revenue(&teller, period).await, [(7, 110, 0)]);
    let before = Period { start: at("2026-10-01T00:00:00Z"), end: period.start };
    assert_eq!(revenue(&teller, before).await, [(7, 1, 0)]);
    let after = Period { start: period.end, end: at("2027-01-01T00:00:00Z") };
    assert_eq!(revenue(&teller, after).await, [(7, 1000, 0)]);
}

/// Sums are wider than 64 bits: money that goes round is counted every time.
pub async fn revenue_is_wider_than_any_balance(teller: Teller) {
    teller.add_services(&[7]).await;
    let rounds = 1100;
    let mut batch = Vec::new();
    teller.deposit(1, BALANCE_MAX).await;
    for round in 1..=rounds {
        let key = order(1, 7, round);
        batch.push(crate::teller::reserve_of(key, BALANCE_MAX, 600));
        batch.push(crate::teller::capture_of(key, None));
        batch.push(crate::teller::refund_of(key, None));
    }
    let batch = batch.into_iter().map(|action| teller.fresh(action).into()).collect();
    assert!(teller.batch(batch).await.iter().all(Result::is_ok));
    let sum = i128::from(BALANCE_MAX) * i128::from(rounds);
    assert!(sum > i128::from(i64::MAX));
    assert_eq!(revenue(&teller, november()).await, [(7, sum, sum)]);
}

/// A period without movement has no lines, services without movement have none either.
pub async fn a_quiet_period_has_no_lines(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    teller.deposit(1, 10).await;
    teller.reserve(order(1, 7, 1), 10, 600).await;
    assert!(revenue(&teller, november()).await.is_empty());
    teller.capture(order(1, 7, 1), None).await;
    let instant = teller.now();
    assert!(revenue(&teller, Period { start: instant, end: instant }).await.is_empty());
    assert_eq!(revenue(&teller, november()).await, [(7, 10, 0)]);
}

/// A refund belongs to the month in which it happens, and the name is the one of today, retired or not.
pub async fn a_refund_belongs_to_its_own_month(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 10).await;
    teller.reserve(order(1, 7, 1), 10, 600).await;
    teller.capture(order(1, 7, 1), None).await;
    teller.set_now(at("2026-12-15T00:00:00Z"));
    teller.refund(order(1, 7, 1), Some(4)).await;
    let december = period("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(revenue(&teller, november()).await, [(7, 10, 0)]);
    assert_eq!(revenue(&teller, december).await, [(7, 0, 4)]);
    let renamed = teller.store().rename_service(service(7), name("New name")).await;
    assert!(matches!(renamed, Ok(Ok(_))), "{renamed:?}");
    let retired = teller.store().remove_service(service(7)).await;
    assert!(matches!(retired, Ok(Ok(_))), "{retired:?}");
    let lines = teller.store().revenue(december).await.unwrap_or_else(|error| failed(&error));
    let names: Vec<_> = lines.iter().map(|line| line.service_name.as_str().to_owned()).collect();
    assert_eq!(names, ["New name"]);
}

/// The line of a closed account's captures stays.
pub async fn closing_an_account_keeps_its_revenue(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 10).await;
    teller.reserve(order(1, 7, 1), 10, 600).await;
    teller.capture(order(1, 7, 1), None).await;
    teller.close(1).await;
    assert_eq!(revenue(&teller, november()).await, [(7, 10, 0)]);
}

fn report(month: &str, is_final: bool, built_at: &str, lines: Vec<RevenueLine>) -> RevenueReport {
    let month = month.parse().unwrap_or_else(|invalid| panic!("{invalid}"));
    RevenueReport { month, is_final, built_at: at(built_at), lines }
}

fn line(id: i64, text: &str, captured: i128, refunded: i128) -> RevenueLine {
    RevenueLine { service_id: service(id), service_name: name(text), captured, refunded }
}

async fn save(teller: &Teller, report: RevenueReport) -> RevenueReport {
    let saved: Result<RevenueReport, RepoError> = teller.store().save_report(report).await;
    saved.unwrap_or_else(|error| failed(&error))
}

async fn kept(teller: &Teller, month: &str) -> Option<RevenueReport> {
    let month = month.parse().unwrap_or_else(|invalid| panic!("{invalid}"));
    teller.store().report(month).await.unwrap_or_else(|error| failed(&error))
}

/// A report comes back as it was given: lines in their order, sums wider than 64 bits, microseconds.
pub async fn a_report_comes_back_as_given(teller: Teller) {
    let wide = i128::from(i64::MAX) * 1_000_003;
    let lines = vec![line(9, "b", wide, 0), line(2, "a;\"я\"", 1, wide), line(3, "a", 0, 0)];
    let first = report("2026-11", false, "2026-11-24T09:30:00.123457Z", lines);
    assert_eq!(kept(&teller, "2026-11").await, None);
    assert_eq!(save(&teller, first.clone()).await, first);
    assert_eq!(kept(&teller, "2026-11").await, Some(first));
    assert_eq!(kept(&teller, "2026-12").await, None);
    let empty = report("0001-01", true, "2026-11-24T09:30:00Z", vec![]);
    assert_eq!(save(&teller, empty.clone()).await, empty);
    assert_eq!(kept(&teller, "0001-01").await, Some(empty));
}

/// A report takes the place of an earlier one of its month, lines and all, until one is final.
pub async fn a_final_report_is_kept_for_ever(teller: Teller) {
    let early =
        report("2026-11", false, "2026-11-10T00:00:00Z", vec![line(1, "a", 1, 0), line(2, "b", 2, 0)]);
    let later = report("2026-11", false, "2026-11-20T00:00:00Z", vec![line(2, "b", 5, 1)]);
    let last = report("2026-11", true, "2026-12-02T00:00:00Z", vec![line(3, "c", 9, 0)]);
    save(&teller, early).await;
    assert_eq!(save(&teller, later.clone()).await, later);
    assert_eq!(kept(&teller, "2026-11").await, Some(later.clone()));
    assert_eq!(save(&teller, last.clone()).await, last);
    let too_late = report("2026-11", true, "2027-01-01T00:00:00Z", vec![]);
    assert_eq!(save(&teller, too_late).await, last, "the final one stays");
    assert_eq!(save(&teller, later).await, last);
    assert_eq!(kept(&teller, "2026-11").await, Some(last));
}

/// Closes November as the service does: the books first, then the sums.
async fn close_november(teller: &Teller) -> RevenueReport {
    teller.store().close_books(november().end).await.unwrap_or_else(|error| failed(&error));
    let lines = teller.store().revenue(november()).await.unwrap_or_else(|error| failed(&error));
    save(teller, RevenueReport { lines, ..report("2026-11", true, "2026-12-01T00:00:00Z", vec![]) }).await
}

/// What a final report says is what the books say, at every later time: a batch whose clock is behind is dated into the
/// next month.
pub async fn nothing_is_dated_into_a_closed_month(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.set_now(at("2026-11-30T23:59:59Z"));
    for id in [1, 2] {
        teller.deposit(id, 100).await;
        teller.reserve(order(id, 7, 1), 50, 86_400).await;
    }
    teller.capture(order(1, 7, 1), None).await;
    teller.set_now(november().end);
    let closed = close_november(&teller).await;
    assert_eq!(closed.lines, [line(7, "service 7", 50, 0)]);
    teller.set_now(at("2026-11-30T23:59:59.5Z"));
    assert_eq!(teller.deposit(3, 1).await.created_at, november().end, "of an account that is new");
    assert_eq!(teller.deposit(1, 1).await.created_at, november().end, "of one that is known");
    teller.capture(order(2, 7, 1), None).await;
    teller.refund(order(1, 7, 1), Some(5)).await;
    for seconds in [0, 1, 40 * 86_400] {
        teller.pass(seconds);
        assert_eq!(revenue(&teller, november()).await, [(7, 50, 0)]);
        assert_eq!(close_november(&teller).await, closed, "closed once");
    }
    let december = period("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(revenue(&teller, december).await, [(7, 50, 5)]);
    let all = teller.store().final_reports().await.unwrap_or_else(|error| failed(&error));
    assert_eq!(all, [closed]);
    audit(teller.store()).await;
}

/// An expiry that is recorded after its month was closed does not enter it either.
pub async fn a_late_expiry_is_dated_behind_a_closed_month(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.set_now(at("2026-11-20T00:00:00Z"));
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 50, 60).await;
    teller.set_now(at("2026-12-02T00:00:00Z"));
    close_november(&teller).await;
    assert_eq!(teller.balance(1).await, (100, 0));
    assert_eq!(teller.history(1).await[2].created_at, november().end);
    audit(teller.store()).await;
}

/// The books stay closed, whatever is closed later.
pub async fn an_earlier_month_opens_no_later_one(teller: Teller) {
    teller.set_now(at("2026-11-24T00:00:00Z"));
    close_november(&teller).await;
    teller.store().close_books(november().start).await.unwrap_or_else(|error| failed(&error));
    assert_eq!(teller.deposit(1, 1).await.created_at, november().end);
}
