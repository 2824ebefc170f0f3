//! The figures of the two-by-two analysis.

use super::figures::{
    Axis, BLACK, BLUE, Colour, Figure, GREEN, GREY, Layer, Mark, ORANGE, Panel, RED, Stroke,
};
use crate::analysis::two_by_two::{
    Analysis, CELL_NAMES, EvolutionRow, SPECTRUM_MEMBERS, drift_histogram, jitter,
};

/// Colours of cells A to D.
const CELL_COLOURS: [Colour; 4] = [GREEN, ORANGE, BLUE, RED];
/// Half the length of the bar at a median.
const HALF_BAR: f64 = 0.28;
const POINT_OPACITY: f64 = 0.45;
const POINT_RADIUS: f64 = 1.1;

fn zero_line() -> Layer {
    Layer::plain(Mark::Across {
        y: 0.0,
        stroke: Stroke::solid(GREY, 0.6),
    })
}

fn threshold_line(tau: f64) -> Mark {
    Mark::Upright {
        x: tau,
        stroke: Stroke::dashed(BLACK, 1.0),
    }
}

/// Late drifts of right (green) and wrong (red) answers and the threshold; `fig_<tag>_drift_hist`.
pub fn drift_figure(tag: &str, analysis: &Analysis) -> Figure {
    let histogram = drift_histogram(analysis);
    let bars = |name: &str, counts: &[usize], label: i64, colour: Colour| {
        let count = analysis
            .correct
            .iter()
            .filter(|found| **found == label)
            .count();
        Layer::named(
            format!("{name} (n={count})"),
            Mark::Bars {
                edges: histogram.edges.clone(),
                heights: counts.iter().map(|count| *count as f64).collect(),
                colour: colour.with_opacity(0.55),
            },
        )
    };
    let panel = Panel {
        title: format!("{tag}: late-drift distribution by correctness"),
        x: Axis::new("log10 late drift_zH (steps -4:)"),
        y: Axis::new("count"),
        layers: vec![
            bars("correct", &histogram.correct, 1, GREEN),
            bars("wrong", &histogram.wrong, 0, RED),
            Layer::named(
                format!("Otsu tau={:.2}", analysis.tau),
                threshold_line(analysis.tau),
            ),
        ],
    };
    Figure::new([6.0, 4.0], panel)
}

/// The largest exponent of every example by cell, with the median of the cell; `fig_<tag>_lyap_by_cell`.
pub fn cell_figure(tag: &str, analysis: &Analysis) -> Figure {
    let mut layers = vec![zero_line()];
    let mut ticks = Vec::new();
    let cells = CELL_NAMES.iter().zip(&analysis.cells).zip(CELL_COLOURS);
    for (index, ((name, cell), colour)) in cells.enumerate() {
        let middle = index as f64;
        ticks.push((middle, format!("{name}\n(n={})", cell.members.len())));
        let Some(summary) = &cell.summary else {
            continue;
        };
        let exponents = cell.members.iter().filter_map(|at| analysis.lam1.get(*at));
        let shifts = jitter(cell.members.len());
        let points = exponents
            .zip(shifts)
            .map(|(lam1, shift)| [middle + shift, *lam1]);
        layers.push(Layer::plain(Mark::Points {
            points: points.collect(),
            colour: colour.with_opacity(POINT_OPACITY),
            radius: POINT_RADIUS,
        }));
        let ends = [middle - HALF_BAR, middle + HALF_BAR];
        layers.push(Layer::plain(Mark::Line {
            points: ends.map(|x| [x, summary.lam1_median]).to_vec(),
            stroke: Stroke::solid(colour, 2.5),
            marker: 0.0,
        }));
    }
    let panel = Panel {
        title: format!("{tag}: lambda_1 by 2x2 cell"),
        x: Axis::new("")
            .with_ticks(ticks, false)
            .with_range([-0.5, 3.5]),
        y: Axis::new("lambda_1 (full-window FTLE)"),
        layers,
    };
    Figure::new([6.5, 4.0], panel)
}

/// Late drift against the largest exponent, coloured by correctness; `fig_<tag>_scatter`.
pub fn scatter_figure(tag: &str, analysis: &Analysis) -> Figure {
    let points = |label: i64| {
        let pairs = analysis.late_drift.iter().zip(&analysis.lam1);
        let labelled = pairs.zip(&analysis.correct);
        labelled
            .filter(|(_, found)| **found == label)
            .map(|((drift, lam1), _)| [*drift, *lam1])
            .collect()
    };
    let layer = |name: &str, label: i64, colour: Colour| {
        Layer::named(
            name,
            Mark::Points {
                points: points(label),
                colour: colour.with_opacity(POINT_OPACITY),
                radius: 1.4,
            },
        )
    };
    let panel = Panel {
        title: format!("{tag}: drift vs lambda_1"),
        x: Axis::new("log10 late drift_zH"),
        y: Axis::new("lambda_1"),
        layers: vec![
            layer("correct", 1, GREEN),
            layer("wrong", 0, RED),
            Layer::plain(threshold_line(analysis.tau)),
            zero_line(),
        ],
    };
    Figure::new([6.0, 4.5], panel)
}

/// The median of every exponent by cell, for cells of three members or more; `fig_<tag>_spectrum`.
pub fn spectrum_figure(tag: &str, analysis: &Analysis) -> Figure {
    let mut layers = vec![zero_line()];
    let mut exponents = 0;
    let cells = CELL_NAMES.iter().zip(&analysis.cells).zip(CELL_COLOURS);
    for ((name, cell), colour) in cells {
        let Some(summary) = &cell.summary else {
            continue;
        };
        exponents = exponents.max(summary.spectrum_median.len());
        if cell.members.len() < SPECTRUM_MEMBERS {
            continue;
        }
        let medians = summary.spectrum_median.iter().enumerate();
        layers.push(Layer::named(
            format!("{name} (n={})", cell.members.len()),
            Mark::Line {
                points: medians
                    .map(|(at, median)| [at as f64 + 1.0, *median])
                    .collect(),
                stroke: Stroke::solid(colour, 1.5),
                marker: 2.5,
            },
        ));
    }
    let last = exponents.max(1) as f64;
    let margin = 0.05 * (last - 1.0).max(1.0);
    let panel = Panel {
        title: format!("{tag}: median FTLE spectrum per cell"),
        x: Axis::new("exponent index").with_range([1.0 - margin, last + margin]),
        y: Axis::new("median lambda_i"),
        layers,
    };
    Figure::new([6.0, 4.0], panel)
}

/// Cell fractions and largest exponents by checkpoint, two panels; `evolution_<name>`.
pub fn evolution_figure(name: &str, rows: &[EvolutionRow]) -> Figure {
    let ticks: Vec<(f64, String)> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| (at as f64, row.step.to_string()))
        .collect();
    let series = |prefix: &str, pick: &dyn Fn(&EvolutionRow) -> [f64; 4]| -> Vec<Layer> {
        let cells = ["A", "B", "C", "D"].into_iter().zip(CELL_COLOURS);
        let layer = |(index, (cell, colour)): (usize, (&str, Colour))| {
            let values = rows.iter().map(|row| pick(row).get(index).copied());
            let points = values.enumerate();
            let points = points.map(|(at, value)| [at as f64, value.unwrap_or(f64::NAN)]);
            Layer::named(
                format!("{prefix}{cell}"),
                Mark::Line {
                    points: points.collect(),
                    stroke: Stroke::solid(colour, 1.5),
                    marker: 3.0,
                },
            )
        };
        cells.enumerate().map(layer).collect()
    };
    let panel = |title: &str, label: &str, layers: Vec<Layer>| Panel {
        title: format!("{name}: {title}"),
        x: Axis::new("").with_ticks(ticks.clone(), true),
        y: Axis::new(label),
        layers,
    };
    let mut exponents = series("l1", &|row: &EvolutionRow| row.lam1_medians);
    exponents.push(zero_line());
    Figure {
        size: [11.0, 4.0],
        panels: vec![
            panel(
                "cell fractions",
                "cell fraction",
                series("f", &|row: &EvolutionRow| row.fractions),
            ),
            panel("per-cell lambda_1", "median lambda_1", exponents),
        ],
    }
}
