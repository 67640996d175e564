//! Bulk insert into SQLite: one transaction, no journal, indexes built at the end. A failed load leaves a file
//! that must be thrown away, and says so.

use anyhow::{Context, ensure};
use rusqlite::{Connection, OpenFlags, params};

use super::{PRICE, Plan, ReservationAfter, SERVICES, progress};

/// Rows between two moves of the bar.
const TICK: i64 = 10_000;

pub(super) fn fill(path: &str, plan: Plan) -> anyhow::Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .with_context(|| format!("opening {path}"))?;
    let accounts: i64 = connection
        .query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))
        .context("is the schema there? run `balance migrate` first")?;
    ensure!(accounts == 0, "{path} has accounts already");
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -1000000; \
         PRAGMA locking_mode = EXCLUSIVE",
    )?;
    write(&connection, plan).with_context(|| format!("{path} is now unusable: delete it"))?;
    connection.execute_batch("PRAGMA journal_mode = WAL")?;
    Ok(())
}

fn write(connection: &Connection, plan: Plan) -> anyhow::Result<()> {
    let indexes: Vec<(String, String)> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (name, _) in &indexes {
        connection.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    connection.execute_batch("BEGIN")?;
    services(connection)?;
    accounts(connection, plan)?;
    reservations(connection, plan)?;
    operations(connection, plan)?;
    connection.execute_batch("COMMIT")?;
    let bar = progress(indexes.len() as u64, "indexes");
    for (_, sql) in indexes {
        connection.execute_batch(&sql)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn services(connection: &Connection) -> anyhow::Result<()> {
    for id in 1..=SERVICES {
        connection.execute("INSERT INTO services VALUES (?1, 'Service ' || ?1, 0, 1)", [id])?;
    }
    Ok(())
}

fn accounts(connection: &Connection, plan: Plan) -> anyhow::Result<()> {
    let bar = progress(plan.accounts.cast_unsigned(), "accounts");
    let mut insert = connection.prepare("INSERT INTO accounts VALUES (?1, 0, ?2, 0, ?3, ?4)")?;
    for index in 0..plan.accounts {
        insert.execute(params![
            Plan::user(index)?.get(),
            Plan::available(plan.orders),
            plan.operations_per_account(),
            plan.time(index, plan.operations_per_account() - 1)?,
        ])?;
        if index % TICK == 0 {
            bar.set_position(index.cast_unsigned());
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn reservations(connection: &Connection, plan: Plan) -> anyhow::Result<()> {
    let bar = progress((plan.accounts * plan.orders).cast_unsigned(), "reservations");
    let mut insert = connection.prepare(
        "INSERT INTO reservations (user_id, service_id, order_id, state, amount, captured, released, refunded, \
             created_at, expires_at) \
         VALUES (?1, ?2, ?3, 'captured', ?4, ?4, 0, 0, ?5, ?6)",
    )?;
    // By user, as the table is ordered.
    for index in 0..plan.accounts {
        for order in 0..plan.orders {
            let (service, order_id) = plan.order(index, order);
            let after = plan.reservation(index, order, true)?;
            insert.execute(params![
                Plan::user(index)?.get(),
                service,
                order_id,
                PRICE,
                after.created_at,
                after.expires_at
            ])?;
        }
        if index % TICK == 0 {
            bar.set_position((index * plan.orders).cast_unsigned());
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn operations(connection: &Connection, plan: Plan) -> anyhow::Result<()> {
    let bar = progress(plan.operations().cast_unsigned(), "operations");
    let mut insert = connection.prepare(
        "INSERT INTO operations (user_id, seq, kind, amount, available_after, reserved_after, service_id, order_id, \
             idempotency_key, fingerprint, created_at, reservation_amount, reservation_captured, reservation_released, \
             reservation_refunded, reservation_state, reservation_created_at, reservation_expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15, ?16, ?17)",
    )?;
    for number in 0..plan.operations() {
        let row = plan.operation(number)?;
        let after = row.order.map(|(_, _, after)| after);
        insert.execute(params![
            row.user_id.get(),
            row.seq,
            row.kind,
            row.amount,
            row.available_after,
            row.reserved_after,
            row.order.map(|(service, ..)| service),
            row.order.map(|(_, order, _)| order),
            row.key,
            row.fingerprint,
            row.created_at,
            after.map(|_| row.amount),
            after.map(|after| if after.is_captured { row.amount } else { 0 }),
            after.map(|_| 0),
            after.map(ReservationAfter::state),
            after.map(|after| after.created_at),
            after.map(|after| after.expires_at),
        ])?;
        if number % TICK == 0 {
            bar.set_position(number.cast_unsigned());
        }
    }
    bar.finish_and_clear();
    Ok(())
}
