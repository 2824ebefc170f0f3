//! Plots as SVG text, drawn with plotters. Lines and text take the colour of the page around them.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use thiserror::Error;

/// A plot could not be drawn.
#[derive(Debug, Error)]
#[error("plot \"{title}\": {message}")]
pub struct PlotError {
    /// Its title.
    pub title: String,
    /// The plotting library's words.
    pub message: String,
}

/// Drawn for text, axes and grid, then replaced by `currentColor`.
const INK: RGBColor = RGBColor(1, 2, 3);
/// Colours that read on light and dark paper, one a series.
const SERIES: [RGBColor; 3] = [
    RGBColor(27, 145, 170),
    RGBColor(150, 135, 196),
    RGBColor(214, 122, 46),
];
/// Top of a plot of percentages; the legend stands above 100.
const LEGEND_ROOM: f64 = 124.0;
const SIZE: (u32, u32) = (760, 340);

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws on an SVG of the usual size and makes it follow the page.
fn drawn(
    title: &str,
    draw: impl FnOnce(&Canvas<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&canvas)
            .and_then(|()| Ok(canvas.present()?))
            .map_err(|error| PlotError {
                title: title.into(),
                message: error.to_string(),
            })?;
    }
    // A fixed width would not shrink on a phone; the view box keeps the proportions.
    let (width, height) = SIZE;
    Ok(svg.replace("#010203", "currentColor").replacen(
        &format!("width=\"{width}\" height=\"{height}\" "),
        "",
        1,
    ))
}

/// One kind of bar.
#[derive(Debug, Clone)]
pub struct Bars {
    /// Name in the legend.
    pub name: String,
    /// A value in 0..=1 for every group.
    pub shares: Vec<f64>,
}

/// Shares in percent as groups of bars side by side, at most three kinds.
///
/// # Errors
/// [`PlotError`] when the plotting library fails.
pub fn grouped_shares(title: &str, groups: &[String], kinds: &[Bars]) -> Result<String, PlotError> {
    drawn(title, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..groups.len().max(1) as f64, 0.0..LEGEND_ROOM)?;
        let name_of = |x: &f64| {
            let middle = (x.fract() - 0.5).abs() < 1e-6;
            groups
                .get(x.floor() as usize)
                .filter(|_| middle)
                .cloned()
                .unwrap_or_default()
        };
        let percent = |y: &f64| {
            if *y <= 100.0 {
                format!("{y:.0} %")
            } else {
                String::new()
            }
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            // Plenty of candidates, so that the middle of every group is among them.
            .x_labels(2 * groups.len() + 1)
            .x_label_formatter(&name_of)
            .y_label_formatter(&percent)
            .y_labels(7)
            .axis_style(INK)
            .bold_line_style(INK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 13, &INK))
            .draw()?;
        let width = 0.8 / kinds.len().max(1) as f64;
        for ((index, bars), colour) in kinds.iter().enumerate().zip(SERIES) {
            let rectangles = bars.shares.iter().enumerate().map(|(group, share)| {
                let left = group as f64 + 0.1 + width * index as f64;
                Rectangle::new(
                    [(left, 0.0), (left + 0.92 * width, 100.0 * share)],
                    colour.filled(),
                )
            });
            chart
                .draw_series(rectangles)?
                .label(bars.name.clone())
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled())
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(("sans-serif", 13, &INK))
            .draw()?;
        Ok(())
    })
}

/// Points of two whole numbers each; a larger disc stands for more of them. The diagonal is drawn for
/// comparison.
///
/// # Errors
/// [`PlotError`] when the plotting library fails.
pub fn counted_points(
    title: &str,
    [across, up]: [&str; 2],
    points: &[(usize, usize)],
) -> Result<String, PlotError> {
    let mut counts = std::collections::BTreeMap::<(usize, usize), usize>::new();
    for &point in points {
        *counts.entry(point).or_default() += 1;
    }
    let largest = |pick: fn(&(usize, usize)) -> usize| {
        points.iter().map(pick).max().unwrap_or(0) as f64 + 1.0
    };
    let (right, top) = (largest(|p| p.0), largest(|p| p.1));
    drawn(title, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        let whole = |value: &f64| format!("{value:.0}");
        chart
            .configure_mesh()
            .x_desc(across)
            .y_desc(up)
            .x_label_formatter(&whole)
            .y_label_formatter(&whole)
            .axis_style(INK)
            .bold_line_style(INK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 13, &INK))
            .draw()?;
        let end = right.min(top);
        chart.draw_series(LineSeries::new([(0.0, 0.0), (end, end)], INK.mix(0.5)))?;
        let discs = counts.iter().map(|(&(x, y), &count)| {
            let radius = (2.0 + 2.0 * (count as f64).sqrt()).min(14.0) as i32;
            Circle::new((x as f64, y as f64), radius, SERIES[0].mix(0.6).filled())
        });
        chart.draw_series(discs)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_name_every_group_and_kind() {
        let groups = ["one", "two", "three"].map(String::from);
        let kinds = [
            Bars {
                name: "plan".into(),
                shares: vec![0.5, 0.25, 1.0],
            },
            Bars {
                name: "walk".into(),
                shares: vec![0.1, 0.0, 0.3],
            },
        ];
        let svg = grouped_shares("t", &groups, &kinds).unwrap();
        for name in ["one", "two", "three", "plan", "walk", "currentColor"] {
            assert!(svg.contains(name), "{name}");
        }
        assert!(!svg.contains("#010203") && !svg.contains("width=\"760\""));
        assert!(svg.contains("viewBox"));
    }

    #[test]
    fn equal_points_become_one_disc() {
        let svg = counted_points("t", ["x", "y"], &[(1, 1), (1, 1), (2, 3)]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        counted_points("none", ["x", "y"], &[]).unwrap();
    }
}
