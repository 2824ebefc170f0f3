//! What both outputs can draw. Coordinates are pixels of 1/150 inch from the upper left corner.

use super::{Colour, Stroke};

/// A place, pixels from the left and from the top.
pub(super) type Place = [f64; 2];

/// A rectangle, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Frame {
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn contains(&self, [x, y]: Place) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }

    pub fn centre(&self) -> Place {
        [
            (self.left + self.right) / 2.0,
            (self.top + self.bottom) / 2.0,
        ]
    }

    pub fn corners(&self) -> [Place; 4] {
        [
            [self.left, self.top],
            [self.right, self.top],
            [self.right, self.bottom],
            [self.left, self.bottom],
        ]
    }

    /// The part of a segment inside, after Liang and Barsky.
    pub fn clip(&self, from: Place, to: Place) -> Option<[Place; 2]> {
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
        let sides = [
            (-dx, from[0] - self.left),
            (dx, self.right - from[0]),
            (-dy, from[1] - self.top),
            (dy, self.bottom - from[1]),
        ];
        for (speed, room) in sides {
            if speed == 0.0 {
                if room < 0.0 {
                    return None;
                }
            } else if speed < 0.0 {
                enter = enter.max(room / speed);
            } else {
                leave = leave.min(room / speed);
            }
        }
        let at = |t: f64| [from[0] + t * dx, from[1] + t * dy];
        (enter <= leave).then(|| [at(enter), at(leave)])
    }
}

/// Where a text stands about its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One line of text; its place is on the base line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Text<'a> {
    pub words: &'a str,
    pub at: Place,
    /// Height of an em, pixels.
    pub size: f64,
    pub anchor: Anchor,
    /// Turned about its place, degrees against the clock.
    pub turn: f64,
}

/// An output. Calls that fail give the words of the library.
pub(super) trait Surface {
    /// A filled polygon.
    fn polygon(&mut self, corners: &[Place], colour: Colour) -> Result<(), String>;
    /// A line through all places; the width of the stroke is in points.
    fn line(&mut self, places: &[Place], stroke: Stroke) -> Result<(), String>;
    /// Discs of one radius, pixels.
    fn discs(&mut self, centres: &[Place], radius: f64, colour: Colour) -> Result<(), String>;
    /// Black text.
    fn text(&mut self, text: Text<'_>) -> Result<(), String>;
    /// Rows of `columns` colours, from the upper left corner, stretched over a frame without smoothing.
    fn image(&mut self, frame: Frame, columns: usize, colours: &[[u8; 3]]) -> Result<(), String>;
}

/// Dash and gap of broken lines, in widths of the line.
const DASH: [f64; 2] = [3.7, 1.6];

/// A line cut into dashes; `width` in pixels.
pub(super) fn dashes(places: &[Place], width: f64) -> Vec<[Place; 2]> {
    let pattern = DASH.map(|part| (part * width).max(0.5));
    let mut cut = Vec::new();
    let (mut part, mut left) = (0, pattern[0]);
    for pair in places.windows(2) {
        let [from, to] = [pair[0], pair[1]];
        let length = (to[0] - from[0]).hypot(to[1] - from[1]);
        let at = |t: f64| {
            let share = t / length;
            [
                from[0] + share * (to[0] - from[0]),
                from[1] + share * (to[1] - from[1]),
            ]
        };
        let mut done = 0.0;
        while done < length {
            let step = left.min(length - done);
            if part == 0 {
                cut.push([at(done), at(done + step)]);
            }
            done += step;
            left -= step;
            if left <= 1e-9 {
                part = 1 - part;
                left = pattern[part];
            }
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_cut_at_the_frame() {
        let frame = Frame {
            left: 0.0,
            top: 0.0,
            right: 10.0,
            bottom: 10.0,
        };
        let cut = frame.clip([-5.0, 5.0], [15.0, 5.0]);
        assert_eq!(cut, Some([[0.0, 5.0], [10.0, 5.0]]));
        assert_eq!(frame.clip([-5.0, -5.0], [-1.0, 20.0]), None);
        assert_eq!(
            frame.clip([2.0, 2.0], [3.0, 4.0]),
            Some([[2.0, 2.0], [3.0, 4.0]])
        );
        assert_eq!(frame.clip([-1.0, 11.0], [20.0, 11.0]), None);
    }

    #[test]
    fn dashes_cover_their_share() {
        let cut = dashes(&[[0.0, 0.0], [100.0, 0.0], [100.0, 60.0]], 2.0);
        let length: f64 = cut
            .iter()
            .map(|[a, b]| (a[0] - b[0]).abs() + (a[1] - b[1]).abs())
            .sum();
        let share = DASH[0] / (DASH[0] + DASH[1]);
        assert!((length / 160.0 - share).abs() < 0.05, "{length}");
    }
}
