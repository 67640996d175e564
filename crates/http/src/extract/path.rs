//! Values inside the path.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use balance_domain::{ApiKeyId, IdempotencyKey, Month, ServiceId, UserId};
use paperclip::{
    actix::OperationModifier,
    v2::{models::DefaultOperationRaw, schema::Apiv2Schema},
};

use crate::{
    problem::Problem,
    wire::{Scalar, Wire},
};

macro_rules! in_path {
    ($(#[$doc:meta])* $name:ident, $type:ty, $parameter:literal) => {
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) $type);

        impl FromRequest for $name {
            type Error = Problem;
            type Future = Ready<Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(parameter(request, $parameter).map(Self))
            }
        }

        impl Apiv2Schema for $name {}

        impl OperationModifier for $name {
            fn update_parameter(operation: &mut DefaultOperationRaw) {
                web::Path::<Wire<$type>>::update_parameter(operation);
            }
        }
    };
}

in_path!(
    /// `{user_id}`.
    UserInPath, UserId, "user_id"
);
in_path!(
    /// `{service_id}`.
    ServiceInPath, ServiceId, "service_id"
);
in_path!(
    /// `{key_id}`.
    ApiKeyInPath, ApiKeyId, "key_id"
);
in_path!(
    /// `{month}`.
    MonthInPath, Month, "month"
);
in_path!(
    /// `{key}`: whatever an idempotency key may be, percent-encoded.
    KeyInPath, IdempotencyKey, "key"
);

fn parameter<T: Scalar>(request: &HttpRequest, name: &'static str) -> Result<T, Problem> {
    let raw = request.match_info().get(name).unwrap_or_default();
    decoded(raw).and_then(|text| T::from_text(&text)).ok_or_else(|| {
        let (code, detail) = T::fault();
        Problem::at(name, code, detail)
    })
}

/// The router leaves `%`, `/` and `+` encoded, so that they cannot be taken for structure; here they are text.
fn decoded(raw: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !raw.contains('%') {
        return Some(raw.into());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_first_chunk::<2>()?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_decoded_once() {
        for (raw, text) in [("a", "a"), ("a%2Fb", "a/b"), ("%25", "%"), ("%2541", "%41"), ("%2B", "+")] {
            assert_eq!(decoded(raw).as_deref(), Some(text), "{raw}");
        }
        for raw in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(raw), None, "{raw}");
        }
    }
}
