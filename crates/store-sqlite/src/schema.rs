//! The schema: its migrations, compiled in, and the check that file and binary agree on it.
//!
//! A later migration that this binary does not know is accepted if its name begins with [`ADDITIVE`]: a promise that
//! older binaries go on as before. So a binary can be taken back after an upgrade.

use balance_domain::ports::{Cause, RepoError};
use refinery::{Migration, Runner};
use rusqlite::{Connection, OptionalExtension};

use crate::error::repo_error;

/// Every migration, in order, by the name that it is recorded under.
const MIGRATIONS: [(&str, &str); 1] =
    [("V1__ledger", include_str!("../../../migrations/sqlite/V1__ledger.sql"))];

/// The schema version that this binary knows: the number of the last migration.
const VERSION: i64 = 1;

/// How the names of migrations begin that older binaries can live with. PostgreSQL's begin the same way.
const ADDITIVE: &str = "add_";

/// Brings the schema to the version that this binary knows. All missing migrations and their records are one
/// transaction: a crash in the middle leaves the schema as it was. An altered schema is refused, and a newer one unless
/// all that is new was only added.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), RepoError> {
    if recorded_version(connection)?.unwrap_or(0) > VERSION {
        return check(connection);
    }
    let migrations = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| RepoError::Internal(error.into()))?;
    Runner::new(&migrations)
        .set_grouped(true)
        .run(connection)
        .map_err(|error| RepoError::Unavailable(Cause::from(error)))?;
    check(connection)
}

/// Refuses a schema that is not the one this binary knows.
pub(crate) fn check(connection: &Connection) -> Result<(), RepoError> {
    let advice = match recorded_version(connection)? {
        Some(VERSION) => return Ok(()),
        Some(newer) if newer > VERSION && is_only_added_to(connection)? => return Ok(()),
        Some(newer) if newer > VERSION => "use a newer binary",
        _ => "run the migrations",
    };
    let found = recorded_version(connection)?.unwrap_or(0);
    Err(RepoError::Unavailable(
        format!("the file has schema version {found}, this binary knows version {VERSION}: {advice}").into(),
    ))
}

/// Whether there is a schema of ours, of whatever version.
pub(crate) fn is_recorded(connection: &Connection) -> Result<bool, RepoError> {
    Ok(recorded_version(connection)?.is_some())
}

/// Whether every migration that this binary does not know is additive.
fn is_only_added_to(connection: &Connection) -> Result<bool, RepoError> {
    let sql = "SELECT count(*) FROM refinery_schema_history WHERE version > ?1 AND substr(name, 1, length(?2)) <> ?2";
    let others: i64 = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row((VERSION, ADDITIVE), |row| row.get(0)))
        .map_err(repo_error)?;
    Ok(others == 0)
}

fn recorded_version(connection: &Connection) -> Result<Option<i64>, RepoError> {
    if !connection.table_exists(None, "refinery_schema_history").map_err(repo_error)? {
        return Ok(None);
    }
    connection
        .prepare_cached("SELECT max(version) FROM refinery_schema_history")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .map(Option::flatten)
        .map_err(repo_error)
}

/// What SQLite is going to do for a statement, one step per line.
#[cfg(test)]
pub(crate) fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut steps = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(step) = steps.next().unwrap() {
        lines.push(step.get::<_, String>("detail").unwrap());
    }
    lines.join("\n")
}

/// An empty database in memory.
#[cfg(test)]
pub(crate) fn migrated() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection).unwrap();
    connection
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_migration_of_the_folder_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort_unstable();
        assert_eq!(files, MIGRATIONS.map(|(name, _)| format!("{name}.sql")));
    }

    #[test]
    fn versions_count_without_gaps() {
        for (index, (name, _)) in MIGRATIONS.iter().enumerate() {
            assert!(name.starts_with(&format!("V{}__", index + 1)), "{name}");
        }
        assert_eq!(usize::try_from(VERSION).unwrap(), MIGRATIONS.len());
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = migrated();
        migrate(&mut connection).unwrap();
        check(&connection).unwrap();
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = migrated();
        connection
            .execute(
                "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')",
                [],
            )
            .unwrap();
        for refused in [check(&connection).unwrap_err(), migrate(&mut connection).unwrap_err()] {
            assert!(refused.to_string().contains("use a newer binary"), "{refused}");
        }
    }

    #[test]
    fn a_newer_schema_that_was_only_added_to_is_accepted() {
        let mut connection = migrated();
        let record = |connection: &Connection, version: i64, name: &str| {
            let sql = "INSERT INTO refinery_schema_history VALUES (?1, ?2, '2030-01-01T00:00:00Z', '1')";
            connection.execute(sql, (version, name)).unwrap();
        };
        record(&connection, VERSION + 1, "add_labels");
        check(&connection).unwrap();
        migrate(&mut connection).unwrap();
        record(&connection, VERSION + 2, "split_operations");
        record(&connection, VERSION + 3, "add_more_labels");
        assert!(check(&connection).is_err(), "one in between is not additive");
    }

    #[test]
    fn a_file_without_the_schema_is_refused_unless_migrated() {
        let refused = check(&Connection::open_in_memory().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("run the migrations"), "{refused}");
    }

    #[test]
    fn an_altered_migration_is_refused() {
        let mut connection = migrated();
        connection.execute("UPDATE refinery_schema_history SET checksum = '1'", []).unwrap();
        assert!(migrate(&mut connection).is_err());
    }
}
