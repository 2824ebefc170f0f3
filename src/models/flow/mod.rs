//! Flow-matching action policies: the velocity decoder, the regression head, the draw ranker, and the
//! transform between raw actions and the space the decoder works in.

mod config;
mod weights;

pub use config::{DecoderConfig, DecoderConfigError, TimeDirection, decoder_arrays};
pub use weights::{BlockWeights, DecoderWeights, NormWeights, TimeWeights};
pub mod actions;
pub mod knots;
pub mod normal;
