//! Whether the disk has room for a ledger, before an hour is spent on finding out.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::LedgerPlan;
use crate::{Store, environment};

/// Bytes that a row takes with its entries in all indexes, as measured after loads of four million.
struct Footprint {
    account: i64,
    reservation: i64,
    operation: i64,
    /// What sorting for an index takes meanwhile, per operation.
    sorting: i64,
    /// The most that the log of the load may take.
    log_max: i64,
}

/// A log of at most 8 GB is what `balance-bench postgres` allows, more than PostgreSQL does by default.
const POSTGRES: Footprint =
    Footprint { account: 150, reservation: 260, operation: 235, sorting: 40, log_max: 9_000_000_000 };
const SQLITE: Footprint = Footprint { account: 40, reservation: 90, operation: 130, sorting: 40, log_max: 0 };

/// Fails if the ledger would not fit.
pub(super) fn check(url: &str, plan: &LedgerPlan) -> anyhow::Result<()> {
    let needed = bytes_needed(Store::of_url(url), plan);
    let folder = match url.strip_prefix("sqlite:") {
        Some(path) => Some(environment::folder_of(path)?),
        None => environment::cluster_folder(url),
    };
    let Some(folder) = folder else {
        eprintln!(
            "needs about {} GB on the disk of the database, which cannot be seen from here",
            in_gb(needed)
        );
        return Ok(());
    };
    let free = bytes_free(&folder)?;
    eprintln!("needs about {} GB of {} GB free in {}", in_gb(needed), in_gb(free), folder.display());
    ensure!(
        needed <= free,
        "{} operations need about {} GB, and {} has {} GB left: take fewer --operations and --accounts, or another disk",
        plan.operations(),
        in_gb(needed),
        folder.display(),
        in_gb(free)
    );
    Ok(())
}

/// At the peak of the load.
pub(super) fn bytes_needed(store: Store, plan: &LedgerPlan) -> u64 {
    let Footprint { account, reservation, operation, sorting, log_max } = match store {
        Store::Postgres => POSTGRES,
        Store::Sqlite => SQLITE,
    };
    let rows = plan.accounts() * account + plan.reservations() * reservation + plan.operations() * operation;
    (rows + plan.operations() * sorting + rows.min(log_max)).cast_unsigned()
}

fn bytes_free(folder: &PathBuf) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(folder).with_context(|| format!("looking at {}", folder.display()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

fn in_gb(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e9)
}
