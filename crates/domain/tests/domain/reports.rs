//! The monthly report: when it is final, what is kept, what is published.

use std::sync::{Arc, Mutex};

use balance_domain::{
    AccountingZone, Month, ReportError, Reports, RevenueLine, RevenueReport, ServiceId, ServiceName,
    Timestamp,
    ports::{
        ClockUnsafe, MockClock, MockReportDraft, MockReportRepo, MockReportSink, Published, RepoError,
        ReportDraft, SinkError,
    },
};
use mockall::{Sequence, predicate::eq};

/// Lines in the order in which they were published.
type Lines = Arc<Mutex<Vec<RevenueLine>>>;

fn zone() -> AccountingZone {
    AccountingZone::new("Europe/Moscow").unwrap()
}

fn november() -> Month {
    Month::new(2026, 11).unwrap()
}

/// The last instant that is not yet November 2026 in Moscow is one microsecond before this.
fn november_start() -> i64 {
    zone().period(november()).start.micros()
}

fn november_end() -> i64 {
    zone().period(november()).end.micros()
}

fn line(id: i64, name: &str, captured: i128) -> RevenueLine {
    let (service_id, service_name) = (ServiceId::new(id).unwrap(), ServiceName::new(name).unwrap());
    RevenueLine { service_id, service_name, captured, refunded: 1 }
}

fn report(is_final: bool, built_at: i64, lines: Vec<RevenueLine>) -> RevenueReport {
    let built_at = Timestamp::from_micros(built_at).unwrap();
    RevenueReport { month: november(), is_final, built_at, lines }
}

fn file() -> Published {
    Published { file_name: "f".into(), bytes: b"bytes".to_vec(), sha256: "s".into() }
}

fn sink(lines: &Lines) -> MockReportSink {
    let mut sink = MockReportSink::new();
    let lines = Arc::clone(lines);
    sink.expect_begin().with(eq(november())).returning(move |_| {
        let (mut draft, lines) = (MockReportDraft::new(), Arc::clone(&lines));
        draft.expect_line().returning(move |line| {
            lines.lock().unwrap().push(line.clone());
            Ok(())
        });
        draft.expect_finish().once().returning(|| Ok(file()));
        Ok(Box::new(draft) as Box<dyn ReportDraft>)
    });
    sink
}

fn reports(repo: MockReportRepo, sink: MockReportSink, now: i64) -> Reports {
    let clock = Timestamp::from_micros(now).unwrap();
    Reports::new(Arc::new(repo), Arc::new(sink), Arc::new(clock), zone())
}

/// A store that has kept this report (or none) and computes these lines; what is saved is kept.
fn repo(kept: Option<RevenueReport>, lines: Vec<RevenueLine>) -> MockReportRepo {
    let mut repo = MockReportRepo::new();
    repo.expect_report().with(eq(november())).returning(move |_| Ok(kept.clone()));
    repo.expect_revenue().with(eq(zone().period(november()))).returning(move |_| Ok(lines.clone()));
    repo.expect_close_books().with(eq(zone().period(november()).end)).returning(|_| Ok(()));
    repo.expect_save_report().returning(Ok);
    repo
}

#[tokio::test]
async fn a_month_that_has_not_begun_has_no_report() {
    let mut untouched = MockReportRepo::new();
    untouched.expect_report().never();
    let answer = reports(untouched, MockReportSink::new(), november_start() - 1).build(november()).await;
    assert!(matches!(answer, Err(ReportError::NotBegun(month)) if month == november()), "{answer:?}");
    let begun =
        reports(repo(None, Vec::new()), sink(&Lines::default()), november_start()).build(november()).await;
    assert!(!begun.unwrap().report.is_final);
}

#[tokio::test]
async fn a_month_that_is_over_is_closed_by_its_report() {
    for (now, is_final) in
        [(november_end() - 1, false), (november_end(), true), (november_end() + 1_000_000, true)]
    {
        let lines = vec![line(1, "a", 5)];
        let built = reports(repo(None, lines.clone()), sink(&Lines::default()), now).build(november()).await;
        assert_eq!(built.unwrap().report, report(is_final, now, lines), "{now}");
    }
}

#[tokio::test]
async fn a_final_report_is_published_again_and_never_computed_again() {
    let kept = report(true, november_end(), vec![line(1, "a", 5)]);
    let mut repo = MockReportRepo::new();
    let answer = kept.clone();
    repo.expect_report().returning(move |_| Ok(Some(answer.clone())));
    repo.expect_revenue().never();
    repo.expect_save_report().never();
    let lines = Lines::default();
    let built = reports(repo, sink(&lines), november_end() + 9).build(november()).await.unwrap();
    assert_eq!((built.report, built.file), (kept.clone(), file()));
    assert_eq!(*lines.lock().unwrap(), kept.lines);
}

#[tokio::test]
async fn a_provisional_report_is_computed_again() {
    let kept = report(false, november_start(), vec![line(1, "a", 5)]);
    let now = november_end();
    let fresh = vec![line(1, "a", 7), line(2, "b", 1)];
    let built =
        reports(repo(Some(kept), fresh.clone()), sink(&Lines::default()), now).build(november()).await;
    assert_eq!(built.unwrap().report, report(true, now, fresh));
}

#[tokio::test]
async fn lines_are_sorted_by_the_bytes_of_the_name_then_by_id() {
    let (lines, now) = (Lines::default(), november_end());
    let unsorted = vec![
        line(1, "я", 1),
        line(9, "b", 1),
        line(10, "a", 1),
        line(2, "a", 1),
        line(3, "Z", 1),
        line(4, "aa", 1),
        line(5, "É", 1),
    ];
    let built = reports(repo(None, unsorted), sink(&lines), now).build(november()).await.unwrap();
    let ids: Vec<i64> = built.report.lines.iter().map(|line| line.service_id.get()).collect();
    assert_eq!(ids, [3, 2, 10, 4, 9, 5, 1]);
    assert_eq!(*lines.lock().unwrap(), built.report.lines, "published in the same order");
}

#[tokio::test]
async fn a_save_that_lost_the_race_publishes_the_report_that_is_kept() {
    let winner = report(true, november_end(), vec![line(1, "a", 5)]);
    let mut repo = MockReportRepo::new();
    repo.expect_report().returning(|_| Ok(None));
    repo.expect_close_books().returning(|_| Ok(()));
    repo.expect_revenue().returning(|_| Ok(vec![line(2, "renamed", 5)]));
    let kept = winner.clone();
    repo.expect_save_report().once().returning(move |_| Ok(kept.clone()));
    let lines = Lines::default();
    let built = reports(repo, sink(&lines), november_end()).build(november()).await.unwrap();
    assert_eq!(built.report, winner);
    assert_eq!(*lines.lock().unwrap(), winner.lines);
}

#[tokio::test]
async fn a_failed_store_publishes_nothing() {
    for failing in 0..4 {
        let away = || RepoError::Unavailable("connection refused".into());
        let mut repo = MockReportRepo::new();
        repo.expect_close_books().returning(move |_| if failing == 3 { Err(away()) } else { Ok(()) });
        repo.expect_report().returning(move |_| if failing == 0 { Err(away()) } else { Ok(None) });
        repo.expect_revenue().returning(move |_| if failing == 1 { Err(away()) } else { Ok(Vec::new()) });
        repo.expect_save_report().returning(move |_| Err(away()));
        let mut sink = MockReportSink::new();
        sink.expect_begin().never();
        let answer = reports(repo, sink, november_end()).build(november()).await;
        assert!(matches!(answer, Err(ReportError::Repo(RepoError::Unavailable(_)))), "{answer:?}");
    }
}

/// What is read before the books are closed could miss what is still under way.
#[tokio::test]
async fn the_books_are_closed_before_a_final_sum_is_taken() {
    let mut order = Sequence::new();
    let mut repo = MockReportRepo::new();
    repo.expect_report().returning(|_| Ok(None));
    let end = zone().period(november()).end;
    repo.expect_close_books().once().with(eq(end)).in_sequence(&mut order).returning(|_| Ok(()));
    repo.expect_revenue().once().in_sequence(&mut order).returning(|_| Ok(Vec::new()));
    repo.expect_save_report().once().in_sequence(&mut order).returning(Ok);
    let built = reports(repo, sink(&Lines::default()), november_end()).build(november()).await.unwrap();
    assert!(built.report.is_final);
}

#[tokio::test]
async fn a_clock_that_cannot_be_trusted_closes_nothing() {
    let mut repo = MockReportRepo::new();
    repo.expect_report().returning(|_| Ok(None));
    repo.expect_close_books().never();
    let mut clock = MockClock::new();
    clock
        .expect_moment()
        .returning(|| Err(ClockUnsafe { offset_micros: 3_600_000_000, reference: "itself" }));
    let reports = Reports::new(Arc::new(repo), Arc::new(MockReportSink::new()), Arc::new(clock), zone());
    let refused = reports.build(november()).await;
    assert!(matches!(refused, Err(ReportError::Repo(RepoError::ClockUnsafe(_)))), "{refused:?}");
    let refused = reports.months(&[november()]).await;
    assert!(matches!(refused, Err(ReportError::Repo(RepoError::ClockUnsafe(_)))), "{refused:?}");
}

fn full_disk() -> SinkError {
    SinkError("no space left on device".into())
}

#[tokio::test]
async fn defect_08_a_full_disk_is_a_failure_wherever_it_is_met() {
    for failing in 0..3 {
        let mut sink = MockReportSink::new();
        sink.expect_begin().returning(move |_| {
            if failing == 0 {
                return Err(full_disk());
            }
            let mut draft = MockReportDraft::new();
            draft.expect_line().returning(move |_| if failing == 1 { Err(full_disk()) } else { Ok(()) });
            draft.expect_finish().returning(|| Err(full_disk()));
            Ok(Box::new(draft))
        });
        let answer = reports(repo(None, vec![line(1, "a", 5)]), sink, november_end()).build(november()).await;
        let Err(ReportError::Sink(error)) = answer else { panic!("{answer:?}") };
        assert!(error.to_string().contains("no space left"), "{error}");
    }
}

#[tokio::test]
async fn a_report_that_was_built_can_be_had_again_and_another_not() {
    let kept = report(false, november_start(), vec![line(1, "a", 5)]);
    let got = reports(repo(Some(kept.clone()), Vec::new()), sink(&Lines::default()), november_start());
    assert_eq!(got.get(november()).await.unwrap().report, kept, "not computed again, though not final");
    let answer =
        reports(repo(None, Vec::new()), MockReportSink::new(), november_start()).get(november()).await;
    assert!(matches!(answer, Err(ReportError::NotBuilt(month)) if month == november()), "{answer:?}");
}

#[test]
fn totals_are_wider_than_any_balance_and_may_be_negative() {
    let mut lines: Vec<RevenueLine> =
        (1..=4_096).map(|id| line(id, "n", i128::from(balance_domain::BALANCE_MAX))).collect();
    assert_eq!(report(true, 0, lines.clone()).total(), 4_096 * (i128::from(balance_domain::BALANCE_MAX) - 1));
    lines.truncate(1);
    lines[0].captured = 0;
    assert_eq!(report(true, 0, lines).total(), -1);
}
