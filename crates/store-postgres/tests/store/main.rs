//! What only this store promises, on a real PostgreSQL: plans, failures, instances, migrations.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod contention;
mod database;
mod doubt;
mod gate;
mod history;
mod links;
mod optimistic;
mod outage;
mod plans;
mod poison;
mod races;
mod schema;
mod timeouts;
