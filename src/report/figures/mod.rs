//! Figures as data, drawn once for two outputs: PNG (rasterised with plotters, 150 dots an inch) and SVG.
//!
//! A [`Figure`] is a row of [`Panel`]s, a panel two axes and [`Layer`]s of plain numbers. What a figure
//! shows can therefore be checked without looking at a pixel.

mod bitmap;
mod colour;
mod layout;
mod legend;
mod panel;
mod surface;
mod svg;
mod text;
mod ticks;

pub use colour::{BLACK, BLUE, Colour, GREEN, GREY, ORANGE, PURPLE, Palette, RED};

use crate::formats::{FormatError, write_atomic};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Pixels of an inch of a PNG.
pub const DOTS_PER_INCH: f64 = 150.0;
/// Pixels of a typographic point.
const POINT: f64 = DOTS_PER_INCH / 72.0;
/// A larger side would take gigabytes to rasterise.
const MOST_INCHES: f64 = 40.0;

/// A figure could not be drawn or written.
#[derive(Debug, Error)]
pub enum FigureError {
    /// What it holds cannot be drawn.
    #[error("figure \"{figure}\": expected {expected}, found {found}")]
    Invalid {
        /// Title of its first panel.
        figure: String,
        /// What a figure may hold.
        expected: &'static str,
        /// What this one holds.
        found: String,
    },
    /// The plotting library, the font or the encoder failed.
    #[error("figure \"{figure}\": {message}")]
    Draw {
        /// Title of its first panel.
        figure: String,
        /// The library's words.
        message: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] FormatError),
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// Its colour.
    pub colour: Colour,
    /// Its width, points (1/72 inch).
    pub width: f64,
    /// Whether it is broken into dashes.
    pub dashed: bool,
}

impl Stroke {
    /// A whole line of `width` points.
    pub fn solid(colour: Colour, width: f64) -> Self {
        Self {
            colour,
            width,
            dashed: false,
        }
    }

    /// A dashed line of `width` points.
    pub fn dashed(colour: Colour, width: f64) -> Self {
        Self {
            colour,
            width,
            dashed: true,
        }
    }
}

/// What a layer shows, in the units of the axes.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// Neighbouring points joined; a point that is not finite breaks the line.
    Line {
        /// Points `[x, y]`.
        points: Vec<[f64; 2]>,
        /// How the line is drawn.
        stroke: Stroke,
        /// Radius of the disc at every point, points (1/72 inch); 0 for none.
        marker: f64,
    },
    /// Separate discs; those that are not finite are left out.
    Points {
        /// Points `[x, y]`.
        points: Vec<[f64; 2]>,
        /// Their colour.
        colour: Colour,
        /// Their radius, points (1/72 inch).
        radius: f64,
    },
    /// Bars from zero, one between two neighbouring edges.
    Bars {
        /// Edges, one more than there are heights, ascending.
        edges: Vec<f64>,
        /// Heights.
        heights: Vec<f64>,
        /// Their colour.
        colour: Colour,
    },
    /// The area between two curves, where both are finite.
    Band {
        /// Common first coordinates, ascending.
        x: Vec<f64>,
        /// Lower curve.
        low: Vec<f64>,
        /// Upper curve.
        high: Vec<f64>,
        /// Its colour.
        colour: Colour,
    },
    /// A line across the whole panel at one `y`.
    Across {
        /// Where.
        y: f64,
        /// How it is drawn.
        stroke: Stroke,
    },
    /// A line up the whole panel at one `x`.
    Upright {
        /// Where.
        x: f64,
        /// How it is drawn.
        stroke: Stroke,
    },
    /// A field on a regular grid of cells.
    Heat {
        /// Cells in a row.
        columns: usize,
        /// Values by rows, the row of the smallest `y` first; NaN is left blank.
        values: Vec<f64>,
        /// Outer edges `[left, right]`.
        x: [f64; 2],
        /// Outer edges `[bottom, top]`.
        y: [f64; 2],
        /// Values of the first and the last colour.
        range: [f64; 2],
        /// Colours.
        palette: Palette,
        /// Name of the values, beside the bar of colours.
        name: String,
    },
}

/// A mark and its line in the legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name in the legend; none for marks that need no explanation.
    pub label: Option<String>,
    /// What is drawn.
    pub mark: Mark,
}

impl Layer {
    /// A mark that the legend names.
    pub fn named(label: impl Into<String>, mark: Mark) -> Self {
        Self {
            label: Some(label.into()),
            mark,
        }
    }

    /// A mark that the legend leaves out.
    pub fn plain(mark: Mark) -> Self {
        Self { label: None, mark }
    }
}

/// The marks along an axis.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Ticks {
    /// At round numbers.
    #[default]
    Round,
    /// At given places with given text; lines of a text are split at LF.
    Named {
        /// Places and texts.
        at: Vec<(f64, String)>,
        /// Text turned by 45 degrees.
        turned: bool,
    },
}

/// One axis of a panel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Axis {
    /// What it measures.
    pub label: String,
    /// Its marks.
    pub ticks: Ticks,
    /// First and last value shown; by default all of the layers with a margin.
    pub range: Option<[f64; 2]>,
}

impl Axis {
    /// An axis at round numbers over all that is drawn.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ..Self::default()
        }
    }

    /// The axis with marks at given places.
    pub fn with_ticks(mut self, at: Vec<(f64, String)>, turned: bool) -> Self {
        self.ticks = Ticks::Named { at, turned };
        self
    }

    /// The axis between two given values.
    pub fn with_range(mut self, range: [f64; 2]) -> Self {
        self.range = Some(range);
        self
    }
}

/// Two axes and what is drawn between them, first layer at the back.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Title above it.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Marks, back to front.
    pub layers: Vec<Layer>,
}

/// Panels side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Width and height, inches.
    pub size: [f64; 2],
    /// Panels, from the left.
    pub panels: Vec<Panel>,
}

impl Figure {
    /// A figure of one panel, `[width, height]` in inches.
    pub fn new(size: [f64; 2], panel: Panel) -> Self {
        Self {
            size,
            panels: vec![panel],
        }
    }

    /// The figure as SVG text, in units of 1/150 inch.
    ///
    /// # Errors
    /// [`FigureError::Invalid`] for a size, axis or layer that cannot be drawn, [`FigureError::Draw`].
    pub fn svg(&self) -> Result<String, FigureError> {
        let mut surface = svg::Vector::new(self.pixels()?);
        self.draw(&mut surface)?;
        Ok(surface.finish())
    }

    /// The figure as a PNG file of 150 dots an inch.
    ///
    /// # Errors
    /// As [`Figure::svg`].
    pub fn png(&self) -> Result<Vec<u8>, FigureError> {
        let mut surface = bitmap::Raster::new(self.pixels()?);
        self.draw(&mut surface)?;
        surface.finish().map_err(|message| self.failed(message))
    }

    /// Writes `STEM.png` and `STEM.svg` into `folder`, each by an atomic rename, and gives their paths.
    ///
    /// # Errors
    /// As [`Figure::svg`], and [`FigureError::Write`].
    pub fn save(&self, folder: &Path, stem: &str) -> Result<[PathBuf; 2], FigureError> {
        let [png, svg] = ["png", "svg"].map(|kind| folder.join(format!("{stem}.{kind}")));
        write_atomic(&png, &self.png()?)?;
        write_atomic(&svg, self.svg()?.as_bytes())?;
        Ok([png, svg])
    }

    fn draw(&self, surface: &mut dyn surface::Surface) -> Result<(), FigureError> {
        if self.panels.is_empty() {
            return Err(self.invalid("a panel or more", "none"));
        }
        let width = self.size[0] * DOTS_PER_INCH / self.panels.len() as f64;
        let height = self.size[1] * DOTS_PER_INCH;
        for (index, panel) in self.panels.iter().enumerate() {
            let frame = surface::Frame {
                left: index as f64 * width,
                top: 0.0,
                right: (index + 1) as f64 * width,
                bottom: height,
            };
            let trouble = |(expected, found): layout::Trouble| self.invalid(expected, found);
            let canvas = panel::Canvas::lay_out(panel, frame).map_err(trouble)?;
            canvas
                .draw(surface)
                .map_err(|message| self.failed(message))?;
        }
        Ok(())
    }

    /// Width and height, pixels.
    fn pixels(&self) -> Result<[u32; 2], FigureError> {
        let fits = |inches: &f64| (0.5..=MOST_INCHES).contains(inches);
        if !self.size.iter().all(fits) {
            let found = format!("{} x {}", self.size[0], self.size[1]);
            return Err(self.invalid("sides of 0.5 to 40 inches", found));
        }
        Ok(self
            .size
            .map(|inches| (inches * DOTS_PER_INCH).round() as u32))
    }

    fn name(&self) -> String {
        let first = self.panels.first();
        first.map(|panel| panel.title.clone()).unwrap_or_default()
    }

    fn invalid(&self, expected: &'static str, found: impl ToString) -> FigureError {
        FigureError::Invalid {
            figure: self.name(),
            expected,
            found: found.to_string(),
        }
    }

    fn failed(&self, message: String) -> FigureError {
        FigureError::Draw {
            figure: self.name(),
            message,
        }
    }
}
