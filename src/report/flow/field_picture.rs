//! Views of a velocity field, drawn.

use super::chart::{framed, grid, picture};
use super::curve::{Area, path};
use super::field::{FieldView, HeatMap, Quiver, Space};
use crate::report::html::{Element, element, figure};

/// Units of the picture of paths.
const SIZE: [i64; 2] = [1000, 600];
/// Units of a side of a quiver panel.
const PANEL: i64 = 420;
/// Steps of colour from the middle to either end, for end points and for the background.
const ENDS: i32 = 4;
const HEATS: i32 = 3;
/// Paths end within this of 0 in the middle colour, beyond it in the last one.
const WIDEST_END: f64 = 1.0;

/// One view: a figure with paths over the field, and its panels.
pub(super) fn view(view: &FieldView) -> Element {
    let space = match view.space {
        Space::Model => "model space",
        Space::Raw => "raw space",
    };
    let title = format!("{}: {}", view.run, view.condition);
    let mut words = format!(
        "Steering at slot {} over flow time, {} draws from noise (left) to action (right), {space}; coloured by where \
         they end. Dashed: the truth.",
        view.slot,
        view.paths.len()
    );
    if view.background.is_some() {
        words.push_str(
            " Background: steering velocity (orange up, blue down) as this one entry moves, all other entries held \
             at the mean of the draws; approximate.",
        );
    }
    let panels = view.quivers.iter().map(panel);
    let axes =
        "Velocity over steering (across) and longitudinal (up); needles point from the thick end.";
    let mut all = element("div")
        .attribute("class", "field")
        .child(element("h3").text(title))
        .child(figure(paths(view).to_string(), &words, ""));
    if !view.quivers.is_empty() {
        let panels = element("div").attribute("class", "panels").children(panels);
        all = all.child(figure(panels.to_string(), axes, ""));
    }
    all
}

/// Ends of the values that are drawn.
fn area(view: &FieldView) -> Area {
    let heat = view.background.iter().flat_map(|map| map.steering());
    let values = view.paths.iter().flatten().chain(heat).chain(&view.truth);
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((-1.0_f64, 1.0_f64), |(low, high), value| {
            (low.min(f64::from(*value)), high.max(f64::from(*value)))
        });
    let time = |value: Option<&f32>, otherwise: f64| value.map_or(otherwise, |t| f64::from(*t));
    Area {
        across: [time(view.times.first(), 0.0), time(view.times.last(), 1.0)],
        up: [1.03 * low, 1.03 * high],
        size: SIZE,
    }
}

/// A class of colour from `-steps` to `steps`; 0 for what is not finite.
fn step(value: f64, largest: f64, steps: i32) -> i32 {
    let share = (value / largest).clamp(-1.0, 1.0);
    // NaN becomes 0.
    (share * f64::from(steps)).round() as i32
}

/// The name of a class of colour: `n2` below, `z0` around, `p2` above zero.
fn class(step: i32) -> String {
    let sign = match step.signum() {
        -1 => 'n',
        1 => 'p',
        _ => 'z',
    };
    format!("{sign}{}", step.abs())
}

fn paths(view: &FieldView) -> Element {
    let area = area(view);
    let mut svg = picture(SIZE, "Paths from noise to actions");
    if let Some(map) = &view.background {
        svg = svg.children(heat(map, &area));
    }
    svg = svg.children(grid(&area));
    for shade in -ENDS..=ENDS {
        let mut data = String::new();
        for values in &view.paths {
            let end = values.last().map_or(f64::NAN, |end| f64::from(*end));
            if step(end, WIDEST_END, ENDS) != shade {
                continue;
            }
            let pairs = view.times.iter().zip(values);
            data += &path(pairs.map(|(t, v)| area.place(f64::from(*t), f64::from(*v))));
        }
        if !data.is_empty() {
            let class = format!("draws {}", class(shade));
            svg = svg.child(
                element("path")
                    .attribute("class", class)
                    .attribute("d", data),
            );
        }
    }
    let truth = view
        .truth
        .and_then(|truth| area.place(area.across[0], f64::from(truth)));
    if let Some((_, y)) = truth {
        let line = element("path").attribute("class", "truth-line");
        svg = svg.child(line.attribute("d", format!("M0 {y}h{}", SIZE[0])));
    }
    framed(svg, &area, "tall")
}

/// Edges between the values of an axis: half way to the neighbours.
fn edges(axis: &[f32]) -> Vec<f64> {
    let middles = axis.iter().zip(axis.iter().skip(1));
    let middles = middles.map(|(a, b)| 0.5 * (f64::from(*a) + f64::from(*b)));
    let ends = |value: Option<&f32>| value.map(|value| f64::from(*value));
    ends(axis.first())
        .into_iter()
        .chain(middles)
        .chain(ends(axis.last()))
        .collect()
}

/// The size of velocity that gets the full colour: nine in ten are smaller. Fields grow steep towards the end,
/// and the rest would be pale beside it.
fn full_colour(velocity: &[f32]) -> f64 {
    let mut sizes: Vec<f32> = velocity.iter().map(|v| v.abs()).collect();
    sizes.retain(|size| size.is_finite());
    sizes.sort_by(f32::total_cmp);
    let size = sizes.get(sizes.len() * 9 / 10).or(sizes.last());
    size.map_or(1.0, |size| f64::from(*size)).max(1e-12)
}

/// Cells of one shade as one path each.
fn heat(map: &HeatMap, area: &Area) -> Vec<Element> {
    let full = full_colour(map.velocity());
    let (times, values) = (edges(map.times()), edges(map.steering()));
    let rows = map.velocity().chunks(map.steering().len().max(1));
    let mut cells = vec![String::new(); 2 * HEATS as usize + 1];
    for (row, t) in rows.zip(times.windows(2)) {
        for (velocity, v) in row.iter().zip(values.windows(2)) {
            let ([left, right], [low, high]) = (t, v) else {
                continue;
            };
            let corners = (area.place(*left, *high), area.place(*right, *low));
            let (Some((x, y)), Some((x2, y2))) = corners else {
                continue;
            };
            let shade = step(f64::from(*velocity), full, HEATS);
            if let Some(data) = cells.get_mut((shade + HEATS) as usize) {
                *data += &format!("M{x} {y}h{}v{}H{x}z", x2 - x, y2 - y);
            }
        }
    }
    let shades = (-HEATS..=HEATS).zip(cells);
    shades
        .filter(|(shade, data)| *shade != 0 && !data.is_empty())
        .map(|(shade, data)| {
            let class = format!("heat {}", class(shade));
            element("path")
                .attribute("class", class)
                .attribute("d", data)
        })
        .collect()
}

/// One panel of needles; the longest is as long as one and a half steps of the grid.
fn panel(quiver: &Quiver) -> Element {
    let ends = |axis: &[f32]| {
        let end = |value: Option<&f32>| value.map_or(0.0, |value| f64::from(*value));
        let (low, high) = (end(axis.first()), end(axis.last()));
        let room = 0.06 * (high - low);
        [low - room, high + room]
    };
    let area = Area {
        across: ends(quiver.steering()),
        up: ends(quiver.longitudinal()),
        size: [PANEL, PANEL],
    };
    let sizes = quiver
        .velocity()
        .iter()
        .map(|[s, l]| f64::from(s.hypot(*l)));
    let largest = sizes.filter(|size| size.is_finite()).fold(0.0, f64::max);
    let cells = quiver.steering().len().max(quiver.longitudinal().len());
    let longest = 1.5 * PANEL as f64 / cells.max(1) as f64;
    let mut data = String::new();
    let rows = quiver.velocity().chunks(quiver.steering().len().max(1));
    for (row, up) in rows.zip(quiver.longitudinal()) {
        for ([s, l], across) in row.iter().zip(quiver.steering()) {
            let place = area.place(f64::from(*across), f64::from(*up));
            let scale = longest / largest.max(1e-12);
            let (dx, dy) = (f64::from(*s) * scale, f64::from(-l) * scale);
            if let (Some((x, y)), true) = (place, dx.is_finite() && dy.is_finite()) {
                data += &needle(x, y, dx, dy);
            }
        }
    }
    let cross = |x, y| area.place(x, y).unwrap_or((0, 0));
    let (x, y) = cross(0.0, 0.0);
    let axes = element("path")
        .attribute("class", "grid")
        .attribute("d", format!("M{x} 0v{PANEL}M0 {y}h{PANEL}"));
    let needles = element("path")
        .attribute("class", "needles")
        .attribute("d", data);
    let title = format!("t = {:.2}", quiver.time());
    let svg = picture([PANEL, PANEL], &title).child(axes).child(needles);
    element("div")
        .child(
            element("p")
                .attribute("class", "soft")
                .text(format!("{title}, longest {largest:.2}")),
        )
        .child(framed(svg, &area, "square"))
}

/// A narrow triangle from a point along a velocity, in tenths of units so that short ones keep their direction.
fn needle(x: i64, y: i64, dx: f64, dy: f64) -> String {
    let length = dx.hypot(dy);
    if length < 0.5 {
        return format!("M{x} {y}h1v1h-1z");
    }
    let (side_x, side_y) = (-1.6 * dy / length, 1.6 * dx / length);
    format!(
        "M{:.1} {:.1}l{:.1} {:.1}L{:.1} {:.1}z",
        x as f64 + side_x,
        y as f64 + side_y,
        -2.0 * side_x,
        -2.0 * side_y,
        x as f64 + dx,
        y as f64 + dy
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_draw_what_they_hold() {
        let drawn = FieldView {
            run: "<r>".into(),
            condition: "c".into(),
            slot: 2,
            space: Space::Model,
            truth: Some(0.25),
            times: vec![0.0, 0.5, 1.0],
            paths: vec![vec![2.0, 0.5, 0.9], vec![-1.0, f32::NAN, -0.9]],
            background: Some(
                HeatMap::new(
                    vec![0.0, 1.0],
                    vec![-1.0, 1.0],
                    vec![2.0, 0.0, -2.0, f32::NAN],
                )
                .unwrap(),
            ),
            quivers: vec![
                Quiver::new(0.1, vec![-1.0, 1.0], vec![-1.0, 1.0], vec![[1.0, 0.0]; 4]).unwrap(),
            ],
        };
        drawn.check().unwrap();
        let text = view(&drawn).to_string();
        for part in [
            "draws p4",
            "draws n4",
            "heat p3",
            "heat n3",
            "truth-line",
            "&lt;r&gt;",
            "model space",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("NaN"), "{text}");
        // A needle to the right is not turned.
        assert_eq!(needle(10, 10, 20.0, 0.0), "M10.0 11.6l0.0 -3.2L30.0 10.0z");
    }
}
