//! One panel: its axes, its layers, its legend.

use super::layout::{BAR, GAP, LABEL, Layout, SMALL, TICK, TITLE, Trouble, bar_marks};
use super::surface::{Anchor, Frame, Place, Surface, Text};
use super::{BLACK, Layer, Mark, POINT, Palette, Panel, Stroke, legend};

const AXIS: Stroke = Stroke {
    colour: BLACK,
    width: 0.8,
    dashed: false,
};
/// Places that a segment lends to the choice of the legend's corner.
const SAMPLES: usize = 12;

/// A panel ready to be drawn.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    panel: &'a Panel,
    layout: Layout,
}

impl<'a> Canvas<'a> {
    pub fn lay_out(panel: &'a Panel, outer: Frame) -> Result<Self, Trouble> {
        let layout = Layout::of(panel, outer)?;
        Ok(Self { panel, layout })
    }

    pub fn draw(&self, surface: &mut dyn Surface) -> Result<(), String> {
        let mut busy = Vec::new();
        for layer in &self.panel.layers {
            self.layer(layer, &mut busy, surface)?;
        }
        self.axes(surface)?;
        self.words(surface)?;
        legend::draw(&self.layout, &self.panel.layers, &busy, surface)
    }

    fn layer(
        &self,
        layer: &Layer,
        busy: &mut Vec<Place>,
        surface: &mut dyn Surface,
    ) -> Result<(), String> {
        match &layer.mark {
            Mark::Line {
                points,
                stroke,
                marker,
            } => {
                self.polyline(points, *stroke, busy, surface)?;
                if *marker > 0.0 {
                    let centres = self.inside(points);
                    surface.discs(&centres, marker * POINT, stroke.colour)?;
                }
                Ok(())
            }
            Mark::Points {
                points,
                colour,
                radius,
            } => {
                let centres = self.inside(points);
                busy.extend(&centres);
                surface.discs(&centres, radius * POINT, *colour)
            }
            Mark::Bars {
                edges,
                heights,
                colour,
            } => {
                let pairs = edges.windows(2).zip(heights);
                let bars = pairs.map(|(pair, height)| self.bar([pair[0], pair[1]], *height));
                let bars: Vec<Option<Frame>> = bars.collect();
                // Neighbours are one shape: seams of half-seen colours would show.
                for run in bars.split(Option::is_none).filter(|run| !run.is_empty()) {
                    let run: Vec<Frame> = run.iter().flatten().copied().collect();
                    surface.polygon(&staircase(&run), *colour)?;
                    busy.extend(run.iter().flat_map(Frame::corners));
                    busy.extend(run.iter().map(Frame::centre));
                }
                Ok(())
            }
            Mark::Band {
                x,
                low,
                high,
                colour,
            } => self.band([x, low, high], *colour, busy, surface),
            Mark::Across { y, stroke } => {
                let [left, right] = self.layout.x;
                self.polyline(&[[left, *y], [right, *y]], *stroke, busy, surface)
            }
            Mark::Upright { x, stroke } => {
                let [bottom, top] = self.layout.y;
                self.polyline(&[[*x, bottom], [*x, top]], *stroke, busy, surface)
            }
            Mark::Heat { .. } => self.field(&layer.mark, surface),
        }
    }

    /// Finite points within the axes, on the figure.
    fn inside(&self, points: &[[f64; 2]]) -> Vec<Place> {
        let places = points.iter().map(|point| self.layout.place(*point));
        places
            .filter(|place| self.layout.inner.contains(*place))
            .collect()
    }

    /// Draws the parts of a line within the axes; points that are not finite break it.
    fn polyline(
        &self,
        points: &[[f64; 2]],
        stroke: Stroke,
        busy: &mut Vec<Place>,
        surface: &mut dyn Surface,
    ) -> Result<(), String> {
        let mut run: Vec<Place> = Vec::new();
        for pair in points.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let finite = from.iter().chain(&to).all(|value| value.is_finite());
            let ends = [self.layout.place(from), self.layout.place(to)];
            let part = finite
                .then(|| self.layout.inner.clip(ends[0], ends[1]))
                .flatten();
            let Some([start, end]) = part else {
                flush(&mut run, stroke, surface)?;
                continue;
            };
            if run.last().is_none_or(|last| *last != start) {
                flush(&mut run, stroke, surface)?;
                run.push(start);
            }
            run.push(end);
            busy.extend((0..=SAMPLES).map(|at| {
                let share = at as f64 / SAMPLES as f64;
                [0, 1].map(|axis| start[axis] + share * (end[axis] - start[axis]))
            }));
        }
        flush(&mut run, stroke, surface)
    }

    fn bar(&self, [left, right]: [f64; 2], height: f64) -> Option<Frame> {
        let ([x_low, x_high], [y_low, y_high]) = (self.layout.x, self.layout.y);
        let (left, right) = (left.max(x_low), right.min(x_high));
        let [bottom, top] = [0.0_f64.min(height), height.max(0.0)];
        let (bottom, top) = (bottom.max(y_low), top.min(y_high));
        // Comparisons fail for NaN, which leaves no bar.
        if !(left < right && bottom < top && height.is_finite()) {
            return None;
        }
        let [left, top] = self.layout.place([left, top]);
        let [right, bottom] = self.layout.place([right, bottom]);
        Some(Frame {
            left,
            top,
            right,
            bottom,
        })
    }

    fn band(
        &self,
        [x, low, high]: [&Vec<f64>; 3],
        colour: super::Colour,
        busy: &mut Vec<Place>,
        surface: &mut dyn Surface,
    ) -> Result<(), String> {
        let [y_low, y_high] = self.layout.y;
        let [x_low, x_high] = self.layout.x;
        let rows: Vec<[f64; 3]> = x
            .iter()
            .zip(low.iter().zip(high))
            .map(|(x, (low, high))| [*x, low.clamp(y_low, y_high), high.clamp(y_low, y_high)])
            .collect();
        let shown = |row: &[f64; 3]| {
            row.iter().all(|value| value.is_finite()) && (x_low..=x_high).contains(&row[0])
        };
        for run in rows.split(|row| !shown(row)).filter(|run| run.len() > 1) {
            let lower = run.iter().map(|row| self.layout.place([row[0], row[1]]));
            let upper = run
                .iter()
                .rev()
                .map(|row| self.layout.place([row[0], row[2]]));
            let corners: Vec<Place> = lower.chain(upper).collect();
            busy.extend(&corners);
            surface.polygon(&corners, colour)?;
        }
        Ok(())
    }

    fn field(&self, mark: &Mark, surface: &mut dyn Surface) -> Result<(), String> {
        let Mark::Heat {
            columns,
            values,
            x,
            y,
            range,
            palette,
            name,
        } = mark
        else {
            return Ok(());
        };
        let [low, high] = *range;
        let shade = |value: f64| palette.at((value - low) / (high - low));
        // Pictures start at the top, fields at the bottom.
        let rows = values.chunks(*columns).rev();
        let colours: Vec<[u8; 3]> = rows.flatten().map(|value| shade(*value)).collect();
        let [left, top] = self.layout.place([x[0], y[1]]);
        let [right, bottom] = self.layout.place([x[1], y[0]]);
        let frame = Frame {
            left,
            top,
            right,
            bottom,
        };
        surface.image(frame, *columns, &colours)?;
        self.colour_bar(*range, *palette, name, surface)
    }

    fn colour_bar(
        &self,
        range: [f64; 2],
        palette: Palette,
        name: &str,
        surface: &mut dyn Surface,
    ) -> Result<(), String> {
        const SHADES: usize = 128;
        let inner = self.layout.inner;
        let frame = Frame {
            left: inner.right + BAR,
            right: inner.right + 2.0 * BAR,
            ..inner
        };
        let shades = (0..SHADES).rev().map(|at| at as f64 / (SHADES - 1) as f64);
        let colours: Vec<[u8; 3]> = shades.map(|share| palette.at(share)).collect();
        surface.image(frame, 1, &colours)?;
        outline(frame, surface)?;
        let (marks, widest) = bar_marks(range);
        for (value, text) in marks.at {
            let share = (value - range[0]) / (range[1] - range[0]);
            let y = frame.bottom - share * frame.height();
            surface.line(&[[frame.right, y], [frame.right + TICK, y]], AXIS)?;
            surface.text(Text {
                words: &text,
                at: [frame.right + TICK + GAP, y + 0.36 * SMALL],
                size: SMALL,
                anchor: Anchor::Start,
                turn: 0.0,
            })?;
        }
        surface.text(Text {
            words: name,
            at: [
                frame.right + TICK + 2.0 * GAP + widest + LABEL,
                (frame.top + frame.bottom) / 2.0,
            ],
            size: LABEL,
            anchor: Anchor::Middle,
            turn: 90.0,
        })
    }

    /// The frame, its ticks and their texts.
    fn axes(&self, surface: &mut dyn Surface) -> Result<(), String> {
        let layout = &self.layout;
        let inner = layout.inner;
        outline(inner, surface)?;
        for (value, text) in &layout.x_marks.at {
            let [x, _] = layout.place([*value, layout.y[0]]);
            surface.line(&[[x, inner.bottom], [x, inner.bottom + TICK]], AXIS)?;
            let top = inner.bottom + TICK + GAP;
            let (anchor, turn) = if layout.turned {
                (Anchor::End, 45.0)
            } else {
                (Anchor::Middle, 0.0)
            };
            for (line, words) in text.split('\n').enumerate() {
                let down = if layout.turned {
                    0.55 * layout.x_text
                } else {
                    (0.8 + 1.2 * line as f64) * layout.x_text
                };
                let aside = if layout.turned {
                    0.35 * layout.x_text
                } else {
                    0.0
                };
                surface.text(Text {
                    words,
                    at: [x + aside, top + down],
                    size: layout.x_text,
                    anchor,
                    turn,
                })?;
            }
        }
        for (value, text) in &layout.y_marks.at {
            let [_, y] = layout.place([layout.x[0], *value]);
            surface.line(&[[inner.left - TICK, y], [inner.left, y]], AXIS)?;
            surface.text(Text {
                words: text,
                at: [inner.left - TICK - GAP, y + 0.36 * LABEL],
                size: LABEL,
                anchor: Anchor::End,
                turn: 0.0,
            })?;
        }
        Ok(())
    }

    /// Title and names of the axes.
    fn words(&self, surface: &mut dyn Surface) -> Result<(), String> {
        let (inner, outer) = (self.layout.inner, self.layout.outer);
        let across = (inner.left + inner.right) / 2.0;
        let up = (inner.top + inner.bottom) / 2.0;
        let left = inner.left - TICK - 2.0 * GAP - self.layout.y_width;
        let lines = [
            (
                &self.panel.title,
                [across, inner.top - 0.5 * TITLE],
                TITLE,
                0.0,
            ),
            (
                &self.panel.x.label,
                [across, outer.bottom - 0.6 * LABEL],
                LABEL,
                0.0,
            ),
            (&self.panel.y.label, [left, up], LABEL, 90.0),
        ];
        for (words, at, size, turn) in lines {
            surface.text(Text {
                words,
                at,
                size,
                anchor: Anchor::Middle,
                turn,
            })?;
        }
        Ok(())
    }
}

/// The outline of bars side by side.
fn staircase(bars: &[Frame]) -> Vec<Place> {
    let tops = bars.iter().flat_map(|bar| {
        let [left_top, right_top, _, _] = bar.corners();
        [left_top, right_top]
    });
    let bottoms = bars.iter().rev().flat_map(|bar| {
        let [_, _, right_bottom, left_bottom] = bar.corners();
        [right_bottom, left_bottom]
    });
    tops.chain(bottoms).collect()
}

fn outline(frame: Frame, surface: &mut dyn Surface) -> Result<(), String> {
    let mut corners = frame.corners().to_vec();
    corners.push([frame.left, frame.top]);
    surface.line(&corners, AXIS)
}

fn flush(run: &mut Vec<Place>, stroke: Stroke, surface: &mut dyn Surface) -> Result<(), String> {
    if run.len() > 1 {
        surface.line(run, stroke)?;
    }
    run.clear();
    Ok(())
}
