//! Metrics against success.

use attractor::analysis::maze::SweepCell;
use attractor::analysis::planning_gap::wilson;
use attractor::report::figures::{Axis, BLUE, Figure, GREY, Layer, Mark, Panel, Stroke};

/// One panel a metric: every cell a point at its success, with its 95 % interval.
pub fn success_figure(cells: &[SweepCell]) -> Figure {
    let m1 = |cell: &SweepCell| Some(cell.metrics.one_step_mismatch());
    let m2 = |cell: &SweepCell| Some(cell.metrics.k_step_divergence());
    let m3 = |cell: &SweepCell| cell.metrics.action_agreement();
    let m4 = |cell: &SweepCell| Some(cell.growth.as_ref()?.mismatch());
    let mut panels = vec![
        panel("M1: one-step mismatch", cells, m1),
        panel("M2: k-step divergence", cells, m2),
        panel("M3: action-ranking agreement", cells, m3),
    ];
    if cells.iter().any(|cell| cell.growth.is_some()) {
        panels.push(panel("M4: growth mismatch", cells, m4));
    }
    Figure {
        size: [3.6 * panels.len() as f64, 3.4],
        panels,
    }
}

fn panel(title: &str, cells: &[SweepCell], metric: impl Fn(&SweepCell) -> Option<f64>) -> Panel {
    let mut layers = Vec::new();
    let mut points = Vec::new();
    for cell in cells {
        let Some(x) = metric(cell) else {
            continue;
        };
        let (successes, count) = (cell.episodes.successes(), cell.episodes.episodes.len());
        let [low, high] = wilson(successes as f64, count as f64);
        layers.push(Layer::plain(Mark::Line {
            points: vec![[x, low], [x, high]],
            stroke: Stroke::solid(GREY, 0.8),
            marker: 0.0,
        }));
        points.push([x, cell.episodes.success_rate()]);
    }
    layers.push(Layer::plain(Mark::Points {
        points,
        colour: BLUE.with_opacity(0.7),
        radius: 2.2,
    }));
    Panel {
        title: title.into(),
        x: Axis::new("metric"),
        y: Axis::new("success rate").with_range([-0.03, 1.03]),
        layers,
    }
}
