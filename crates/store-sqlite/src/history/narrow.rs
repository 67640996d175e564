//! Finds out whether a filter leaves so few operations that they are better looked up and sorted than met by
//! chance on the way through a long history in the order of the page.

use balance_domain::{Amount, OperationFilter, OperationKind, OperationQuery};
use rusqlite::{Connection, params_from_iter, types::Value};

use super::statement::{BY_AMOUNT, BY_KIND, Order};
use crate::early::EARLY;

/// The index of a filter that only few late operations pass, unless the order of the page reads that index anyway.
/// Looks at no more than [`EARLY`] entries of each index.
pub(super) fn index(
    connection: &Connection,
    query: &OperationQuery,
) -> rusqlite::Result<Option<&'static str>> {
    for (index, condition, values) in candidates(query) {
        let mut probe = connection.prepare_cached(&probe_sql(index, condition))?;
        let values = [Value::from(query.user_id.get()), (EARLY + 1).into()].into_iter().chain(values);
        let found: i64 = probe.query_row(params_from_iter(values), |row| row.get(0))?;
        if found <= EARLY {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

type Candidate = (&'static str, &'static str, Vec<Value>);

/// An order is not among them: it is always looked up.
fn candidates(query: &OperationQuery) -> Vec<Candidate> {
    let OperationFilter { kind, service_id, order_id, min_amount, max_amount, .. } = query.filter;
    let mut candidates = Vec::new();
    if order_id.is_some() {
        return candidates;
    }
    if Order::of(query.sort).is_by_amount() {
        // Each alone has an index in this order.
        if let (Some(_), Some(kind)) = (service_id, kind.map(OperationKind::as_str)) {
            candidates.push((BY_KIND, "kind = ?3", vec![kind.to_owned().into()]));
        }
    } else if min_amount.is_some() || max_amount.is_some() {
        let min = min_amount.unwrap_or(Amount::MIN).get();
        let max = max_amount.unwrap_or(Amount::MAX).get();
        candidates.push((BY_AMOUNT, "amount BETWEEN ?3 AND ?4", vec![min.into(), max.into()]));
    }
    candidates
}

fn probe_sql(index: &str, condition: &str) -> String {
    format!(
        "SELECT count(*) FROM (SELECT 1 FROM operations INDEXED BY {index} \
         WHERE user_id = ?1 AND {condition} AND seq > {EARLY} LIMIT ?2)"
    )
}

#[cfg(test)]
mod tests {
    use balance_domain::{Limit, OperationSort, ServiceId, UserId};

    use super::*;
    use crate::schema;

    #[test]
    fn probes_read_their_index_alone() {
        let connection = schema::migrated();
        let filter = OperationFilter {
            kind: Some(OperationKind::Refund),
            service_id: ServiceId::new(1).ok(),
            min_amount: Some(Amount::MIN),
            ..OperationFilter::default()
        };
        let mut seen = Vec::new();
        for sort in [OperationSort::NewestFirst, OperationSort::LargestFirst] {
            let (user_id, limit) = (UserId::new(1).unwrap(), Limit::default());
            let query = OperationQuery { user_id, filter: filter.clone(), sort, after: None, limit };
            for (index, condition, _) in candidates(&query) {
                let plan = schema::plan(&connection, &probe_sql(index, condition));
                assert!(plan.contains(&format!("USING COVERING INDEX {index} (user_id=? AND ")), "{plan}");
                seen.push(index);
            }
        }
        assert_eq!(seen, [BY_AMOUNT, BY_KIND]);
    }
}
