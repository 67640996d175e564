//! Throughput and p99 over the number of connections, as one SVG.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::report::{Figures, Report};

/// Draws a line per subject and workload in each of two charts.
pub(crate) fn draw(report: &Report, path: &Path) -> anyhow::Result<()> {
    let root = SVGBackend::new(path, (960, 480)).into_drawing_area();
    root.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
    let (left, right) = root.split_horizontally(480);
    chart(&left, report, "commands/s", |figures| figures.commands_per_second)?;
    chart(&right, report, "p99, ms", |figures| figures.p99_ms)?;
    root.present().map_err(|error| anyhow!("writing {}: {error}", path.display()))
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    report: &Report,
    caption: &str,
    value: impl Fn(&Figures) -> f64,
) -> anyhow::Result<()> {
    let connections_max = report.figures.iter().map(|figures| figures.connections).max().unwrap_or(1) as f64;
    let value_max = report.figures.iter().map(&value).fold(1.0, f64::max);
    let failed = |error: DrawingAreaErrorKind<_>| anyhow!("drawing failed: {error}");
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(64)
        .build_cartesian_2d((1.0..connections_max * 1.1).log_scale(), 0.0..value_max * 1.1)
        .map_err(failed)?;
    chart.configure_mesh().x_desc("connections").draw().map_err(failed)?;
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for figures in &report.figures {
        let name = format!("{} {}", figures.subject, figures.workload);
        let point = (figures.connections as f64, value(figures));
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    for (number, (name, points)) in lines.into_iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .map_err(failed)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw().map_err(failed)?;
    Ok(())
}
