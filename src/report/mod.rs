//! Results for people: text tables, pictures of dungeons, plots, web pages.

pub mod dungeon;
pub mod flow;
pub mod html;
pub mod plot;
mod style;
mod table;

pub use style::{Ink, Style};
pub use table::Table;
