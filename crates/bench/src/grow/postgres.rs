//! Binary COPY into PostgreSQL; indexes and keys are built at the end, then the tables are vacuumed and analysed.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use tokio_postgres::{
    Client, NoTls,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{PRICE, Plan, ReservationAfter, SERVICES, progress};

/// Rows between two moves of the bar.
const TICK: i64 = 10_000;

const INDEXES: &str = "\
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint
WHERE contype = 'p' AND conrelid IN ('accounts'::regclass, 'reservations'::regclass, 'operations'::regclass)
UNION ALL
SELECT format('DROP INDEX %I', indexname), indexdef
FROM pg_indexes
WHERE schemaname = 'public' AND tablename IN ('accounts', 'reservations', 'operations') AND indexname NOT LIKE '%\\_pkey'";

pub(super) fn fill(url: &str, plan: Plan) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connecting")?;
        let connection = tokio::spawn(connection);
        write(&client, plan).await?;
        drop(client);
        Ok(connection.await??)
    })
}

async fn write(client: &Client, plan: Plan) -> anyhow::Result<()> {
    let accounts: i64 = client
        .query_one("SELECT count(*) FROM accounts", &[])
        .await
        .context("is the schema there? run `balance migrate` first")?
        .get(0);
    ensure!(accounts == 0, "the database has accounts already");
    client.batch_execute("SET synchronous_commit = off; SET maintenance_work_mem = '1GB'; BEGIN").await?;
    let indexes: Vec<(String, String)> =
        client.query(INDEXES, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (drop_it, _) in &indexes {
        client.batch_execute(drop_it).await?;
    }
    let services = format!(
        "INSERT INTO services SELECT s, 'Service ' || s, false, true FROM generate_series(1, {SERVICES}) AS s"
    );
    client.batch_execute(&services).await?;
    copy_accounts(client, plan).await?;
    copy_reservations(client, plan).await?;
    copy_operations(client, plan).await?;
    let bar = progress(indexes.len() as u64, "indexes");
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

fn time(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.cast_unsigned())
}

/// Writes rows of these types, with a progress bar.
async fn copy(
    client: &Client,
    what: &'static str,
    columns: &[(&str, Type)],
    rows: i64,
    mut row: impl FnMut(i64) -> anyhow::Result<Vec<Box<dyn ToSql + Sync + Send>>>,
) -> anyhow::Result<()> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let types: Vec<Type> = columns.iter().map(|(_, kind)| kind.clone()).collect();
    let sink =
        client.copy_in(&format!("COPY {what} ({}) FROM STDIN (FORMAT binary)", names.join(", "))).await?;
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
    let bar = progress(rows.cast_unsigned(), what);
    for number in 0..rows {
        let values = row(number)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value.as_ref() as _).collect();
        writer.as_mut().write(&values).await?;
        if number % TICK == 0 {
            bar.set_position(number.cast_unsigned());
        }
    }
    writer.finish().await?;
    bar.finish_and_clear();
    Ok(())
}

async fn copy_accounts(client: &Client, plan: Plan) -> anyhow::Result<()> {
    let columns = [
        ("user_id", Type::INT8),
        ("available", Type::INT8),
        ("reserved", Type::INT8),
        ("seq", Type::INT8),
        ("last_at", Type::TIMESTAMPTZ),
        ("bucket", Type::INT2),
        ("closed", Type::BOOL),
    ];
    let last = plan.operations_per_account();
    copy(client, "accounts", &columns, plan.accounts, |index| {
        let user = Plan::user(index)?;
        Ok(vec![
            Box::new(user.get()),
            Box::new(Plan::available(plan.orders)),
            Box::new(0_i64),
            Box::new(last),
            Box::new(time(plan.time(index, last - 1)?)),
            Box::new(i16::from(user.bucket())),
            Box::new(false),
        ])
    })
    .await
}

async fn copy_reservations(client: &Client, plan: Plan) -> anyhow::Result<()> {
    let columns = [
        ("user_id", Type::INT8),
        ("service_id", Type::INT8),
        ("order_id", Type::INT8),
        ("amount", Type::INT8),
        ("captured", Type::INT8),
        ("released", Type::INT8),
        ("refunded", Type::INT8),
        ("created_at", Type::TIMESTAMPTZ),
        ("expires_at", Type::TIMESTAMPTZ),
        ("bucket", Type::INT2),
        ("state", Type::TEXT),
    ];
    copy(client, "reservations", &columns, plan.accounts * plan.orders, |number| {
        let (order, index) = (number / plan.accounts, number % plan.accounts);
        let user = Plan::user(index)?;
        let (service, order_id) = plan.order(index, order);
        let after = plan.reservation(index, order, true)?;
        Ok(vec![
            Box::new(user.get()),
            Box::new(service),
            Box::new(order_id),
            Box::new(PRICE),
            Box::new(PRICE),
            Box::new(0_i64),
            Box::new(0_i64),
            Box::new(time(after.created_at)),
            Box::new(time(after.expires_at)),
            Box::new(i16::from(user.bucket())),
            Box::new(after.state()),
        ])
    })
    .await
}

async fn copy_operations(client: &Client, plan: Plan) -> anyhow::Result<()> {
    let columns = [
        ("user_id", Type::INT8),
        ("seq", Type::INT8),
        ("amount", Type::INT8),
        ("available_after", Type::INT8),
        ("reserved_after", Type::INT8),
        ("created_at", Type::TIMESTAMPTZ),
        ("service_id", Type::INT8),
        ("order_id", Type::INT8),
        ("reservation_amount", Type::INT8),
        ("reservation_captured", Type::INT8),
        ("reservation_released", Type::INT8),
        ("reservation_refunded", Type::INT8),
        ("reservation_created_at", Type::TIMESTAMPTZ),
        ("reservation_expires_at", Type::TIMESTAMPTZ),
        ("bucket", Type::INT2),
        ("kind", Type::TEXT),
        ("reservation_state", Type::TEXT),
        ("idempotency_key", Type::TEXT),
        ("fingerprint", Type::BYTEA),
    ];
    copy(client, "operations", &columns, plan.operations(), |number| {
        let row = plan.operation(number)?;
        let amount = row.amount;
        let after = row.order.map(|(_, _, after)| after);
        Ok(vec![
            Box::new(row.user_id.get()),
            Box::new(row.seq),
            Box::new(amount),
            Box::new(row.available_after),
            Box::new(row.reserved_after),
            Box::new(time(row.created_at)),
            Box::new(row.order.map(|(service, ..)| service)),
            Box::new(row.order.map(|(_, order, _)| order)),
            Box::new(after.map(|_| amount)),
            Box::new(after.map(|after| if after.is_captured { amount } else { 0 })),
            Box::new(after.map(|_| 0_i64)),
            Box::new(after.map(|_| 0_i64)),
            Box::new(after.map(|after| time(after.created_at))),
            Box::new(after.map(|after| time(after.expires_at))),
            Box::new(i16::from(row.user_id.bucket())),
            Box::new(row.kind),
            Box::new(after.map(ReservationAfter::state)),
            Box::new(row.key),
            Box::new(row.fingerprint.to_vec()),
        ])
    })
    .await
}
