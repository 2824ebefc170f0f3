//! The SVG output.

use super::surface::{Anchor, Frame, Place, Surface, Text, dashes};
use super::{Colour, POINT, Stroke};
use std::fmt::Write;

/// SVG text being written.
#[derive(Debug)]
pub(super) struct Vector {
    size: [u32; 2],
    body: String,
}

impl Vector {
    pub fn new(size: [u32; 2]) -> Self {
        Self {
            size,
            body: String::new(),
        }
    }

    pub fn finish(self) -> String {
        let [width, height] = self.size;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"'DejaVu Sans', Verdana, sans-serif\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.body
        )
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A number with as many digits as can be seen.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

fn fill(colour: Colour) -> String {
    let opacity = match colour.opacity {
        1.0 => String::new(),
        opacity => format!(" fill-opacity=\"{}\"", short(opacity)),
    };
    format!("fill=\"{}\"{opacity}", hex(colour.rgb))
}

fn path(places: &[Place]) -> String {
    let mut text = String::new();
    for (index, [x, y]) in places.iter().enumerate() {
        let verb = if index == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{verb}{} {}", short(*x), short(*y));
    }
    text
}

fn escape(words: &str) -> String {
    let escaped = words.replace('&', "&amp;");
    escaped.replace('<', "&lt;").replace('>', "&gt;")
}

impl Surface for Vector {
    fn polygon(&mut self, corners: &[Place], colour: Colour) -> Result<(), String> {
        let (d, fill) = (path(corners), fill(colour));
        self.put(format_args!("<path d=\"{d}Z\" {fill}/>"));
        Ok(())
    }

    fn line(&mut self, places: &[Place], stroke: Stroke) -> Result<(), String> {
        let width = stroke.width * POINT;
        let d = if stroke.dashed {
            let cut = dashes(places, width);
            cut.iter().map(|dash| path(dash)).collect()
        } else {
            path(places)
        };
        let (colour, width) = (hex(stroke.colour.rgb), short(width));
        let opacity = short(stroke.colour.opacity);
        self.put(format_args!(
            "<path d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-opacity=\"{opacity}\" stroke-linejoin=\"round\"/>"
        ));
        Ok(())
    }

    fn discs(&mut self, centres: &[Place], radius: f64, colour: Colour) -> Result<(), String> {
        let (fill, radius) = (fill(colour), short(radius));
        self.put(format_args!("<g {fill}>"));
        for [x, y] in centres {
            let (x, y) = (short(*x), short(*y));
            self.put(format_args!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>"
            ));
        }
        self.put(format_args!("</g>"));
        Ok(())
    }

    fn text(&mut self, text: Text<'_>) -> Result<(), String> {
        let anchor = match text.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let [x, y] = text.at.map(short);
        let turn = match text.turn {
            0.0 => String::new(),
            turn => format!(" transform=\"rotate({} {x} {y})\"", short(-turn)),
        };
        let (size, words) = (short(text.size), escape(text.words));
        self.put(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\"{turn}>{words}</text>"
        ));
        Ok(())
    }

    fn image(&mut self, frame: Frame, columns: usize, colours: &[[u8; 3]]) -> Result<(), String> {
        let rows = colours.len().checked_div(columns).unwrap_or(0);
        let png = super::bitmap::encode([columns as u32, rows as u32], colours.as_flattened())?;
        let [x, y, width, height] =
            [frame.left, frame.top, frame.width(), frame.height()].map(short);
        let data = base64(&png);
        self.put(format_args!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
             href=\"data:image/png;base64,{data}\"/>"
        ));
        Ok(())
    }
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() {
                letter as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_known_words() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn numbers_are_short_and_text_is_escaped() {
        assert_eq!(short(1.50001), "1.5");
        assert_eq!(short(-0.001), "0");
        assert_eq!(short(100.0), "100");
        assert_eq!(escape("a<b&c"), "a&lt;b&amp;c");
    }
}
