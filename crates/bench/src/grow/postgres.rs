//! Binary COPY into PostgreSQL, frozen, in one transaction: a load that fails leaves the store as it was. Indexes and
//! keys are read from the catalogue, dropped, and built at the end; then the tables are analysed.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use tokio_postgres::{
    Client, NoTls,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{
    LedgerPlan,
    plan::{AccountRow, OperationRow, PRICE, ReservationRow, SERVICES},
    progress,
};

/// Rows between two moves of the bar.
const TICK: u64 = 10_000;

const INDEXES: &str = "\
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint
WHERE contype IN ('p', 'u')
    AND conrelid IN ('accounts'::regclass, 'reservations'::regclass, 'operations'::regclass)
UNION ALL
SELECT format('DROP INDEX %I', indexname), indexdef
FROM pg_indexes
WHERE schemaname = current_schema() AND tablename IN ('accounts', 'reservations', 'operations')
    AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE contype IN ('p', 'u'))";

type Value = Box<dyn ToSql + Sync + Send>;

/// A column, its type on the wire, and its value in a row. These lists are all that the loader knows of the tables.
type Column<R> = (&'static str, Type, fn(&R) -> Value);

fn accounts() -> Vec<Column<AccountRow>> {
    vec![
        ("user_id", Type::INT8, |row| Box::new(row.user_id.get())),
        ("available", Type::INT8, |row| Box::new(row.available)),
        ("reserved", Type::INT8, |_| Box::new(0_i64)),
        ("seq", Type::INT8, |row| Box::new(row.seq)),
        ("last_at", Type::TIMESTAMPTZ, |row| Box::new(time(row.last_at))),
        // Any number: no instance has cached these rows.
        ("version", Type::INT8, |row| Box::new(row.user_id.get())),
        ("bucket", Type::INT2, |row| Box::new(i16::from(row.user_id.bucket()))),
        ("closed", Type::BOOL, |_| Box::new(false)),
    ]
}

fn reservations() -> Vec<Column<ReservationRow>> {
    vec![
        ("user_id", Type::INT8, |row| Box::new(row.user_id.get())),
        ("service_id", Type::INT8, |row| Box::new(row.service_id)),
        ("order_id", Type::INT8, |row| Box::new(row.order_id)),
        ("amount", Type::INT8, |_| Box::new(PRICE)),
        ("captured", Type::INT8, |row| Box::new(row.captured())),
        ("released", Type::INT8, |_| Box::new(0_i64)),
        ("refunded", Type::INT8, |_| Box::new(0_i64)),
        ("created_at", Type::TIMESTAMPTZ, |row| Box::new(time(row.created_at))),
        ("expires_at", Type::TIMESTAMPTZ, |row| Box::new(time(row.expires_at))),
        ("reserve_seq", Type::INT8, |row| Box::new(row.reserve_seq)),
        ("bucket", Type::INT2, |row| Box::new(i16::from(row.user_id.bucket()))),
        ("state", Type::TEXT, |row| Box::new(row.state())),
    ]
}

fn operations() -> Vec<Column<OperationRow>> {
    vec![
        ("user_id", Type::INT8, |row| Box::new(row.user_id.get())),
        ("seq", Type::INT8, |row| Box::new(row.seq)),
        ("amount", Type::INT8, |row| Box::new(row.amount)),
        ("available_after", Type::INT8, |row| Box::new(row.available_after)),
        ("reserved_after", Type::INT8, |row| Box::new(row.reserved_after)),
        ("created_at", Type::TIMESTAMPTZ, |row| Box::new(time(row.created_at))),
        ("service_id", Type::INT8, |row| of(row, |reservation| reservation.service_id)),
        ("order_id", Type::INT8, |row| of(row, |reservation| reservation.order_id)),
        ("reservation_amount", Type::INT8, |row| of(row, |_| PRICE)),
        ("reservation_captured", Type::INT8, |row| of(row, ReservationRow::captured)),
        ("reservation_released", Type::INT8, |row| of(row, |_| 0_i64)),
        ("reservation_refunded", Type::INT8, |row| of(row, |_| 0_i64)),
        ("reservation_created_at", Type::TIMESTAMPTZ, |row| {
            of(row, |reservation| time(reservation.created_at))
        }),
        ("reservation_expires_at", Type::TIMESTAMPTZ, |row| {
            of(row, |reservation| time(reservation.expires_at))
        }),
        ("bucket", Type::INT2, |row| Box::new(i16::from(row.user_id.bucket()))),
        ("kind", Type::TEXT, |row| Box::new(row.kind)),
        ("reservation_state", Type::TEXT, |row| of(row, ReservationRow::state)),
        ("reservation_seq", Type::INT8, |row| of(row, |reservation| reservation.reserve_seq)),
        ("idempotency_key", Type::TEXT, |row| Box::new(row.key.clone())),
        ("actor", Type::TEXT, |_| Box::new("anonymous")),
        ("fingerprint", Type::BYTEA, |row| Box::new(row.fingerprint.to_vec())),
    ]
}

/// Something of the operation's reservation, if it has one.
fn of<T: ToSql + Sync + Send + 'static>(row: &OperationRow, value: fn(&ReservationRow) -> T) -> Value {
    Box::new(row.reservation.as_ref().map(value))
}

fn time(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.cast_unsigned())
}

pub(super) fn fill(url: &str, plan: &LedgerPlan) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connecting")?;
        let connection = tokio::spawn(connection);
        write(&client, plan).await?;
        drop(client);
        Ok(connection.await??)
    })
}

async fn write(client: &Client, plan: &LedgerPlan) -> anyhow::Result<()> {
    let accounts: i64 = client
        .query_one("SELECT count(*) FROM accounts", &[])
        .await
        .context("is the schema there? run `balance migrate` first")?
        .get(0);
    ensure!(accounts == 0, "the database has accounts already");
    client
        .batch_execute(
            "SET statement_timeout = 0; SET synchronous_commit = off; SET maintenance_work_mem = '1GB'; BEGIN; \
             TRUNCATE accounts, reservations, operations",
        )
        .await?;
    let indexes: Vec<(String, String)> =
        client.query(INDEXES, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (drop_it, _) in &indexes {
        client.batch_execute(drop_it).await?;
    }
    let services = format!(
        "INSERT INTO services SELECT s, 'Service ' || s, false, true FROM generate_series(1, {SERVICES}) AS s"
    );
    client.batch_execute(&services).await?;
    copy_all(client, plan).await?;
    let bar = progress(indexes.len() as u64, "indexes");
    bar.enable_steady_tick(Duration::from_secs(1));
    for (_, make_it) in indexes {
        client.batch_execute(&make_it).await?;
        bar.inc(1);
    }
    client.batch_execute("COMMIT").await?;
    bar.set_message("vacuum");
    client.batch_execute("VACUUM (ANALYZE) accounts, reservations, operations").await?;
    client.batch_execute("CHECKPOINT").await?;
    bar.finish_and_clear();
    Ok(())
}

async fn copy_all(client: &Client, plan: &LedgerPlan) -> anyhow::Result<()> {
    let rows = (0..plan.accounts()).map(|index| plan.account(index));
    copy(client, "accounts", &accounts(), plan.accounts(), rows).await?;
    copy(client, "reservations", &reservations(), plan.reservations(), plan.all_reservations()).await?;
    copy(client, "operations", &operations(), plan.operations(), plan.all_operations()).await
}

/// Writes rows, with a progress bar.
async fn copy<R>(
    client: &Client,
    table: &'static str,
    columns: &[Column<R>],
    count: i64,
    rows: impl Iterator<Item = anyhow::Result<R>>,
) -> anyhow::Result<()> {
    let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
    let types: Vec<Type> = columns.iter().map(|(_, kind, _)| kind.clone()).collect();
    let statement = format!("COPY {table} ({}) FROM STDIN (FORMAT binary, FREEZE)", names.join(", "));
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(client.copy_in(&statement).await?, &types));
    let bar = progress(count.cast_unsigned(), table);
    let mut values: Vec<Value> = Vec::with_capacity(columns.len());
    for (number, row) in (1_u64..).zip(rows) {
        let row = row?;
        values.clear();
        values.extend(columns.iter().map(|(_, _, value)| value(&row)));
        writer.as_mut().write_raw(values.iter().map(|value| value.as_ref() as &dyn ToSql)).await?;
        if number % TICK == 0 {
            bar.set_position(number);
        }
    }
    let written = writer.finish().await?;
    bar.finish_and_clear();
    ensure!(written == count.cast_unsigned(), "{written} rows of {table} were written, {count} were planned");
    Ok(())
}
