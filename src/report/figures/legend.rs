//! The legend, in the corner where it hides least.

use super::layout::{Layout, SMALL};
use super::surface::{Anchor, Frame, Place, Surface, Text};
use super::text::width;
use super::{Colour, GREY, Layer, Mark, POINT, Stroke};

const LINE: f64 = 1.35 * SMALL;
const HANDLE: f64 = 2.0 * SMALL;
const PAD: f64 = 0.5 * SMALL;
const INSET: f64 = 0.6 * SMALL;

/// Draws the legend of the layers that have a name; `busy` are places on the figure that carry ink.
pub(super) fn draw(
    layout: &Layout,
    layers: &[Layer],
    busy: &[Place],
    surface: &mut dyn Surface,
) -> Result<(), String> {
    let named: Vec<(&str, &Mark)> = layers
        .iter()
        .filter_map(|layer| Some((layer.label.as_deref()?, &layer.mark)))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let widths = named.iter().map(|(label, _)| width(label, SMALL));
    let wide = HANDLE + 3.0 * PAD + widths.fold(0.0, f64::max);
    let high = named.len() as f64 * LINE + PAD;
    let frame = quietest(&layout.inner, wide, high, busy);
    surface.polygon(
        &frame.corners(),
        Colour::new(255, 255, 255).with_opacity(0.8),
    )?;
    let mut outline = frame.corners().to_vec();
    outline.push([frame.left, frame.top]);
    surface.line(&outline, Stroke::solid(GREY.with_opacity(0.5), 0.8))?;
    for (index, (label, mark)) in named.iter().enumerate() {
        let middle = frame.top + PAD / 2.0 + (index as f64 + 0.5) * LINE;
        let left = frame.left + PAD;
        handle(mark, [left, middle], surface)?;
        surface.text(Text {
            words: label,
            at: [left + HANDLE + PAD, middle + 0.36 * SMALL],
            size: SMALL,
            anchor: Anchor::Start,
            turn: 0.0,
        })?;
    }
    Ok(())
}

/// The first of nine places in the frame that covers the fewest busy ones.
fn quietest(inner: &Frame, wide: f64, high: f64, busy: &[Place]) -> Frame {
    let left = inner.left + INSET;
    let right = (inner.right - INSET - wide).max(left);
    let top = inner.top + INSET;
    let bottom = (inner.bottom - INSET - high).max(top);
    let (centre, middle) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let corners = [
        [right, top],
        [left, top],
        [left, bottom],
        [right, bottom],
        [right, middle],
        [left, middle],
        [centre, bottom],
        [centre, top],
        [centre, middle],
    ];
    let frames = corners.map(|[left, top]| Frame {
        left,
        top,
        right: left + wide,
        bottom: top + high,
    });
    // Ink has a width: what is centred just outside would still be covered.
    let wider = |frame: &Frame| Frame {
        left: frame.left - PAD,
        top: frame.top - PAD,
        right: frame.right + PAD,
        bottom: frame.bottom + PAD,
    };
    let hidden = |frame: &Frame| {
        let frame = wider(frame);
        busy.iter().filter(|place| frame.contains(**place)).count()
    };
    frames.into_iter().min_by_key(hidden).unwrap_or(Frame {
        left,
        top,
        right: left + wide,
        bottom: top + high,
    })
}

/// The sample of a mark, `HANDLE` wide, from its left end.
fn handle(mark: &Mark, [left, middle]: Place, surface: &mut dyn Surface) -> Result<(), String> {
    let ends = [[left, middle], [left + HANDLE, middle]];
    let centre = [left + HANDLE / 2.0, middle];
    let box_of = |surface: &mut dyn Surface, colour: Colour| {
        let frame = Frame {
            left,
            right: left + HANDLE,
            top: middle - 0.35 * SMALL,
            bottom: middle + 0.35 * SMALL,
        };
        surface.polygon(&frame.corners(), colour)
    };
    match mark {
        Mark::Line { stroke, marker, .. } => {
            surface.line(&ends, *stroke)?;
            if *marker > 0.0 {
                surface.discs(&[centre], marker * POINT, stroke.colour)?;
            }
            Ok(())
        }
        Mark::Across { stroke, .. } | Mark::Upright { stroke, .. } => surface.line(&ends, *stroke),
        Mark::Points { colour, radius, .. } => surface.discs(&[centre], radius * POINT, *colour),
        Mark::Bars { colour, .. } | Mark::Band { colour, .. } => box_of(surface, *colour),
        Mark::Heat { palette, .. } => {
            let [red, green, blue] = palette.at(0.7);
            box_of(surface, Colour::new(red, green, blue))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legend_keeps_away_from_ink() {
        let inner = Frame {
            left: 0.0,
            top: 0.0,
            right: 500.0,
            bottom: 400.0,
        };
        let free = quietest(&inner, 100.0, 50.0, &[]);
        assert!(free.right > 450.0 && free.top < 50.0);
        let busy = [[450.0, 30.0], [50.0, 30.0]];
        let frame = quietest(&inner, 100.0, 50.0, &busy);
        assert!(frame.left < 50.0 && frame.bottom > 350.0);
    }
}
