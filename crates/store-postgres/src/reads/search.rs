//! Active reservations of all users, by their deadline.

use balance_domain::{
    Page, Reservation, ReservationSearch, SearchPosition, SearchSort, Timestamp, ports::RepoError,
};
use tokio_postgres::types::ToSql;

use crate::{PostgresStore, error::Failure, rows, values::At};

/// Conditions, and their values in the order of their parameters.
struct Clause {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql + Send + Sync>>,
}

impl Clause {
    /// Active ones at `now`. `amount > 0` is always true, and says which index is meant: see the migration.
    fn of(search: &ReservationSearch, now: Timestamp) -> Self {
        let active = "r.state = 'active' AND r.amount > 0 AND r.expires_at > $1".to_owned();
        let mut clause = Self { conditions: vec![active], values: vec![Box::new(At(now))] };
        if let Some(order_id) = search.order_id {
            clause.add("r.order_id =", order_id.get());
        }
        if let Some(service_id) = search.service_id {
            clause.add("r.service_id =", service_id.get());
        }
        if let Some(before) = search.expires_before {
            clause.add("r.expires_at <", At(before));
        }
        if let Some(SearchPosition { at, user_id, service_id, order_id }) = search.after {
            let first = clause.values.len() + 1;
            clause.values.push(Box::new(At(at)));
            for id in [user_id.get(), service_id.get(), order_id.get()] {
                clause.values.push(Box::new(id));
            }
            let (time, sign) = match search.sort {
                SearchSort::SoonestFirst => ("expires_at", '>'),
                SearchSort::NewestFirst => ("created_at", '<'),
            };
            clause.conditions.push(format!(
                "(r.{time}, r.user_id, r.service_id, r.order_id) {sign} (${first}, ${}, ${}, ${})",
                first + 1,
                first + 2,
                first + 3
            ));
        }
        clause.values.push(Box::new(i64::from(search.limit.get()) + 1));
        clause
    }

    fn add(&mut self, condition: &str, value: impl ToSql + Send + Sync + 'static) {
        self.values.push(Box::new(value));
        self.conditions.push(format!("{condition} ${}", self.values.len()));
    }

    /// In the order of deadlines the index is read; in the other one the active ones are sorted, which costs what
    /// there are.
    fn sql(&self, sort: SearchSort) -> String {
        let order = match sort {
            SearchSort::SoonestFirst => "r.expires_at, r.user_id, r.service_id, r.order_id",
            SearchSort::NewestFirst => {
                "r.created_at DESC, r.user_id DESC, r.service_id DESC, r.order_id DESC"
            }
        };
        format!(
            "SELECT user_id, service_id, order_id, amount, captured, released, refunded, created_at, expires_at, state, \
             reserve_seq \
             FROM reservations r WHERE {conditions} ORDER BY {order} LIMIT ${limit}",
            conditions = self.conditions.join(" AND "),
            limit = self.values.len(),
        )
    }
}

impl PostgresStore {
    pub(crate) async fn found_reservations(
        &self,
        search: &ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        let clause = Clause::of(search, self.moment()?.now());
        let values: Vec<&(dyn ToSql + Sync)> =
            clause.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect();
        let found = self.read(&clause.sql(search.sort), &values).await?;
        let found = found.iter().map(|row| rows::reservation(row, 0));
        let found = found.collect::<Result<Vec<Reservation>, Failure>>().map_err(Failure::into_error)?;
        Ok(Page::from_surplus(found, search.limit, |last| SearchPosition::behind(last, search.sort)))
    }
}
