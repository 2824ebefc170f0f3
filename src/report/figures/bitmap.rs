//! The PNG output: shapes by plotters on a finer grid, averaged down.

use super::surface::{Anchor, Frame, Place, Surface, Text, dashes};
use super::text::Coverage;
use super::{Colour, DOTS_PER_INCH, POINT, Stroke};
use plotters::prelude::{BitMapBackend, Color, DrawingBackend, RGBColor, ShapeStyle};

/// Fine pixels of a pixel, along each side.
const FINE: usize = 3;

/// A picture of fine pixels, red, green and blue.
#[derive(Debug)]
pub(super) struct Raster {
    size: [u32; 2],
    fine: Vec<u8>,
}

impl Raster {
    pub fn new(size: [u32; 2]) -> Self {
        let pixels = size[0] as usize * size[1] as usize;
        Self {
            size,
            fine: vec![255; pixels * FINE * FINE * 3],
        }
    }

    /// Averages down and encodes.
    pub fn finish(self) -> Result<Vec<u8>, String> {
        let [width, height] = self.size.map(|side| side as usize);
        let mut pixels = Vec::with_capacity(width * height * 3);
        let mut sums = vec![0_u32; width * 3];
        for rows in self.fine.chunks_exact(width * FINE * 3 * FINE) {
            sums.fill(0);
            for row in rows.chunks_exact(width * FINE * 3) {
                for (sum, group) in sums.chunks_exact_mut(3).zip(row.chunks_exact(FINE * 3)) {
                    for (at, value) in group.iter().enumerate() {
                        if let Some(sum) = sum.get_mut(at % 3) {
                            *sum += u32::from(*value);
                        }
                    }
                }
            }
            let count = (FINE * FINE) as u32;
            pixels.extend(sums.iter().map(|sum| ((sum + count / 2) / count) as u8));
        }
        encode(self.size, &pixels)
    }

    fn fine_size(&self) -> [usize; 2] {
        self.size.map(|side| side as usize * FINE)
    }

    /// Runs a drawing operation of plotters.
    fn with(
        &mut self,
        draw: impl FnOnce(&mut BitMapBackend<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let size = self.size.map(|side| side * FINE as u32);
        let mut backend = BitMapBackend::with_buffer(&mut self.fine, size.into());
        draw(&mut backend)
    }

    /// Mixes black into one fine pixel.
    fn darken(&mut self, column: i64, row: i64, share: f32) {
        let [width, height] = self.fine_size();
        let inside = (0..width as i64).contains(&column) && (0..height as i64).contains(&row);
        if !inside || share <= 0.0 {
            return;
        }
        let at = (row as usize * width + column as usize) * 3;
        for value in self.fine.iter_mut().skip(at).take(3) {
            *value = (f32::from(*value) * (1.0 - share)).round() as u8;
        }
    }
}

fn style(colour: Colour, width: f64) -> ShapeStyle {
    let [red, green, blue] = colour.rgb;
    ShapeStyle {
        color: RGBColor(red, green, blue).mix(colour.opacity),
        filled: true,
        stroke_width: width.round().max(1.0) as u32,
    }
}

/// The nearest fine pixel. Places are within a figure, so that they fit.
fn fine([x, y]: Place) -> (i32, i32) {
    let nearest = |value: f64| (value * FINE as f64).round() as i32;
    (nearest(x), nearest(y))
}

impl Surface for Raster {
    fn polygon(&mut self, corners: &[Place], colour: Colour) -> Result<(), String> {
        let style = style(colour, 1.0);
        let corners: Vec<_> = corners.iter().map(|place| fine(*place)).collect();
        self.with(|backend| {
            let filled = backend.fill_polygon(corners, &style);
            filled.map_err(|error| error.to_string())
        })
    }

    fn line(&mut self, places: &[Place], stroke: Stroke) -> Result<(), String> {
        let width = stroke.width * POINT;
        let style = style(stroke.colour, width * FINE as f64);
        let parts: Vec<Vec<Place>> = if stroke.dashed {
            let cut = dashes(places, width);
            cut.into_iter().map(|dash| dash.to_vec()).collect()
        } else {
            vec![places.to_vec()]
        };
        self.with(|backend| {
            for part in parts {
                let drawn = backend.draw_path(part.iter().map(|place| fine(*place)), &style);
                drawn.map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    }

    fn discs(&mut self, centres: &[Place], radius: f64, colour: Colour) -> Result<(), String> {
        let style = style(colour, 1.0);
        let radius = (radius * FINE as f64).round().max(1.0) as u32;
        self.with(|backend| {
            for centre in centres {
                let drawn = backend.draw_circle(fine(*centre), radius, &style, true);
                drawn.map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    }

    fn text(&mut self, text: Text<'_>) -> Result<(), String> {
        let ink = Coverage::of(text.words, text.size * FINE as f64)?;
        let start = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => ink.columns as f64 / 2.0,
            Anchor::End => ink.columns as f64,
        };
        let [x, y] = text.at.map(|value| (value * FINE as f64).round());
        let (sine, cosine) = text.turn.to_radians().sin_cos();
        // From ink to picture: a turn against the clock, with rows that count downwards.
        let picture = |along: f64, below: f64| {
            let (along, below) = (along - start, below - ink.base);
            [along * cosine + below * sine, below * cosine - along * sine]
        };
        let (wide, high) = (ink.columns as f64, ink.rows as f64);
        let corners = [(0.0, 0.0), (wide, 0.0), (0.0, high), (wide, high)];
        let corners = corners.map(|(along, below)| picture(along, below));
        let reach = |axis: usize| {
            let along = corners.map(|corner| corner[axis]);
            let least = along.iter().copied().fold(f64::INFINITY, f64::min);
            let most = along.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            least.floor() as i64..=most.ceil() as i64
        };
        for row in reach(1) {
            for column in reach(0) {
                let (across, down) = (column as f64 + 0.5, row as f64 + 0.5);
                let along = across * cosine - down * sine;
                let below = across * sine + down * cosine;
                let share = ink.sample(along + start, below + ink.base);
                self.darken(x as i64 + column, y as i64 + row, share);
            }
        }
        Ok(())
    }

    fn image(&mut self, frame: Frame, columns: usize, colours: &[[u8; 3]]) -> Result<(), String> {
        let [width, height] = self.fine_size();
        let rows = colours.len().checked_div(columns).unwrap_or(0);
        let side = |value: f64, most: usize| {
            (value * FINE as f64).round().clamp(0.0, most as f64) as usize
        };
        let (left, right) = (side(frame.left, width), side(frame.right, width));
        let (top, bottom) = (side(frame.top, height), side(frame.bottom, height));
        for row in top..bottom {
            let from = (row - top) * rows / (bottom - top);
            for column in left..right {
                let at = from * columns + (column - left) * columns / (right - left);
                let colour = colours.get(at).copied().unwrap_or([255; 3]);
                let pixel = self.fine.iter_mut().skip((row * width + column) * 3);
                for (value, new) in pixel.zip(colour) {
                    *value = new;
                }
            }
        }
        Ok(())
    }
}

/// A PNG file of 8-bit red, green and blue, row by row from the top.
pub(super) fn encode([width, height]: [u32; 2], pixels: &[u8]) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let dots = (DOTS_PER_INCH / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: dots,
        yppu: dots,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    let written = writer.write_image_data(pixels);
    written.map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(file)
}
