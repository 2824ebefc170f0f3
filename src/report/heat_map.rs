//! Values over a grid as colours: an SVG picture with axes and a colour bar.

use super::html::escape;
use std::fmt::Write;

/// What is drawn.
#[derive(Debug, Clone)]
pub struct HeatMap<'a> {
    /// Title above the picture.
    pub title: &'a str,
    /// Names of the axis across and of the one up.
    pub axes: [&'a str; 2],
    /// What the colours stand for.
    pub quantity: &'a str,
    /// Left and right edge, lower and upper edge.
    pub domain: [f64; 4],
    /// Values across.
    pub nx: usize,
    /// Values up.
    pub ny: usize,
    /// Share of the values that may lie above the scale, in its last colour: a few points of enormous values
    /// would take all colours from the rest.
    pub above: f64,
    /// `[ny, nx]`, rows from the lower edge up; what is not finite stays blank.
    pub values: &'a [f64],
}

/// Stops of a scale that grows in lightness (viridis of van der Walt and Smith, every eighth).
const STOPS: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 44.0, 122.0],
    [59.0, 81.0, 139.0],
    [44.0, 113.0, 142.0],
    [33.0, 144.0, 141.0],
    [39.0, 173.0, 129.0],
    [92.0, 200.0, 99.0],
    [170.0, 220.0, 50.0],
    [253.0, 231.0, 37.0],
];
/// Steps of colour.
const LEVELS: usize = 64;
/// Width of the coloured area, in units of the picture.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;

fn colour(level: usize) -> String {
    let place = level as f64 / (LEVELS - 1) as f64 * (STOPS.len() - 1) as f64;
    let below = (place.floor() as usize).min(STOPS.len() - 2);
    let share = place - below as f64;
    let mut text = String::from("#");
    for (a, b) in STOPS[below].iter().zip(STOPS[below + 1]) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:02x}", (a + (b - a) * share).round() as u8);
    }
    text
}

/// The least finite value, and the one that only a share `above` of them exceeds.
fn ends(values: &[f64], above: f64) -> Option<[f64; 2]> {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let mut sorted: Vec<f64> = finite.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let skipped = (last as f64 * above.clamp(0.0, 1.0)) as usize;
    Some([*sorted.first()?, *sorted.get(last - skipped)?])
}

/// A number for an axis.
fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

impl HeatMap<'_> {
    /// The picture as the text of an SVG file. Runs of one colour along a row are one shape, so that
    /// fields of a million values stay within some megabytes.
    pub fn to_svg(&self) -> String {
        let [left, right, low, high] = self.domain;
        let share = ((high - low) / (right - left)).abs().clamp(0.2, 2.0);
        let height = (WIDTH * share).round();
        let (total, bottom) = (LEFT + WIDTH + 130.0, TOP + height + 60.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total} {bottom}\" \
             font-family=\"sans-serif\" font-size=\"14\">\n\
             <rect width=\"{total}\" height=\"{bottom}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"17\">{}</text>\n",
            escape(self.title)
        );
        let span = ends(self.values, self.above).unwrap_or([0.0, 1.0]);
        self.cells(&mut svg, span, height);
        self.frame(&mut svg, height);
        self.bar(&mut svg, span, height);
        svg.push_str("</svg>\n");
        svg
    }

    /// One path a colour, one rectangle a run.
    fn cells(&self, svg: &mut String, [low, high]: [f64; 2], height: f64) {
        let range = if high > low { high - low } else { 1.0 };
        let level = |value: &f64| {
            let place = (value - low) / range * LEVELS as f64;
            value.is_finite().then(|| (place as usize).min(LEVELS - 1))
        };
        let mut paths = vec![String::new(); LEVELS];
        for (row, values) in self.values.chunks(self.nx.max(1)).take(self.ny).enumerate() {
            let mut column = 0;
            while let Some(value) = values.get(column) {
                let own = level(value);
                let same = values.iter().skip(column);
                let run = same.take_while(|other| level(other) == own).count().max(1);
                if let Some(path) = own.and_then(|own| paths.get_mut(own)) {
                    let y = self.ny - 1 - row;
                    let _ = write!(path, "M{column} {y}h{run}v1h-{run}z");
                }
                column += run;
            }
        }
        let (x, y) = (
            WIDTH / self.nx.max(1) as f64,
            height / self.ny.max(1) as f64,
        );
        let _ = writeln!(
            svg,
            "<g transform=\"translate({LEFT} {TOP}) scale({x} {y})\" shape-rendering=\"crispEdges\">"
        );
        for (level, path) in paths
            .iter()
            .enumerate()
            .filter(|(_, path)| !path.is_empty())
        {
            let _ = writeln!(svg, "<path fill=\"{}\" d=\"{path}\"/>", colour(level));
        }
        svg.push_str("</g>\n");
    }

    /// The edges and their numbers.
    fn frame(&self, svg: &mut String, height: f64) {
        let [left, right, low, high] = self.domain;
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{height}\" fill=\"none\" stroke=\"#333\"/>"
        );
        for step in 0..=4 {
            let share = f64::from(step) / 4.0;
            let (x, y) = (LEFT + WIDTH * share, TOP + height * (1.0 - share));
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                TOP + height + 20.0,
                label(left + (right - left) * share),
                LEFT - 8.0,
                y + 5.0,
                label(low + (high - low) * share),
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(22 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            LEFT + WIDTH / 2.0,
            TOP + height + 44.0,
            escape(self.axes[0]),
            TOP + height / 2.0,
            escape(self.axes[1]),
        );
    }

    /// The scale of colours.
    fn bar(&self, svg: &mut String, [low, high]: [f64; 2], height: f64) {
        let (x, step) = (LEFT + WIDTH + 20.0, height / LEVELS as f64);
        for level in 0..LEVELS {
            let y = TOP + height - step * (level + 1) as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"18\" height=\"{}\" fill=\"{}\"/>",
                step + 0.5,
                colour(level)
            );
        }
        let over = self
            .values
            .iter()
            .any(|value| value.is_finite() && *value > high);
        for step in 0..=4 {
            let share = f64::from(step) / 4.0;
            let sign = if over && step == 4 { "\u{2265} " } else { "" };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\">{sign}{}</text>",
                x + 24.0,
                TOP + height * (1.0 - share) + 5.0,
                label(low + (high - low) * share)
            );
        }
        let _ = writeln!(
            svg,
            "<text transform=\"translate({} {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            x + 92.0,
            TOP + height / 2.0,
            escape(self.quantity)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_colour_are_one_shape() {
        let map = HeatMap {
            title: "a < b",
            axes: ["x", "y"],
            quantity: "q",
            domain: [0.0, 2.0, 0.0, 1.0],
            nx: 4,
            ny: 2,
            above: 0.0,
            values: &[0.0, 0.0, 1.0, f64::NAN, 1.0, 1.0, 1.0, 1.0],
        };
        let svg = map.to_svg();
        // The lower row is drawn last in height; blank where there is no number.
        assert!(svg.contains("M0 1h2v1h-2z") && svg.contains("M2 1h1v1h-1z"));
        assert!(svg.contains("M0 0h4v1h-4z") && !svg.contains("M3 1"));
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
        assert_eq!(
            (colour(0), colour(LEVELS - 1)),
            ("#440154".into(), "#fde725".into())
        );
    }

    #[test]
    fn the_scale_ends_below_a_few_enormous_values() {
        let mut values: Vec<f64> = (0..100).map(f64::from).collect();
        values[7] = 1e6;
        assert_eq!(ends(&values, 0.0), Some([0.0, 1e6]));
        assert_eq!(ends(&values, 0.02), Some([0.0, 99.0]));
        assert_eq!(ends(&[f64::NAN], 0.5), None);
    }

    #[test]
    fn a_field_without_numbers_is_blank() {
        let map = HeatMap {
            title: "t",
            axes: ["x", "y"],
            quantity: "q",
            domain: [0.0, 1.0, 0.0, 1.0],
            nx: 2,
            ny: 1,
            above: 0.0,
            values: &[f64::NAN, f64::INFINITY],
        };
        assert!(!map.to_svg().contains("<path"));
    }
}
