//! Throughput and p99 over the number of connections, as one SVG.

use std::path::Path;

use anyhow::anyhow;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::report::Figures;

const WIDTH: u32 = 960;
const CHART_HEIGHT: u32 = 420;
/// Of one name below the charts, two in a row.
const NAME_HEIGHT: i32 = 20;
const FONT: (&str, i32) = ("sans-serif", 14);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A subject and workload: its name, and its figures by number of connections.
struct Line<'a> {
    name: String,
    figures: Vec<&'a Figures>,
}

/// Draws a line per subject and workload in each of two charts, and their names below.
pub(crate) fn draw(figures: &[Figures], path: &Path) -> anyhow::Result<()> {
    let lines = lines(figures);
    let mut connections: Vec<usize> = figures.iter().map(|figures| figures.connections).collect();
    connections.sort_unstable();
    connections.dedup();
    let height = CHART_HEIGHT + u32::try_from(lines.len().div_ceil(2))? * NAME_HEIGHT.cast_unsigned() + 8;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
    let (charts, names) = root.split_vertically(CHART_HEIGHT);
    let (left, right) = charts.split_horizontally(WIDTH / 2);
    chart(&left, &lines, &connections, "commands/s", |figures| figures.commands_per_second)?;
    chart(&right, &lines, &connections, "p99, ms", |figures| figures.p99_ms)?;
    legend(&names, &lines)?;
    root.present().map_err(|error| anyhow!("writing {}: {error}", path.display()))
}

fn lines(figures: &[Figures]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for figures in figures {
        let name = format!("{} {}", figures.subject, figures.workload);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.figures.push(figures),
            None => lines.push(Line { name, figures: vec![figures] }),
        }
    }
    for line in &mut lines {
        line.figures.sort_by_key(|figures| figures.connections);
    }
    lines
}

/// Numbers of connections stand at equal distances: they are mostly multiples of each other.
fn chart(
    area: &Area<'_>,
    lines: &[Line<'_>],
    connections: &[usize],
    caption: &str,
    value: impl Fn(&Figures) -> f64,
) -> anyhow::Result<()> {
    let all = lines.iter().flat_map(|line| &line.figures);
    let value_max = all.map(|figures| value(figures)).fold(1.0, f64::max);
    let place = |count: usize| connections.iter().position(|known| *known == count).unwrap_or(0) as f64;
    let failed = |error: DrawingAreaErrorKind<_>| anyhow!("drawing failed: {error}");
    let last = connections.len().saturating_sub(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.3..last + 0.3, 0.0..value_max * 1.1)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("connections")
        .x_labels(0)
        .y_label_formatter(&|value| format!("{value}"))
        .label_style(FONT)
        .draw()
        .map_err(failed)?;
    for (number, line) in lines.iter().enumerate() {
        let colour = colour(number);
        let points: Vec<(f64, f64)> =
            line.figures.iter().map(|figures| (place(figures.connections), value(figures))).collect();
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2))).map_err(failed)?;
        let dots = points.into_iter().map(|point| Circle::new(point, 3, colour.filled()));
        chart.draw_series(dots).map_err(failed)?;
    }
    let below = FONT.into_font().into_text_style(area).pos(Pos::new(HPos::Center, VPos::Top));
    for &count in connections {
        let (x, y) = chart.backend_coord(&(place(count), 0.0));
        let (left, top) = area.get_base_pixel();
        area.draw(&Text::new(count.to_string(), (x - left, y - top + 6), &below)).map_err(failed)?;
    }
    Ok(())
}

fn legend(area: &Area<'_>, lines: &[Line<'_>]) -> anyhow::Result<()> {
    let failed = |error: DrawingAreaErrorKind<_>| anyhow!("drawing failed: {error}");
    let beside = FONT.into_font().into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
    for (number, line) in lines.iter().enumerate() {
        let (row, column) = (i32::try_from(number / 2)?, i32::try_from(number % 2)?);
        let (x, y) = (76 + column * 480, row * NAME_HEIGHT + NAME_HEIGHT / 2);
        let stroke = PathElement::new([(x, y), (x + 20, y)], colour(number).stroke_width(3));
        area.draw(&stroke).map_err(failed)?;
        area.draw(&Text::new(line.name.clone(), (x + 28, y), &beside)).map_err(failed)?;
    }
    Ok(())
}

fn colour(number: usize) -> RGBAColor {
    Palette99::pick(number).to_rgba()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_and_every_number_of_connections_is_named() {
        let figures = |workload: &str, connections| Figures {
            workload: workload.into(),
            connections,
            ..Figures::default()
        };
        let all = [figures("deposit", 64), figures("deposit", 1), figures("mix", 256)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        draw(&all, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for name in ["commands/s", "p99, ms", " deposit", " mix", "connections"] {
            assert!(svg.contains(name), "{name}");
        }
        for count in ["1", "64", "256"] {
            let labels = svg.lines().filter(|line| line.trim() == count).count();
            assert!(labels >= 2, "{count} stands below both charts: {labels}");
        }
    }
}
