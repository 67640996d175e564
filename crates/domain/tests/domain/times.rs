//! Which words are times, months and zones, and which are not.

use balance_domain::{AccountingZone, Invalid, Month, Timestamp};

fn parsed(text: &str) -> Result<String, Invalid> {
    text.parse().map(|time: Timestamp| time.to_string())
}

#[test]
fn times_are_read_with_any_offset_and_written_in_utc_with_microseconds() {
    for (text, expected) in [
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00.000000Z"),
        ("2026-11-24t09:30:00z", "2026-11-24T09:30:00.000000Z"),
        ("2026-11-24 09:30:00Z", "2026-11-24T09:30:00.000000Z"),
        ("2026-11-24T09:30:00.5Z", "2026-11-24T09:30:00.500000Z"),
        ("2026-11-24T09:30:00.123456Z", "2026-11-24T09:30:00.123456Z"),
        ("2026-11-24T09:30:00.1234569Z", "2026-11-24T09:30:00.123456Z"),
        ("2026-11-24T09:30:00.123456999Z", "2026-11-24T09:30:00.123456Z"),
        ("2026-11-24T09:30:00.1234567890Z", "2026-11-24T09:30:00.123456Z"),
        ("2026-11-24T09:30:00+03:00", "2026-11-24T06:30:00.000000Z"),
        ("2026-11-24T09:30:00-05:45", "2026-11-24T15:15:00.000000Z"),
        ("2026-11-24T09:30:00+23:59", "2026-11-23T09:31:00.000000Z"),
        ("2026-11-24T09:30:00-00:00", "2026-11-24T09:30:00.000000Z"),
        ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00.000000Z"),
    ] {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_rfc_3339_does_not_call_a_time_is_refused() {
    for text in [
        "",
        "now",
        "2026-11-24",
        "2026-11-24T09:30Z",
        "2026-11-24T09:30:00",
        "2026-11-24T09:30:00.Z",
        "2026-11-24T09:30:00,5Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T23:59:60Z",
        "2016-12-31T23:59:60Z",
        "2026-11-24T23:60:00Z",
        "2026-11-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-30T22:00:00.000001Z",
        "9999-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "+002026-11-24T09:30:00Z",
        "+002026-11-24T09:30:60Z",
        "-000001-11-24T09:30:00Z",
        "2026-11-24T09:30:00+03",
        "2026-11-24T09:30:00+0300",
        "2026-11-24T09:30:00+03:00:30",
        "2026-11-24T09:30:00+24:00",
        "2026-11-24T09:30:00+03:60",
        "2026-11-24T09:30:00 03:00",
        "2026-11-24T09:30:00\u{2212}03:00",
        "2026-11-24T09-10:00",
        "20261124T093000Z",
        "20261124T0930+00:00",
        "2026-W48-2T09:30:00Z",
        "2026-11-24T09:30:00Z[UTC]",
        "2026-11-24T09:30:00+03:00[Europe/Moscow]",
        " 2026-11-24T09:30:00Z",
        "2026-11-24T09:30:00Z ",
        "2026-11-24T09:30:00Z\0",
        "２０２６-11-24T09:30:00Z",
        "1795510800",
    ] {
        assert_eq!(parsed(text), Err(Invalid::Timestamp), "{text:?}");
    }
}

#[test]
fn every_time_in_bounds_can_be_written_and_read_again() {
    for micros in [
        Timestamp::MIN.micros(),
        -1,
        0,
        1,
        1_795_510_800_123_456,
        Timestamp::MAX.micros() - 1,
        Timestamp::MAX.micros(),
    ] {
        let time = Timestamp::from_micros(micros).unwrap();
        assert_eq!(time.to_string().parse(), Ok(time), "{micros}");
    }
    for micros in [i64::MIN, Timestamp::MIN.micros() - 1, Timestamp::MAX.micros() + 1, i64::MAX] {
        assert_eq!(Timestamp::from_micros(micros), Err(Invalid::Timestamp), "{micros}");
    }
}

#[test]
fn a_deadline_is_whole_seconds_later_and_never_past_the_last_time() {
    let ttl = crate::script::ttl(60);
    assert_eq!(crate::script::at(0).after(ttl), crate::script::at(60));
    assert_eq!(Timestamp::MAX.after(ttl), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.after(ttl).micros() - Timestamp::MIN.micros(), 60_000_000);
}

#[test]
fn months_are_four_digits_a_hyphen_and_two_digits() {
    for text in ["2026-11", "0001-01", "9998-12", "2026-01"] {
        assert_eq!(text.parse().map(|month: Month| month.to_string()).as_deref(), Ok(text));
    }
    for text in [
        "",
        "-",
        "2026",
        "2026-",
        "2026-0",
        "2026-1",
        "2026-00",
        "2026-13",
        "2026-011",
        "02026-11",
        "26-11",
        "0000-12",
        "9999-01",
        "10000-01",
        "2026-1a",
        "2026-+1",
        "+026-11",
        "-026-11",
        "2026 -1",
        " 2026-11",
        "2026-11 ",
        "2026/11",
        "2026-11-01",
        "202611",
        "2026-１１",
        "2026\u{2212}11",
        "2026-11\0",
    ] {
        assert_eq!(text.parse::<Month>(), Err(Invalid::Month), "{text:?}");
    }
    for (year, month) in [(0, 1), (-1, 1), (9999, 1), (i16::MAX, 1), (2026, 0), (2026, 13), (2026, i8::MIN)] {
        assert_eq!(Month::new(year, month), Err(Invalid::Month), "{year} {month}");
    }
}

#[test]
fn months_are_ordered_as_on_the_calendar() {
    let months = ["0001-01", "2025-12", "2026-01", "2026-02", "9998-12"];
    assert!(months.map(|text| text.parse::<Month>().unwrap()).is_sorted());
}

#[test]
fn zones_are_names_of_the_iana_database_and_need_none_on_the_machine() {
    for name in ["UTC", "Europe/Moscow", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "europe/moscow"] {
        assert!(AccountingZone::new(name).is_ok(), "{name}");
    }
    for name in
        ["", "Moscow", "Z", "local", "+03:00", "Europe/Moscow ", "../Europe/Moscow", "Europe/Atlantis"]
    {
        assert_eq!(AccountingZone::new(name).err(), Some(Invalid::Zone), "{name:?}");
    }
}
