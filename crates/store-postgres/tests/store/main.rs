//! What only this store promises, on a real PostgreSQL: plans, failures, instances, migrations.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod database;
mod plans;
