//! What is known about the request that is being answered: for logs, metrics and the body of a problem.

use std::{
    cell::{Cell, OnceCell},
    net::IpAddr,
    sync::Arc,
};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use balance_domain::{ApiKey, UserId};
use uuid::Uuid;

use crate::{operations::Operation, problem::Code};

/// The header that carries the id of a request, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header in which proxies say who has connected to them.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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
    /// Who is at the other end, as far as that is known.
    pub(crate) peer: Option<IpAddr>,
    /// The id of a key that was not let in.
    pub(crate) refused_key_id: OnceCell<String>,
    /// The code of the problem that the request is answered with.
    pub(crate) code: Cell<Option<Code>>,
}

impl Context {
    /// The context of a request with these headers.
    pub(crate) fn of(headers: &HeaderMap, peer: Option<IpAddr>) -> Self {
        Self {
            request_id: given_id(headers).unwrap_or_else(new_id),
            operation: Cell::new(None),
            user_id: Cell::new(None),
            operation_seq: Cell::new(None),
            is_dry_run: Cell::new(false),
            key: OnceCell::new(),
            peer,
            refused_key_id: OnceCell::new(),
            code: Cell::new(None),
        }
    }

    /// The request's id as text.
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }
}

/// The address of the caller. Behind a proxy that is what the proxy says of who has connected to it: the last address
/// of `X-Forwarded-For`, since everything before that came from outside.
pub(crate) fn peer_of(socket: Option<IpAddr>, headers: &HeaderMap, is_behind_proxy: bool) -> Option<IpAddr> {
    let forwarded = || {
        let last = headers.get_all(X_FORWARDED_FOR).last()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    };
    if is_behind_proxy { forwarded().or(socket) } else { socket }
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
        Context::of(&headers, None)
    }

    #[test]
    fn behind_a_proxy_the_peer_is_whom_the_proxy_names_last() {
        let socket = Some(IpAddr::from([10, 0, 0, 1]));
        let mut headers = HeaderMap::new();
        assert_eq!(peer_of(socket, &headers, true), socket);
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("1.2.3.4, 5.6.7.8"));
        assert_eq!(peer_of(socket, &headers, true), Some(IpAddr::from([5, 6, 7, 8])));
        assert_eq!(peer_of(socket, &headers, false), socket, "anybody can write that header");
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("nonsense"));
        assert_eq!(peer_of(socket, &headers, true), socket);
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
