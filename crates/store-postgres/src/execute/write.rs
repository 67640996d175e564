//! What a batch writes: every changed row once, set-based, if everything that it was decided on is unchanged.

use std::collections::HashSet;

use balance_domain::{
    Account, Changes, Fact, Moment, OperationKind, RecordedOperation, Reservation, ReservationKey, ServiceId,
    UserId,
};
use deadpool_postgres::ClientWrapper;
use futures::future::join;
use tokio_postgres::{Row, types::ToSql};

use crate::{
    cache::Versions,
    error::Failure,
    records::{AccountRow, Records},
    rows::column,
    statements::{BEGIN, COMMIT, ERASE_COMMENTS, MARK_SERVICES_USED, WRITE_ALL, WRITE_MOVEMENTS},
    store::query,
    values::{At, RowPlace, RowVersion, bucket, fresh_version},
};

use super::load::ReadSet;

/// The rows of a batch, sorted by how they are written.
pub(super) struct Writing<'a> {
    number: i64,
    written: Vec<AccountRow<'a>>,
    opened: Vec<AccountRow<'a>>,
    kept: Vec<&'a Reservation>,
    made: Vec<&'a Reservation>,
    appended: &'a [RecordedOperation],
    /// Services that must take reservations and be marked as used.
    services: Vec<i64>,
    /// Services to be marked as used: those that nothing was reserved for before.
    marked: Vec<i64>,
    closed: &'a [UserId],
    /// Up to when the books were closed when this was decided.
    closed_until: At,
    facts: &'a [Fact],
}

impl<'a> Writing<'a> {
    pub(super) fn new(changes: &'a Changes, read: &ReadSet, moment: Moment) -> Result<Self, Failure> {
        let number = fresh_version()?;
        let row =
            |account: &'a Account| AccountRow { account, number, expected: read.version(account.user_id) };
        let (written, opened) = changes.accounts.iter().map(row).partition(|row| row.expected.is_some());
        let reserved = reserved(&changes.operations);
        let is_new = |one: &&Reservation| reserved.contains(&one.key) && !read.has(one.key);
        let (made, kept) = changes.reservations.iter().partition(is_new);
        let marked: Vec<i64> = changes.services_used.iter().map(|id| id.get()).collect();
        let services: HashSet<i64> = reserved.iter().map(|key| key.service_id.get()).collect();
        let services = services.into_iter().filter(|id| !marked.contains(id)).collect();
        let (appended, closed) = (changes.operations.as_slice(), changes.closed.as_slice());
        let closed_until = At(moment.open_from());
        let facts = changes.facts.as_slice();
        Ok(Self {
            number,
            written,
            opened,
            kept,
            made,
            appended,
            services,
            marked,
            closed,
            closed_until,
            facts,
        })
    }

    /// Whether all of it is one statement, which then is a transaction of its own.
    pub(super) fn is_one_statement(&self) -> bool {
        self.marked.is_empty() && self.closed.is_empty()
    }

    /// The services that are known to take reservations once this is written.
    pub(super) fn confirmed_services(&self) -> Vec<ServiceId> {
        self.services.iter().chain(&self.marked).filter_map(|id| ServiceId::new(*id).ok()).collect()
    }

    /// Writes without a transaction around it, which only one statement may.
    pub(super) async fn alone(&self, client: &ClientWrapper) -> Result<Versions, Failure> {
        self.write(client).await
    }

    /// Has the statement ready, so that nothing is between it and what is sent behind it.
    pub(super) async fn prepare(&self, client: &ClientWrapper) -> Result<(), Failure> {
        client.prepare_cached(self.sql()).await?;
        Ok(())
    }

    /// Writes, and ends the transaction that is open. Both leave at once where it is one statement, which is prepared:
    /// if that fails, the server calls the commit a rollback.
    pub(super) async fn and_commit(&self, client: &ClientWrapper) -> Result<Versions, Failure> {
        if self.is_one_statement() {
            let (written, committed) = join(self.write(client), client.batch_execute(COMMIT)).await;
            let written = written?;
            committed?;
            return Ok(written);
        }
        let written = self.write(client).await?;
        self.mark_and_erase(client).await?;
        client.batch_execute(COMMIT).await?;
        Ok(written)
    }

    /// [`and_commit`](Self::and_commit) in a transaction that is begun for it.
    pub(super) async fn in_transaction(&self, client: &ClientWrapper) -> Result<Versions, Failure> {
        client.batch_execute(BEGIN).await?;
        self.and_commit(client).await
    }

    fn moves_only(&self) -> bool {
        self.opened.is_empty() && self.kept.is_empty() && self.made.is_empty() && self.facts.is_empty()
    }

    fn sql(&self) -> &'static str {
        if self.moves_only() { WRITE_MOVEMENTS } else { WRITE_ALL }
    }

    async fn write(&self, client: &ClientWrapper) -> Result<Versions, Failure> {
        let count = i64::try_from(self.written.len()).unwrap_or(i64::MAX);
        let (written, appended) = (Records(&self.written), Records(self.appended));
        let (opened, kept, made) = (Records(&self.opened), Records(&self.kept), Records(&self.made));
        let facts = Records(self.facts);
        let all: [&(dyn ToSql + Sync); 9] =
            [&written, &count, &appended, &opened, &kept, &made, &self.services, &self.closed_until, &facts];
        let movements = [all[0], all[1], all[2], all[7]];
        let values: &[_] = if self.moves_only() { &movements } else { &all };
        let answer = query(client, self.sql(), values).await?;
        self.versions(&answer)
    }

    async fn mark_and_erase(&self, client: &ClientWrapper) -> Result<(), Failure> {
        if !self.marked.is_empty() {
            let statement = client.prepare_cached(MARK_SERVICES_USED).await?;
            let marked = client.execute(&statement, &[&self.marked]).await?;
            if usize::try_from(marked) != Ok(self.marked.len()) {
                return Err(Failure::Conflict("a service does not take reservations any more".into()));
            }
        }
        for user in self.closed {
            query(client, ERASE_COMMENTS, &[&bucket(*user), &user.get()]).await?;
        }
        Ok(())
    }

    /// The versions that the written accounts have from now on.
    fn versions(&self, answer: &[Row]) -> Result<Versions, Failure> {
        let nothing = || Failure::Defect("a write has no answer".into());
        let row = answer.first().ok_or_else(nothing)?;
        let users: Vec<i64> = column(row, 0)?;
        let places: Vec<RowPlace> = column(row, 1)?;
        let version = |(user, place)| {
            let user = UserId::new(user).map_err(Failure::damaged)?;
            Ok((user, RowVersion { number: self.number, place }))
        };
        users.into_iter().zip(places).map(version).collect()
    }
}

/// Reservations that are made.
fn reserved(operations: &[RecordedOperation]) -> HashSet<ReservationKey> {
    let made = operations.iter().filter(|recorded| recorded.operation.kind == OperationKind::Reserve);
    made.filter_map(|recorded| Some(recorded.reservation_after?.key)).collect()
}
