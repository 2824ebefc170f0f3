//! Weight names of the original's state dict (spec names on the left of the formulas).

use super::DecoderConfig;
use super::config::{TimeDirection, decoder_arrays};
use crate::formats::ArrayMap;
use crate::models::weights::{Affine, Reader, Weight, WeightsError};
use std::sync::Arc;

/// Scale and shift of a block's three norms.
#[derive(Debug, Clone)]
pub enum NormWeights {
    /// Adaptive: one layer `[6D, D]` from the modulation input to scale and shift of the norms before
    /// cross-attention, self-attention and feed-forward layers, in that order.
    Adaptive(Affine),
    /// Learned weight and bias of each of the three.
    Learned(Box<[Affine; 3]>),
}

/// Weights of one block.
#[derive(Debug, Clone)]
pub struct BlockWeights {
    /// The three norms.
    pub norms: NormWeights,
    /// Query projection of cross-attention `[D, D]`.
    pub cross_query: Affine,
    /// Key and value projections of cross-attention `[2D, D]`.
    pub cross_key_value: Affine,
    /// Output projection of cross-attention `[D, D]`.
    pub cross_out: Affine,
    /// Query, key and value projections of self-attention `[3D, D]`.
    pub self_in: Affine,
    /// Output projection of self-attention `[D, D]`.
    pub self_out: Affine,
    /// Both halves of the gated linear unit `[2mD, D]`.
    pub l1: Affine,
    /// Its output layer `[D, mD]`.
    pub l2: Affine,
}

/// What turns times and noised actions into slot tokens.
#[derive(Debug, Clone)]
pub struct TimeWeights {
    /// `[D, A]`.
    pub action_projection: Affine,
    /// `[4D, D]` and `[D, 4D]`.
    pub time_mlp: [Affine; 2],
    /// `[H, D]`.
    pub position_embedding: Weight,
    /// `[H, D]`, where the decoder has one.
    pub slot_modulation: Option<Weight>,
}

/// All weights of a velocity decoder or a regression head.
#[derive(Debug, Clone)]
pub struct DecoderWeights {
    /// `[D, Dc]`; absent where conditions have the decoder's width.
    pub condition_projection: Option<Affine>,
    /// Of a velocity decoder.
    pub time: Option<TimeWeights>,
    /// Of a regression head, `[H, D]`.
    pub slot_queries: Option<Weight>,
    /// Blocks.
    pub blocks: Vec<BlockWeights>,
    /// `[A, D]`.
    pub output_projection: Affine,
}

impl DecoderWeights {
    /// Reads the weights of a velocity decoder.
    ///
    /// # Errors
    /// [`WeightsError`] naming the file and the tensor that is missing, misshapen, not finite, or that
    /// the model has no place for.
    pub fn velocity(config: &DecoderConfig, map: &ArrayMap) -> Result<Self, WeightsError> {
        let map = decoder_arrays(map);
        let mut reader = Reader::new(&map);
        let (d, a, h) = (config.dim, config.action_dim, config.horizon);
        let time = TimeWeights {
            action_projection: reader.affine("action_projection", &[d, a])?,
            time_mlp: [
                reader.affine("time_mlp.0", &[4 * d, d])?,
                reader.affine("time_mlp.2", &[d, 4 * d])?,
            ],
            position_embedding: reader.weight("position_embedding.weight", &[h, d])?,
            slot_modulation: config
                .slot
                .then(|| reader.weight("slot_modulation.weight", &[h, d]))
                .transpose()?,
        };
        let mut weights = read_shared(config, &mut reader, true)?;
        weights.time = Some(time);
        reader.refuse_leftovers(|_| hint(config))?;
        if config.time_direction == TimeDirection::NoiseAtOne {
            negate(&mut weights.output_projection.weight);
            negate(&mut weights.output_projection.bias);
        }
        Ok(weights)
    }

    /// Reads the weights of a regression head: learned slot queries and norms, no time, no rotary
    /// positions.
    ///
    /// # Errors
    /// As [`DecoderWeights::velocity`].
    pub fn regression(config: &DecoderConfig, map: &ArrayMap) -> Result<Self, WeightsError> {
        let map = decoder_arrays(map);
        let mut reader = Reader::new(&map);
        let queries = reader.weight("slot_queries.weight", &[config.horizon, config.dim])?;
        let mut weights = read_shared(config, &mut reader, false)?;
        weights.slot_queries = Some(queries);
        reader.refuse_leftovers(|_| hint(config))?;
        Ok(weights)
    }
}

fn hint(config: &DecoderConfig) -> String {
    let DecoderConfig {
        layers, rope, slot, ..
    } = config;
    format!("the configuration says layers = {layers}, rope = {rope}, slot = {slot}")
}

/// The same layer with the opposite sign.
fn negate(weight: &mut Weight) {
    weight.values = Arc::new(weight.values.iter().map(|v| -v).collect());
}

fn read_shared(
    config: &DecoderConfig,
    reader: &mut Reader<'_>,
    adaptive: bool,
) -> Result<DecoderWeights, WeightsError> {
    let (d, dc) = (config.dim, config.cond_dim);
    // Where the widths agree the original has no projection, yet a file may bring one.
    let projected = dc != d || reader.has("condition_projection.weight");
    Ok(DecoderWeights {
        condition_projection: projected
            .then(|| reader.affine("condition_projection", &[d, dc]))
            .transpose()?,
        time: None,
        slot_queries: None,
        blocks: (0..config.layers)
            .map(|index| read_block(config, reader, index, adaptive))
            .collect::<Result<_, _>>()?,
        output_projection: reader.affine("output_projection", &[config.action_dim, d])?,
    })
}

fn read_block(
    config: &DecoderConfig,
    reader: &mut Reader<'_>,
    index: usize,
    adaptive: bool,
) -> Result<BlockWeights, WeightsError> {
    let (d, hidden) = (config.dim, config.mult * config.dim);
    let prefix = format!("decoder.layers.{index}");
    let norms = if adaptive {
        NormWeights::Adaptive(reader.affine(&format!("{prefix}.adaLN_modulation"), &[6 * d, d])?)
    } else {
        let mut norm = |name: &str| reader.affine(&format!("{prefix}.{name}_norm"), &[d]);
        NormWeights::Learned(Box::new([
            norm("cross_attn")?,
            norm("self_attn")?,
            norm("mlp")?,
        ]))
    };
    let cross = packed(reader, &format!("{prefix}.cross_attn.in_proj_"), d)?;
    let self_name = if config.rope { "qkv_proj." } else { "in_proj_" };
    Ok(BlockWeights {
        norms,
        cross_query: cross.part(0, d),
        cross_key_value: cross.part(d, 2 * d),
        cross_out: reader.affine(&format!("{prefix}.cross_attn.out_proj"), &[d, d])?,
        self_in: packed(reader, &format!("{prefix}.self_attn.{self_name}"), d)?,
        self_out: reader.affine(&format!("{prefix}.self_attn.out_proj"), &[d, d])?,
        l1: reader.affine(&format!("{prefix}.mlp.l1"), &[2 * hidden, d])?,
        l2: reader.affine(&format!("{prefix}.mlp.l2"), &[d, hidden])?,
    })
}

/// A packed projection `[3D, D]`, whose tensors are called `prefix` + weight and bias.
fn packed(reader: &mut Reader<'_>, prefix: &str, d: usize) -> Result<Affine, WeightsError> {
    Ok(Affine {
        weight: reader.weight(&format!("{prefix}weight"), &[3 * d, d])?,
        bias: reader.weight(&format!("{prefix}bias"), &[3 * d])?,
    })
}
