//! Flow-matching action policies: the velocity decoder, the regression head, the draw ranker, and the
//! transform between raw actions and the space the decoder works in.

pub mod actions;
pub mod knots;
pub mod normal;
