//! Text with the embedded font: its width, and its pixels.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

/// The font of all figures: DejaVu Sans, whose licence is that of Bitstream Vera.
pub(super) fn font() -> Result<FontRef<'static>, String> {
    FontRef::try_from_slice(dejavu::sans::regular())
        .map_err(|error| format!("embedded font: {error}"))
}

/// The scale at which an em is `size` pixels high; ab_glyph counts ascent to descent instead.
fn scale_of(font: &FontRef<'_>, size: f64) -> PxScale {
    let em = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(size as f32 * font.height_unscaled() / em)
}

/// Width of one line, pixels, for an em of `size` pixels.
pub(super) fn width(words: &str, size: f64) -> f64 {
    let Ok(font) = font() else {
        // Without its font nothing is drawn; the guess only keeps the layout finite until then.
        return 0.6 * size * words.chars().count() as f64;
    };
    let scaled = font.as_scaled(scale_of(&font, size));
    let advances = words.chars().map(|letter| {
        let glyph = scaled.glyph_id(letter);
        f64::from(scaled.h_advance(glyph))
    });
    advances.sum()
}

/// A line of text as shares of ink by pixel.
#[derive(Debug)]
pub(super) struct Coverage {
    pub columns: usize,
    pub rows: usize,
    /// Row-major, 0 to 1.
    pub shares: Vec<f32>,
    /// Row of the base line.
    pub base: f64,
}

impl Coverage {
    /// Rasterises one line with an em of `size` pixels.
    pub fn of(words: &str, size: f64) -> Result<Self, String> {
        let font = font()?;
        let scale = scale_of(&font, size);
        let scaled = font.as_scaled(scale);
        let columns = width(words, size).ceil() as usize + 2;
        let base = f64::from(scaled.ascent()).ceil();
        let rows = (base - f64::from(scaled.descent())).ceil() as usize + 1;
        let mut shares = vec![0.0_f32; columns * rows];
        let mut pen = 0.0_f32;
        for letter in words.chars() {
            let id = scaled.glyph_id(letter);
            let glyph = id.with_scale_and_position(scale, point(pen, base as f32));
            pen += scaled.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, share| {
                let column = corner.x as i64 + i64::from(x);
                let row = corner.y as i64 + i64::from(y);
                let inside = (0..columns as i64).contains(&column);
                if inside && (0..rows as i64).contains(&row) {
                    let at = row as usize * columns + column as usize;
                    if let Some(pixel) = shares.get_mut(at) {
                        *pixel = (*pixel + share).min(1.0);
                    }
                }
            });
        }
        Ok(Self {
            columns,
            rows,
            shares,
            base,
        })
    }

    /// The share at a place between pixel centres, 0 outside.
    pub fn sample(&self, x: f64, y: f64) -> f32 {
        let (column, row) = (x.floor(), y.floor());
        if column < 0.0 || row < 0.0 || column >= self.columns as f64 || row >= self.rows as f64 {
            return 0.0;
        }
        let at = row as usize * self.columns + column as usize;
        self.shares.get(at).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_text_is_wider_and_digits_are_alike() {
        assert!(width("abc", 20.0) < width("abcd", 20.0));
        assert_eq!(width("111", 20.0), width("888", 20.0));
        assert!((width("a", 40.0) / width("a", 20.0) - 2.0).abs() < 1e-3);
    }

    #[test]
    fn letters_leave_ink_and_spaces_none() {
        let ink = |words: &str| {
            Coverage::of(words, 30.0)
                .unwrap()
                .shares
                .iter()
                .sum::<f32>()
        };
        assert_eq!(ink("   "), 0.0);
        assert!(ink("M") > 50.0);
        // A letter that the font lacks shows as a box, not as nothing.
        assert!(ink("\u{10ffff}") > 10.0);
    }
}
