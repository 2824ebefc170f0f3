//! Curves as short path data: whole coordinates, relative steps, no more points than can be seen.

use std::fmt::Write;

/// The box that data are drawn into: its ranges, and its size in whole units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    /// Left and right end, data.
    pub across: [f64; 2],
    /// Lower and upper end, data.
    pub up: [f64; 2],
    /// Units across and up.
    pub size: [i64; 2],
}

impl Area {
    /// Whole coordinates of a point, downwards from the upper left corner; clamped to three times the box, so
    /// that a runaway value cannot make the path long. `None` unless finite.
    pub fn place(&self, x: f64, y: f64) -> Option<(i64, i64)> {
        let unit = |value: f64, [low, high]: [f64; 2], size: i64| {
            let share = (value - low) / (high - low);
            share
                .is_finite()
                .then(|| (share.clamp(-1.0, 2.0) * size as f64).round() as i64)
        };
        let [width, height] = self.size;
        let down = height - unit(y, self.up, height)?;
        Some((unit(x, self.across, width)?, down))
    }
}

/// A point, or a gap.
type Point = Option<(i64, i64)>;

/// Path data through points; gaps start a new stroke, a lone point becomes a dot.
pub(super) fn path(points: impl IntoIterator<Item = Point>) -> String {
    let mut data = String::new();
    let mut stroke = Vec::new();
    // The last gap ends the last stroke.
    for point in points.into_iter().chain([None]) {
        match point {
            Some(point) => stroke.push(point),
            None => {
                write_stroke(&mut data, &straightened(&stroke));
                stroke.clear();
            }
        }
    }
    data
}

fn write_stroke(data: &mut String, stroke: &[(i64, i64)]) {
    let Some(&(x, y)) = stroke.first() else {
        return;
    };
    // Writing to a String cannot fail.
    let _ = write!(data, "M{x} {y}");
    if stroke.len() == 1 {
        data.push_str("h0");
    }
    let steps = stroke.iter().zip(stroke.iter().skip(1));
    for (index, (from, to)) in steps.enumerate() {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        // A minus sign separates numbers as well as a blank does.
        let before = match (index, dx < 0) {
            (0, _) => "l",
            (_, true) => "",
            (_, false) => " ",
        };
        let between = if dy < 0 { "" } else { " " };
        let _ = write!(data, "{before}{dx}{between}{dy}");
    }
}

/// Without repeated points and those on the straight way between their neighbours.
fn straightened(stroke: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut kept: Vec<(i64, i64)> = Vec::new();
    for &point in stroke {
        if kept.last() == Some(&point) {
            continue;
        }
        if let [.., before, last] = kept.as_slice() {
            let (ax, ay) = (last.0 - before.0, last.1 - before.1);
            let (bx, by) = (point.0 - last.0, point.1 - last.1);
            if ax * by == ay * bx && ax * bx + ay * by > 0 {
                kept.pop();
            }
        }
        kept.push(point);
    }
    kept
}

/// Keeps of each run of points in one of `columns` equal columns the first, the lowest, the highest and the
/// last, which draw the same line at that width (M4: Jugel et al., VLDB 2014). Gaps are kept.
pub(super) fn thinned(points: &[Point], width: i64, columns: i64) -> Vec<Point> {
    let column = |x: i64| x * columns.max(1) / width.max(1);
    let mut kept = Vec::new();
    let mut rest = points;
    while let Some((first, after)) = rest.split_first() {
        let Some((x, _)) = *first else {
            if kept.last().is_some_and(Option::is_some) {
                kept.push(None);
            }
            rest = after;
            continue;
        };
        let here = |point: &Point| point.is_some_and(|(other, _)| column(other) == column(x));
        let count = rest.iter().take_while(|point| here(point)).count();
        let (bucket, after) = rest.split_at(count.max(1));
        let height = |index: &usize| bucket.get(*index).copied().flatten().map(|(_, y)| y);
        let low = (0..bucket.len()).min_by_key(height).unwrap_or(0);
        let high = (0..bucket.len()).max_by_key(height).unwrap_or(0);
        let mut wanted = [0, low, high, bucket.len() - 1];
        wanted.sort_unstable();
        let mut last = None;
        for index in wanted {
            if last != Some(index) {
                kept.extend(bucket.get(index));
            }
            last = Some(index);
        }
        rest = after;
    }
    kept
}

/// A round step (1, 2 or 5 times a power of ten) that gives at most `most` ticks over a range, and the ticks.
pub(super) fn ticks([low, high]: [f64; 2], most: usize) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) || most == 0 {
        return Vec::new();
    }
    let raw = span / most as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps
        .into_iter()
        .find(|step| *step >= raw * (1.0 - 1e-9))
        .unwrap_or(span);
    let first = (low / step - 1e-9).ceil();
    (0..=most)
        .map(|index| (first + index as f64) * step)
        .filter(|tick| *tick <= high + 1e-9 * span)
        // No minus before zero.
        .map(|tick| tick + 0.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_and_straight_parts_are_one_step() {
        let points = [(0, 5), (1, 5), (2, 5), (2, 5), (3, 4), (4, 3), (5, 9)].map(Some);
        assert_eq!(path(points), "M0 5l2 0 2-2 1 6");
        // A way back is not the way on.
        assert_eq!(path([(0, 0), (4, 0), (2, 0)].map(Some)), "M0 0l4 0-2 0");
        assert_eq!(
            path([Some((1, 1)), None, Some((2, 2)), None]),
            "M1 1h0M2 2h0"
        );
        assert_eq!(path([None, None]), "");
    }

    #[test]
    fn thinning_keeps_the_extremes_of_every_column() {
        let mut points: Vec<Point> = (0..1000).map(|i| Some((i, 50 + i % 7))).collect();
        points[503] = Some((503, -400));
        points[777] = Some((777, 900));
        points[300] = None;
        let thin = thinned(&points, 1000, 20);
        assert!(thin.len() <= 4 * 21 + 1, "{}", thin.len());
        for kept in [points[0], points[503], points[777], points[999], None] {
            assert!(thin.contains(&kept), "{kept:?}");
        }
        assert_eq!(thinned(&points, 1000, 1000).len(), 1000);
        assert_eq!(thinned(&[], 10, 10), []);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks([-1.0, 1.0], 4), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(ticks([3.0, 1604.0], 6), [500.0, 1000.0, 1500.0]);
        assert_eq!(ticks([1.0, 1.0], 4), [0.0_f64; 0]);
        assert_eq!(ticks([0.0, f64::INFINITY], 4), [0.0_f64; 0]);
    }

    #[test]
    fn runaway_values_stay_near_the_box() {
        let area = Area {
            across: [0.0, 1.0],
            up: [0.0, 1.0],
            size: [100, 100],
        };
        assert_eq!(area.place(0.5, 0.25), Some((50, 75)));
        assert_eq!(area.place(0.5, 1e30), Some((50, -100)));
        assert_eq!(area.place(0.5, f64::NAN), None);
        let flat = Area {
            up: [1.0, 1.0],
            ..area
        };
        assert_eq!(flat.place(0.5, 1.0), None);
    }
}
