//! [`EventRepo`] on the file. There is one writer and no operation is ever deleted, so the row id of operations is
//! the order in which they were committed, without gaps; a fact stands behind the operation that was the last one
//! before it.

use async_trait::async_trait;
use balance_domain::{
    Event, EventFilter, EventPage, EventPosition, EventQuery, Fact, Happening,
    ports::{EventRepo, FeedError, RepoError},
};
use rusqlite::{Connection, OptionalExtension};

use crate::{
    error::repo_error,
    facts::{self, fact, fact_columns},
    rows::{recorded_operation, recorded_operation_columns},
    store::SqliteStore,
    writer::Verdict,
};

const OPERATIONS: &str = concat!(
    "SELECT ",
    recorded_operation_columns!(),
    ", id AS place FROM operations WHERE id > ?1 ORDER BY id LIMIT ?2"
);

const FACTS: &str = concat!(
    "SELECT ",
    fact_columns!(),
    " FROM facts WHERE (after_operation, id) > (?1, ?2) ORDER BY after_operation, id LIMIT ?3"
);

const OPERATION: &str = "SELECT user_id, seq FROM operations WHERE id = ?1";

const HEAD: &str =
    "SELECT (SELECT coalesce(max(id), 0) FROM operations), (SELECT coalesce(max(id), 0) FROM facts)";

#[async_trait]
impl EventRepo for SqliteStore {
    async fn events(&self, query: EventQuery) -> Result<EventPage, FeedError> {
        let page = self.readers().read(move |connection| page(connection, &query)).await?;
        page.ok_or(FeedError::Ahead)
    }

    async fn events_head(&self) -> Result<EventPosition, FeedError> {
        Ok(self.readers().read(head).await?)
    }

    async fn add_facts(&self, facts: Vec<Fact>) -> Result<(), RepoError> {
        self.writer()
            .run(move |session| {
                session.transaction(|connection| {
                    facts::add_alone(connection, &facts).map(Verdict::Commit).map_err(repo_error)
                })
            })
            .await
    }
}

fn head(connection: &Connection) -> rusqlite::Result<EventPosition> {
    connection.prepare_cached(HEAD)?.query_row([], |row| Ok(behind(row.get(0)?, row.get(1)?)))
}

/// Behind this operation and this fact, whichever comes later.
const fn behind(operation: i64, fact: i64) -> EventPosition {
    EventPosition { batch: operation, user_id: i64::MAX, seq: 0, fact }
}

/// Whether the place is behind the end, or behind an operation that is another one now: after a restore, row ids are
/// given again.
fn was_taken_back(connection: &Connection, place: EventPosition) -> rusqlite::Result<bool> {
    let head = head(connection)?;
    if place.batch > head.batch || place.fact > head.fact {
        return Ok(true);
    }
    if place == EventPosition::EARLIEST || place.user_id == i64::MAX {
        return Ok(false);
    }
    let found = connection
        .prepare_cached(OPERATION)?
        .query_row([place.batch], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found != Some((place.user_id, place.seq)))
}

/// `None` for a place that was taken back.
fn page(connection: &Connection, query: &EventQuery) -> rusqlite::Result<Option<EventPage>> {
    let after = query.after;
    if was_taken_back(connection, after)? {
        return Ok(None);
    }
    let rows_max = rows_max(query);
    let mut facts = connection.prepare_cached(FACTS)?;
    let mut facts = facts
        .query_map((after.batch, after.fact, rows_max), |row| {
            let (operation, fact) = fact(row)?;
            Ok(Event { position: behind(operation, fact.id), happening: Happening::Fact(fact) })
        })?
        .peekable();
    let mut operations = connection.prepare_cached(OPERATIONS)?;
    let mut operations = operations
        .query_map((after.batch, rows_max), |row| {
            let recorded = recorded_operation(row)?;
            let (user_id, seq) = (recorded.operation.user_id.get(), recorded.operation.seq);
            let position = EventPosition { batch: row.get("place")?, user_id, seq, fact: 0 };
            Ok(Event { position, happening: Happening::Operation(recorded) })
        })?
        .peekable();
    let mut page = EventPage::at(query);
    for _ in 0..rows_max {
        let fact_is_next = match (facts.peek(), operations.peek()) {
            (None, None) => {
                page.is_end = true;
                break;
            }
            (Some(Ok(fact)), Some(Ok(operation))) => fact.position < operation.position,
            (fact, _) => fact.is_some(),
        };
        let Some(event) = (if fact_is_next { facts.next() } else { operations.next() }) else { break };
        if !page.take(query, event?) {
            break;
        }
    }
    Ok(Some(page))
}

/// Without a filter every row is wanted; one more shows that there are more.
fn rows_max(query: &EventQuery) -> i64 {
    if query.filter == EventFilter::default() {
        i64::from(query.limit.get()) + 1
    } else {
        i64::try_from(EventPage::ROWS_MAX).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn pages_are_read_in_the_order_of_their_keys() {
        let connection = schema::migrated();
        for (sql, index) in [(OPERATIONS, "INTEGER PRIMARY KEY"), (FACTS, "facts_by_place")] {
            let plan = schema::plan(&connection, sql);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
