//! The header that makes a request repeatable.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::HeaderName};
use balance_domain::{IdempotencyKey, Invalid};
use paperclip::{
    actix::OperationModifier,
    v2::{
        models::{DataType, DefaultSchemaRaw, Parameter, ParameterIn},
        schema::Apiv2Schema,
    },
};

use crate::problem::{Code, Problem};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header's name as people write it.
const NAME: &str = "Idempotency-Key";

/// The `Idempotency-Key` of a request that moves money.
pub(crate) struct Key(pub(crate) IdempotencyKey);

impl Key {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut values = request.headers().get_all(IDEMPOTENCY_KEY);
        let Some(value) = values.next() else {
            let detail = "this request needs the header Idempotency-Key";
            return Err(Problem::at(NAME, Code::IdempotencyKeyRequired, detail));
        };
        if values.next().is_some() {
            let detail = "the header Idempotency-Key was sent more than once";
            return Err(Problem::at(NAME, Code::InvalidIdempotencyKey, detail));
        }
        let invalid = |_| Problem::invalid(NAME, Invalid::IdempotencyKey);
        let text = value.to_str().map_err(|_| Problem::invalid(NAME, Invalid::IdempotencyKey))?;
        IdempotencyKey::new(text).map(Self).map_err(invalid)
    }
}

impl FromRequest for Key {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl Apiv2Schema for Key {
    fn header_parameter_schema() -> Vec<Parameter<DefaultSchemaRaw>> {
        vec![Parameter {
            name: NAME.to_owned(),
            in_: ParameterIn::Header,
            required: true,
            data_type: Some(DataType::String),
            description: Some(
                "Makes the request repeatable: unique per user whose money moves first, for ever.".to_owned(),
            ),
            ..Parameter::default()
        }]
    }
}

impl OperationModifier for Key {}
