//! Final reports beside the operations of their months.

use std::collections::BTreeMap;

use super::MonthDifference;
use crate::{AccountingZone, Month, Operation, OperationKind, Period, RevenueReport, ServiceId, Timestamp};

type Sums = BTreeMap<ServiceId, (i128, i128)>;

/// A closed month: what its report says, and what was counted so far.
struct Closed {
    month: Month,
    period: Period,
    reported: Sums,
    counted: Sums,
}

/// The closed months, by time.
#[derive(Default)]
pub(super) struct Months {
    closed: Vec<Closed>,
    zone: Option<AccountingZone>,
}

impl Months {
    pub(super) fn of(zone: AccountingZone, reports: Vec<RevenueReport>) -> Self {
        let closed = |report: RevenueReport| {
            let lines = report.lines.iter();
            let reported = lines.map(|line| (line.service_id, (line.captured, line.refunded))).collect();
            Closed { month: report.month, period: zone.period(report.month), reported, counted: Sums::new() }
        };
        let mut closed: Vec<Closed> = reports.into_iter().map(closed).collect();
        closed.sort_unstable_by_key(|closed| closed.period.start);
        Self { closed, zone: Some(zone) }
    }

    pub(super) fn len(&self) -> u64 {
        self.closed.len() as u64
    }

    /// Counts what moves revenue in a closed month.
    pub(super) fn count(&mut self, operation: &Operation) {
        let Some(service_id) = operation.service_id else { return };
        let behind = self.closed.partition_point(|closed| closed.period.end <= operation.created_at);
        let Some(closed) =
            self.closed.get_mut(behind).filter(|closed| closed.period.start <= operation.created_at)
        else {
            return;
        };
        let amount = i128::from(operation.amount.get());
        match operation.kind {
            OperationKind::Capture => closed.counted.entry(service_id).or_default().0 += amount,
            OperationKind::Refund => closed.counted.entry(service_id).or_default().1 += amount,
            _ => {}
        }
    }

    /// Whether something of this time can have been dated up to here because the books were closed: at the first
    /// instant of a month behind it.
    pub(super) fn is_moved_on(&self, from: Timestamp, to: Timestamp) -> bool {
        let is_first = |zone: AccountingZone| zone.period(zone.month_of(to)).start == to;
        from < to && self.zone.is_some_and(is_first)
    }

    /// Every service whose sums are not as reported.
    pub(super) fn differences(&self) -> Vec<MonthDifference> {
        self.closed.iter().flat_map(Closed::differences).collect()
    }
}

impl Closed {
    fn differences(&self) -> Vec<MonthDifference> {
        let mut services: Vec<ServiceId> = self.reported.keys().chain(self.counted.keys()).copied().collect();
        services.sort_unstable();
        services.dedup();
        let of = |sums: &Sums, id: ServiceId| sums.get(&id).copied().unwrap_or_default();
        let differs = |service_id: ServiceId| {
            let (reported, in_books) = (of(&self.reported, service_id), of(&self.counted, service_id));
            let difference = MonthDifference { month: self.month, service_id, reported, in_books };
            (reported != in_books).then_some(difference)
        };
        services.into_iter().filter_map(differs).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Actor, Amount, Audit, OperationKind, OrderId, RecordedOperation, RevenueLine, ServiceName, UserId,
        ports::LedgerSink,
    };

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn moved(kind: OperationKind, amount: i64, created_at: &str) -> RecordedOperation {
        let operation = Operation {
            user_id: UserId::new(1).unwrap(),
            seq: 1,
            kind,
            amount: Amount::new(amount).unwrap(),
            available_after: 0,
            reserved_after: 0,
            service_id: ServiceId::new(7).ok(),
            order_id: OrderId::new(1).ok(),
            counterparty_user_id: None,
            comment: None,
            idempotency_key: None,
            actor: Actor::Anonymous,
            created_at: at(created_at),
        };
        RecordedOperation { operation, fingerprint: None, reservation_after: None }
    }

    fn november(captured: i128, refunded: i128) -> RevenueReport {
        let line = RevenueLine {
            service_id: ServiceId::new(7).unwrap(),
            service_name: ServiceName::new("Taxi").unwrap(),
            captured,
            refunded,
        };
        RevenueReport {
            month: Month::new(2026, 11).unwrap(),
            is_final: true,
            built_at: at("2026-12-01T00:00:00Z"),
            lines: vec![line],
        }
    }

    fn recounted(report: RevenueReport) -> Vec<String> {
        let audit = Audit::new(AccountingZone::new("Europe/Moscow").unwrap(), vec![report]);
        for (kind, amount, created_at) in [
            (OperationKind::Capture, 1, "2026-10-31T20:59:59.999999Z"),
            (OperationKind::Capture, 10, "2026-10-31T21:00:00Z"),
            (OperationKind::Refund, 3, "2026-11-15T00:00:00Z"),
            (OperationKind::Capture, 100, "2026-11-30T20:59:59.999999Z"),
            (OperationKind::Capture, 1_000, "2026-11-30T21:00:00Z"),
        ] {
            audit.operation(moved(kind, amount, created_at));
        }
        let summary = audit.finish();
        assert_eq!(summary.months, 1);
        assert!(!summary.is_clean(), "the operations have no account");
        summary.month_differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_final_month_is_recounted_in_its_zone() {
        assert!(recounted(november(110, 3)).is_empty());
        let differs = |reported: &str| {
            format!(
                "month 2026-11, service 7: the final report says {reported}; the books say captured 110, refunded 3"
            )
        };
        assert_eq!(recounted(november(109, 3)), [differs("captured 109, refunded 3")]);
        assert_eq!(recounted(november(110, 0)), [differs("captured 110, refunded 0")]);
        let unlisted = RevenueReport { lines: Vec::new(), ..november(0, 0) };
        assert_eq!(recounted(unlisted), [differs("captured 0, refunded 0")]);
    }

    #[test]
    fn closed_books_move_an_expiry_on_to_the_first_instant_of_a_month() {
        let months = Months::of(AccountingZone::new("Europe/Moscow").unwrap(), Vec::new());
        let deadline = at("2026-11-15T00:00:00Z");
        assert!(months.is_moved_on(deadline, at("2026-11-30T21:00:00Z")));
        assert!(!months.is_moved_on(deadline, at("2026-11-30T21:00:00.000001Z")));
        assert!(!months.is_moved_on(deadline, at("2026-10-31T21:00:00Z")), "not back");
        assert!(!Months::default().is_moved_on(deadline, at("2026-11-30T21:00:00Z")));
    }
}
