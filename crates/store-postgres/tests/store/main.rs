//! What only this store promises, on a real PostgreSQL: failures, instances, migrations.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod backlog;
mod cached;
mod claims;
mod contention;
mod database;
mod doubt;
mod failover;
mod feed;
mod full_disk;
mod gate;
mod history;
mod links;
mod mistakes;
mod months;
mod outage;
mod poison;
mod pooler;
mod races;
mod schema;
mod standby;
mod timeouts;
