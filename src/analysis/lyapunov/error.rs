//! What can be wrong with logs of R, factors, and questions about them.

use thiserror::Error;

/// What can be wrong with logs of R, factors, and questions about them.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LyapunovError {
    /// An array has another length than its shape says, or a shape without elements.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which array or setting.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A number that is not finite.
    #[error("{what}: event {event}, column {column}: not a finite number")]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// QR event.
        event: usize,
        /// Column.
        column: usize,
    },
    /// A window without events, or beyond those there are.
    #[error("window {start}..{end}: expected a part of the {events} events, at least one of them")]
    Window {
        /// First event.
        start: usize,
        /// Event after the last.
        end: usize,
        /// Events there are.
        events: usize,
    },
    /// A factor R that cannot be inverted: the tangents had become dependent.
    #[error("R of event {event}: column {column} has no inverse")]
    Singular {
        /// QR event.
        event: usize,
        /// Column.
        column: usize,
    },
}

/// A shape or setting that does not fit.
pub(super) fn shape(
    what: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> LyapunovError {
    LyapunovError::Shape {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
