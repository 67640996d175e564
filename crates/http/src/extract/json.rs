//! Strict JSON. The way of success parses a body once, straight into wire types. Only when that fails is the
//! body read again, field by field, to tell everything that is wrong with it and where.

use std::{borrow::Cow, fmt, marker::PhantomData};

use balance_domain::Invalid;
use paperclip::v2::{
    models::{DataType, DefaultSchemaRaw},
    schema::Apiv2Schema,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use crate::{
    api::HttpSettings,
    problem::{Code, FieldError, Problem},
    wire::{Scalar, Wire},
};

/// The most objects that one list of a body may have.
pub(crate) const ITEMS_MAX: usize = 1000;

/// The most faults that are reported for one request: enough to fix it, not enough to make an answer larger than
/// the request.
const FAULTS_MAX: usize = 50;

/// A request body.
pub(crate) trait Request: Apiv2Schema + Sized {
    /// What JSON is read into.
    type Raw: DeserializeOwned;

    /// The largest body, in bytes.
    fn bytes_max(settings: &HttpSettings) -> usize {
        settings.body_bytes_max
    }

    /// What the raw fields mean; `None` if they do not fit together.
    fn accept(raw: Self::Raw, settings: &HttpSettings) -> Option<Self>;

    /// Finds everything that is wrong with a body that was not accepted.
    fn check(body: &RawValue, faults: &mut Faults);
}

/// Reads a whole body.
pub(crate) fn parse<T: Request>(bytes: &[u8], settings: &HttpSettings) -> Result<T, Problem> {
    let parsed = serde_json::from_slice::<Object<T::Raw>>(bytes);
    if let Ok(raw) = parsed
        && let Some(request) = T::accept(raw.0, settings)
    {
        return Ok(request);
    }
    Err(diagnose::<T>(bytes))
}

/// The slow way: what is wrong with these bytes.
fn diagnose<T: Request>(bytes: &[u8]) -> Problem {
    let body: &RawValue = match serde_json::from_slice(bytes) {
        Ok(body) => body,
        Err(error) => {
            let place = format!("line {} column {}", error.line(), error.column());
            return Problem::at("", Code::InvalidJson, format!("the body is not valid JSON at {place}"));
        }
    };
    let mut faults = Faults::default();
    T::check(body, &mut faults);
    match faults.into_result() {
        Err(problem) => problem,
        Ok(()) => Problem::at("", Code::InvalidJson, Code::InvalidJson.title()),
    }
}

/// Everything that is wrong with a request, the first fault first.
#[derive(Default)]
pub(crate) struct Faults {
    first: Option<Code>,
    errors: Vec<FieldError>,
}

impl Faults {
    /// Adds a fault.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, code: Code, detail: impl Into<String>) {
        self.first.get_or_insert(code);
        if self.errors.len() < FAULTS_MAX {
            self.errors.push(FieldError {
                pointer: pointer.into(),
                code: code.as_str(),
                detail: detail.into(),
            });
        }
    }

    /// Whether more would not be reported.
    fn is_full(&self) -> bool {
        self.errors.len() >= FAULTS_MAX
    }

    /// Good if nothing is wrong.
    pub(crate) fn into_result(self) -> Result<(), Problem> {
        match self.first {
            None => Ok(()),
            Some(code) => Err(Problem::input(code, self.errors)),
        }
    }
}

/// A field of a body, and how to tell whether a value is one of it.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    fault: fn(&RawValue) -> Option<(Code, String)>,
}

/// A field that must be there.
pub(crate) const fn required<T: Scalar>(name: &'static str) -> Field {
    Field { name, is_required: true, fault: fault::<T> }
}

/// A field that may be left out, but not be null.
pub(crate) const fn optional<T: Scalar>(name: &'static str) -> Field {
    Field { name, is_required: false, fault: fault::<T> }
}

impl Field {
    /// A field that a check of its own looks into.
    pub(crate) const fn list(name: &'static str) -> Self {
        Self { name, is_required: true, fault: |_| None }
    }
}

fn fault<T: Scalar>(value: &RawValue) -> Option<(Code, String)> {
    serde_json::from_str::<Wire<T>>(value.get()).is_err().then(T::fault)
}

/// The fields of an object in their order, repeated ones included.
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The first value of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Checks an object against its fields, and gives the fields for a closer look.
pub(crate) fn check_object<'a>(
    object: &'a RawValue,
    pointer: &str,
    known: &[&[Field]],
    faults: &mut Faults,
) -> Option<Fields<'a>> {
    let Ok(given) = serde_json::from_str::<Fields<'a>>(object.get()) else {
        let code = if pointer.is_empty() { Code::InvalidJson } else { Code::InvalidType };
        faults.add(pointer, code, "this must be a JSON object");
        return None;
    };
    for field in known.iter().copied().flatten() {
        let mut values = given.0.iter().filter(|(name, _)| name == field.name);
        let at = || format!("{pointer}/{}", field.name);
        match (values.next(), values.next()) {
            (None, _) if field.is_required => faults.add(at(), Code::MissingField, "this field is required"),
            (None, _) => {}
            (Some(_), Some(_)) => {
                faults.add(at(), Code::DuplicateField, "this field was sent more than once");
            }
            (Some((_, value)), None) => {
                if let Some((code, detail)) = (field.fault)(value) {
                    faults.add(at(), code, detail);
                }
            }
        }
    }
    for (name, _) in &given.0 {
        if faults.is_full() {
            break;
        }
        if !known.iter().copied().flatten().any(|field| field.name == name) {
            let at = format!("{pointer}/{}", escaped(name));
            faults.add(at, Code::UnknownField, "there is no such field here");
        }
    }
    Some(given)
}

/// Checks a list of objects, each by `check` with its place.
pub(crate) fn check_items(
    list: Option<&RawValue>,
    pointer: &str,
    faults: &mut Faults,
    mut check: impl FnMut(&RawValue, &str, &mut Faults),
) {
    let Some(list) = list else { return };
    let items = match serde_json::from_str::<Vec<&RawValue>>(list.get()) {
        Ok(items) if (1..=ITEMS_MAX).contains(&items.len()) => items,
        _ => return faults.add(pointer, Code::InvalidItems, "this must be an array of 1 to 1000 objects"),
    };
    for (index, item) in items.into_iter().enumerate() {
        if faults.is_full() {
            break;
        }
        check(item, &format!("{pointer}/{index}"), faults);
    }
}

/// A name as a step of a JSON pointer, cut where it gets long.
fn escaped(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    short.replace('~', "~0").replace('/', "~1")
}

/// An object and nothing else: derived code would take an array of values for a struct as well.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOnly<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectOnly(PhantomData))
    }
}

/// A list of 1 to [`ITEMS_MAX`] objects; reading stops where it gets too long.
pub(crate) struct Items<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
            type Value = Items<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of 1 to 1000 objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(Object(item)) = list.next_element()? {
                    if items.len() == ITEMS_MAX {
                        return Err(A::Error::custom(Invalid::Limit));
                    }
                    items.push(item);
                }
                if items.is_empty() { Err(A::Error::custom(Invalid::Limit)) } else { Ok(Items(items)) }
            }
        }

        deserializer.deserialize_seq(Bounded(PhantomData))
    }
}

impl<T: Apiv2Schema> Apiv2Schema for Items<T> {
    fn raw_schema() -> DefaultSchemaRaw {
        DefaultSchemaRaw {
            data_type: Some(DataType::Array),
            items: Some(Box::new(T::raw_schema())),
            ..DefaultSchemaRaw::default()
        }
    }
}
