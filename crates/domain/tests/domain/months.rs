//! Months touch exactly, in zones that jump at midnight, change their offset or skip a day.

use balance_domain::{AccountingZone, Month, Period, Timestamp};

const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Moscow",
    "Europe/London",
    "America/New_York",
    "America/Asuncion",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Amman",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Chatham",
];

fn zone(name: &str) -> AccountingZone {
    AccountingZone::new(name).unwrap()
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn shifted(time: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(time.micros() + micros).unwrap()
}

/// All months from 2010 to 2040, in order.
fn months() -> impl Iterator<Item = Month> {
    (2010..=2040).flat_map(|year| (1..=12).map(move |month| Month::new(year, month).unwrap()))
}

#[test]
fn every_instant_belongs_to_exactly_one_month_in_every_zone() {
    for name in ZONES {
        let zone = zone(name);
        let months: Vec<Month> = months().collect();
        for pair in months.windows(2) {
            let (period, next) = (zone.period(pair[0]), zone.period(pair[1]));
            assert_eq!(period.end, next.start, "{name}: {} and {} touch", pair[0], pair[1]);
            for (time, is_next) in
                [(shifted(period.end, -1), false), (period.end, true), (shifted(period.end, 1), true)]
            {
                assert_eq!(
                    (period.contains(time), next.contains(time)),
                    (!is_next, is_next),
                    "{name} {time}"
                );
                assert_eq!(zone.month_of(time), pair[usize::from(is_next)], "{name} {time}");
            }
        }
    }
}

#[test]
fn the_month_of_an_instant_agrees_with_periods_for_hours_around_each_edge() {
    for name in ZONES {
        let zone = zone(name);
        for month in months() {
            let start = zone.period(month).start;
            for minutes in (-150..150).step_by(10) {
                let time = shifted(start, minutes * 60_000_000);
                assert_eq!(zone.month_of(time) >= month, minutes >= 0, "{name} {month} {time}");
            }
        }
    }
}

/// Newfoundland set its clocks back at one minute past midnight: 23:01 to 23:59 of October came again.
#[test]
fn a_month_that_began_does_not_end_when_the_clock_is_set_back_over_midnight() {
    let zone = zone("America/St_Johns");
    let Period { start, .. } = zone.period(month("2009-11"));
    assert_eq!(start.to_string(), "2009-11-01T02:30:00.000000Z");
    assert_eq!(zone.month_of(shifted(start, -1)), month("2009-10"));
    for minutes in 0..120 {
        assert_eq!(zone.month_of(shifted(start, minutes * 60_000_000)), month("2009-11"), "{minutes}");
    }
}

#[test]
fn known_edges_of_months() {
    for (name, text, start) in [
        // Midnight is skipped: the month begins with the jump to 01:00.
        ("America/Asuncion", "2017-10", "2017-10-01T04:00:00.000000Z"),
        ("Asia/Amman", "2011-04", "2011-03-31T22:00:00.000000Z"),
        // Midnight comes twice: the month begins with the first.
        ("America/Havana", "2020-11", "2020-11-01T04:00:00.000000Z"),
        // Midnight is set back to 23:00 of the day before and comes once, an hour later.
        ("Africa/Cairo", "2024-11", "2024-10-31T22:00:00.000000Z"),
        // The offset changes within the month.
        ("Europe/Moscow", "2010-11", "2010-10-31T21:00:00.000000Z"),
        ("Europe/Moscow", "2011-03", "2011-02-28T21:00:00.000000Z"),
        ("Europe/Moscow", "2011-04", "2011-03-31T20:00:00.000000Z"),
        ("Europe/Moscow", "2014-10", "2014-09-30T20:00:00.000000Z"),
        ("Europe/Moscow", "2014-11", "2014-10-31T21:00:00.000000Z"),
        ("Europe/Moscow", "2026-11", "2026-10-31T21:00:00.000000Z"),
        ("America/New_York", "2026-11", "2026-11-01T04:00:00.000000Z"),
        ("America/New_York", "2026-12", "2026-12-01T05:00:00.000000Z"),
        ("Asia/Kathmandu", "2026-01", "2025-12-31T18:15:00.000000Z"),
        // A day is skipped at the end of the month.
        ("Pacific/Apia", "2011-12", "2011-12-01T10:00:00.000000Z"),
        ("Pacific/Apia", "2012-01", "2011-12-31T10:00:00.000000Z"),
        ("UTC", "2024-02", "2024-02-01T00:00:00.000000Z"),
    ] {
        assert_eq!(zone(name).period(month(text)).start.to_string(), start, "{name} {text}");
    }
}

#[test]
fn defect_08_the_first_instant_of_the_next_month_is_not_of_this_month() {
    let zone = zone("Europe/Moscow");
    let Period { start, end } = zone.period(month("2026-11"));
    let november = Period { start, end };
    assert!(november.contains(start) && november.contains(shifted(end, -1)));
    assert!(!november.contains(end) && !november.contains(shifted(start, -1)));
}

#[test]
fn defect_10_a_month_begins_at_the_same_instant_whatever_the_machine_thinks_of_zones() {
    let start = zone("Europe/Moscow").period(month("2026-01")).start;
    assert_eq!(start.to_string(), "2025-12-31T21:00:00.000000Z");
    assert_eq!(start.to_string().parse(), Ok(start));
}

#[test]
fn the_first_and_the_last_months_have_periods_within_the_bounds_of_time() {
    for name in ZONES {
        for text in ["0001-01", "9998-12"] {
            let Period { start, end } = zone(name).period(month(text));
            assert!(Timestamp::MIN <= start && start < end && end <= Timestamp::MAX, "{name} {text}");
        }
        zone(name).month_of(Timestamp::MAX);
        zone(name).month_of(Timestamp::MIN);
    }
}
