//! One correct history by hand, and for every condition at least one corruption that this condition must
//! notice.

use super::*;
use crate::{
    final_state::FinalState,
    history::{
        AnswerBody, BalanceView, Call, MoneyAction, MoneyCall, OperationView, OrderRef, Outcome,
        ReportLineView, ReportView, ReservationView,
    },
    target::usual_zone,
};

const ORDER: OrderRef = OrderRef { user_id: 1, service_id: 9, order_id: 5 };

/// Second `second` of a minute in November.
fn time(second: i64) -> String {
    format!("2026-11-24T10:00:{second:02}.000000Z")
}

fn op(user_id: i64, seq: i64, kind: &str, amount: i64, after: (i64, i64), key: &str) -> OperationView {
    let is_about_order = matches!(kind, "reserve" | "capture" | "release" | "refund" | "expire");
    OperationView {
        user_id,
        seq,
        kind: kind.to_owned(),
        amount,
        available_after: after.0,
        reserved_after: after.1,
        service_id: is_about_order.then_some(ORDER.service_id),
        order_id: is_about_order.then_some(ORDER.order_id),
        counterparty_user_id: kind.starts_with("transfer").then_some(3 - user_id),
        comment: (!key.is_empty() || kind == "transfer_in").then(|| "for it".to_owned()),
        idempotency_key: (!key.is_empty()).then(|| key.to_owned()),
        created_at: time(seq),
    }
}

fn reservation(state: &str, captured: i64, released: i64, refunded: i64) -> ReservationView {
    ReservationView {
        user_id: 1,
        service_id: 9,
        order_id: 5,
        state: state.to_owned(),
        amount: 300,
        captured,
        released,
        refunded,
        created_at: time(2),
        expires_at: time(32),
    }
}

fn money(key: &str, action: MoneyAction) -> Call {
    Call::Money(MoneyCall { key: key.to_owned(), comment: "for it".to_owned(), action })
}

/// A history in the making: calls of one process, one after another.
struct Story {
    records: Vec<Record>,
    finals: FinalState,
    clock: u64,
}

impl Story {
    fn record(&mut self, call: Call, outcome: Outcome) {
        self.clock += 10;
        let (invoked_ns, returned_ns) = (self.clock, self.clock + 5);
        self.records.push(Record { process: 1, call, invoked_ns, returned_ns, outcome });
    }

    fn ok(&mut self, call: Call, answer: AnswerBody) {
        self.record(call, Outcome::Ok { answer, replayed: false });
    }

    /// Deposit, read, reserve, final capture of a part, refund, transfer; user 2 receives.
    fn sound() -> Self {
        let mut story = Self { records: Vec::new(), finals: FinalState::default(), clock: 0 };
        let ops = [
            op(1, 1, "deposit", 1_000, (1_000, 0), "k1"),
            op(1, 2, "reserve", 300, (700, 300), "k2"),
            op(1, 3, "capture", 100, (700, 200), "k3"),
            OperationView { created_at: time(3), ..op(1, 4, "release", 200, (900, 0), "") },
            op(1, 5, "refund", 40, (940, 0), "k4"),
            op(1, 6, "transfer_out", 50, (890, 0), "k5"),
        ];
        let income = OperationView { created_at: time(6), ..op(2, 1, "transfer_in", 50, (50, 0), "") };
        story.ok(
            money("k1", MoneyAction::Deposit { user_id: 1, amount: 1_000 }),
            AnswerBody::Operation(ops[0].clone()),
        );
        story.ok(Call::Balance { user_id: 1 }, AnswerBody::Balance(Some(balance(1, 1_000, 0, 1))));
        let reserve = MoneyAction::Reserve { order: ORDER, amount: 300, expires_in_seconds: 30 };
        story.ok(money("k2", reserve), AnswerBody::Reservation(reservation("active", 0, 0, 0)));
        let capture = MoneyAction::Capture { order: ORDER, amount: Some(100), is_final: true };
        story.ok(money("k3", capture), AnswerBody::Reservation(reservation("captured", 100, 200, 0)));
        let refund = MoneyAction::Refund { order: ORDER, amount: Some(40) };
        story.ok(money("k4", refund), AnswerBody::Reservation(reservation("captured", 100, 200, 40)));
        let transfer = MoneyAction::Transfer { from_user_id: 1, to_user_id: 2, amount: 50 };
        story.ok(money("k5", transfer), AnswerBody::Operation(ops[5].clone()));
        story.record(
            money("k6", MoneyAction::Withdraw { user_id: 2, amount: 51 }),
            Outcome::Rejected { code: "insufficient_funds".into() },
        );
        story.finals = FinalState {
            balances: [(1, Some(balance(1, 890, 0, 6))), (2, Some(balance(2, 50, 0, 1)))].into(),
            reservations: [(1, vec![reservation("captured", 100, 200, 40)]), (2, vec![])].into(),
            by_key: [(1, [("k1".to_owned(), Some(ops[0].clone()))].into())].into(),
            operations: [(1, ops.to_vec()), (2, vec![income])].into(),
            services: vec![9],
            reports: vec![ReportView {
                month: "2026-11".into(),
                lines: vec![ReportLineView { service_id: 9, captured: 100, refunded: 40 }],
            }],
            unreadable: Vec::new(),
        };
        story
    }

    fn ops(&mut self, user_id: i64) -> &mut Vec<OperationView> {
        self.finals.operations.get_mut(&user_id).unwrap()
    }

    fn check(&self) -> Verdict {
        let zone = usual_zone().unwrap();
        check(&self.records, &self.finals, &Rules { zone, is_faultless: true })
    }
}

fn balance(user_id: i64, available: i64, reserved: i64, version: i64) -> BalanceView {
    let total = available + reserved;
    BalanceView { user_id, available, reserved, total, version, as_of: time(20) }
}

/// Corrupts the history and expects this condition to notice.
#[track_caller]
fn notices(condition: Condition, spoil: impl FnOnce(&mut Story)) {
    let mut story = Story::sound();
    spoil(&mut story);
    let verdict = story.check();
    assert!(verdict.breaks(condition), "{condition} did not notice; found: {:?}", verdict.violations);
}

#[test]
fn the_sound_history_is_clean_and_counted() {
    let verdict = Story::sound().check();
    assert!(verdict.is_clean(), "{:?}", verdict.violations);
    let facts = verdict.facts;
    assert_eq!((facts.calls, facts.accepted, facts.rejected), (7, 6, 1));
    assert_eq!((facts.accounts, facts.operations), (2, 7));
}

#[test]
fn c0_calls_that_nobody_decided() {
    let call = || money("k7", MoneyAction::Deposit { user_id: 1, amount: 1 });
    notices(Condition::Answered, |story| {
        story.record(call(), Outcome::NeverSent { why: "503".into() });
    });
    notices(Condition::Answered, |story| {
        story.record(call(), Outcome::Unknown { why: "reset".into() });
    });
    notices(Condition::Answered, |story| story.finals.unreadable.push("user 1".into()));
}

#[test]
fn c0_an_overload_is_not_excused_and_must_have_had_no_effect() {
    let overload = || Outcome::NeverSent { why: "503 Service Unavailable overloaded".into() };
    let call = || money("k7", MoneyAction::Deposit { user_id: 2, amount: 1 });
    notices(Condition::Answered, |story| story.record(call(), overload()));
    notices(Condition::Keys, |story| {
        story.record(call(), overload());
        story.ops(2).push(op(2, 2, "deposit", 1, (51, 0), "k7"));
    });
}

#[test]
fn c1_a_gap_and_time_that_runs_backwards() {
    notices(Condition::Sequence, |story| story.ops(1)[4].seq = 7);
    notices(Condition::Sequence, |story| drop(story.ops(1).remove(4)));
    notices(Condition::Sequence, |story| story.ops(1)[4].created_at = time(1));
}

#[test]
fn c2_balances_that_are_not_the_sum_and_transfers_with_one_half() {
    notices(Condition::Replay, |story| story.ops(1)[5].available_after += 1);
    notices(Condition::Replay, |story| story.ops(2)[0].amount = 49);
    notices(Condition::Replay, |story| story.ops(2).clear());
}

#[test]
fn c3_a_read_that_misses_what_was_answered_before_it_began() {
    notices(Condition::RealTimeOrder, |story| {
        // The state before the reserve, asked for after the capture was answered.
        story.ok(Call::Balance { user_id: 1 }, AnswerBody::Balance(Some(balance(1, 1_000, 0, 1))));
    });
    notices(Condition::RealTimeOrder, |story| {
        story.ok(Call::Operations { user_id: 2 }, AnswerBody::Operations(Vec::new()));
    });
}

#[test]
fn c3_numbers_that_contradict_the_order_of_answers() {
    notices(Condition::RealTimeOrder, |story| {
        // The deposit was answered before the refund was even sent, yet stands behind it.
        let (deposit, refund) = (story.records[0].clone(), story.records[4].clone());
        story.records[0].invoked_ns = refund.invoked_ns + 100;
        story.records[0].returned_ns = refund.invoked_ns + 101;
        story.records[4].invoked_ns = deposit.invoked_ns;
        story.records[4].returned_ns = deposit.returned_ns;
    });
}

#[test]
fn c4_reads_that_no_version_explains() {
    notices(Condition::Reads, |story| {
        story.ok(Call::Balance { user_id: 1 }, AnswerBody::Balance(Some(balance(1, 889, 1, 6))));
    });
    notices(Condition::Reads, |story| {
        let mut page = story.ops(1).clone();
        page.reverse();
        page[2].amount = 199;
        story.ok(Call::Operations { user_id: 1 }, AnswerBody::Operations(page));
    });
    notices(Condition::Reads, |story| {
        story.finals.balances.insert(2, Some(balance(2, 0, 0, 0)));
    });
}

#[test]
fn c4_a_balance_that_still_holds_what_is_due_and_one_that_no_operation_leaves() {
    let with_due = |available, reserved, version| {
        let mut story = Story::sound();
        // Only the deposit and the reserve; the reservation is due at second 32.
        story.ops(1).truncate(2);
        story.ops(2).clear();
        story.records.truncate(3);
        story.finals.reports.clear();
        story.finals.reservations.insert(1, vec![reservation("active", 0, 0, 0)]);
        story.finals.balances = [(1, Some(balance(1, 700, 300, 2)))].into();
        let late = BalanceView { as_of: time(40), ..balance(1, available, reserved, version) };
        story.ok(Call::Balance { user_id: 1 }, AnswerBody::Balance(Some(late)));
        story.check()
    };
    assert!(with_due(1_000, 0, 3).breaks(Condition::Reads), "an expiry that is not in the history");
    assert!(with_due(700, 300, 2).breaks(Condition::Reads));
    assert!(with_due(1_000, 0, 2).breaks(Condition::Reads));
}

#[test]
fn c5_a_lost_operation_and_one_that_is_not_as_asked_or_answered() {
    notices(Condition::Durable, |story| {
        let deposit = money("k7", MoneyAction::Deposit { user_id: 1, amount: 5 });
        story.ok(deposit, AnswerBody::Operation(op(1, 7, "deposit", 5, (895, 0), "k7")));
    });
    notices(Condition::Durable, |story| {
        story.records[0].call = money("k1", MoneyAction::Deposit { user_id: 1, amount: 999 });
    });
    notices(Condition::Durable, |story| story.ops(1)[0].comment = None);
    notices(Condition::Durable, |story| {
        let mut repeat = op(1, 1, "deposit", 1_000, (1_000, 0), "k1");
        repeat.available_after = 890;
        let call = story.records[0].call.clone();
        story.record(call, Outcome::Ok { answer: AnswerBody::Operation(repeat), replayed: true });
    });
    notices(Condition::Durable, |story| {
        story.finals.by_key.get_mut(&1).unwrap().insert("k1".into(), None);
    });
}

#[test]
fn c6_two_effects_of_a_key_effects_of_a_refusal_and_effects_without_a_call() {
    notices(Condition::Keys, |story| {
        let again = OperationView { created_at: time(7), ..op(1, 7, "deposit", 1_000, (1_890, 0), "k1") };
        story.ops(1).push(again);
    });
    notices(Condition::Keys, |story| {
        story.ops(2).push(op(2, 2, "withdrawal", 50, (0, 0), "k6"));
    });
    notices(Condition::Keys, |story| {
        story.ops(2).push(op(2, 2, "deposit", 50, (100, 0), "nobody"));
    });
    notices(Condition::Keys, |story| story.ops(1)[0].idempotency_key = None);
}

#[test]
fn c7_money_from_nowhere_and_balances_below_zero() {
    notices(Condition::Bank, |story| story.ops(1)[5].available_after += 7);
    notices(Condition::Bank, |story| {
        story.ops(2).push(op(2, 2, "withdrawal", 51, (-1, 0), "k6"));
    });
}

#[test]
fn c8_reservations_that_are_not_whole() {
    notices(Condition::Reservations, |story| {
        // More refunded than captured.
        story.ops(1).push(op(1, 7, "refund", 61, (951, 0), "k7"));
    });
    notices(Condition::Reservations, |story| {
        // Captured after its end.
        story.ops(1).push(op(1, 7, "capture", 1, (890, -1), "k7"));
    });
    notices(Condition::Reservations, |story| {
        // Released although nothing was reserved.
        story.ops(2).push(op(2, 2, "release", 1, (51, -1), "k7"));
    });
    notices(Condition::Reservations, |story| {
        story.records[3].outcome = Outcome::Ok {
            answer: AnswerBody::Reservation(reservation("captured", 300, 0, 0)),
            replayed: false,
        };
    });
    notices(Condition::Reservations, |story| {
        story.finals.reservations.insert(1, vec![reservation("captured", 100, 200, 0)]);
    });
    notices(Condition::Reservations, |story| {
        story.finals.reservations.insert(1, Vec::new());
    });
}

#[test]
fn c8_deadlines_are_exact() {
    notices(Condition::Reservations, |story| {
        for position in 2..6 {
            story.ops(1)[position].created_at = time(32);
        }
        story.ops(2)[0].created_at = time(32);
    });
    notices(Condition::Reservations, |story| {
        // Expired one second early.
        story.ops(1).truncate(2);
        story.ops(1).push(OperationView { created_at: time(31), ..op(1, 3, "expire", 300, (1_000, 0), "") });
    });
}

#[test]
fn c9_reports_that_are_not_the_sum_of_their_month() {
    notices(Condition::Report, |story| story.finals.reports[0].lines[0].captured = 99);
    notices(Condition::Report, |story| story.finals.reports[0].lines.clear());
    notices(Condition::Report, |story| {
        // Midnight in Moscow on the first of December: no longer November.
        for position in 2..6 {
            story.ops(1)[position].created_at = "2026-11-30T21:00:00.000000Z".to_owned();
        }
        story.ops(2)[0].created_at = "2026-11-30T21:00:00.000000Z".to_owned();
    });
}
