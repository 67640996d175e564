//! [`EventRepo`] on PostgreSQL: an order without gaps, although transactions commit side by side.
//!
//! Each batch draws a number inside the statement that writes it: after the state was read that the statement confirms,
//! so that of two batches of one account the later one has the higher number. Numbers become visible in another order
//! than they are drawn in, and some never do. What may be shown ends at the *head*: the last number that was drawn
//! before a moment since which every transaction that then held a write lock on the tables has ended. A writer takes
//! that lock before it draws, and gives it back after its commit can be seen; later writers draw higher numbers.
//! Nothing is stored for this, nobody waits for it, and transactions that write elsewhere, in this database or another,
//! do not hold it up.
//!
//! All of a page is read on one connection, which ends with its server: after a fail-over, what is known of the head is
//! forgotten, because numbers that were lost are drawn a second time.

use std::{collections::HashSet, sync::OnceLock};

use async_trait::async_trait;
use balance_domain::{
    Event, EventFilter, EventPage, EventPosition, EventQuery, Fact, Happening, Timestamp, UserId,
    ports::{EventRepo, FeedError, RepoError},
};
use deadpool_postgres::ClientWrapper;
use tokio::sync::Mutex;
use tokio_postgres::Row;

use crate::{
    PostgresStore,
    error::Failure,
    facts::{self, fact, fact_columns},
    rows::{column, recorded, recorded_columns},
    store::query,
    values::At,
};

/// The last number that was drawn and the run of the server, then who holds a write lock: in this order, which the
/// statements keep by being two.
const LAST_NUMBER: &str = "\
SELECT CASE WHEN is_called THEN last_value ELSE 0 END, pg_postmaster_start_time() FROM operation_batches";

/// The server's own lock table; the pid of a prepared transaction is null.
const WRITERS: &str = "\
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND granted AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation IN ('operations'::regclass, 'facts'::regclass)";

/// Row by row in the order of the index on `batch`; the rows of one batch are few and are sorted.
pub(crate) const OPERATIONS: &str = concat!(
    "SELECT ",
    recorded_columns!(),
    ", o.batch
FROM operations o
WHERE o.batch >= $1 AND o.batch <= $4 AND (o.batch, o.user_id, o.seq) > ($1, $2, $3)
ORDER BY o.batch, o.user_id, o.seq LIMIT $5"
);

/// The same of facts; those that are about no account come first in their batch, alone.
pub(crate) const FACTS: &str = concat!(
    "SELECT ",
    fact_columns!(),
    ", f.batch
FROM facts f
WHERE f.batch >= $1 AND f.batch <= $5 AND (f.batch, coalesce(f.user_id, 0), f.seq, f.id) > ($1, $2, $3, $4)
ORDER BY f.batch, coalesce(f.user_id, 0), f.seq, f.id LIMIT $6"
);

/// Whether an operation still has the number that a place says.
const STANDS: &str = "\
SELECT EXISTS (SELECT FROM operations WHERE bucket = $1 AND user_id = $2 AND seq = $3 AND batch = $4)";

const IS_DISTRIBUTED: &str = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";

/// Why there is no feed.
const DISTRIBUTED: &str =
    "on Citus nobody has shown that numbers are drawn in the order of commits over all nodes";

/// What one instance knows of the head. One look at a time: a list of writers says nothing of a number that was drawn
/// after it was made.
#[derive(Default)]
pub(crate) struct Head {
    watch: Mutex<Watch>,
    is_distributed: OnceLock<bool>,
}

#[derive(Default)]
struct Watch {
    /// When the server was started that this was learned from.
    server: Option<Timestamp>,
    head: i64,
    /// A number, and those who held a lock when it was the last one: once they have ended it is the head.
    pending: Option<(i64, HashSet<String>)>,
}

impl Watch {
    /// One look: the run of the server, the last number, and those who held a lock after it was read.
    fn look(&mut self, server: Timestamp, last: i64, writers: HashSet<String>) -> i64 {
        if self.server != Some(server) {
            *self = Self { server: Some(server), ..Self::default() };
        }
        if let Some((number, waited_for)) = self.pending.take() {
            if waited_for.is_disjoint(&writers) {
                self.head = self.head.max(number);
            } else {
                self.pending = Some((number, waited_for));
            }
        }
        if writers.is_empty() {
            self.head = self.head.max(last);
            self.pending = None;
        } else if self.pending.is_none() && last > self.head {
            self.pending = Some((last, writers));
        }
        self.head
    }
}

#[async_trait]
impl EventRepo for PostgresStore {
    async fn events(&self, query: EventQuery) -> Result<EventPage, FeedError> {
        self.refuse_unordered().await?;
        let reading = self.repeated_in_time(|| async {
            let lease = self.lease_for_read().await?;
            let page = self.page(lease.client(), &query).await;
            lease.used(page)
        });
        reading.await?.ok_or(FeedError::Ahead)
    }

    async fn events_head(&self) -> Result<EventPosition, FeedError> {
        self.refuse_unordered().await?;
        let looking = self.repeated_in_time(|| async {
            let lease = self.lease_for_read().await?;
            let seen = self.look(lease.client()).await;
            lease.used(seen)
        });
        Ok(behind(looking.await?.head))
    }

    async fn add_facts(&self, facts: Vec<Fact>) -> Result<(), RepoError> {
        let adding = self.begin("BEGIN").await?;
        let added = facts::add(&adding, &facts).await;
        adding.finish(added).await
    }
}

/// Behind all of a batch.
const fn behind(batch: i64) -> EventPosition {
    EventPosition { batch, user_id: i64::MAX, seq: 0, fact: 0 }
}

/// What a look showed.
struct Seen {
    /// The last number that was drawn, whether or not its batch is committed.
    last: i64,
    /// The last number up to which the feed is complete.
    head: i64,
}

impl PostgresStore {
    async fn refuse_unordered(&self) -> Result<(), FeedError> {
        let known = &self.head().is_distributed;
        let is_distributed = if let Some(known) = known.get() {
            *known
        } else {
            let rows = self.read(IS_DISTRIBUTED, &[]).await?;
            *known.get_or_init(|| value(&rows, 0).unwrap_or(true))
        };
        if is_distributed { Err(FeedError::NoOrder(DISTRIBUTED)) } else { Ok(()) }
    }

    async fn look(&self, client: &ClientWrapper) -> Result<Seen, Failure> {
        let mut watch = self.head().watch.lock().await;
        let rows = query(client, LAST_NUMBER, &[]).await?;
        let (last, At(server)) = (value(&rows, 0)?, value(&rows, 1)?);
        let rows = query(client, WRITERS, &[]).await?;
        let writers = rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
        Ok(Seen { last, head: watch.look(server, last, writers) })
    }

    /// What follows the place, up to the head; `None` if the place was taken back.
    async fn page(&self, client: &ClientWrapper, asked: &EventQuery) -> Result<Option<EventPage>, Failure> {
        let Seen { last, head } = self.look(client).await?;
        if asked.after.batch > last || was_taken_back(client, asked.after).await? {
            return Ok(None);
        }
        let EventPosition { batch, user_id, seq, fact } = asked.after;
        let rows_max = if asked.filter == EventFilter::default() {
            i64::from(asked.limit.get()) + 1
        } else {
            i64::try_from(EventPage::ROWS_MAX).unwrap_or(i64::MAX)
        };
        let operations = query(client, OPERATIONS, &[&batch, &user_id, &seq, &head, &rows_max]).await?;
        let facts = query(client, FACTS, &[&batch, &user_id, &seq, &fact, &head, &rows_max]).await?;
        merged(asked, rows_max, &operations, &facts).map(Some)
    }
}

/// Whether the operation that the place is behind has another number now, or is not there: a fail-over or a restore
/// took it back.
async fn was_taken_back(client: &ClientWrapper, place: EventPosition) -> Result<bool, Failure> {
    let EventPosition { batch, user_id, seq, fact } = place;
    let Some(user) = UserId::new(user_id).ok().filter(|_| seq > 0 && fact == 0) else {
        return Ok(false);
    };
    let bucket = i16::from(user.bucket());
    let rows = query(client, STANDS, &[&bucket, &user_id, &seq, &batch]).await?;
    value::<bool>(&rows, 0).map(|stands| !stands)
}

/// The page of rows that are each in the order of the feed.
fn merged(
    query: &EventQuery,
    rows_max: i64,
    operations: &[Row],
    facts: &[Row],
) -> Result<EventPage, Failure> {
    let mut operations = operations.iter().map(operation_event).peekable();
    let mut facts = facts.iter().map(fact_event).peekable();
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
    Ok(page)
}

fn value<'a, T: tokio_postgres::types::FromSql<'a>>(rows: &'a [Row], index: usize) -> Result<T, Failure> {
    rows.first().map_or_else(|| Err(Failure::damaged("no row")), |row| column(row, index))
}

fn operation_event(row: &Row) -> Result<Event, Failure> {
    let recorded = recorded(row, 0)?;
    let (user_id, seq) = (recorded.operation.user_id.get(), recorded.operation.seq);
    let position = EventPosition { batch: named(row, "batch")?, user_id, seq, fact: 0 };
    Ok(Event { position, happening: Happening::Operation(recorded) })
}

fn fact_event(row: &Row) -> Result<Event, Failure> {
    let fact = fact(row)?;
    let user_id = fact.fact.user_id.map_or(0, UserId::get);
    let position = EventPosition { batch: named(row, "batch")?, user_id, seq: fact.fact.seq, fact: fact.id };
    Ok(Event { position, happening: Happening::Fact(fact) })
}

fn named(row: &Row, name: &str) -> Result<i64, Failure> {
    row.try_get(name).map_err(Failure::damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writers(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn run(number: i64) -> Timestamp {
        Timestamp::from_micros(number).unwrap()
    }

    #[test]
    fn the_head_follows_the_last_number_where_nobody_writes() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(run(1), 7, writers(&[])), 7);
        assert_eq!(watch.look(run(1), 9, writers(&[])), 9);
    }

    #[test]
    fn a_number_is_shown_once_those_who_wrote_when_it_was_the_last_have_ended() {
        let mut watch = Watch::default();
        assert_eq!(
            watch.look(run(1), 7, writers(&["3/1", "4/1"])),
            0,
            "one of them may have drawn 7, or less"
        );
        assert_eq!(watch.look(run(1), 9, writers(&["4/1", "5/1"])), 0);
        assert_eq!(watch.look(run(1), 12, writers(&["5/1", "6/1"])), 7, "later writers do not hold it up");
        assert_eq!(watch.look(run(1), 12, writers(&["5/2", "6/2"])), 12);
    }

    #[test]
    fn a_head_never_moves_back_on_one_server() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(run(1), 7, writers(&[])), 7);
        assert_eq!(watch.look(run(1), 7, writers(&["3/1"])), 7);
    }

    #[test]
    fn after_a_fail_over_numbers_that_were_lost_are_waited_for_again() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(run(1), 50, writers(&[])), 50);
        assert_eq!(watch.look(run(2), 45, writers(&["3/1"])), 0, "3/1 may have drawn 45");
        assert_eq!(watch.look(run(2), 60, writers(&["3/1"])), 0);
        assert_eq!(watch.look(run(2), 60, writers(&[])), 60);
    }
}
