//! Active reservations of all users, by their deadline.

use balance_domain::{Page, Reservation, ReservationSearch, SearchPosition, SearchSort, Timestamp};
use rusqlite::{Connection, types::Value};

use crate::rows::{reservation, reservation_columns};

/// A page of a search at `now`.
pub(super) fn page(
    connection: &Connection,
    search: &ReservationSearch,
    now: Timestamp,
) -> rusqlite::Result<Page<Reservation, SearchPosition>> {
    let clause = Clause::of(search, now);
    let mut statement = connection.prepare_cached(&clause.sql(search.sort))?;
    let rows = statement
        .query_map(rusqlite::params_from_iter(&clause.values), reservation)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_surplus(rows, search.limit, |last| SearchPosition::behind(last, search.sort)))
}

/// Conditions, and their values in the order of their parameters; the limit is the last.
#[derive(Default)]
struct Clause {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Clause {
    fn of(search: &ReservationSearch, now: Timestamp) -> Self {
        let mut clause = Self::default();
        clause.add("state = 'active' AND expires_at > ?", &[now.micros()]);
        if let Some(order_id) = search.order_id {
            clause.add("order_id = ?", &[order_id.get()]);
        }
        if let Some(service_id) = search.service_id {
            clause.add("service_id = ?", &[service_id.get()]);
        }
        if let Some(before) = search.expires_before {
            clause.add("expires_at < ?", &[before.micros()]);
        }
        if let Some(SearchPosition { at, user_id, service_id, order_id }) = search.after {
            let place = [at.micros(), user_id.get(), service_id.get(), order_id.get()];
            clause.add(
                match search.sort {
                    SearchSort::SoonestFirst => "(expires_at, user_id, service_id, order_id) > (?, ?, ?, ?)",
                    SearchSort::NewestFirst => "(created_at, user_id, service_id, order_id) < (?, ?, ?, ?)",
                },
                &place,
            );
        }
        clause.values.push((i64::from(search.limit.get()) + 1).into());
        clause
    }

    fn add(&mut self, condition: &str, values: &[i64]) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values.iter().map(|value| Value::from(*value)));
    }

    /// Read from the index of deadlines, in its order; in the other order they are sorted, which costs what there are.
    fn sql(&self, sort: SearchSort) -> String {
        let order = match sort {
            SearchSort::SoonestFirst => "expires_at, user_id, service_id, order_id",
            SearchSort::NewestFirst => "created_at DESC, user_id DESC, service_id DESC, order_id DESC",
        };
        format!(
            "SELECT {columns} FROM reservations INDEXED BY reservations_due WHERE {conditions} ORDER BY {order} LIMIT ?",
            columns = reservation_columns!(),
            conditions = self.conditions.join(" AND "),
        )
    }
}

#[cfg(test)]
mod tests {
    use balance_domain::{Limit, OrderId, ServiceId, UserId};

    use super::*;
    use crate::schema;

    fn search() -> ReservationSearch {
        ReservationSearch {
            service_id: None,
            order_id: None,
            expires_before: None,
            sort: SearchSort::SoonestFirst,
            after: None,
            limit: Limit::default(),
        }
    }

    #[test]
    fn active_ones_come_from_the_index_of_deadlines_in_its_order() {
        let connection = schema::migrated();
        let now = Timestamp::from_micros(0).unwrap();
        let after = SearchPosition {
            at: now,
            user_id: UserId::new(1).unwrap(),
            service_id: ServiceId::new(1).unwrap(),
            order_id: OrderId::new(1).unwrap(),
        };
        for search in [search(), ReservationSearch { after: Some(after), ..search() }] {
            let sql = Clause::of(&search, now).sql(search.sort);
            let plan = schema::plan(&connection, &sql);
            assert!(plan.contains("INDEX reservations_due (expires_at>?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
