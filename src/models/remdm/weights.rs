//! Weight names of the original's state dict, checked and laid out for the kernels.

use super::DenoiserConfig;
use crate::formats::ArrayMap;
use crate::models::weights::{Affine, Reader, Weight, WeightsError};
use std::sync::Arc;

/// Rows of both glyph embeddings.
pub const GLYPH_ROWS: usize = 6000;
/// Channels of the local stream: embedding, first and second convolution.
pub const LOCAL_CHANNELS: [usize; 3] = [64, 32, 64];
/// Channels of the global stream: embedding, first and second convolution.
pub const GLOBAL_CHANNELS: [usize; 3] = [32, 32, 64];
/// Hidden width of the goal head.
pub const GOAL_HIDDEN: usize = 128;

/// Weights of one pre-norm transformer block.
#[derive(Debug, Clone)]
pub struct BlockWeights {
    /// Scale and shift of the norm before attention.
    pub norm1: Affine,
    /// Query, key and value projections in one, `[3E, E]`.
    pub in_proj: Affine,
    /// Output projection `[E, E]`.
    pub out_proj: Affine,
    /// Scale and shift of the norm before the feed-forward layers.
    pub norm2: Affine,
    /// First feed-forward layer `[4E, E]`.
    pub linear1: Affine,
    /// Second feed-forward layer `[E, 4E]`.
    pub linear2: Affine,
}

/// Weights of the global stream.
#[derive(Debug, Clone)]
pub struct GlobalWeights {
    /// Glyph embedding `[6000, 32]`.
    pub embedding: Weight,
    /// 5 x 5 convolution, stride 2.
    pub conv1: Affine,
    /// 3 x 3 convolution, stride 2.
    pub conv2: Affine,
    /// Projection of the pooled features `[E, 64]`.
    pub proj: Affine,
    /// sigmoid of the learned gate, one number.
    pub gate: Weight,
    /// First layer of the goal head `[128, E]`.
    pub goal1: Affine,
    /// Second layer of the goal head `[2, 128]`.
    pub goal2: Affine,
}

/// All weights of a denoiser.
#[derive(Debug, Clone)]
pub struct DenoiserWeights {
    /// Local glyph embedding `[6000, 64]`.
    pub embedding: Weight,
    /// First local convolution.
    pub conv1: Affine,
    /// Second local convolution.
    pub conv2: Affine,
    /// Projection of the flattened crop to one token.
    pub local_proj: Affine,
    /// Embedding of action tokens `[A + 2, E]`.
    pub action_embedding: Weight,
    /// Embedding of diffusion time `[T, E]`.
    pub timestep_embedding: Weight,
    /// Embedding of positions `[L, E]`.
    pub position_embedding: Weight,
    /// Transformer blocks.
    pub blocks: Vec<BlockWeights>,
    /// Action logits `[A, E]`.
    pub head: Affine,
    /// The global stream, where the model has one.
    pub global: Option<GlobalWeights>,
}

/// A convolution, from PyTorch's `[out, in, h, w]` to the kernels' `[out, h, w, in]`.
fn convolution(
    reader: &mut Reader<'_>,
    prefix: &str,
    out: usize,
    input: usize,
    side: usize,
) -> Result<Affine, WeightsError> {
    let mut affine = reader.affine(prefix, &[out, input, side, side])?;
    affine.weight.values = Arc::new(channels_last(
        &affine.weight.values,
        out,
        input,
        side * side,
    ));
    affine.weight.shape = vec![out, side, side, input];
    Ok(affine)
}

/// `[out, channels, cells]` to `[out, cells, channels]`.
fn channels_last(values: &[f32], out: usize, channels: usize, cells: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(values.len());
    for row in values.chunks_exact((channels * cells).max(1)).take(out) {
        for cell in 0..cells {
            result.extend((0..channels).map(|channel| row[channel * cells + cell]));
        }
    }
    result
}

impl DenoiserWeights {
    /// Reads the weights of a model of shape `config` from a state dict.
    ///
    /// # Errors
    /// [`WeightsError`] naming the file and the tensor that is missing, misshapen, not finite, or that
    /// the model has no place for.
    pub fn from_arrays(config: &DenoiserConfig, map: &ArrayMap) -> Result<Self, WeightsError> {
        let e = config.n_embd;
        let cells = config.crop_size * config.crop_size;
        let mut reader = Reader::new(map);
        let [c0, c1, c2] = LOCAL_CHANNELS;
        let embedding = reader.weight("embedding.weight", &[GLYPH_ROWS, c0])?;
        let conv1 = convolution(&mut reader, "cnn.0", c1, c0, 3)?;
        let conv2 = convolution(&mut reader, "cnn.2", c2, c1, 3)?;
        let mut local_proj = reader.affine("cnn.5", &[e, c2 * cells])?;
        local_proj.weight.values = Arc::new(channels_last(&local_proj.weight.values, e, c2, cells));
        let weights = Self {
            embedding,
            conv1,
            conv2,
            local_proj,
            action_embedding: reader.weight("action_emb.weight", &[config.action_dim + 2, e])?,
            timestep_embedding: reader
                .weight("timestep_emb.weight", &[config.num_diffusion_steps, e])?,
            position_embedding: reader.weight("pos_emb.weight", &[config.seq_len, e])?,
            blocks: (0..config.n_layer)
                .map(|index| read_block(&mut reader, index, e))
                .collect::<Result<_, _>>()?,
            head: reader.affine("head", &[config.action_dim, e])?,
            global: config
                .use_global_stream
                .then(|| read_global(&mut reader, e))
                .transpose()?,
        };
        reader.refuse_leftovers(|first| leftover_hint(config, first))?;
        Ok(weights)
    }
}

fn read_block(
    reader: &mut Reader<'_>,
    index: usize,
    e: usize,
) -> Result<BlockWeights, WeightsError> {
    let prefix = format!("transformer.layers.{index}");
    // The fused projection is the one layer whose tensors are not called weight and bias.
    let in_proj = Affine {
        weight: reader.weight(&format!("{prefix}.self_attn.in_proj_weight"), &[3 * e, e])?,
        bias: reader.weight(&format!("{prefix}.self_attn.in_proj_bias"), &[3 * e])?,
    };
    Ok(BlockWeights {
        norm1: reader.affine(&format!("{prefix}.norm1"), &[e])?,
        in_proj,
        out_proj: reader.affine(&format!("{prefix}.self_attn.out_proj"), &[e, e])?,
        norm2: reader.affine(&format!("{prefix}.norm2"), &[e])?,
        linear1: reader.affine(&format!("{prefix}.linear1"), &[4 * e, e])?,
        linear2: reader.affine(&format!("{prefix}.linear2"), &[e, 4 * e])?,
    })
}

fn read_global(reader: &mut Reader<'_>, e: usize) -> Result<GlobalWeights, WeightsError> {
    let [c0, c1, c2] = GLOBAL_CHANNELS;
    let mut gate = reader.weight("global_gate", &[])?;
    let sigmoid = |x: &f32| (1.0 / (1.0 + (-f64::from(*x)).exp())) as f32;
    gate.values = Arc::new(gate.values.iter().map(sigmoid).collect());
    Ok(GlobalWeights {
        embedding: reader.weight("global_embedding.weight", &[GLYPH_ROWS, c0])?,
        conv1: convolution(reader, "global_cnn.0", c1, c0, 5)?,
        conv2: convolution(reader, "global_cnn.2", c2, c1, 3)?,
        proj: reader.affine("global_proj", &[e, c2])?,
        gate,
        goal1: reader.affine("goal_head.0", &[GOAL_HIDDEN, e])?,
        goal2: reader.affine("goal_head.2", &[2, GOAL_HIDDEN])?,
    })
}

/// Why a tensor may be left over.
fn leftover_hint(config: &DenoiserConfig, first: &str) -> String {
    let is_global = first.starts_with("global_") || first.starts_with("goal_head.");
    if !config.use_global_stream && is_global {
        "the configuration says use_global_stream = false".to_string()
    } else {
        format!("the configuration says n_layer = {}", config.n_layer)
    }
}
