//! Reading reservations, as recorded.

use async_trait::async_trait;
use balance_domain::{
    Page, Reservation, ReservationKey, ReservationPosition, ReservationQuery, ReservationState, Timestamp,
    ports::{
        AccountReads, Connections, OperationTotal, OptimisticBatches, RepoError, StoreFigures, StoreTimes,
    },
};

use crate::{
    PostgresStore,
    error::Failure,
    rows,
    statements::RESERVATION_BY_KEY,
    values::{At, bucket, state_name},
};

/// The server's time, and that of the newest capture or refund, which the index of revenue has at its end.
const TIMES: &str = "\
SELECT clock_timestamp(), (
    SELECT created_at FROM operations WHERE kind IN ('capture', 'refund') ORDER BY created_at DESC LIMIT 1
)";

/// Latest made first, behind the position `($4, $5, $6)`. `$3` is the state to show (null: all). Reservations that
/// an account's first 1,000 operations made are found by those operations, the others by an index that the others
/// are not in: see the migration.
const PAGE: &str = "\
SELECT user_id, service_id, order_id, amount, captured, released, refunded, created_at, expires_at, state, reserve_seq
FROM (
    (
        SELECT * FROM reservations
        WHERE bucket = $1 AND user_id = $2 AND reserve_seq > 1000
            AND (created_at, service_id, order_id) < ($4, $5, $6)
            AND ($3::text IS NULL OR $3 = state)
        ORDER BY created_at DESC, service_id DESC, order_id DESC
        LIMIT $7
    )
    UNION ALL
    SELECT first.* FROM operations o
    CROSS JOIN LATERAL (
        SELECT * FROM reservations
        WHERE bucket = o.bucket AND user_id = o.user_id AND service_id = o.service_id AND order_id = o.order_id
            AND reserve_seq = o.seq
        OFFSET 0
    ) AS first
    WHERE o.bucket = $1 AND o.user_id = $2 AND o.seq <= 1000 AND o.kind = 'reserve'
        AND (first.created_at, first.service_id, first.order_id) < ($4, $5, $6)
        AND ($3::text IS NULL OR $3 = first.state)
) AS r
ORDER BY created_at DESC, service_id DESC, order_id DESC
LIMIT $7";

/// [`PAGE`] for active ones alone: they are few, and an index of their own has them.
const ACTIVE_PAGE: &str = "\
SELECT * FROM (
    SELECT user_id, service_id, order_id, amount, captured, released, refunded, created_at, expires_at, state, reserve_seq
    FROM reservations
    WHERE bucket = $1 AND user_id = $2 AND state = 'active'
    OFFSET 0
) AS r
WHERE (r.created_at, r.service_id, r.order_id) < ($3, $4, $5)
ORDER BY r.created_at DESC, r.service_id DESC, r.order_id DESC
LIMIT $6";

/// Those that `$1` has not ended, counted no further than `$2`, in an index that holds nothing but active ones.
const COUNT_ACTIVE: &str = "\
SELECT count(*) FROM (
    SELECT FROM reservations r WHERE r.state = 'active' AND r.amount > 0 AND r.expires_at > $1
    ORDER BY r.expires_at, r.user_id LIMIT $2
) AS r";

/// Counted no further than `$1`, by the key alone; every bucket is at least 0.
const COUNT_ACCOUNTS: &str = "\
SELECT count(*) FROM (
    SELECT FROM accounts a WHERE a.bucket >= 0 AND a.seq > 0 ORDER BY a.bucket, a.user_id LIMIT $1
) AS a";

/// See `plans`.
#[cfg(test)]
pub(crate) fn planned() -> [(String, &'static [&'static str]); 4] {
    [
        (PAGE.into(), &["operations_pkey", "reservations_listing", "reservations_pkey"]),
        (ACTIVE_PAGE.into(), &["reservations_due"]),
        (COUNT_ACTIVE.into(), &["reservations_sweep"]),
        (COUNT_ACCOUNTS.into(), &["accounts_pkey"]),
    ]
}

#[async_trait]
impl StoreFigures for PostgresStore {
    async fn active_reservations(&self, count_max: u32) -> Result<u64, RepoError> {
        let now = self.moment()?.now();
        let rows = self.read(COUNT_ACTIVE, &[&At(now), &i64::from(count_max)]).await?;
        let count: i64 =
            rows.first().map_or(Ok(0), |row| rows::column(row, 0)).map_err(Failure::into_error)?;
        Ok(count.unsigned_abs())
    }

    async fn accounts_up_to(&self, count_max: u32) -> Result<u64, RepoError> {
        let rows = self.read(COUNT_ACCOUNTS, &[&i64::from(count_max)]).await?;
        let count: i64 =
            rows.first().map_or(Ok(0), |row| rows::column(row, 0)).map_err(Failure::into_error)?;
        Ok(count.unsigned_abs())
    }

    async fn times(&self) -> Result<StoreTimes, RepoError> {
        let rows = self.read(TIMES, &[]).await?;
        let row =
            rows.first().ok_or_else(|| RepoError::Internal("the server does not say its time".into()))?;
        let read = |index| rows::column::<Option<At>>(row, index).map_err(Failure::into_error);
        Ok(StoreTimes { clock: read(0)?.map(|at| at.0), newest: read(1)?.map(|at| at.0) })
    }

    fn connections(&self) -> Connections {
        self.pool_connections()
    }

    fn operations(&self) -> Vec<OperationTotal> {
        self.cache().operations()
    }

    fn optimistic_batches(&self) -> OptimisticBatches {
        self.contention().optimistic_batches()
    }

    fn account_reads(&self) -> AccountReads {
        self.cache().account_reads()
    }
}

impl PostgresStore {
    pub(crate) async fn one_reservation(
        &self,
        key: ReservationKey,
    ) -> Result<Option<Reservation>, RepoError> {
        let ReservationKey { user_id, service_id, order_id } = key;
        let rows = self
            .read(RESERVATION_BY_KEY, &[&bucket(user_id), &user_id.get(), &service_id.get(), &order_id.get()])
            .await?;
        rows.first().map(|row| rows::reservation(row, 0)).transpose().map_err(Failure::into_error)
    }

    pub(crate) async fn reservations_page(
        &self,
        query: &ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        let (bucket, user) = (bucket(query.user_id), query.user_id.get());
        let (created_at, service, order) = match query.after {
            Some(after) => (At(after.created_at), after.service_id.get(), after.order_id.get()),
            None => (At(Timestamp::MAX), i64::MAX, i64::MAX),
        };
        let rows_max = i64::from(query.limit.get()) + 1;
        let rows = if query.state == Some(ReservationState::Active) {
            self.read(ACTIVE_PAGE, &[&bucket, &user, &created_at, &service, &order, &rows_max]).await?
        } else {
            let state = query.state.map(state_name);
            self.read(PAGE, &[&bucket, &user, &state, &created_at, &service, &order, &rows_max]).await?
        };
        let found = rows.iter().map(|row| rows::reservation(row, 0));
        let found = found.collect::<Result<Vec<_>, Failure>>().map_err(Failure::into_error)?;
        Ok(Page::from_surplus(found, query.limit, |reservation| ReservationPosition {
            created_at: reservation.created_at,
            service_id: reservation.key.service_id,
            order_id: reservation.key.order_id,
        }))
    }
}
