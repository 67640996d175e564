//! `balance audit`: proves the ledger and says what differs.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use balance_domain::{Audit, AuditSummary, ports::LedgerSink};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{cli::Output, output::print_json, stores::Stores};

/// Scans the whole ledger and recounts its final months, in the ledger's own zone. Progress goes to stderr if that is a
/// terminal, the summary to stdout.
pub(crate) async fn run(stores: &Stores, output: Output) -> anyhow::Result<ExitCode> {
    let audit = Arc::new(match stores.identity.ledger().await? {
        Some(ledger) => Audit::new(ledger.identity.zone, stores.reports.final_reports().await?),
        // Nobody has started to use it.
        None => Audit::default(),
    });
    let bar = ProgressBar::no_length()
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} accounts, {eta} left")?);
    let watching = tokio::spawn(watch(Arc::clone(&audit), bar.clone()));
    let scanned = stores.balances.scan(Arc::clone(&audit) as Arc<dyn LedgerSink>).await;
    watching.abort();
    bar.finish_and_clear();
    scanned?;
    let summary = audit.finish();
    if output.json {
        print_json(&as_json(&summary))?;
    } else {
        report(&summary, &mut io::stdout().lock())?;
    }
    Ok(if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The bar hides itself when stderr is no terminal.
async fn watch(audit: Arc<Audit>, bar: ProgressBar) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let (announced, seen) = audit.progress();
        bar.set_length(announced.max(seen));
        bar.set_position(seen);
    }
}

fn report(summary: &AuditSummary, out: &mut impl Write) -> io::Result<()> {
    for difference in &summary.differences {
        writeln!(out, "{difference}")?;
    }
    let unlisted = summary.differences_total - summary.differences.len() as u64;
    if unlisted > 0 {
        writeln!(out, "… and {unlisted} more")?;
    }
    for difference in &summary.month_differences {
        writeln!(out, "{difference}")?;
    }
    writeln!(out, "accounts      {}", summary.accounts)?;
    writeln!(out, "operations    {}", summary.operations)?;
    writeln!(out, "reservations  {}", summary.reservations)?;
    writeln!(out, "paid in       {} minor units (deposits minus withdrawals)", summary.paid_in)?;
    writeln!(out, "held          {} (available and reserved)", summary.held)?;
    writeln!(out, "revenue       {} (captures minus refunds)", summary.revenue)?;
    writeln!(out, "missing       {} (paid in minus held minus revenue)", summary.missing)?;
    writeln!(out, "in transfer   {} (sent minus received)", summary.transfers_open)?;
    writeln!(
        out,
        "final months  {} (recounted, {} sums differ)",
        summary.months,
        summary.month_differences.len()
    )?;
    writeln!(out, "differences   {}", summary.differences_total)?;
    writeln!(out, "{}", if summary.is_clean() { "clean: everything adds up" } else { "NOT CLEAN" })
}

/// The same for programs: sums in minor units.
fn as_json(summary: &AuditSummary) -> Value {
    let sum = |sum: i128| i64::try_from(sum).map_or_else(|_| Value::from(sum.to_string()), Value::from);
    let differences: Vec<_> = summary.differences.iter().map(ToString::to_string).collect();
    let month_differences: Vec<_> = summary.month_differences.iter().map(ToString::to_string).collect();
    json!({
        "clean": summary.is_clean(),
        "accounts": summary.accounts,
        "operations": summary.operations,
        "reservations": summary.reservations,
        "paid_in": sum(summary.paid_in),
        "held": sum(summary.held),
        "revenue": sum(summary.revenue),
        "missing": sum(summary.missing),
        "transfers_open": sum(summary.transfers_open),
        "final_months": summary.months,
        "month_differences": month_differences,
        "differences": differences,
        "differences_total": summary.differences_total,
    })
}

#[cfg(test)]
mod tests {
    use balance_domain::{Account, AccountStatus, Timestamp, UserId};

    use super::*;

    #[test]
    fn money_from_nowhere_is_named() {
        let audit = Audit::default();
        audit.account(Account {
            user_id: UserId::new(7).unwrap(),
            status: AccountStatus::Open,
            available: 5,
            reserved: 0,
            seq: 0,
            last_at: Timestamp::MIN,
        });
        let summary = audit.finish();
        let mut out = Vec::new();
        report(&summary, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("user 7: "), "{out}");
        assert!(out.contains("missing       -5 ") && out.ends_with("NOT CLEAN\n"), "{out}");
    }
}
