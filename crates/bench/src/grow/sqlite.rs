//! Bulk insert into SQLite: one transaction, no journal, indexes built before the last tenth of the rows. A failed
//! load leaves a file that must be deleted, and says so.
//!
//! B-trees that are built at once have full leaves, and the first command that comes along splits every leaf that it
//! touches. A store that grew by itself has room in nearly all of them. So has this one after the last tenth.

use anyhow::{Context, ensure};
use rusqlite::{Connection, OpenFlags, params_from_iter, types::Value};

use super::{
    LedgerPlan,
    plan::{AccountRow, OperationRow, PRICE, ReservationRow, SERVICES},
    progress,
};

/// One row of this many is inserted after the B-trees are built.
const LATE: i64 = 10;

/// Rows between two moves of the bar.
const TICK: u64 = 10_000;

/// What the store keeps of long histories beside its indexes: the writer does it at an account's 1,000th operation.
const LIST_EARLY: &str = "
    INSERT INTO early_operations (user_id, seq, operation_id)
    SELECT operations.user_id, operations.seq, operations.id
    FROM accounts CROSS JOIN operations INDEXED BY operations_by_key ON operations.user_id = accounts.user_id
    WHERE accounts.seq >= 1000 AND operations.seq <= 1000 AND operations.idempotency_key IS NOT NULL;
    UPDATE reservations SET is_listed = 1 WHERE user_id IN (SELECT user_id FROM accounts WHERE seq >= 1000);";

/// A column and its value in a row. These lists and [`LIST_EARLY`] are all that the loader knows of the tables.
type Column<R> = (&'static str, fn(&R) -> Value);

fn accounts() -> Vec<Column<AccountRow>> {
    vec![
        ("user_id", |row| row.user_id.get().into()),
        ("closed", |_| 0.into()),
        ("available", |row| row.available.into()),
        ("reserved", |_| 0.into()),
        ("seq", |row| row.seq.into()),
        ("last_at", |row| row.last_at.into()),
    ]
}

fn reservations() -> Vec<Column<ReservationRow>> {
    vec![
        ("user_id", |row| row.user_id.get().into()),
        ("service_id", |row| row.service_id.into()),
        ("order_id", |row| row.order_id.into()),
        ("state", |row| row.state().to_owned().into()),
        ("amount", |_| PRICE.into()),
        ("captured", |row| row.captured().into()),
        ("released", |_| 0.into()),
        ("refunded", |_| 0.into()),
        ("created_at", |row| row.created_at.into()),
        ("expires_at", |row| row.expires_at.into()),
        ("reserve_seq", |row| row.reserve_seq.into()),
    ]
}

fn operations() -> Vec<Column<OperationRow>> {
    vec![
        ("user_id", |row| row.user_id.get().into()),
        ("seq", |row| row.seq.into()),
        ("kind", |row| row.kind.to_owned().into()),
        ("amount", |row| row.amount.into()),
        ("available_after", |row| row.available_after.into()),
        ("reserved_after", |row| row.reserved_after.into()),
        ("service_id", |row| of(row, |reservation| reservation.service_id.into())),
        ("order_id", |row| of(row, |reservation| reservation.order_id.into())),
        ("idempotency_key", |row| row.key.clone().into()),
        ("actor", |_| "anonymous".to_owned().into()),
        ("fingerprint", |row| row.fingerprint.to_vec().into()),
        ("created_at", |row| row.created_at.into()),
        ("reservation_amount", |row| of(row, |_| PRICE.into())),
        ("reservation_captured", |row| of(row, |reservation| reservation.captured().into())),
        ("reservation_released", |row| of(row, |_| 0.into())),
        ("reservation_refunded", |row| of(row, |_| 0.into())),
        ("reservation_state", |row| of(row, |reservation| reservation.state().to_owned().into())),
        ("reservation_created_at", |row| of(row, |reservation| reservation.created_at.into())),
        ("reservation_expires_at", |row| of(row, |reservation| reservation.expires_at.into())),
        ("reservation_seq", |row| of(row, |reservation| reservation.reserve_seq.into())),
    ]
}

/// Something of the operation's reservation, if it has one.
fn of(row: &OperationRow, value: fn(&ReservationRow) -> Value) -> Value {
    row.reservation.as_ref().map_or(Value::Null, value)
}

pub(super) fn fill(path: &str, plan: &LedgerPlan) -> anyhow::Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .with_context(|| format!("opening {path}"))?;
    let accounts: i64 = connection
        .query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))
        .context("is the schema there? run `balance migrate` first")?;
    ensure!(accounts == 0, "{path} has accounts already");
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -1000000; \
         PRAGMA locking_mode = EXCLUSIVE; PRAGMA threads = 2",
    )?;
    write(&connection, plan).with_context(|| format!("{path} is now unusable: delete it"))?;
    connection.execute_batch("PRAGMA journal_mode = WAL")?;
    drop(connection);
    // What the system still holds back would be written in the middle of the first measurement.
    std::fs::File::open(path)?.sync_all().with_context(|| format!("flushing {path}"))
}

fn write(connection: &Connection, plan: &LedgerPlan) -> anyhow::Result<()> {
    let indexes: Vec<(String, String)> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (name, _) in &indexes {
        connection.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    connection.execute_batch("BEGIN")?;
    for id in 1..=SERVICES {
        connection.execute("INSERT INTO services VALUES (?1, 'Service ' || ?1, 0, 1)", [id])?;
    }
    let rows = (0..plan.accounts()).map(|index| plan.account(index));
    insert(connection, "accounts", &accounts(), plan.accounts(), rows)?;
    write_reservations(connection, plan, false)?;
    let mut operations_left = plan.all_operations();
    let late = plan.operations() / LATE;
    let early = operations_left.by_ref().take(usize::try_from(plan.operations() - late)?);
    insert(connection, "operations", &operations(), plan.operations() - late, early)?;
    build(connection, &indexes)?;
    write_reservations(connection, plan, true)?;
    insert(connection, "operations", &operations(), late, operations_left)?;
    connection.execute_batch(LIST_EARLY)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// By user, as the table is ordered.
fn write_reservations(connection: &Connection, plan: &LedgerPlan, is_late: bool) -> anyhow::Result<()> {
    let late = plan.reservations() / LATE;
    let count = if is_late { late } else { plan.reservations() - late };
    let numbered = plan.reservations_by_user().zip(1..);
    let rows = numbered.filter(|(_, number)| (number % LATE == 0) == is_late).map(|(row, _)| row);
    insert(connection, "reservations", &reservations(), count, rows)
}

fn build(connection: &Connection, indexes: &[(String, String)]) -> anyhow::Result<()> {
    let bar = progress(indexes.len() as u64, "indexes");
    bar.enable_steady_tick(std::time::Duration::from_secs(1));
    for (_, sql) in indexes {
        connection.execute_batch(sql)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Writes rows, with a progress bar.
fn insert<R>(
    connection: &Connection,
    table: &'static str,
    columns: &[Column<R>],
    count: i64,
    rows: impl Iterator<Item = anyhow::Result<R>>,
) -> anyhow::Result<()> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
    let mut statement = connection.prepare(&sql)?;
    let bar = progress(count.cast_unsigned(), table);
    let mut written = 0_u64;
    for row in rows {
        let row = row?;
        statement.execute(params_from_iter(columns.iter().map(|(_, value)| value(&row))))?;
        written += 1;
        if written.is_multiple_of(TICK) {
            bar.set_position(written);
        }
    }
    bar.finish_and_clear();
    ensure!(written == count.cast_unsigned(), "{written} rows of {table} were written, {count} were planned");
    Ok(())
}
