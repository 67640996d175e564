//! Months touch exactly, in zones that jump at midnight, change their offset or skip a day.

use balance_domain::{AccountingZone, Month, Period, Timestamp, WallClock};

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

#[test]
fn months_follow_each_other_over_years() {
    let month = |text: &str| text.parse::<Month>().unwrap();
    let all = month("2025-11").up_to(month("2026-02"), 12);
    assert_eq!(all, ["2025-11", "2025-12", "2026-01", "2026-02"].map(month));
    assert!(month("2026-02").up_to(month("2025-11"), 12).is_empty());
    assert_eq!(month("0001-01").up_to(month("9998-12"), 12).len(), 13, "one more says that there are more");
    assert_eq!(month("2026-03").earlier(11), month("2025-04"));
    assert_eq!(month("0001-02").earlier(5), month("0001-01"));
    assert_eq!(month("2026-11").parts(), (2026, 11));
}

#[test]
fn days_begin_and_end_as_the_zone_says() {
    let moscow = AccountingZone::new("Europe/Moscow").unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(moscow.first_of_day(2026, 11, 24), Some(at("2026-11-23T21:00:00Z")));
    assert_eq!(moscow.end_of_day(2026, 12, 31), Some(at("2026-12-31T21:00:00Z")));
    for (year, month, day) in [(2026, 2, 29), (2026, 13, 1), (2026, 0, 1), (2026, 1, 32), (0, 1, 1)] {
        assert_eq!(moscow.first_of_day(year, month, day), None, "{year}-{month}-{day}");
    }
    // In Beirut clocks went from 23:59:59 to 01:00:00: the day began with the jump.
    let beirut = AccountingZone::new("Asia/Beirut").unwrap();
    let jump = beirut.first_of_day(2022, 3, 27).unwrap();
    assert_eq!((jump, beirut.wall_clock(jump).hour), (at("2022-03-26T22:00:00Z"), 1));
    let shown = moscow.wall_clock(at("2026-11-24T09:30:05.999999Z"));
    let expected = WallClock { year: 2026, month: 11, day: 24, hour: 12, minute: 30, second: 5 };
    assert_eq!(shown, expected);
}
