//! Databases on the one PostgreSQL that the tests of this binary share.

use std::path::Path;

use balance_postgres_harness::shared;

/// A new empty database; its URL.
pub(crate) fn new_database() -> String {
    let server = shared();
    server.url(&server.create_database(None))
}

/// Runs SQL as superuser in the database of this URL and gives what it prints.
pub(crate) fn run_sql(url: &str, sql: &str) -> String {
    let (_, database) = url.rsplit_once('/').unwrap();
    shared().psql(database, sql)
}

/// The folder of `psql`, `pg_dump` and their like.
pub(crate) fn tools() -> &'static Path {
    shared().bin()
}
