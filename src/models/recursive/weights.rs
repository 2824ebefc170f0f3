//! Weight names of the originals' state dicts.

use super::config::{Architecture, Positions, RecursiveConfig};
use crate::formats::{ArrayError, ArrayMap, FormatError};
use crate::models::weights::{Affine, Reader, Weight, WeightsError};
use std::sync::Arc;

/// What training and compiling put before all names, longest first.
const PREFIXES: [&str; 3] = ["_orig_mod.model.inner.", "model.inner.", "inner."];

/// A tensor that every model has, which tells the prefix.
const SIGN: &str = "embed_tokens.embedding_weight";

/// What a table of puzzle embeddings of another size than the data's is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PuzzleRows {
    /// It is refused.
    #[default]
    Exact,
    /// Every puzzle takes the mean of its rows, as in the original.
    Mean,
}

/// How a block mixes its rows.
#[derive(Debug, Clone)]
pub enum Mixing {
    /// Self-attention.
    Attention {
        /// Queries, keys and values `[3D, D]`.
        qkv: Weight,
        /// Output projection `[D, D]`.
        out: Weight,
    },
    /// A SwiGLU over the length.
    Mixer(SwiGlu),
}

/// A gated layer over n inputs.
#[derive(Debug, Clone)]
pub struct SwiGlu {
    /// Gate, then what is gated: `[2 hidden, n]`.
    pub gate_up: Weight,
    /// `[n, hidden]`.
    pub down: Weight,
}

/// Weights of one block.
#[derive(Debug, Clone)]
pub struct BlockWeights {
    /// Over the rows.
    pub mixing: Mixing,
    /// Over the width.
    pub mlp: SwiGlu,
}

/// All weights of a model.
#[derive(Debug, Clone)]
pub struct RecursiveWeights {
    /// `[V, D]`.
    pub tokens: Weight,
    /// `[L, D]`, where positions are learned.
    pub positions: Option<Weight>,
    /// `[puzzles, E]`, where puzzles have embeddings.
    pub puzzles: Option<Weight>,
    /// `[V, D]`.
    pub lm_head: Weight,
    /// `[2, D]`: to halt, and to go on.
    pub q_head: Affine,
    /// Start of every row of the upper latent `[D]`.
    pub h_init: Weight,
    /// Start of every row of the lower latent `[D]`.
    pub l_init: Weight,
    /// Blocks of the upper network; none in TRM, whose one network serves both.
    pub h_level: Vec<BlockWeights>,
    /// Blocks of the lower, or only, network.
    pub l_level: Vec<BlockWeights>,
}

/// The tensors of a state dict under the model's own names.
pub fn recursive_arrays(map: &ArrayMap) -> ArrayMap {
    let prefixed = |prefix: &&&str| map.contains(&format!("{prefix}{SIGN}"));
    let Some(prefix) = PREFIXES.iter().find(prefixed) else {
        return map.clone();
    };
    let mut own = ArrayMap::new(map.file());
    for (name, array) in map.iter() {
        // What lies outside keeps its name, which no model has a place for.
        let name = name.strip_prefix(prefix).unwrap_or(name);
        // Of two tensors that now bear one name the first stays; the other is as good as absent.
        let _ = own.insert(name, array.clone());
    }
    own
}

impl RecursiveWeights {
    /// Reads the weights of a model of this shape.
    ///
    /// # Errors
    /// [`WeightsError`] naming the file and the tensor that is missing, misshapen, not finite, or that the
    /// model has no place for.
    pub fn read(
        config: &RecursiveConfig,
        map: &ArrayMap,
        rows: PuzzleRows,
    ) -> Result<Self, WeightsError> {
        let map = recursive_arrays(map);
        let mut reader = Reader::new(&map);
        let (d, v) = (config.hidden_size, config.vocab_size);
        let learned = config.pos_encodings == Positions::Learned;
        let positions = [config.length(), d];
        let h_layers = match config.arch {
            Architecture::Hrm => config.h_layers,
            Architecture::Trm => 0,
        };
        let weights = Self {
            tokens: reader.weight(SIGN, &[v, d])?,
            positions: learned
                .then(|| reader.weight("embed_pos.embedding_weight", &positions))
                .transpose()?,
            puzzles: (config.puzzle_emb_ndim > 0)
                .then(|| puzzles(config, &map, &mut reader, rows))
                .transpose()?,
            lm_head: reader.weight("lm_head.weight", &[v, d])?,
            q_head: reader.affine("q_head", &[2, d])?,
            h_init: reader.weight("H_init", &[d])?,
            l_init: reader.weight("L_init", &[d])?,
            h_level: level(config, &mut reader, "H_level", h_layers)?,
            l_level: level(config, &mut reader, "L_level", config.l_layers)?,
        };
        let (arch, layers) = (config.arch, (h_layers, config.l_layers));
        reader.refuse_leftovers(|_| {
            format!(
                "the configuration says {arch:?}, {} and {} layers, mlp_t = {}, {:?} positions, \
                 puzzle_emb_ndim = {}",
                layers.0, layers.1, config.mlp_t, config.pos_encodings, config.puzzle_emb_ndim
            )
        })?;
        Ok(weights)
    }
}

/// The table of puzzle embeddings, with as many rows as the configuration says.
fn puzzles(
    config: &RecursiveConfig,
    map: &ArrayMap,
    reader: &mut Reader<'_>,
    rows: PuzzleRows,
) -> Result<Weight, WeightsError> {
    let name = "puzzle_emb.weights";
    let (wanted, width) = (config.num_puzzle_identifiers, config.puzzle_emb_ndim);
    let stored = match *map.get(name)?.shape() {
        [stored, found] if found == width && stored > 0 => stored,
        // Another width: the exact shape is asked for, and the error names both.
        _ => wanted,
    };
    if stored == wanted || rows == PuzzleRows::Exact {
        return reader.weight(name, &[wanted, width]);
    }
    let table = reader.weight(name, &[stored, width])?;
    let mean: Vec<f32> = (0..width)
        .map(|column| {
            let values = table.values.iter().skip(column).step_by(width);
            let sum: f64 = values.map(|&value| f64::from(value)).sum();
            (sum / stored as f64) as f32
        })
        .collect();
    if mean.len().checked_mul(wanted).is_none() {
        let source = ArrayError::TooLarge {
            shape: vec![wanted, width],
        };
        let file = map.file().to_path_buf();
        let array = name.to_string();
        return Err(FormatError::Array {
            file,
            array,
            source,
        }
        .into());
    }
    Ok(Weight {
        shape: vec![wanted, width],
        values: Arc::new(mean.repeat(wanted)),
        ..table
    })
}

fn level(
    config: &RecursiveConfig,
    reader: &mut Reader<'_>,
    level: &str,
    layers: usize,
) -> Result<Vec<BlockWeights>, WeightsError> {
    let d = config.hidden_size;
    (0..layers)
        .map(|index| {
            let prefix = format!("{level}.layers.{index}");
            let mixing = if config.mlp_t {
                let length = config.length();
                Mixing::Mixer(swiglu(config, reader, &format!("{prefix}.mlp_t"), length)?)
            } else {
                Mixing::Attention {
                    qkv: reader
                        .weight(&format!("{prefix}.self_attn.qkv_proj.weight"), &[3 * d, d])?,
                    out: reader.weight(&format!("{prefix}.self_attn.o_proj.weight"), &[d, d])?,
                }
            };
            let mlp = swiglu(config, reader, &format!("{prefix}.mlp"), d)?;
            Ok(BlockWeights { mixing, mlp })
        })
        .collect()
}

fn swiglu(
    config: &RecursiveConfig,
    reader: &mut Reader<'_>,
    prefix: &str,
    inputs: usize,
) -> Result<SwiGlu, WeightsError> {
    let hidden = config.hidden_width(inputs);
    Ok(SwiGlu {
        gate_up: reader.weight(
            &format!("{prefix}.gate_up_proj.weight"),
            &[2 * hidden, inputs],
        )?,
        down: reader.weight(&format!("{prefix}.down_proj.weight"), &[inputs, hidden])?,
    })
}
