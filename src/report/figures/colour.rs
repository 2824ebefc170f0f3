//! Colours, and scales of colour for fields.

/// Red, green and blue of 0 to 255, and opacity of 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    /// Red, green, blue.
    pub rgb: [u8; 3],
    /// 1 covers what is behind, 0 is not seen.
    pub opacity: f64,
}

impl Colour {
    /// A colour that covers what is behind.
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self {
            rgb: [red, green, blue],
            opacity: 1.0,
        }
    }

    /// The same colour with another opacity.
    pub const fn with_opacity(self, opacity: f64) -> Self {
        Self { opacity, ..self }
    }
}

/// The green of matplotlib's `tab10`.
pub const GREEN: Colour = Colour::new(0x2c, 0xa0, 0x2c);
/// The orange of matplotlib's `tab10`.
pub const ORANGE: Colour = Colour::new(0xff, 0x7f, 0x0e);
/// The blue of matplotlib's `tab10`.
pub const BLUE: Colour = Colour::new(0x1f, 0x77, 0xb4);
/// The red of matplotlib's `tab10`.
pub const RED: Colour = Colour::new(0xd6, 0x27, 0x28);
/// The purple of matplotlib's `tab10`.
pub const PURPLE: Colour = Colour::new(0x94, 0x67, 0xbd);
/// A middle grey.
pub const GREY: Colour = Colour::new(0x80, 0x80, 0x80);
/// Black.
pub const BLACK: Colour = Colour::new(0, 0, 0);

/// A scale of colours for numbers from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// Dark violet over green to yellow, lightness rising throughout: for quantities.
    Rising,
    /// Blue over white to red: for quantities with a middle.
    Diverging,
}

/// Evenly spaced; lightness rises by about the same from one to the next.
const RISING: [[f64; 3]; 6] = [
    [66.0, 10.0, 84.0],
    [62.0, 72.0, 136.0],
    [44.0, 120.0, 142.0],
    [36.0, 164.0, 132.0],
    [124.0, 204.0, 80.0],
    [250.0, 230.0, 44.0],
];
const DIVERGING: [[f64; 3]; 5] = [
    [20.0, 60.0, 140.0],
    [110.0, 160.0, 210.0],
    [247.0, 247.0, 247.0],
    [225.0, 130.0, 100.0],
    [150.0, 15.0, 35.0],
];

impl Palette {
    /// The colour of a share from 0 to 1; shares outside take the end of the scale, NaN is white.
    pub fn at(self, share: f64) -> [u8; 3] {
        if share.is_nan() {
            return [255; 3];
        }
        let anchors: &[[f64; 3]] = match self {
            Self::Rising => &RISING,
            Self::Diverging => &DIVERGING,
        };
        let place = share.clamp(0.0, 1.0) * (anchors.len() - 1) as f64;
        let below = (place as usize).min(anchors.len() - 2);
        let part = place - below as f64;
        let (low, high) = (anchors[below], anchors[below + 1]);
        std::array::from_fn(|at| (low[at] + part * (high[at] - low[at])).round() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lightness([red, green, blue]: [u8; 3]) -> f64 {
        0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
    }

    #[test]
    fn rising_scales_get_lighter_all_the_way() {
        let shades: Vec<f64> = (0..=100)
            .map(|at| lightness(Palette::Rising.at(f64::from(at) / 100.0)))
            .collect();
        assert!(shades.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(shades[100] - shades[0] > 150.0);
    }

    #[test]
    fn shares_outside_take_the_ends() {
        for palette in [Palette::Rising, Palette::Diverging] {
            assert_eq!(palette.at(-1.0), palette.at(0.0));
            assert_eq!(palette.at(f64::INFINITY), palette.at(1.0));
            assert_ne!(palette.at(0.0), palette.at(1.0));
        }
        assert_eq!(Palette::Rising.at(f64::NAN), [255; 3]);
    }
}
