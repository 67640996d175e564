//! What a handler may take from a request. Each extractor parses once, into domain types, and answers with a
//! problem of its own; none of the framework's default error bodies is left.
//!
//! Arguments are taken in order, so every handler begins with the [`Caller`]: who may not do a thing learns
//! nothing about it.

mod accepts;
mod body;
mod caller;
mod header;
mod json;
mod path;
mod query;

pub(crate) use accepts::Accepts;
pub(crate) use body::Body;
pub(crate) use caller::Caller;
pub(crate) use caller::SCHEME;
pub(crate) use header::Key;
pub(crate) use json::{
    Faults, Field, Fields, ITEMS_MAX, Items, Request, check_items, check_object, optional, required,
};
pub(crate) use path::{ApiKeyInPath, KeyInPath, MonthInPath, ServiceInPath, UserInPath};
pub(crate) use query::{NoQuery, Pairs, Query, QueryParameters, invalid_cursor};
