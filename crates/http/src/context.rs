//! What is known about the request that is being answered: for logs, metrics and the body of a problem.

use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use balance_domain::{ApiKey, UserId};
use uuid::Uuid;

use crate::operations::Operation;

/// The header that carries the id of a request, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken from a caller, in characters.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// Filled in while the request is answered. Lives on one worker thread.
pub(crate) struct Context {
    pub(crate) request_id: HeaderValue,
    pub(crate) operation: Cell<Option<&'static Operation>>,
    pub(crate) user_id: Cell<Option<UserId>>,
    pub(crate) operation_seq: Cell<Option<i64>>,
    /// Nothing is to be done, only said what would be.
    pub(crate) is_dry_run: Cell<bool>,
    pub(crate) key: OnceCell<Arc<ApiKey>>,
    /// The code of the problem that the request is answered with.
    pub(crate) code: Cell<Option<&'static str>>,
}

impl Context {
    /// The context of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            request_id: given_id(headers).unwrap_or_else(new_id),
            operation: Cell::new(None),
            user_id: Cell::new(None),
            operation_seq: Cell::new(None),
            is_dry_run: Cell::new(false),
            key: OnceCell::new(),
            code: Cell::new(None),
        }
    }

    /// The request's id as text.
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }
}

/// The caller's id, if it is harmless to log and to send back.
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(X_REQUEST_ID)?;
    let is_harmless = (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    is_harmless.then(|| id.clone())
}

fn new_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let id = Uuid::now_v7().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(id: &str) -> Context {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        Context::of(&headers)
    }

    #[test]
    fn a_harmless_request_id_is_kept_and_any_other_replaced() {
        for kept in ["a", "2f1c-77", &"x".repeat(64)] {
            assert_eq!(context(kept).request_id(), kept);
        }
        for replaced in ["", "a b", "a\tb", "<script>", "é", &"x".repeat(65)] {
            let id = context(replaced).request_id().to_owned();
            assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 7, "{replaced:?} became {id}");
        }
    }
}
