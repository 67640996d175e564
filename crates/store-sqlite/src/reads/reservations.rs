//! Reservations, as recorded.

use balance_domain::{
    Page, Reservation, ReservationKey, ReservationPosition, ReservationQuery, ReservationState, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, types::Value};

use crate::{
    early,
    rows::{reservation, reservation_columns},
};

const ONE: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE user_id = ?1 AND service_id = ?2 AND order_id = ?3"
);

/// Those that `?1` has not ended, counted no further than `?2`, in the index of active ones.
const COUNT_ACTIVE: &str = "SELECT count(*) FROM (\
    SELECT expires_at FROM reservations WHERE state = 'active' AND expires_at > ?1 ORDER BY expires_at LIMIT ?2)";

/// How many are active at `now`, but no more than `count_max`.
pub(super) fn count_active(connection: &Connection, now: Timestamp, count_max: u32) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(COUNT_ACTIVE)?;
    let count: i64 = statement.query_row((now.micros(), count_max), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// One reservation.
pub(super) fn one(connection: &Connection, key: ReservationKey) -> rusqlite::Result<Option<Reservation>> {
    let mut statement = connection.prepare_cached(ONE)?;
    let key = (key.user_id.get(), key.service_id.get(), key.order_id.get());
    statement.query_row(key, reservation).optional()
}

/// A page of a user's reservations.
pub(super) fn page(
    connection: &Connection,
    query: &ReservationQuery,
) -> rusqlite::Result<Page<Reservation, ReservationPosition>> {
    let is_listed = early::are_listed(early::last_seq(connection, query.user_id)?);
    let sql = page_sql(query.state, is_listed, query.after.is_some());
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement
        .query_map(rusqlite::params_from_iter(page_values(query)), reservation)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_surplus(rows, query.limit, |last| ReservationPosition {
        created_at: last.created_at,
        service_id: last.key.service_id,
        order_id: last.key.order_id,
    }))
}

/// `?1` user, `?2` rows at most, `?3` to `?5` the position.
///
/// Those that are active now are few beside those that ever were, so they are looked up in their own index and
/// sorted; so are all those of a short history. Those that are listed are read in the order of the page.
fn page_sql(state: Option<ReservationState>, is_listed: bool, has_position: bool) -> String {
    let rows = match state {
        Some(ReservationState::Active) => "INDEXED BY reservations_active WHERE",
        _ if is_listed => "INDEXED BY reservations_by_time WHERE is_listed = 1 AND",
        _ => "NOT INDEXED WHERE",
    };
    let state = match state {
        None => "",
        Some(ReservationState::Active) => "AND state = 'active'",
        Some(ReservationState::Released) => "AND state = 'released'",
        Some(ReservationState::Captured) => "AND state = 'captured'",
        Some(ReservationState::Expired) => "AND state = 'expired'",
    };
    let position = if has_position { "AND (created_at, service_id, order_id) < (?3, ?4, ?5)" } else { "" };
    format!(
        "SELECT {columns} FROM reservations {rows} user_id = ?1 {state} {position} \
         ORDER BY created_at DESC, service_id DESC, order_id DESC LIMIT ?2",
        columns = reservation_columns!(),
    )
}

fn page_values(query: &ReservationQuery) -> Vec<Value> {
    let mut values = vec![query.user_id.get().into(), (i64::from(query.limit.get()) + 1).into()];
    if let Some(after) = query.after {
        values.push(after.created_at.micros().into());
        values.push(after.service_id.get().into());
        values.push(after.order_id.get().into());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn pages_are_read_in_the_order_of_their_index() {
        let connection = schema::migrated();
        let ended = [ReservationState::Captured, ReservationState::Released, ReservationState::Expired];
        for state in ended.map(Some).into_iter().chain([None]) {
            let plan = schema::plan(&connection, &page_sql(state, true, true));
            assert!(plan.contains("INDEX reservations_by_time (user_id=? AND "), "{state:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{state:?}: {plan}");
            let plan = schema::plan(&connection, &page_sql(state, false, true));
            assert!(plan.contains("SEARCH reservations USING PRIMARY KEY (user_id=?)"), "{state:?}: {plan}");
        }
        let plan = schema::plan(&connection, &page_sql(Some(ReservationState::Active), true, true));
        assert!(plan.contains("INDEX reservations_active (user_id=?)"), "{plan}");
        let plan = schema::plan(&connection, COUNT_ACTIVE);
        assert!(plan.contains("COVERING INDEX reservations_due (expires_at>?)"), "{plan}");
    }
}
