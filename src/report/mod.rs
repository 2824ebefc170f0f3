//! Results for people: text tables, pictures of dungeons, plots, web pages.

pub mod correlation;
pub mod dungeon;
pub mod figures;
pub mod flow;
pub mod heat_map;
pub mod html;
pub mod plot;
pub mod spectrum;
mod style;
mod table;
pub mod two_by_two;

pub use style::{Ink, Style};
pub use table::Table;
