//! A chart of curves whose picture stretches with the page while its words do not.

use super::curve::{Area, path, thinned, ticks};
use super::{Overlay, Run};
use crate::report::html::{Element, element};

/// Units of the picture across and up; it is stretched to its place.
const SIZE: [i64; 2] = [2000, 400];
/// Colours before dashes tell runs apart.
const COLOURS: usize = 8;
/// Most ticks up and across.
const TICKS: [usize; 2] = [4, 5];

/// The name by which a legend entry finds the curve of a run.
fn series(run: usize) -> String {
    format!("run-{run}")
}

/// A stroke in the colour of a run.
pub(super) fn swatch(index: usize) -> Element {
    element("i").attribute("class", format!("swatch {}", class(index)))
}

/// The class that gives a run its colour and, from the ninth on, its dashes.
pub(super) fn class(run: usize) -> String {
    let dashes = match run / COLOURS {
        0 => "",
        1 => " dashed",
        _ => " dotted",
    };
    format!("s{}{dashes}", run % COLOURS)
}

/// Buttons that hide and show curves of the chart around them.
pub(super) fn legend(runs: &[Run], shown: &[usize]) -> Element {
    let entry = |series: String, class: String, name: &str| {
        element("button")
            .attribute("type", "button")
            .attribute("class", class)
            .attribute("data-toggle", series)
            .attribute("aria-pressed", "true")
            .child(element("i"))
            .child(element("span").text(name))
    };
    let entries = shown.iter().filter_map(|&index| {
        let run = runs.get(index)?;
        Some(entry(series(index), class(index), &run.name))
    });
    element("div")
        .attribute("class", "legend")
        .attribute("role", "group")
        .attribute("aria-label", "Show or hide curves")
        .child(entry("truth".into(), "truth".into(), "truth"))
        .children(entries)
}

/// Lower and upper end of a chart: the truth with some room, and predictions up to once its height beyond.
fn range(overlay: &Overlay) -> [f64; 2] {
    let bounds = |values: &mut dyn Iterator<Item = f32>| {
        values
            .filter(|value| value.is_finite())
            .fold(None, |ends: Option<[f64; 2]>, value| {
                let value = f64::from(value);
                let [low, high] = ends.unwrap_or([value, value]);
                Some([low.min(value), high.max(value)])
            })
    };
    let curves = overlay.curves.iter().flat_map(|curve| &curve.values);
    let all = bounds(&mut curves.chain(&overlay.truth).copied()).unwrap_or([-1.0, 1.0]);
    let truth = bounds(&mut overlay.truth.iter().copied()).unwrap_or(all);
    let height = (truth[1] - truth[0]).max(0.1);
    let low = all[0].max(truth[0] - height);
    let high = all[1].min(truth[1] + height);
    let room = 0.05 * (high - low).max(0.1);
    [low - room, high + room]
}

/// The plot of curves over frames, at most about `points` a curve. `mark` is a frame to draw a line at.
pub(super) fn plot(overlay: &Overlay, mark: Option<i32>, points: usize, label: &str) -> Element {
    let ends = [overlay.frames.first(), overlay.frames.last()];
    let across = ends.map(|frame| frame.map_or(0.0, |frame| f64::from(*frame)));
    // A drive of one frame still has a place.
    let across = [across[0], across[1].max(across[0] + 1.0)];
    let area = Area {
        across,
        up: range(overlay),
        size: SIZE,
    };
    let drawn = |values: &[f32]| {
        let pairs = overlay.frames.iter().zip(values);
        let placed: Vec<_> = pairs
            .map(|(frame, value)| area.place(f64::from(*frame), f64::from(*value)))
            .collect();
        let columns = if placed.len() <= points {
            SIZE[0]
        } else {
            (points / 4).clamp(100, SIZE[0] as usize) as i64
        };
        path(thinned(&placed, SIZE[0], columns))
    };
    let curve = |series: String, class: String, values: &[f32]| {
        element("g")
            .attribute("class", format!("curve {class}"))
            .attribute("data-series", series)
            .child(element("path").attribute("d", drawn(values)))
    };
    let mut lines = grid(&area);
    if let Some(Some((x, _))) = mark.map(|frame| area.place(f64::from(frame), area.up[0])) {
        let line = element("path").attribute("class", "mark");
        lines.push(line.attribute("d", format!("M{x} 0v{}", SIZE[1])));
    }
    let picture = picture(SIZE, label)
        .children(lines)
        .child(curve("truth".into(), "truth".into(), &overlay.truth))
        .children(
            overlay
                .curves
                .iter()
                .map(|c| curve(series(c.run), class(c.run), &c.values)),
        );
    framed(picture, &area, "")
}

/// An empty picture that stretches.
pub(super) fn picture(size: [i64; 2], label: &str) -> Element {
    element("svg")
        .attribute("viewBox", format!("0 0 {} {}", size[0], size[1]))
        .attribute("preserveAspectRatio", "none")
        .attribute("role", "img")
        .attribute("aria-label", label)
}

/// Horizontal lines at the ticks, zero stronger.
pub(super) fn grid(area: &Area) -> Vec<Element> {
    let lines = ticks(area.up, TICKS[0]).into_iter().filter_map(|tick| {
        let (_, y) = area.place(area.across[0], tick)?;
        let class = if tick == 0.0 { "axis" } else { "grid" };
        let line = element("path").attribute("class", class);
        Some(line.attribute("d", format!("M0 {y}h{}", area.size[0])))
    });
    lines.collect()
}

/// A picture between its ticks, which are text of the page: a stretched picture would stretch them.
pub(super) fn framed(picture: Element, area: &Area, class: &str) -> Element {
    let tick = |axis: &'static str, side: &str, share: f64, value: f64| {
        element("span")
            .attribute("class", axis)
            .attribute("style", format!("{side}:{:.2}%", 100.0 * share))
            .text(number(value))
    };
    let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low);
    let up = ticks(area.up, TICKS[0])
        .into_iter()
        .map(|value| tick("up", "top", 1.0 - share(value, area.up), value));
    let across = ticks(area.across, TICKS[1])
        .into_iter()
        .map(|value| tick("across", "left", share(value, area.across), value));
    element("div")
        .attribute("class", format!("plot {class}").trim())
        .child(picture)
        .children(up)
        .children(across)
}

/// A tick in as few digits as it needs.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::flow::Curve;

    #[test]
    fn one_runaway_prediction_does_not_flatten_the_truth() {
        let overlay = Overlay {
            drive: "d".into(),
            frames: vec![0, 1, 2],
            truth: vec![-1.0, 0.0, 1.0],
            curves: vec![Curve {
                run: 0,
                values: vec![0.0, 1e9, f32::NAN],
            }],
        };
        let [low, high] = range(&overlay);
        assert!((-1.3..-1.0).contains(&low) && (3.0..3.5).contains(&high));
        let text = plot(&overlay, Some(1), 100, "x").to_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert_eq!(text.matches("data-series=").count(), 2);
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(number(-0.5), "\u{2212}0.5");
        assert_eq!(number(1500.0), "1500");
        assert_eq!(number(0.0), "0");
    }
}
