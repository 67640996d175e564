//! Fills a store with a ledger of any size, far faster than commands could: `balance-bench grow`.
//!
//! The rows are those that the service would have written, in the order of time: a year in which every account is
//! opened and money comes and goes, one account far more often than the others, and then a month of orders, each
//! reserved and captured. `balance audit` is clean. Indexes are dropped before and built after, as the
//! store itself describes them: the schema belongs to the migrations.

mod plan;
mod postgres;
mod room;
mod sqlite;
#[cfg(test)]
mod tests;

use std::time::Instant;

use anyhow::Context;
use balance_domain::Month;
use clap::Args;
use rusqlite::{Connection, OpenFlags};

pub(crate) use plan::{LedgerPlan, PRICE};

use crate::{Store, environment, progress::progress, workload::user_id};

/// How large a ledger is to be.
#[derive(Args, Clone, Debug)]
pub(crate) struct Size {
    /// How many accounts to open.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(i64).range(2..=1_000_000_000))]
    pub(crate) accounts: i64,
    /// Operations in all [default: ten per account].
    #[arg(long)]
    pub(crate) operations: Option<i64>,
    /// Orders reserved and captured in the month, two operations each [default: one per account].
    #[arg(long)]
    pub(crate) captures: Option<i64>,
    /// The month of the captures.
    #[arg(long, default_value = "2026-10")]
    pub(crate) month: Month,
    /// Operations of the one account with a long history [default: a tenth of the number of accounts].
    #[arg(long)]
    pub(crate) long_history: Option<i64>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct GrowArgs {
    /// An empty store that `balance migrate` has made: `postgres://…` or `sqlite:…`. No service may run on it.
    #[arg(long)]
    database_url: String,
    #[command(flatten)]
    size: Size,
}

/// The command.
pub(crate) fn grow(args: &GrowArgs) -> anyhow::Result<()> {
    fill(&args.database_url, &args.size)
}

/// Fills a store. Fails if it has accounts already, or if the disk has too little room.
pub(crate) fn fill(url: &str, size: &Size) -> anyhow::Result<()> {
    let plan = LedgerPlan::new(size)?;
    room::check(url, &plan)?;
    let start = Instant::now();
    match url.strip_prefix("sqlite:") {
        Some(path) => sqlite::fill(path, &plan)?,
        None => postgres::fill(url, &plan)?,
    }
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "{} accounts, {} operations, {} captures in {}, {} operations of user {}: {seconds:.0} s, {:.0} operations/s",
        plan.accounts(),
        plan.operations(),
        plan.captures(),
        size.month,
        plan.long_history(),
        user_id(plan::LONG.cast_unsigned()),
        plan.operations() as f64 / seconds
    );
    Ok(())
}

/// What a benchmark must know of a store that was grown.
pub(crate) struct Grown {
    /// Users `0..users` of the benchmark have accounts.
    pub(crate) users: u64,
    /// Operations of the account with the long history.
    pub(crate) long_history: u64,
}

/// The user with the long history.
pub(crate) fn long_user() -> u64 {
    user_id(plan::LONG.cast_unsigned())
}

/// Looks at a grown store that no service runs on. A report of the month that was built before is deleted, because
/// a final one is never rebuilt.
pub(crate) fn look(url: &str, month: Month) -> anyhow::Result<Grown> {
    let forget = [
        format!("DELETE FROM report_lines WHERE month = '{month}'"),
        format!("DELETE FROM reports WHERE month = '{month}'"),
    ];
    let users = format!("SELECT max(user_id) - {} FROM accounts", user_id(0) - 1);
    let long = format!("SELECT seq FROM accounts WHERE user_id = {}", long_user());
    let numbers = if let Some(path) = url.strip_prefix("sqlite:") {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.execute_batch(&forget.join(";"))?;
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        (number(&users)?.to_string(), number(&long)?.to_string())
    } else {
        let number = |sql: &str| environment::query(url, &[sql])?.context("the store is empty");
        environment::query(url, &[&forget[0], &forget[1]])?;
        (number(&users)?, number(&long)?)
    };
    let parse = |text: String| text.parse().context("the store was not grown by `balance-bench grow`");
    Ok(Grown { users: parse(numbers.0)?, long_history: parse(numbers.1)? })
}

/// Which store a URL is of.
impl Store {
    pub(crate) fn of_url(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }
}
