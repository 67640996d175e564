//! The HTTP contract: routes, wire types, problem+json, OpenAPI, Swagger page.
//!
//! Reading order: [`operations`] (the table of every call), `routes/` (one handler per call), `extract/` (what a
//! handler may take from a request, parsed once), `wire/` (what goes over the wire), [`problem`] (every way to
//! say no), `openapi/` (the document made of all that), [`server`] (the process around it).

mod access;
mod answer;
mod api;
mod assets;
mod bodies;
mod connection;
mod context;
mod cursor;
mod docs;
mod drain;
mod events;
mod extract;
mod fairness;
mod figures;
mod landing;
mod limits;
mod mailbox;
mod openapi;
mod operations;
mod problem;
mod readiness;
mod refusals;
mod report_turns;
mod routes;
mod server;
#[cfg(feature = "otel")]
mod spans;
mod swagger;
mod trace;
mod wire;

#[cfg(test)]
mod tests;

pub use access::{Access, AccessMode, Denied};
pub use actix_web::dev::{Server, ServerHandle};
pub use api::{Api, HttpSettings};
pub use drain::Drain;
pub use events::Events;
pub use fairness::QueueSettings;
pub use openapi::openapi_json;
pub use refusals::Refusals;
pub use server::{MetricsText, Pages, ServerOptions, admin_server, server};
