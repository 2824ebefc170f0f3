//! Flow-matching action policies: the velocity decoder, the regression head, the draw ranker, and the
//! transform between raw actions and the space the decoder works in.

pub mod actions;
mod blocks;
mod config;
mod decoder;
pub mod knots;
pub mod normal;
pub mod ranker;
mod regression;
mod weights;

pub use blocks::FlowBatch;
pub use config::{DecoderConfig, DecoderConfigError, TimeDirection, decoder_arrays};
pub use decoder::{VelocityDecoder, time_features};
pub use regression::{RegressionTensors, regression};
pub use weights::{BlockWeights, DecoderWeights, NormWeights, TimeWeights};
