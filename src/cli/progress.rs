//! A progress bar on standard error, on a terminal alone.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A bar of `count` parts of the work; hidden where standard error is no terminal.
pub fn bar(count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len}, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
