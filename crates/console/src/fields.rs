//! What a query string or a form says.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use balance_domain::{Comment, Limit, OrderId, ServiceId, UserId};

use crate::{failure::Failure, text::T};

/// Names and values, as they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The value of this name, trimmed; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value.trim())
    }

    /// The value if it was sent and is not empty, read by `read`; anything unreadable is a malformed request.
    pub(crate) fn read<V>(&self, name: &str, read: impl Fn(&str) -> Option<V>) -> Result<Option<V>, Failure> {
        match self.get(name) {
            "" => Ok(None),
            text => read(text).map(Some).ok_or(Failure::Malformed(T::Malformed)),
        }
    }

    /// The same fields with others of some names; an empty value takes the name away.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> String {
        let kept = self.0.iter().filter(|(name, value)| {
            !value.trim().is_empty() && !changes.iter().any(|(changed, _)| changed == name)
        });
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let all = kept.chain(changes.iter().copied().filter(|(_, value)| !value.is_empty()));
        all.map(|(name, value)| format!("{name}={}", crate::words::escaped(value)))
            .collect::<Vec<_>>()
            .join("&")
    }
}

/// A query string.
pub(crate) struct Query(pub(crate) Fields);

impl FromRequest for Query {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        ready(
            pairs.map(|pairs| Self(Fields(pairs.into_inner()))).map_err(|_| Failure::Malformed(T::Malformed)),
        )
    }
}

/// A form that was sent.
pub(crate) type Form = web::Form<Vec<(String, String)>>;

/// An id: digits, and spaces that came along from wherever it was copied.
pub(crate) fn id<I>(text: &str, new: impl Fn(i64) -> Result<I, balance_domain::Invalid>) -> Option<I> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten().and_then(|number| new(number).ok())
}

pub(crate) fn user_id(text: &str) -> Option<UserId> {
    id(text, UserId::new)
}

pub(crate) fn service_id(text: &str) -> Option<ServiceId> {
    id(text, ServiceId::new)
}

pub(crate) fn order_id(text: &str) -> Option<OrderId> {
    id(text, OrderId::new)
}

/// A comment with the line ends of this service: forms send both characters.
pub(crate) fn comment(text: &str) -> Option<Comment> {
    Comment::new(text.replace("\r\n", "\n")).ok().filter(|comment| !comment.as_str().is_empty())
}

/// A page of this many rows.
pub(crate) fn rows(count: u16) -> Limit {
    Limit::new(count).unwrap_or_default()
}
