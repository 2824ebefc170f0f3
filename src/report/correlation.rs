//! Figures of offline metrics against a downstream result.

use super::figures::{
    Axis, BLACK, BLUE, Colour, Figure, GREEN, GREY, Layer, Mark, ORANGE, PURPLE, Panel, RED, Stroke,
};
use crate::analysis::correlation::{Beyond, Bundle, Correlation, Outcome, usable};
use crate::analysis::planning_gap::wilson;

/// Panels beyond these would not fit on a page.
const MOST_PANELS: usize = 8;
const COLOURS: [Colour; 5] = [BLUE, ORANGE, GREEN, RED, PURPLE];

/// One panel a metric (the first eight): every cell as a point, with the 95 % interval of its success
/// (Wilson) where `episodes` says how many episodes are behind a rate.
pub fn scatter_figure(
    bundle: &Bundle,
    correlation: &Correlation,
    episodes: Option<u64>,
) -> Option<Figure> {
    let downstream = &correlation.downstream;
    let rows = correlation.metrics.iter().take(MOST_PANELS);
    let panel = |row: &crate::analysis::correlation::Row| {
        let cells = bundle.cells.iter().filter_map(|cell| {
            let place = [
                usable(cell.get(&row.metric))?,
                usable(cell.get(downstream))?,
            ];
            Some(place)
        });
        let points: Vec<[f64; 2]> = cells.collect();
        let mut layers = Vec::new();
        if let Some(episodes) = episodes.filter(|_| are_rates(&points)) {
            layers.push(Layer::named(
                format!("95 % of {episodes} episodes"),
                Mark::Line {
                    points: whiskers(&points, episodes as f64),
                    stroke: Stroke::solid(GREY, 0.8),
                    marker: 0.0,
                },
            ));
        }
        layers.push(Layer::plain(Mark::Points {
            points,
            colour: BLUE.with_opacity(0.6),
            radius: 2.5,
        }));
        let title = match &row.outcome {
            Outcome::Known { rho, ci, .. } => {
                format!(
                    "rho {rho:+.3} [{:+.3}, {:+.3}], n = {}",
                    ci[0], ci[1], row.n
                )
            }
            Outcome::Skipped { .. } => format!("n = {}", row.n),
        };
        Panel {
            title,
            x: Axis::new(row.metric.as_str()),
            y: Axis::new(downstream.as_str()),
            layers,
        }
    };
    let panels: Vec<Panel> = rows.map(panel).collect();
    (!panels.is_empty()).then_some(Figure {
        size: [4.6 * panels.len() as f64, 4.0],
        panels,
    })
}

/// Whether all second coordinates are shares.
fn are_rates(points: &[[f64; 2]]) -> bool {
    points.iter().all(|[_, rate]| (0.0..=1.0).contains(rate))
}

/// An upright line at every point, with a gap before the next.
fn whiskers(points: &[[f64; 2]], episodes: f64) -> Vec<[f64; 2]> {
    let line = |[x, rate]: &[f64; 2]| {
        let [low, high] = wilson(rate * episodes, episodes);
        [[*x, low], [*x, high], [f64::NAN, f64::NAN]]
    };
    points.iter().flat_map(line).collect()
}

/// Mean downstream result of the cells kept when only the best by each metric are, against that of the cells
/// that are truly best and that of all.
pub fn screening_figure(downstream: &str, beyond: &Beyond) -> Option<Figure> {
    let first = beyond.screening.first()?;
    let percent = |share: f64| 100.0 * share;
    let curve = |points: Vec<[f64; 2]>, stroke: Stroke, marker: f64| Mark::Line {
        points,
        stroke,
        marker,
    };
    let ideal = first
        .kept
        .iter()
        .map(|kept| [percent(kept.share), kept.ideal]);
    let mut layers = vec![Layer::named(
        "truly best",
        curve(ideal.collect(), Stroke::dashed(BLACK, 1.2), 0.0),
    )];
    if let Some(all) = first.kept.last() {
        layers.push(Layer::named(
            "at random",
            Mark::Across {
                y: all.mean,
                stroke: Stroke::dashed(GREY, 1.0),
            },
        ));
    }
    let curves = beyond.screening.iter().zip(COLOURS.into_iter().cycle());
    layers.extend(curves.map(|(screening, colour)| {
        let points = screening
            .kept
            .iter()
            .map(|kept| [percent(kept.share), kept.mean]);
        let stroke = Stroke::solid(colour, 1.5);
        Layer::named(
            screening.metric.as_str(),
            curve(points.collect(), stroke, 1.5),
        )
    }));
    let panel = Panel {
        title: "screening: what the best by each metric reach".into(),
        x: Axis::new("cells kept, %"),
        y: Axis::new(format!("mean {downstream} of the cells kept")),
        layers,
    };
    Some(Figure::new([6.5, 4.5], panel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::correlation::{
        BeyondOptions, BootstrapOptions, Method, beyond, correlate,
    };
    use serde_json::{Value, json};

    #[test]
    fn figures_show_the_cells() {
        let cells: Vec<Value> = (0..10)
            .map(|at| json!({"seed": at, "m": at, "k": -at, "success_rate": f64::from(at) / 10.0}))
            .collect();
        let file = std::path::Path::new("b.json");
        let bundle = Bundle::of(file, &json!({ "cells": cells })).unwrap();
        let options = BootstrapOptions {
            resamples: 100,
            ..BootstrapOptions::default()
        };
        let method = Method::Spearman;
        let result = correlate(&bundle.cells, "success_rate", method, &options).unwrap();
        let figure = scatter_figure(&bundle, &result, Some(20)).unwrap();
        assert_eq!(figure.panels.len(), 2);
        let Mark::Line { points, .. } = &figure.panels[0].layers[0].mark else {
            panic!("{figure:?}");
        };
        assert_eq!(points.len(), 30);
        assert!(points[3][1] < 0.1 && points[4][1] > 0.1 && points[5][0].is_nan());
        figure.svg().unwrap();
        assert_eq!(
            scatter_figure(&bundle, &result, None).unwrap().panels[0]
                .layers
                .len(),
            1
        );

        let options = BeyondOptions {
            downstream: "success_rate".into(),
            rises: true,
            method,
            bootstrap: options,
            cluster: "seed".into(),
            given: "epochs".into(),
        };
        let beyond = beyond(&bundle, &options).unwrap();
        let figure = screening_figure("success_rate", &beyond).unwrap();
        assert_eq!(figure.panels[0].layers.len(), 4);
        figure.svg().unwrap();
    }
}
