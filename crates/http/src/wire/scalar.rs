//! Single values: how each looks in JSON, in a query string and in a path, and what is said when it is not one.

use std::{fmt, marker::PhantomData};

use balance_domain::{
    Actor, Amount, ApiKeyId, Comment, EventLimit, EventType, IdempotencyKey, Invalid, KeyDays, KeyName,
    Limit, Month, OperationKind, OperationSort, OrderId, ReservationState, Scope, SearchSort, ServiceId,
    ServiceName, Timestamp, Ttl, UserId,
};
use paperclip::v2::{
    models::{DataType, DataTypeFormat, DefaultSchemaRaw},
    schema::Apiv2Schema,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, de::Visitor};

use crate::problem::Code;

/// A value of the domain on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wire<T>(pub(crate) T);

/// How a value of the domain looks on the wire.
pub(crate) trait Scalar: Sized {
    /// Reads a JSON value.
    fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
    /// Reads a path segment or the value of a query parameter.
    fn from_text(text: &str) -> Option<Self>;
    /// Writes a JSON value.
    fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    /// What is said of anything else.
    fn fault() -> (Code, String);
    /// Its type in the OpenAPI document; bounds are added by name when the document is finished.
    fn schema() -> DefaultSchemaRaw;
}

impl<'de, T: Scalar> Deserialize<'de> for Wire<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::from_json(deserializer).map(Self)
    }
}

impl<T: Scalar> Serialize for Wire<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_json(serializer)
    }
}

impl<T: Scalar> Apiv2Schema for Wire<T> {
    fn raw_schema() -> DefaultSchemaRaw {
        T::schema()
    }
}

/// For optional fields: may be left out, but not be null.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads text without copying it first.
struct Text<T>(fn(&str) -> Option<T>, PhantomData<T>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::custom("not valid here"))
    }
}

fn read_text<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Text(parse, PhantomData))
}

/// Digits as they are usually written: no sign but minus, no leading zero.
fn read_integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_usual = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    is_usual.then_some(number)
}

fn typed(data_type: DataType, format: Option<DataTypeFormat>) -> DefaultSchemaRaw {
    DefaultSchemaRaw { data_type: Some(data_type), format, ..DefaultSchemaRaw::default() }
}

fn one_of(names: &[&str]) -> DefaultSchemaRaw {
    DefaultSchemaRaw {
        enum_: names.iter().map(|name| serde_json::Value::from(*name)).collect(),
        ..typed(DataType::String, None)
    }
}

fn list_of(items: DefaultSchemaRaw) -> DefaultSchemaRaw {
    DefaultSchemaRaw { items: Some(Box::new(items)), ..typed(DataType::Array, None) }
}

macro_rules! integer {
    ($($type:ty: $invalid:expr, $new:expr, $get:expr;)+) => {$(
        impl Scalar for $type {
            fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = i64::deserialize(deserializer)?;
                let new: fn(i64) -> Option<Self> = $new;
                new(number).ok_or_else(|| D::Error::custom($invalid))
            }

            fn from_text(text: &str) -> Option<Self> {
                let new: fn(i64) -> Option<Self> = $new;
                read_integer(text).and_then(new)
            }

            fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let get: fn(&Self) -> i64 = $get;
                serializer.serialize_i64(get(self))
            }

            fn fault() -> (Code, String) {
                ($invalid.into(), $invalid.to_string())
            }

            fn schema() -> DefaultSchemaRaw {
                typed(DataType::Integer, Some(DataTypeFormat::Int64))
            }
        }
    )+};
}

/// The number of an operation among those of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seq(i64);

impl Seq {
    /// The number.
    pub(crate) const fn get(self) -> i64 {
        self.0
    }
}

integer! {
    Seq: Invalid::Id, |number| (number >= 1).then_some(Self(number)), |seq| seq.0;
    Amount: Invalid::Amount, |number| Self::new(number).ok(), |amount| amount.get();
    Ttl: Invalid::Ttl, |number| Self::from_seconds(u32::try_from(number).ok()?).ok(), |ttl| ttl.seconds().into();
    KeyDays: Invalid::KeyDays, |number| Self::new(u16::try_from(number).ok()?).ok(), |days| days.get().into();
    EventLimit: Invalid::EventLimit, |number| Self::new(u16::try_from(number).ok()?).ok(), |limit| limit.get().into();
    Limit: Invalid::Limit, |number| Self::new(u16::try_from(number).ok()?).ok(), |limit| limit.get().into();
}

/// Reads an id from a number or from a string of digits: not every caller's numbers are exact above 2^53.
struct Id<T>(fn(i64) -> Option<T>);

impl<T> Visitor<'_> for Id<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer or a string of digits")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        (self.0)(number).ok_or_else(|| E::custom(Invalid::Id))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        let number = i64::try_from(number).map_err(|_| E::custom(Invalid::Id))?;
        self.visit_i64(number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        read_integer(text).and_then(self.0).ok_or_else(|| E::custom(Invalid::Id))
    }
}

/// Ids are the only values that are written as unsigned numbers: that is how [`json`] knows them.
macro_rules! id {
    ($($type:ty;)+) => {$(
        impl Scalar for $type {
            fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Id(|number| Self::new(number).ok()))
            }

            fn from_text(text: &str) -> Option<Self> {
                read_integer(text).and_then(|number| Self::new(number).ok())
            }

            fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u64(self.get().unsigned_abs())
            }

            fn fault() -> (Code, String) {
                (Invalid::Id.into(), Invalid::Id.to_string())
            }

            fn schema() -> DefaultSchemaRaw {
                typed(DataType::Integer, Some(DataTypeFormat::Int64))
            }
        }
    )+};
}

id! {
    UserId;
    ServiceId;
    OrderId;
}

/// Writes ids as strings of digits.
struct IdsAsStrings;

impl serde_json::ser::Formatter for IdsAsStrings {
    fn write_u64<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, id: u64) -> std::io::Result<()> {
        write!(writer, "\"{id}\"")
    }
}

/// A body as JSON, its ids as numbers or as strings of digits.
pub(crate) fn json(body: &impl Serialize, ids_as_strings: bool) -> serde_json::Result<Vec<u8>> {
    /// Room for a usual answer, in bytes, so that writing it does not grow the buffer step by step.
    const BYTES_USUAL: usize = 512;
    let mut bytes = Vec::with_capacity(BYTES_USUAL);
    if ids_as_strings {
        body.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, IdsAsStrings))?;
    } else {
        serde_json::to_writer(&mut bytes, body)?;
    }
    Ok(bytes)
}

macro_rules! text {
    ($($type:ty: $fault:expr, $parse:expr, $write:expr, $schema:expr;)+) => {$(
        impl Scalar for $type {
            fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_text(deserializer, Self::from_text)
            }

            fn from_text(text: &str) -> Option<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(text)
            }

            fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&$write(self))
            }

            fn fault() -> (Code, String) {
                $fault
            }

            fn schema() -> DefaultSchemaRaw {
                $schema
            }
        }
    )+};
}

fn invalid(invalid: Invalid) -> (Code, String) {
    (invalid.into(), invalid.to_string())
}

fn unlisted(code: Code, names: &[&str]) -> (Code, String) {
    (code, format!("this must be one of {}", names.join(", ")))
}

fn as_is<T>(value: &T) -> &T {
    value
}

const KINDS: [&str; 9] = {
    let mut names = [""; 9];
    let mut at = 0;
    while at < names.len() {
        names[at] = OperationKind::ALL[at].as_str();
        at += 1;
    }
    names
};

const STATES: [&str; 4] = ["active", "captured", "released", "expired"];
const SORTS: [&str; 4] = ["-created_at", "created_at", "-amount", "amount"];

/// The name of a state.
const fn state_name(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Active => "active",
        ReservationState::Captured => "captured",
        ReservationState::Released => "released",
        ReservationState::Expired => "expired",
    }
}

fn state_of(name: &str) -> Option<ReservationState> {
    [
        ReservationState::Active,
        ReservationState::Captured,
        ReservationState::Released,
        ReservationState::Expired,
    ]
    .into_iter()
    .find(|state| state_name(*state) == name)
}

/// The name of an order.
const fn sort_name(sort: OperationSort) -> &'static str {
    match sort {
        OperationSort::NewestFirst => "-created_at",
        OperationSort::OldestFirst => "created_at",
        OperationSort::LargestFirst => "-amount",
        OperationSort::SmallestFirst => "amount",
    }
}

fn sort_of(name: &str) -> Option<OperationSort> {
    [
        OperationSort::NewestFirst,
        OperationSort::OldestFirst,
        OperationSort::LargestFirst,
        OperationSort::SmallestFirst,
    ]
    .into_iter()
    .find(|sort| sort_name(*sort) == name)
}

const SEARCH_SORTS: [&str; 2] = ["expires_at", "-created_at"];

const fn search_sort_name(sort: SearchSort) -> &'static str {
    match sort {
        SearchSort::SoonestFirst => "expires_at",
        SearchSort::NewestFirst => "-created_at",
    }
}

fn search_sort_of(name: &str) -> Option<SearchSort> {
    [SearchSort::SoonestFirst, SearchSort::NewestFirst]
        .into_iter()
        .find(|sort| search_sort_name(*sort) == name)
}

/// A cursor as it was sent; which list it belongs to is checked when that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) String);

impl Cursor {
    /// Longer text is no cursor of ours.
    const BYTES_MAX: usize = 100;
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFor {
    /// A spreadsheet that opens it by a double click.
    Excel,
}

text! {
    Actor: invalid(Invalid::Actor), |text| text.parse().ok(), as_is, typed(DataType::String, None);
    FileFor: unlisted(Code::InvalidFor, &["excel"]), |text| (text == "excel").then_some(Self::Excel),
        |_: &Self| "excel", one_of(&["excel"]);
    Comment: invalid(Invalid::Comment), |text| Self::new(text).ok(), as_is, typed(DataType::String, None);
    IdempotencyKey: invalid(Invalid::IdempotencyKey), |text| Self::new(text).ok(), as_is,
        typed(DataType::String, None);
    KeyName: invalid(Invalid::KeyName), |text| Self::new(text).ok(), as_is, typed(DataType::String, None);
    ApiKeyId: invalid(Invalid::ApiKeyId), |text| Self::new(text).ok(), as_is, typed(DataType::String, None);
    ServiceName: invalid(Invalid::ServiceName), |text| Self::new(text).ok(), as_is, typed(DataType::String, None);
    Month: invalid(Invalid::Month), |text| text.parse().ok(), as_is, typed(DataType::String, None);
    Timestamp: invalid(Invalid::Timestamp), |text| text.parse().ok(), as_is,
        typed(DataType::String, Some(DataTypeFormat::DateTime));
    OperationKind: unlisted(Code::InvalidKind, &KINDS), Self::from_name, |kind: &Self| kind.as_str(),
        one_of(&KINDS);
    ReservationState: unlisted(Code::InvalidState, &STATES), state_of, |state: &Self| state_name(*state), one_of(&STATES);
    OperationSort: unlisted(Code::InvalidSort, &SORTS), sort_of, |sort: &Self| sort_name(*sort), one_of(&SORTS);
    SearchSort: unlisted(Code::InvalidSort, &SEARCH_SORTS), search_sort_of, |sort: &Self| search_sort_name(*sort),
        one_of(&SEARCH_SORTS);
    Cursor: (Code::InvalidCursor, Code::InvalidCursor.title().to_owned()),
        |text| (text.len() <= Self::BYTES_MAX).then(|| Self(text.to_owned())), |cursor: &Self| cursor.0.clone(),
        typed(DataType::String, None);
}

/// What a key may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scopes(pub(crate) Vec<Scope>);

impl Scalar for Scopes {
    fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let scopes: Result<Vec<Scope>, _> = names.iter().map(|name| name.parse()).collect();
        match scopes {
            Ok(scopes) if (1..=Scope::ALL.len()).contains(&scopes.len()) => Ok(Self(scopes)),
            _ => Err(D::Error::custom("not valid here")),
        }
    }

    fn from_text(_: &str) -> Option<Self> {
        None
    }

    fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|scope| scope.as_str()))
    }

    fn fault() -> (Code, String) {
        unlisted(Code::InvalidScope, &Scope::ALL.map(Scope::as_str))
    }

    fn schema() -> DefaultSchemaRaw {
        list_of(one_of(&Scope::ALL.map(Scope::as_str)))
    }
}

/// Types of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventTypes(pub(crate) Vec<EventType>);

impl EventTypes {
    fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let groups: Vec<_> = names.into_iter().map(EventType::named).collect::<Result<_, _>>().ok()?;
        let mut types = groups.concat();
        types.sort_unstable();
        types.dedup();
        (!types.is_empty()).then_some(Self(types))
    }
}

/// In a query string they are separated by commas.
impl Scalar for EventTypes {
    fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::of(names.iter().map(String::as_str)).ok_or_else(|| D::Error::custom("not valid here"))
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::of(text.split(','))
    }

    fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }

    fn fault() -> (Code, String) {
        invalid(Invalid::EventType)
    }

    fn schema() -> DefaultSchemaRaw {
        list_of(typed(DataType::String, None))
    }
}

/// How long to wait for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitSeconds(pub(crate) u8);

impl WaitSeconds {
    /// Less than the half minute after which balancers give up.
    pub(crate) const MAX: u8 = 25;
}

impl Scalar for WaitSeconds {
    fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = u8::deserialize(deserializer)?;
        if seconds <= Self::MAX { Ok(Self(seconds)) } else { Err(D::Error::custom("not valid here")) }
    }

    fn from_text(text: &str) -> Option<Self> {
        let seconds = u8::try_from(read_integer(text)?).ok()?;
        (seconds <= Self::MAX).then_some(Self(seconds))
    }

    fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }

    fn fault() -> (Code, String) {
        (Code::InvalidWait, "this must be a whole number of seconds from 0 to 25".to_owned())
    }

    fn schema() -> DefaultSchemaRaw {
        typed(DataType::Integer, Some(DataTypeFormat::Int32))
    }
}

impl Scalar for bool {
    fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self)
    }

    fn fault() -> (Code, String) {
        (Code::InvalidType, "this must be true or false".to_owned())
    }

    fn schema() -> DefaultSchemaRaw {
        typed(DataType::Boolean, None)
    }
}

/// A sum over accounts, in minor units: may be wider than 64 bits.
impl Scalar for i128 {
    fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i128(*self)
    }

    fn fault() -> (Code, String) {
        (Code::InvalidType, "this must be an integer".to_owned())
    }

    fn schema() -> DefaultSchemaRaw {
        typed(DataType::Integer, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_text_are_written_as_usual() {
        for (text, number) in
            [("1", Some(1)), ("0", Some(0)), ("-5", Some(-5)), ("9223372036854775807", Some(i64::MAX))]
        {
            assert_eq!(read_integer(text), number, "{text}");
        }
        for refused in
            ["", "+1", "01", "1.0", "1e2", " 1", "1 ", "0x1", "-", "--1", "9223372036854775808", "١"]
        {
            assert_eq!(read_integer(refused), None, "{refused}");
        }
    }

    #[test]
    fn names_of_enumerations_go_both_ways() {
        for name in STATES {
            assert_eq!(state_name(state_of(name).unwrap()), name);
        }
        for name in SORTS {
            assert_eq!(sort_name(sort_of(name).unwrap()), name);
        }
        for name in KINDS {
            assert_eq!(OperationKind::from_name(name).unwrap().as_str(), name);
        }
    }
}
