//! Lines of the table of targets, and several tables side by side.

use std::{fmt::Write as _, io::Write as _, path::PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Report;

/// A target and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// What was measured.
    pub(super) name: String,
    /// The target.
    pub(super) wanted: String,
    /// The figures, with their units.
    pub(super) measured: String,
    /// The figure that the target is about, if it is a ratio.
    pub(super) ratio: Option<f64>,
    pub(super) met: bool,
    /// What measures this line by itself.
    pub(super) command: String,
}

/// What a figure must be to meet its target.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    /// What could not be measured meets no target.
    pub(super) fn is_met_by_some(self, figure: Option<f64>) -> bool {
        figure.is_some_and(|figure| self.is_met_by(figure))
    }

    /// Nor does a figure that is none.
    pub(super) fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound && figure.is_finite(),
        }
    }
}

/// The throughput that a machine with a roofline of 50,000 requests/s would have.
pub(super) fn scaled_to_50k(per_second: f64, roofline_per_second: f64) -> f64 {
    per_second * 50_000.0 / roofline_per_second
}

/// A number per second, to three digits.
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 1000.0 {
        format!("{:.1} k/s", per_second / 1000.0)
    } else {
        format!("{per_second:.0}/s")
    }
}

const fn yes(met: bool) -> &'static str {
    if met { "yes" } else { "**no**" }
}

/// The table of one run.
pub(super) fn markdown(lines: &[Line]) -> String {
    let mut text = "| Target | Measured | Ratio | Met | Command |\n|---|---|---|---|---|\n".to_owned();
    for line in lines {
        let ratio = line.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let Line { name, wanted, measured, met, command, .. } = line;
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {name}: {wanted} | {measured} | {ratio} | {} | `{command}` |", yes(*met));
    }
    text
}

/// `balance-bench table FILES…`: the tables of several runs side by side, on standard output.
pub(crate) fn table(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut reports: Vec<Report> = Vec::new();
    for file in files {
        let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        reports
            .push(serde_json::from_slice(&text).with_context(|| format!("{} is no table", file.display()))?);
    }
    let columns: Vec<(String, &[Line])> = reports
        .iter()
        .map(|report| (format!("{}, {}", report.store, report.data), &report.lines[..]))
        .collect();
    std::io::stdout().write_all(side_by_side(&columns).as_bytes())?;
    Ok(())
}

/// One row per target in the order of its first appearance, one column per run.
fn side_by_side(columns: &[(String, &[Line])]) -> String {
    let mut text = "| Target |".to_owned();
    for (title, _) in columns {
        let _ = write!(text, " {title} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(columns.len()));
    let mut names: Vec<&str> = Vec::new();
    for line in columns.iter().flat_map(|(_, lines)| lines.iter()) {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    for name in names {
        let found: Vec<Option<&Line>> =
            columns.iter().map(|(_, lines)| lines.iter().find(|line| line.name == name)).collect();
        let mut wanted: Vec<&str> = found.iter().flatten().map(|line| line.wanted.as_str()).collect();
        wanted.dedup();
        let _ = write!(text, "| {name}: {} |", wanted.join(" / "));
        for line in found {
            let _ = match line {
                Some(line) => write!(text, " {} |", cell(line)),
                None => write!(text, " not measured |"),
            };
        }
        text.push('\n');
    }
    text
}

fn cell(line: &Line) -> String {
    let met = yes(line.met);
    match line.ratio {
        Some(ratio) => format!("{ratio:.2} ({}), {met}", line.measured),
        None => format!("{}, {met}", line.measured),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_at_its_bound_and_never_by_nothing() {
        assert!(Bound::AtLeast(0.35).is_met_by(0.35) && !Bound::AtLeast(0.35).is_met_by(0.349));
        assert!(Bound::AtMost(0.5).is_met_by(0.5) && !Bound::AtMost(0.5).is_met_by(0.501));
        for bound in [Bound::AtLeast(0.0), Bound::AtMost(1.0)] {
            assert!(!bound.is_met_by(f64::NAN));
        }
        assert!(!Bound::AtMost(1.0).is_met_by(f64::NEG_INFINITY));
        assert!(Bound::AtLeast(0.35).is_met_by_some(Some(0.35)) && !Bound::AtLeast(0.0).is_met_by_some(None));
    }

    #[test]
    fn a_faster_machine_is_scaled_down_and_a_slower_one_up() {
        assert!((scaled_to_50k(60_000.0, 100_000.0) - 30_000.0).abs() < 1e-6);
        assert!((scaled_to_50k(20_000.0, 25_000.0) - 40_000.0).abs() < 1e-6);
        assert!((scaled_to_50k(50_000.0, 50_000.0) - 50_000.0).abs() < 1e-6);
    }

    fn line(name: &str, wanted: &str, ratio: Option<f64>, met: bool) -> Line {
        let (measured, command) = ("14.6 k/s".into(), "just targets".into());
        Line { name: name.into(), wanted: wanted.into(), measured, ratio, met, command }
    }

    #[test]
    fn the_table_of_a_run_has_all_columns() {
        let lines = [line("Writes", "≥ 0.35", Some(0.193), false), line("Memory", "≤ 50 MB", None, true)];
        assert_eq!(
            markdown(&lines),
            "| Target | Measured | Ratio | Met | Command |\n|---|---|---|---|---|\n\
             | Writes: ≥ 0.35 | 14.6 k/s | 0.19 | **no** | `just targets` |\n\
             | Memory: ≤ 50 MB | 14.6 k/s | – | yes | `just targets` |\n"
        );
    }

    #[test]
    fn runs_stand_side_by_side_by_target() {
        let (disk, tmpfs) = (
            [line("Writes", "≥ 0.35", Some(0.2), false)],
            [line("Writes", "≥ 0.50", Some(0.6), true), line("Size", "≥ 0.8", None, true)],
        );
        assert_eq!(
            side_by_side(&[("disk".into(), &disk[..]), ("tmpfs".into(), &tmpfs[..])]),
            "| Target | disk | tmpfs |\n|---|---|---|\n\
             | Writes: ≥ 0.35 / ≥ 0.50 | 0.20 (14.6 k/s), **no** | 0.60 (14.6 k/s), yes |\n\
             | Size: ≥ 0.8 | not measured | 14.6 k/s, yes |\n"
        );
    }
}
