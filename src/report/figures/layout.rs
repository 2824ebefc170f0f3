//! What a panel spans: its ranges, its marks, the room that text takes.

use super::surface::{Frame, Place};
use super::text::width;
use super::ticks::{Marks, round_marks};
use super::{Axis, Layer, Mark, POINT, Panel, Ticks};

/// What was expected, and what was found instead.
pub(super) type Trouble = (&'static str, String);

/// Height of an em, pixels.
pub(super) const TITLE: f64 = 12.0 * POINT;
pub(super) const LABEL: f64 = 10.0 * POINT;
pub(super) const SMALL: f64 = 8.0 * POINT;
/// Length of a tick, and the gap between it and its text.
pub(super) const TICK: f64 = 3.5 * POINT;
pub(super) const GAP: f64 = 3.5 * POINT;
const EDGE: f64 = 10.0;
/// Share of the range that is left free on either side.
const MARGIN: f64 = 0.05;

/// A panel with its place on the figure.
#[derive(Debug)]
pub(super) struct Layout {
    /// The whole panel.
    pub outer: Frame,
    /// The axes.
    pub inner: Frame,
    /// First and last value.
    pub x: [f64; 2],
    pub y: [f64; 2],
    pub x_marks: Marks,
    pub y_marks: Marks,
    /// Em of the text at the marks of the first axis.
    pub x_text: f64,
    pub turned: bool,
    /// Width of the texts at the second axis.
    pub y_width: f64,
}

impl Layout {
    pub fn of(panel: &Panel, outer: Frame) -> Result<Self, Trouble> {
        for layer in &panel.layers {
            check(layer)?;
        }
        let x = range_of(&panel.x, &panel.layers, 0)?;
        let y = range_of(&panel.y, &panel.layers, 1)?;
        let y_marks = marks_of(&panel.y, y, 0.8 * outer.height() / (2.4 * LABEL));
        let lengths = y_marks.at.iter().map(|(_, text)| width(text, LABEL));
        let y_width = lengths.fold(0.0, f64::max);
        let x_marks = marks_of(&panel.x, x, 0.8 * outer.width() / (3.5 * LABEL));
        let (x_text, turned) = match &panel.x.ticks {
            Ticks::Round => (LABEL, false),
            Ticks::Named { turned, .. } => (SMALL, *turned),
        };
        let texts = x_marks.at.iter().map(|(_, text)| {
            let lines = text.split('\n').count() as f64;
            if turned {
                (width(text, x_text) + x_text) * std::f64::consts::FRAC_1_SQRT_2
            } else {
                1.2 * lines * x_text
            }
        });
        let below = texts.fold(0.0, f64::max) + TICK + GAP;
        let x_label = if panel.x.label.is_empty() {
            0.0
        } else {
            1.6 * LABEL
        };
        let y_label = if panel.y.label.is_empty() {
            0.0
        } else {
            1.5 * LABEL
        };
        let title = if panel.title.is_empty() {
            0.0
        } else {
            1.5 * TITLE
        };
        let inner = Frame {
            left: outer.left + EDGE + y_label + y_width + GAP + TICK,
            top: outer.top + EDGE + title,
            right: outer.right - EDGE - 0.6 * LABEL - colour_bar(&panel.layers),
            bottom: outer.bottom - EDGE - x_label - below,
        };
        if inner.width() < 20.0 || inner.height() < 20.0 {
            return Err(("room for the axes beside the labels", "none".into()));
        }
        Ok(Self {
            outer,
            inner,
            x,
            y,
            x_marks,
            y_marks,
            x_text,
            turned,
            y_width,
        })
    }

    /// Where a point of the axes lies on the figure.
    pub fn place(&self, [x, y]: [f64; 2]) -> Place {
        let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low);
        [
            self.inner.left + share(x, self.x) * self.inner.width(),
            self.inner.bottom - share(y, self.y) * self.inner.height(),
        ]
    }
}

/// Gap before a bar of colours, and its width.
pub(super) const BAR: f64 = 0.9 * LABEL;

/// Marks of a bar of colours, and the width of their texts; none where there is nothing to tell apart.
pub(super) fn bar_marks(range: [f64; 2]) -> (Marks, f64) {
    if !(range[0] < range[1] && (range[1] - range[0]).is_finite()) {
        return (Marks { at: Vec::new() }, 0.0);
    }
    let marks = round_marks(range, 7);
    let widths = marks.at.iter().map(|(_, text)| width(text, SMALL));
    let widest = widths.fold(0.0, f64::max);
    (marks, widest)
}

/// Room for the bar of colours on the right.
fn colour_bar(layers: &[Layer]) -> f64 {
    let rooms = layers.iter().filter_map(|layer| match &layer.mark {
        Mark::Heat { range, .. } => {
            Some(2.0 * BAR + TICK + GAP + bar_marks(*range).1 + 1.8 * LABEL)
        }
        _ => None,
    });
    rooms.fold(0.0, f64::max)
}

fn check(layer: &Layer) -> Result<(), Trouble> {
    match &layer.mark {
        Mark::Bars { edges, heights, .. } if edges.len() != heights.len() + 1 => Err((
            "one edge more than there are heights",
            format!("{} edges and {} heights", edges.len(), heights.len()),
        )),
        Mark::Band { x, low, high, .. } if x.len() != low.len() || x.len() != high.len() => Err((
            "curves of a band as long as its coordinates",
            format!("{}, {} and {}", x.len(), low.len(), high.len()),
        )),
        Mark::Heat {
            columns, values, ..
        } if *columns == 0 || values.len() % columns != 0 => Err((
            "whole rows of a field",
            format!("{} values in rows of {columns}", values.len()),
        )),
        Mark::Heat { values, .. } if values.is_empty() => {
            Err(("a field of one cell or more", "none".into()))
        }
        _ => Ok(()),
    }
}

/// Lets a callback see every coordinate of a mark along one axis; the flag tells those without margin.
fn coordinates(mark: &Mark, axis: usize, see: &mut dyn FnMut(f64, bool)) {
    match mark {
        Mark::Line { points, .. } | Mark::Points { points, .. } => {
            let whole = points.iter().filter(|p| p.iter().all(|v| v.is_finite()));
            whole.for_each(|point| see(point[axis], false));
        }
        Mark::Bars { edges, heights, .. } if axis == 1 => {
            heights.iter().for_each(|height| see(*height, false));
            if !edges.is_empty() {
                see(0.0, true);
            }
        }
        Mark::Bars { edges, .. } => edges.iter().for_each(|edge| see(*edge, false)),
        Mark::Band { x, low, high, .. } => {
            let curves: &[&Vec<f64>] = if axis == 0 { &[x] } else { &[low, high] };
            let values = curves.iter().flat_map(|curve| curve.iter());
            values.for_each(|value| see(*value, false));
        }
        Mark::Across { y, .. } if axis == 1 => see(*y, false),
        Mark::Upright { x, .. } if axis == 0 => see(*x, false),
        Mark::Across { .. } | Mark::Upright { .. } => {}
        Mark::Heat { x, y, .. } => {
            let ends = if axis == 0 { x } else { y };
            ends.iter().for_each(|end| see(*end, true));
        }
    }
}

fn range_of(axis: &Axis, layers: &[Layer], index: usize) -> Result<[f64; 2], Trouble> {
    if let Some([low, high]) = axis.range {
        let sound = low.is_finite() && high.is_finite() && low < high && (high - low).is_finite();
        return if sound {
            Ok([low, high])
        } else {
            Err((
                "a finite, rising range of an axis",
                format!("{low} to {high}"),
            ))
        };
    }
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut sticky_low, mut sticky_high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut see = |value: f64, sticky: bool| {
        if value.is_finite() {
            low = low.min(value);
            high = high.max(value);
            if sticky {
                sticky_low = sticky_low.min(value);
                sticky_high = sticky_high.max(value);
            }
        }
    };
    for layer in layers {
        coordinates(&layer.mark, index, &mut see);
    }
    if let Ticks::Named { at, .. } = &axis.ticks {
        at.iter().for_each(|(value, _)| see(*value, false));
    }
    if low > high {
        // Nothing to show: an empty panel with axes.
        return Ok([0.0, 1.0]);
    }
    let span = high - low;
    if !span.is_finite() {
        return Err(("values whose span is finite", format!("{low} to {high}")));
    }
    // A span that vanishes beside the values could not be told apart along the axis.
    let least = 1e-9 * low.abs().max(high.abs());
    if span <= least {
        let half = if low == 0.0 { 0.5 } else { 0.05 * low.abs() };
        return Ok([low - half, high + half]);
    }
    let margin = MARGIN * span;
    Ok([
        if sticky_low <= low { low } else { low - margin },
        if sticky_high >= high {
            high
        } else {
            high + margin
        },
    ])
}

fn marks_of(axis: &Axis, range: [f64; 2], room: f64) -> Marks {
    match &axis.ticks {
        Ticks::Round => round_marks(range, (room as usize).clamp(2, 9)),
        Ticks::Named { at, .. } => {
            let shown = at
                .iter()
                .filter(|(value, _)| (range[0]..=range[1]).contains(value));
            Marks {
                at: shown.cloned().collect(),
            }
        }
    }
}
