//! Shape of a flow-matching decoder or of its regression counterpart.

use crate::formats::ArrayMap;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which end of the unit interval is noise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeDirection {
    /// t = 0 is noise, t = 1 is the action: the velocity points from noise to action.
    #[default]
    NoiseAtZero,
    /// t = 1 is noise, as in pi0 and LeRobot: the network is asked at 1 - t, and its velocity negated.
    NoiseAtOne,
}

/// Shape of a decoder; the keys of its JSON are the fields' names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecoderConfig {
    /// Width D of the decoder.
    pub dim: usize,
    /// Width of the condition tokens.
    pub cond_dim: usize,
    /// Condition tokens S.
    pub tokens: usize,
    /// Model-space action channels A.
    pub action_dim: usize,
    /// Slots H of an action chunk.
    pub horizon: usize,
    /// Blocks L.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Rotary positions in the slots' self-attention.
    pub rope: bool,
    /// A learned addition to the modulation input for every slot.
    pub slot: bool,
    /// Width of the gated linear unit as a multiple of `dim`.
    pub mult: usize,
    /// Which end of the time interval is noise.
    pub time_direction: TimeDirection,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            dim: 256,
            cond_dim: 384,
            tokens: 12,
            action_dim: 2,
            horizon: 6,
            layers: 4,
            heads: 4,
            rope: true,
            slot: false,
            mult: 1,
            time_direction: TimeDirection::NoiseAtZero,
        }
    }
}

/// What can be wrong with a configuration.
#[derive(Debug, Error)]
pub enum DecoderConfigError {
    /// The text is no configuration.
    #[error("{file}: {message}")]
    Read {
        /// File.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A size is out of range or does not go with the others.
    #[error("{file}: {key}: expected {expected}, found {found}")]
    Value {
        /// File.
        file: String,
        /// Key.
        key: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// Largest value of a size; larger ones are mistakes or attacks.
const LARGEST: usize = 65_536;

/// What checkpoints of the cached trainer put before every name.
const TRAINER_PREFIX: &str = "objectives.policy.decoder.";

/// The decoder's tensors under their own names. A trainer's checkpoint holds other objectives beside
/// the decoder: only the tensors under its prefix are the decoder's, if any are.
pub fn decoder_arrays(map: &ArrayMap) -> ArrayMap {
    let prefixed = map.names().any(|name| name.starts_with(TRAINER_PREFIX));
    if !prefixed {
        return map.clone();
    }
    let mut own = ArrayMap::new(map.file());
    for (name, array) in map.iter() {
        if let Some(name) = name.strip_prefix(TRAINER_PREFIX) {
            // Names were unique with the prefix, so they are without it.
            let _ = own.insert(name, array.clone());
        }
    }
    own
}

impl DecoderConfig {
    /// Reads JSON text: the object under `config`, or the flat object itself; unknown keys belong to
    /// others.
    ///
    /// # Errors
    /// [`DecoderConfigError`] naming `file` and the key.
    pub fn from_json(file: &str, text: &str) -> Result<Self, DecoderConfigError> {
        let read = |message: String| DecoderConfigError::Read {
            file: file.to_string(),
            message,
        };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| read(format!("not JSON: {error}")))?;
        let object = value.get("config").unwrap_or(&value);
        if !object.is_object() {
            return Err(read("expected an object of configuration keys".into()));
        }
        let config: Self =
            serde_json::from_value(object.clone()).map_err(|error| read(error.to_string()))?;
        config.check(file)?;
        Ok(config)
    }

    /// The configuration of a state dict of the decoder or of the regression head: all but the number
    /// of heads, of condition tokens and the direction of time can be told from names and shapes;
    /// those come from `known`.
    #[must_use]
    pub fn infer(map: &ArrayMap, known: &Self) -> Self {
        let shape = |name: &str, axis: usize| {
            let array = map.find(name)?;
            array.shape().get(axis).copied()
        };
        let dim = shape("output_projection.weight", 1).unwrap_or(known.dim);
        let layers = (0..LARGEST)
            .take_while(|i| map.contains(&format!("decoder.layers.{i}.mlp.l1.weight")))
            .count();
        Self {
            dim,
            cond_dim: shape("condition_projection.weight", 1).unwrap_or(dim),
            action_dim: shape("output_projection.weight", 0).unwrap_or(known.action_dim),
            horizon: shape("position_embedding.weight", 0)
                .or_else(|| shape("slot_queries.weight", 0))
                .unwrap_or(known.horizon),
            layers: if layers == 0 { known.layers } else { layers },
            rope: map.contains("decoder.layers.0.self_attn.qkv_proj.weight"),
            slot: map.contains("slot_modulation.weight"),
            mult: shape("decoder.layers.0.mlp.l2.weight", 1)
                .filter(|_| dim > 0)
                .map_or(known.mult, |hidden| hidden / dim),
            ..known.clone()
        }
    }

    /// Numbers of one action chunk.
    pub fn chunk(&self) -> usize {
        self.horizon * self.action_dim
    }

    /// Checks that the sizes belong together.
    ///
    /// # Errors
    /// [`DecoderConfigError::Value`] naming the first key that does not fit.
    pub fn check(&self, file: &str) -> Result<(), DecoderConfigError> {
        let wrong = |key: &'static str, expected: String, found: usize| {
            Err(DecoderConfigError::Value {
                file: file.to_string(),
                key,
                expected,
                found: found.to_string(),
            })
        };
        for (key, value) in [
            ("dim", self.dim),
            ("cond_dim", self.cond_dim),
            ("tokens", self.tokens),
            ("action_dim", self.action_dim),
            ("horizon", self.horizon),
            ("layers", self.layers),
            ("heads", self.heads),
            ("mult", self.mult),
        ] {
            if value == 0 || value > LARGEST {
                return wrong(key, format!("1..={LARGEST}"), value);
            }
        }
        // Sines and cosines share the features; rotary pairs share a head.
        let pairs = if self.rope {
            2 * self.heads
        } else {
            self.heads
        };
        if !self.dim.is_multiple_of(pairs) || !self.dim.is_multiple_of(2) {
            let kind = if self.rope { "2 heads" } else { "heads" };
            let expected = format!("an even multiple of {kind}, heads = {}", self.heads);
            return wrong("dim", expected, self.dim);
        }
        if self.dim / self.heads > 256 {
            let expected = format!("at most 256 heads = {}", 256 * self.heads);
            return wrong("dim", expected, self.dim);
        }
        Ok(())
    }
}
