//! Query strings: every parameter known, sent once, and valid; otherwise everything wrong is reported at once.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use paperclip::{
    actix::OperationModifier,
    v2::{models::DefaultOperationRaw, schema::Apiv2Schema},
};

use crate::{
    extract::Faults,
    problem::{Code, Problem},
    wire::Scalar,
};

/// The parameters of a call.
pub(crate) trait QueryParameters: Sized {
    /// Takes what it knows; [`Query`] refuses what is left. `None` only together with a fault.
    fn take(pairs: &mut Pairs) -> Option<Self>;
}

/// The parsed query string of a call.
pub(crate) struct Query<T>(pub(crate) T);

/// A call without parameters.
pub(crate) struct NoQuery;

/// The parameters that are not consumed yet.
pub(crate) struct Pairs {
    pairs: Vec<(String, String)>,
    faults: Faults,
}

impl Pairs {
    fn of(query: &str) -> Result<Self, Problem> {
        if query.is_empty() {
            return Ok(Self { pairs: Vec::new(), faults: Faults::default() });
        }
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|_| Problem::new(Code::BadRequest))?
            .into_inner();
        Ok(Self { pairs, faults: Faults::default() })
    }

    /// A parameter that may be left out.
    pub(crate) fn optional<T: Scalar>(&mut self, name: &'static str) -> Option<T> {
        let mut values = self.pairs.extract_if(.., |(given, _)| given == name).map(|(_, value)| value);
        let value = values.next()?;
        let is_repeated = values.next().is_some();
        drop(values);
        if is_repeated {
            self.faults.add(name, Code::DuplicateParameter, "this parameter was sent more than once");
            return None;
        }
        let parsed = T::from_text(&value);
        if parsed.is_none() {
            let (code, detail) = T::fault();
            self.faults.add(name, code, detail);
        }
        parsed
    }

    /// A parameter that must be there.
    pub(crate) fn required<T: Scalar>(&mut self, name: &'static str) -> Option<T> {
        if !self.pairs.iter().any(|(given, _)| given == name) {
            self.faults.add(name, Code::MissingParameter, "this parameter is required");
            return None;
        }
        self.optional(name)
    }

    fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in &self.pairs {
            let name: String = name.chars().take(64).collect();
            self.faults.add(name, Code::UnknownParameter, "there is no such parameter");
        }
        self.faults.into_result()
    }
}

/// The problem of a cursor that belongs to another list, or to none.
pub(crate) fn invalid_cursor() -> Problem {
    Problem::at("cursor", Code::InvalidCursor, Code::InvalidCursor.title())
}

impl<T: QueryParameters> Query<T> {
    fn of(query: &str) -> Result<Self, Problem> {
        let mut pairs = Pairs::of(query)?;
        let taken = T::take(&mut pairs);
        pairs.finish()?;
        taken.map(Self).ok_or_else(|| Problem::new(Code::BadRequest))
    }
}

impl<T: QueryParameters> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request.query_string()))
    }
}

impl<T> Apiv2Schema for Query<T> {}

impl<T: Apiv2Schema> OperationModifier for Query<T> {
    fn update_parameter(operation: &mut DefaultOperationRaw) {
        web::Query::<T>::update_parameter(operation);
    }

    fn update_definitions(
        _: &mut std::collections::BTreeMap<String, paperclip::v2::models::DefaultSchemaRaw>,
    ) {
    }
}

impl FromRequest for NoQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Pairs::of(request.query_string()).and_then(Pairs::finish).map(|()| Self))
    }
}

impl Apiv2Schema for NoQuery {}
impl OperationModifier for NoQuery {}
