//! Facts: written beside what they report, in its transaction.

use std::collections::BTreeMap;

use balance_domain::{Actor, Detail, Details, Fact, FactKind, RecordedFact, ServiceId, UserId};
use serde_json::Value;
use tokio_postgres::Row;

use crate::{error::Failure, records::Records, rows::column, store::Transaction, values::At};

/// What [`fact`] reads.
macro_rules! fact_columns {
    () => {
        "f.id, f.kind, f.subject, f.user_id, f.seq, f.service_id, f.actor, f.created_at, f.details"
    };
}
pub(crate) use fact_columns;

/// Facts of one transaction share a number.
const ADD: &str = "\
INSERT INTO facts (batch, kind, subject, user_id, seq, service_id, actor, created_at, details)
SELECT (SELECT nextval('operation_batches')), n.* FROM unnest($1::fact_row[]) AS n
RETURNING id";

/// Writes facts of a transaction that appends no operation.
pub(crate) async fn add(transaction: &Transaction, facts: &[Fact]) -> Result<(), Failure> {
    transaction.query(ADD, &[&Records(facts)]).await.map(drop)
}

/// A fact of these columns.
pub(crate) fn fact(row: &Row) -> Result<RecordedFact, Failure> {
    let kind: &str = column(row, 1)?;
    let fact = Fact {
        kind: FactKind::from_name(kind)
            .ok_or_else(|| Failure::damaged(format!("{kind} is no kind of fact")))?,
        subject: column(row, 2)?,
        user_id: optional(column(row, 3)?, UserId::new)?,
        seq: column(row, 4)?,
        service_id: optional(column(row, 5)?, ServiceId::new)?,
        actor: column::<&str>(row, 6)?.parse::<Actor>().map_err(Failure::damaged)?,
        at: column::<At>(row, 7)?.0,
        details: from_json(column(row, 8)?)?,
    };
    Ok(RecordedFact { id: column(row, 0)?, fact })
}

fn optional<T>(
    id: Option<i64>,
    parse: impl FnOnce(i64) -> Result<T, balance_domain::Invalid>,
) -> Result<Option<T>, Failure> {
    id.map(parse).transpose().map_err(Failure::damaged)
}

pub(crate) fn to_json(details: &Details) -> String {
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

fn from_json(text: &str) -> Result<Details, Failure> {
    let fields: BTreeMap<String, Value> = serde_json::from_str(text).map_err(Failure::damaged)?;
    fields.into_iter().map(|(name, value)| Ok((name, detail(value)?))).collect()
}

fn detail(value: Value) -> Result<Detail, Failure> {
    match value {
        Value::String(text) => Ok(Detail::Text(text)),
        Value::Array(_) => serde_json::from_value(value).map(Detail::Texts).map_err(Failure::damaged),
        other => serde_json::from_value(other).map(Detail::Number).map_err(Failure::damaged),
    }
}
