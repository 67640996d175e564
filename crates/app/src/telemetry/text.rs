//! Log lines for people: one event a line, what matters first.
//!
//! `09:14:03.512  201 POST /api/v1/users/{user_id}/deposits  1.8 ms  user_id=42 operation_seq=7`

use std::{borrow::Cow, fmt};

use balance_domain::ports::Clock;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::clock::SystemClock;

/// The target of the one event that each request leaves.
const REQUEST: &str = "balance::request";

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Writes events as lines, with colours where there is a terminal that shows them.
pub(super) struct ForPeople {
    pub(super) is_coloured: bool,
}

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line { level: *event.metadata().level(), target: event.metadata().target(), fields };
        self.write(&mut out, line)
    }
}

/// What a line says.
struct Line<'a> {
    level: Level,
    target: &'a str,
    fields: Fields,
}

impl ForPeople {
    fn write(&self, out: &mut impl fmt::Write, mut line: Line<'_>) -> fmt::Result {
        write!(out, "{}  ", self.painted(DIM, &time_of_day(SystemClock.now().micros())))?;
        let status = (line.target == REQUEST).then(|| line.fields.take("status")).flatten();
        match status {
            Some(status) => self.request(out, &status, &mut line.fields)?,
            None => self.event(out, line.level, &mut line.fields)?,
        }
        for (name, value) in &line.fields.0 {
            write!(out, " {}{value}", self.painted(DIM, &format!("{name}=")))?;
        }
        writeln!(out)
    }

    fn request(&self, out: &mut impl fmt::Write, status: &str, fields: &mut Fields) -> fmt::Result {
        let colour = match status.as_bytes().first() {
            Some(b'5') => RED,
            Some(b'4') => YELLOW,
            _ => GREEN,
        };
        let mut take = |name| fields.take(name).unwrap_or_default();
        let (method, route, path) = (take("method"), take("route"), take("path"));
        let (micros, id) = (take("duration_us").parse().unwrap_or(0), take("request_id"));
        fields.take("message");
        let place = if path.is_empty() { &route } else { &path };
        write!(out, "{} {method} {place}  {} ", self.painted(colour, status), duration(micros))?;
        // Who looks for a request has it from a refusal. The log file has all of them.
        if colour == GREEN { Ok(()) } else { write!(out, " request_id={id}") }
    }

    fn event(&self, out: &mut impl fmt::Write, level: Level, fields: &mut Fields) -> fmt::Result {
        let colour = match level {
            Level::ERROR => RED,
            Level::WARN => YELLOW,
            _ => DIM,
        };
        let message = fields.take("message").unwrap_or_default();
        write!(out, "{} {message} ", self.painted(colour, level.as_str()))
    }

    fn painted<'a>(&self, colour: &str, text: &'a str) -> Cow<'a, str> {
        if self.is_coloured { format!("{colour}{text}{PLAIN}").into() } else { text.into() }
    }
}

/// The fields of an event, in order.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(given, _)| *given == name)?;
        Some(self.0.remove(at).1)
    }

    /// Control characters are written out: a value must not begin a line or colour one.
    fn add(&mut self, field: &Field, value: &str) {
        let is_plain = !value.chars().any(char::is_control);
        self.0
            .push((field.name(), if is_plain { value.to_owned() } else { value.escape_debug().to_string() }));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// Hours, minutes, seconds and milliseconds, in UTC.
fn time_of_day(micros: i64) -> String {
    let millis = micros.div_euclid(1_000).rem_euclid(86_400_000);
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Three digits or so: `870 µs`, `1.8 ms`, `2.0 s`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(is_coloured: bool, level: Level, target: &str, fields: &[(&'static str, &str)]) -> String {
        let fields = Fields(fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        let mut out = String::new();
        ForPeople { is_coloured }.write(&mut out, Line { level, target, fields }).unwrap();
        let (_, rest) = out.split_once("  ").unwrap();
        rest.to_owned()
    }

    const MADE: [(&str, &str); 7] = [
        ("message", "request"),
        ("request_id", "01a2"),
        ("method", "POST"),
        ("route", "/api/v1/users/{user_id}/deposits"),
        ("status", "201"),
        ("duration_us", "1834"),
        ("user_id", "42"),
    ];

    #[test]
    fn a_request_is_its_status_and_what_matters() {
        let made = line(false, Level::INFO, REQUEST, &MADE);
        assert_eq!(made, "201 POST /api/v1/users/{user_id}/deposits  1.8 ms  user_id=42\n");
        let coloured = line(true, Level::INFO, REQUEST, &MADE);
        assert!(coloured.starts_with("\x1b[32m201\x1b[0m POST "), "{coloured:?}");
        let lost = [
            ("message", "request"),
            ("request_id", "01a2"),
            ("method", "GET"),
            ("route", "other"),
            ("path", "/nix"),
            ("status", "404"),
            ("code", "route_not_found"),
            ("duration_us", "70"),
        ];
        let lost = line(false, Level::INFO, REQUEST, &lost);
        assert_eq!(lost, "404 GET /nix  70 µs  request_id=01a2 code=route_not_found\n");
    }

    #[test]
    fn other_events_are_their_level_and_message() {
        let fields = [("message", "the keys cannot be read"), ("error", "gone")];
        let said = line(false, Level::WARN, "balance::serve", &fields);
        assert_eq!(said, "WARN the keys cannot be read  error=gone\n");
        let cause = line(false, Level::ERROR, REQUEST, &[("message", "a request failed"), ("cause", "x")]);
        assert_eq!(cause, "ERROR a request failed  cause=x\n");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(time_of_day(1_795_512_600_123_456), "09:30:00.123");
        assert_eq!(time_of_day(-1_000), "23:59:59.999");
        let durations = [0, 999, 1_000, 999_949, 1_500_000].map(duration);
        assert_eq!(durations, ["0 µs", "999 µs", "1.0 ms", "999.9 ms", "1.5 s"]);
    }
}
