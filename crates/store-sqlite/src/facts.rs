//! Facts: written beside what they report, in its transaction.

use std::collections::BTreeMap;

use balance_domain::{
    Actor, Detail, Details, Fact, FactKind, RecordedFact, RecordedOperation, ServiceId, Timestamp, UserId,
};
use rusqlite::{Connection, Row};
use serde_json::Value;

use crate::rows::{Unnamed, optional, text, value};

/// What [`fact`] reads.
macro_rules! fact_columns {
    () => {
        "id, after_operation, kind, subject, user_id, seq, service_id, actor, created_at, details"
    };
}
pub(crate) use fact_columns;

const LAST_OPERATION: &str = "SELECT coalesce(max(id), 0) FROM operations";

const INSERT: &str = "
    INSERT INTO facts (after_operation, kind, subject, user_id, seq, service_id, actor, created_at, details)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Writes facts of the transaction that appended these operations, under ids that count up from `first`.
///
/// A fact about an account stands behind the account's operation that precedes it, others behind everything.
pub(crate) fn add(
    connection: &Connection,
    facts: &[Fact],
    operations: &[RecordedOperation],
    first: i64,
) -> rusqlite::Result<()> {
    for fact in facts {
        let is_before = |recorded: &RecordedOperation| {
            Some(recorded.operation.user_id) == fact.user_id && recorded.operation.seq <= fact.seq
        };
        let place = operations.iter().rposition(is_before).and_then(|place| i64::try_from(place).ok());
        insert(connection, fact, place.map_or(first - 1, |place| first + place))?;
    }
    Ok(())
}

/// Writes facts of a transaction that appends no operation.
pub(crate) fn add_alone(connection: &Connection, facts: &[Fact]) -> rusqlite::Result<()> {
    let last: i64 = connection.prepare_cached(LAST_OPERATION)?.query_row([], |row| row.get(0))?;
    facts.iter().try_for_each(|fact| insert(connection, fact, last))
}

fn insert(connection: &Connection, fact: &Fact, after_operation: i64) -> rusqlite::Result<()> {
    connection.prepare_cached(INSERT)?.execute((
        after_operation,
        fact.kind.as_str(),
        &fact.subject,
        fact.user_id.map(UserId::get),
        fact.seq,
        fact.service_id.map(ServiceId::get),
        fact.actor.write_to(&mut [0; Actor::BYTES_MAX]),
        fact.at.micros(),
        to_json(&fact.details),
    ))?;
    Ok(())
}

/// A fact, and the operation that it stands behind.
pub(crate) fn fact(row: &Row<'_>) -> rusqlite::Result<(i64, RecordedFact)> {
    let fact = Fact {
        kind: text(row, 2, |name| FactKind::from_name(name).ok_or(Unnamed))?,
        subject: row.get(3)?,
        user_id: optional(row, 4, UserId::new)?,
        seq: row.get(5)?,
        service_id: optional(row, 6, ServiceId::new)?,
        actor: text(row, 7, str::parse)?,
        at: value(row, 8, Timestamp::from_micros)?,
        details: text(row, 9, from_json)?,
    };
    Ok((row.get(1)?, RecordedFact { id: row.get(0)?, fact }))
}

fn to_json(details: &Details) -> String {
    let fields = details.iter().map(|(name, detail)| {
        let value = match detail {
            Detail::Number(number) => (*number).into(),
            Detail::Text(text) => text.as_str().into(),
            Detail::Texts(texts) => texts.clone().into(),
        };
        (name.clone(), value)
    });
    Value::Object(fields.collect()).to_string()
}

fn from_json(text: &str) -> Result<Details, serde_json::Error> {
    let fields: BTreeMap<String, Value> = serde_json::from_str(text)?;
    fields.into_iter().map(|(name, value)| Ok((name, detail(value)?))).collect()
}

fn detail(value: Value) -> Result<Detail, serde_json::Error> {
    match value {
        Value::String(text) => Ok(Detail::Text(text)),
        Value::Array(_) => serde_json::from_value(value).map(Detail::Texts),
        other => serde_json::from_value(other).map(Detail::Number),
    }
}
