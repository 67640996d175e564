//! Single writes and balance reads against the roofline, and batches scaled by it.

use super::{
    Findings, Group, TargetsArgs,
    line::{Bound, Line, rate, scaled_to_50k},
};
use crate::{
    Data, Store,
    measure::Meter,
    report::{Figures, Row, median, ratio},
    subject::Subject,
    workload::Workload,
};

const CONNECTIONS: [usize; 2] = [64, 256];

/// A workload of single writes, and how it compares with ten times the origin.
pub(super) fn writes(
    args: &TargetsArgs,
    meter: &mut Meter,
    subject: &Subject,
    workload: Workload,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let bound = match args.data {
        Data::Disk => 0.35,
        Data::Tmpfs => 0.50,
    };
    let mut tenfold = Vec::new();
    for connections in CONNECTIONS {
        let rows = meter.measure(&[subject], workload, connections, None)?;
        findings.keep(&rows);
        let Some(figures) = rows.first().map(Row::figures) else { continue };
        let name = format!("Single writes, {}, {connections} connections", workload.name());
        let wanted = format!("≥ {bound:.2} of the roofline");
        findings.lines.push(against_roofline(args, name.clone(), wanted, bound, &figures));
        if workload != Workload::Mix {
            let name = format!("{name}, tenfold the origin");
            let wanted = "≥ 0.30 of the roofline".to_owned();
            tenfold.push(against_roofline(args, name, wanted, 0.30, &figures));
        }
    }
    findings.lines.append(&mut tenfold);
    Ok(())
}

pub(super) fn reads(
    args: &TargetsArgs,
    meter: &mut Meter,
    subject: &Subject,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    for connections in CONNECTIONS {
        let rows = meter.measure(&[subject], Workload::BalanceRead, connections, None)?;
        findings.keep(&rows);
        let Some(figures) = rows.first().map(Row::figures) else { continue };
        let name = format!("Balance reads, {connections} connections");
        findings.lines.push(against_roofline(args, name, "≥ 0.70 of the roofline".into(), 0.70, &figures));
    }
    Ok(())
}

fn against_roofline(args: &TargetsArgs, name: String, wanted: String, bound: f64, figures: &Figures) -> Line {
    let ours = rate(figures.requests_per_second);
    let most = rate(figures.roofline_requests_per_second);
    // Refusals are cheap and no throughput: a figure with refusals does not count.
    let refused = if figures.refused > 0 { format!(", {} refused", figures.refused) } else { String::new() };
    Line {
        name,
        wanted,
        measured: format!("{ours} of {most}{refused}"),
        ratio: figures.ratio,
        met: Bound::AtLeast(bound).is_met_by_some(figures.ratio) && figures.refused == 0,
        command: format!(
            "just bench --store {} --data {} --workloads {} --connections {}",
            args.store.name(),
            args.data.name(),
            figures.workload,
            figures.connections
        ),
    }
}

/// 1,000 commands a request over four connections, scaled by the roofline of single deposits over 64 connections.
pub(super) fn batches(
    args: &TargetsArgs,
    meter: &mut Meter,
    subject: &Subject,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut row = Row::new(subject.name, Workload::Batch1000, 4);
    let mut singles = Vec::new();
    for _ in 0..meter.rounds() {
        singles.push(meter.roofline(Workload::Deposit, 64)?.per_second());
        let roofline = meter.roofline(Workload::Batch1000, 4)?;
        meter.round(subject, &mut row, &roofline, None)?;
    }
    let wanted = match args.store {
        Store::Postgres => 50_000.0,
        Store::Sqlite => 30_000.0,
    };
    let commands = row.commands_per_second();
    let scaled: Vec<f64> =
        commands.iter().zip(&singles).map(|(ours, most)| scaled_to_50k(*ours, *most)).collect();
    let scaled = median(&scaled);
    findings.lines.push(Line {
        name: "Batches of 1,000, 4 connections".into(),
        wanted: format!(
            "≥ {} commands/s where the roofline has 50 k requests/s",
            rate(wanted).trim_end_matches("/s")
        ),
        measured: format!(
            "{}; here {} beside a roofline of {}",
            rate(scaled),
            rate(median(commands)),
            rate(median(&singles))
        ),
        ratio: ratio(commands, &singles),
        met: Bound::AtLeast(wanted).is_met_by(scaled),
        command: args.command(Group::Batch),
    });
    findings.keep(&[row]);
    Ok(())
}
