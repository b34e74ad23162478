//! Plot of the latency as SVG.

use std::error::Error;
use std::fs;
use std::path::Path;

use hdrhistogram::Histogram;
use plotters::prelude::*;

use crate::failure::{Failure, Result};

const SIZE: (u32, u32) = (800, 500);
const COLOR: RGBColor = RGBColor(0, 90, 160);

/// Writes the latency by percentile. Each unit to the right leaves out nine tenths of the rest.
pub(crate) fn latency(path: &Path, mode: &str, latency: &Histogram<u64>) -> Result<()> {
    let last = (latency.len() as f64).log10().max(1.0);
    let points: Vec<(f64, f64)> = (0..=100)
        .map(|step| {
            let nines = last * f64::from(step) / 100.0;
            (nines, latency.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64 / 1e3)
        })
        .collect();
    let svg = draw(&format!("Latency of {mode} by percentile"), last, points)
        .map_err(|error| Failure::failed(format!("cannot draw the plot: {error}")))?;
    fs::write(path, svg)
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))
}

/// A line over a logarithmic height.
fn draw(
    title: &str,
    right: f64,
    points: Vec<(f64, f64)>,
) -> std::result::Result<String, Box<dyn Error>> {
    let heights = || points.iter().map(|point| point.1);
    let top = heights().fold(1.0, f64::max) * 1.2;
    let bottom = heights().fold(top, f64::min).max(0.01) / 1.2;
    let percentile = |nines: &f64| format!("{}", 100.0 - 100.0 * 10f64.powf(-nines.round()));
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
            .build_cartesian_2d(0.0..right, (bottom..top).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("percentile")
            .y_desc("µs")
            .x_labels(right.ceil() as usize + 1)
            .x_label_formatter(&percentile)
            .y_label_formatter(&|y| format!("{y}"))
            .max_light_lines(1)
            .draw()?;
        chart.draw_series(LineSeries::new(points, COLOR.stroke_width(2)))?;
        area.present()?;
    }
    Ok(svg)
}
