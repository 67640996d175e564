//! Instants, and the months that accounting closes.
//!
//! An instant is UTC with microseconds, the finest time that every store keeps. A month is a half-open
//! range of instants in one configured IANA zone; the zone database is compiled in, so the same binary
//! gives the same months everywhere.

use std::{fmt, str::FromStr};

use time::{
    OffsetDateTime, UtcDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};
use tz::{DateTime, TimeZoneRef};

use crate::{Invalid, Ttl};

/// How an instant is written; 27 bytes for the years 0001 to 9999.
const WRITTEN: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
const WRITTEN_LEN: usize = 27;

/// An instant: microseconds since 1970-01-01T00:00:00Z, within the years 0001 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-30T22:00:00Z, the last that can be written in every zone.
    pub const MAX: Self = Self(253_402_207_200_000_000);

    /// Microseconds since 1970-01-01T00:00:00Z, between [`Timestamp::MIN`] and [`Timestamp::MAX`].
    pub const fn from_micros(micros: i64) -> Result<Self, Invalid> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            return Err(Invalid::Timestamp);
        }
        Ok(Self(micros))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The deadline of a reservation made or extended at this instant, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn after(self, ttl: Ttl) -> Self {
        let micros = self.0.saturating_add(ttl.seconds() as i64 * 1_000_000);
        if micros > Self::MAX.0 { Self::MAX } else { Self(micros) }
    }
}

/// RFC 3339 in UTC with microseconds: `2026-11-24T09:30:00.000000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant =
            UtcDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000).map_err(|_| fmt::Error)?;
        let mut text = [0; WRITTEN_LEN];
        instant.format_into(&mut text.as_mut_slice(), WRITTEN).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Reads RFC 3339 with any offset; digits past the microsecond are cut off.
impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !is_rfc_3339(text) {
            return Err(Invalid::Timestamp);
        }
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| Invalid::Timestamp)?;
        let micros = instant.unix_timestamp_nanos().div_euclid(1_000);
        Self::from_micros(i64::try_from(micros).map_err(|_| Invalid::Timestamp)?)
    }
}

/// The parser is more lenient in what separates date and time, and takes a leap second for the second before it:
/// more likely a mistake than a time.
fn is_rfc_3339(text: &str) -> bool {
    let Some((time, rest)) = text.split_at_checked(19) else { return false };
    let offset =
        rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let is_offset = has_shape(offset, "+00:00") && &offset[1..3] < "24";
    has_shape(time, "0000-00-00T00:00:00")
        && !time.ends_with(":60")
        && (is_offset || offset.eq_ignore_ascii_case("z"))
}

/// Whether the text is the pattern with other digits, another sign, and `T` in lower case or a space.
fn has_shape(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            wanted => byte == wanted,
        })
}

/// A half-open range of instants: `start <= t < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first instant inside.
    pub start: Timestamp,
    /// The first instant after.
    pub end: Timestamp,
}

impl Period {
    /// Whether the instant is inside.
    pub fn contains(self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }
}

/// A calendar month, `0001-01` to `9998-12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    const FIRST: Self = Self { year: 1, month: 1 };

    /// Year 1 to 9998, month 1 to 12.
    pub const fn new(year: i16, month: i8) -> Result<Self, Invalid> {
        if year < 1 || year > 9998 || month < 1 || month > 12 {
            return Err(Invalid::Month);
        }
        Ok(Self { year, month })
    }

    /// Year and month, from 1.
    pub const fn parts(self) -> (i16, u8) {
        (self.year, self.month.unsigned_abs())
    }

    /// The months from this one to `last`, both included, but no more than `count_max` and one.
    pub fn up_to(self, last: Self, count_max: usize) -> Vec<Self> {
        let months = std::iter::successors(Some(self), |month| Some(month.next()));
        months.take_while(|month| *month <= last).take(count_max + 1).collect()
    }

    /// The month `count` months earlier, at the earliest the first one.
    #[must_use]
    pub fn earlier(self, count: u16) -> Self {
        let months = i32::from(self.year) * 12 + i32::from(self.month) - 1 - i32::from(count);
        let year = i16::try_from(months.div_euclid(12)).unwrap_or(i16::MIN);
        let month = i8::try_from(months.rem_euclid(12) + 1).unwrap_or(1);
        Self::new(year, month).unwrap_or(Self::FIRST)
    }

    /// The month after this one; its year may be 9999.
    const fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1 }
        } else {
            Self { year: self.year, month: self.month + 1 }
        }
    }
}

/// `YYYY-MM`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// Exactly `YYYY-MM`.
impl FromStr for Month {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (year, month) = text.split_once('-').ok_or(Invalid::Month)?;
        let digits = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(Invalid::Month);
        }
        let (year, month) =
            (year.parse().map_err(|_| Invalid::Month)?, month.parse().map_err(|_| Invalid::Month)?);
        Self::new(year, month)
    }
}

/// A date and a time of the day, as the clocks of a zone show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
}

/// The one time zone in which months begin and end. Two names of one zone are equal.
#[derive(Clone, Copy)]
pub struct AccountingZone {
    name: &'static str,
    rules: TimeZoneRef<'static>,
}

impl PartialEq for AccountingZone {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for AccountingZone {}

impl fmt::Debug for AccountingZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl AccountingZone {
    /// Looks the zone up in the compiled-in IANA database, in any case.
    pub fn new(iana_name: &str) -> Result<Self, Invalid> {
        let name = tzdb::TZ_NAMES.iter().find(|name| name.eq_ignore_ascii_case(iana_name));
        let found = name.and_then(|name| Some(Self { name, rules: tzdb::tz_by_name(name)? }));
        found.ok_or(Invalid::Zone)
    }

    /// The zone's name in the IANA database.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The month as instants. Where midnight of the first day happens twice, the month begins with the
    /// first; where it is skipped, with the instant of the jump.
    pub fn period(&self, month: Month) -> Period {
        Period { start: self.first_instant(month), end: self.first_instant(month.next()) }
    }

    /// The month that an instant belongs to: the one whose [`period`](Self::period) contains it.
    pub fn month_of(&self, instant: Timestamp) -> Month {
        let seconds = instant.0.div_euclid(1_000_000);
        let Ok(date) = DateTime::from_timespec(seconds, 0, self.rules) else { return Month::FIRST };
        let (Ok(year), Ok(number)) = (date.year().try_into(), date.month().try_into()) else {
            return Month::FIRST;
        };
        let month = Month { year, month: number };
        // Clocks that are set back over midnight show the last day's date again, in the new month.
        let next = month.next();
        if next.year < 10_000 && self.first_instant(next) <= instant { next } else { month }
    }

    /// What the clocks of the zone show at an instant.
    pub fn wall_clock(&self, instant: Timestamp) -> WallClock {
        let seconds = instant.0.div_euclid(1_000_000);
        // Outside of the years 1 to 9999 there is no instant of ours.
        let shown = DateTime::from_timespec(seconds, 0, self.rules).ok();
        shown.map_or(WallClock { year: 1, month: 1, day: 1, hour: 0, minute: 0, second: 0 }, |shown| {
            WallClock {
                year: shown.year(),
                month: shown.month(),
                day: shown.month_day(),
                hour: shown.hour(),
                minute: shown.minute(),
                second: shown.second(),
            }
        })
    }

    /// The first instant of a day of the zone's calendar; `None` if there is no such day.
    pub fn first_of_day(&self, year: i32, month: u8, day: u8) -> Option<Timestamp> {
        // The calendar says which days there are; the zone may skip midnight, and then the day begins with the jump.
        time::Date::from_calendar_date(year, month.try_into().ok()?, day).ok()?;
        self.midnight(year, month, day).filter(|first| *first >= Timestamp::MIN && *first <= Timestamp::MAX)
    }

    /// The first instant of the day after.
    pub fn end_of_day(&self, year: i32, month: u8, day: u8) -> Option<Timestamp> {
        let date = time::Date::from_calendar_date(year, month.try_into().ok()?, day).ok()?.next_day()?;
        self.first_of_day(date.year(), date.month().into(), date.day())
    }

    fn first_instant(&self, month: Month) -> Timestamp {
        let first = self.midnight(i32::from(month.year), month.month.unsigned_abs(), 1);
        first.unwrap_or(Timestamp(i64::MIN)).clamp(Timestamp::MIN, Timestamp::MAX)
    }

    fn midnight(&self, year: i32, month: u8, day: u8) -> Option<Timestamp> {
        let found = DateTime::find(year, month, day, 0, 0, 0, 0, self.rules).ok()?.earliest()?;
        Some(Timestamp(found.unix_time().saturating_mul(1_000_000)))
    }
}
