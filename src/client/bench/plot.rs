//! Plots as SVG.

use std::fs;
use std::path::Path;

use hdrhistogram::Histogram;
use plotters::prelude::*;

use crate::client::failure::{Failure, Result};

const SIZE: (u32, u32) = (800, 500);
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 90, 160),
    RGBColor(200, 80, 0),
    RGBColor(0, 130, 70),
    RGBColor(150, 30, 120),
    RGBColor(110, 110, 110),
    RGBColor(180, 140, 0),
];

/// A line of a plot: its name, and its points.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Latency by percentile, where each step to the right leaves out nine tenths of what was left.
pub(super) fn latency(path: &Path, loads: &[(&str, &Histogram<u64>)]) -> Result<()> {
    let lines: Vec<Line> = loads
        .iter()
        .map(|(name, histogram)| {
            let last = (histogram.len() as f64).log10().max(1.0);
            let points = (0..=100).map(|step| {
                let nines = last * f64::from(step) / 100.0;
                (nines, histogram.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64 / 1e3)
            });
            Line { name: (*name).to_owned(), points: points.collect() }
        })
        .collect();
    let share = |nines: &f64| format!("{}", 100.0 - 100.0 * 10f64.powf(-nines.round()));
    write(path, "Latency by percentile", ("percentile", &share), "µs", &lines)
}

/// Lines over a logarithmic height.
pub(super) fn write(
    path: &Path,
    title: &str,
    (below, label): (&str, &dyn Fn(&f64) -> String),
    beside: &str,
    lines: &[Line],
) -> Result<()> {
    let svg = draw(title, (below, label), beside, lines)
        .map_err(|error| Failure::failed(format!("cannot draw the plot: {error}")))?;
    fs::write(path, svg)
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))
}

fn draw(
    title: &str,
    (below, label): (&str, &dyn Fn(&f64) -> String),
    beside: &str,
    lines: &[Line],
) -> std::result::Result<String, Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let left = points().map(|point| point.0).fold(f64::MAX, f64::min).min(1e9).floor();
    let right = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(1.0, f64::max) * 1.2;
    let bottom = points().map(|point| point.1).fold(top, f64::min).max(0.01) / 1.2;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(12)
            .margin_right(40)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(left..right, (bottom..top).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(below)
            .y_desc(beside)
            .x_labels((right - left).ceil() as usize + 1)
            .x_label_formatter(&|x| label(x))
            .y_label_formatter(&|y| format!("{y}"))
            .max_light_lines(1)
            .draw()?;
        for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
            let style = color.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(RGBColor(200, 200, 200))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
