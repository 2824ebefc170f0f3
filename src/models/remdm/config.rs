//! Configuration of the denoiser, from the flat JSON beside its weights.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What can be wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {message}")]
    Read {
        /// File.
        file: String,
        /// The system's or the parser's words.
        message: String,
    },
    /// A key has a value the model is not defined for.
    #[error("{file}: {key} is {found}, expected {expected}")]
    Value {
        /// File, or "configuration".
        file: String,
        /// Key.
        key: &'static str,
        /// What is accepted.
        expected: String,
        /// What was given.
        found: String,
    },
}

/// Shapes of the denoiser; keys and defaults are those of the original's flat configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DenoiserConfig {
    /// Actions A; logits have this many columns.
    pub action_dim: usize,
    /// Token that stands for a masked action; always A.
    pub mask_token: usize,
    /// Token that stands for no action; always A + 1.
    pub pad_token: usize,
    /// Side of the local crop.
    pub crop_size: usize,
    /// Rows of the global map.
    pub map_h: usize,
    /// Columns of the global map.
    pub map_w: usize,
    /// Width E of the transformer.
    pub n_embd: usize,
    /// Attention heads.
    pub n_head: usize,
    /// Transformer blocks.
    pub n_layer: usize,
    /// Global tokens; the 2 x 4 pooling fixes it to 8.
    pub n_global_tokens: usize,
    /// Actions L in a plan.
    pub seq_len: usize,
    /// Whether the global map is seen at all.
    pub use_global_stream: bool,
    /// Diffusion time steps T.
    pub num_diffusion_steps: usize,
}

impl Default for DenoiserConfig {
    fn default() -> Self {
        Self {
            action_dim: 12,
            mask_token: 12,
            pad_token: 13,
            crop_size: 9,
            map_h: 21,
            map_w: 79,
            n_embd: 256,
            n_head: 4,
            n_layer: 4,
            n_global_tokens: 8,
            seq_len: 64,
            use_global_stream: true,
            num_diffusion_steps: 100,
        }
    }
}

/// Largest value that a size in a configuration may have; larger ones are mistakes or attacks.
const LARGEST: usize = 65_536;

/// Most cells of a level. No weight depends on its size, so nothing else bounds what its convolutions
/// take: 128 MiB an example for the embedding of this many.
const LARGEST_MAP: usize = 1 << 20;

impl DenoiserConfig {
    /// Reads a configuration from JSON text: the object under `config`, or the flat object itself.
    /// Unknown keys belong to other parts of the original and are left alone.
    ///
    /// # Errors
    /// [`ConfigError`] naming `file` and the key.
    pub fn from_json(file: &str, text: &str) -> Result<Self, ConfigError> {
        let read = |message: String| ConfigError::Read {
            file: file.to_string(),
            message,
        };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| read(format!("not JSON: {e}")))?;
        let object = value.get("config").unwrap_or(&value);
        if !object.is_object() {
            return Err(read("expected an object of configuration keys".into()));
        }
        let config: Self =
            serde_json::from_value(object.clone()).map_err(|e| read(e.to_string()))?;
        config.check(file)?;
        Ok(config)
    }

    /// Checks that the sizes belong together.
    ///
    /// # Errors
    /// [`ConfigError::Value`] naming the first key that does not fit.
    pub fn check(&self, file: &str) -> Result<(), ConfigError> {
        let wrong = |key: &'static str, expected: String, found: usize| {
            Err(ConfigError::Value {
                file: file.to_string(),
                key,
                expected,
                found: found.to_string(),
            })
        };
        for (key, value) in [
            ("action_dim", self.action_dim),
            ("crop_size", self.crop_size),
            ("map_h", self.map_h),
            ("map_w", self.map_w),
            ("n_embd", self.n_embd),
            ("n_head", self.n_head),
            ("n_layer", self.n_layer),
            ("seq_len", self.seq_len),
            ("num_diffusion_steps", self.num_diffusion_steps),
        ] {
            if value == 0 || value > LARGEST {
                return wrong(key, format!("1..={LARGEST}"), value);
            }
        }
        let cells = self.map_h.saturating_mul(self.map_w);
        if cells > LARGEST_MAP {
            return wrong("map_h * map_w", format!("at most {LARGEST_MAP}"), cells);
        }
        if self.mask_token != self.action_dim {
            return wrong(
                "mask_token",
                format!("action_dim = {}", self.action_dim),
                self.mask_token,
            );
        }
        if self.pad_token != self.action_dim + 1 {
            let expected = format!("action_dim + 1 = {}", self.action_dim + 1);
            return wrong("pad_token", expected, self.pad_token);
        }
        if !self.n_embd.is_multiple_of(self.n_head) {
            return wrong(
                "n_embd",
                format!("a multiple of n_head = {}", self.n_head),
                self.n_embd,
            );
        }
        if self.n_embd / self.n_head > 256 {
            return wrong(
                "n_embd",
                format!("at most 256 n_head = {}", 256 * self.n_head),
                self.n_embd,
            );
        }
        if self.use_global_stream && self.n_global_tokens != 8 {
            return wrong(
                "n_global_tokens",
                "8, from the 2 x 4 pooling".into(),
                self.n_global_tokens,
            );
        }
        Ok(())
    }

    /// Tokens before the actions: the local one, and the global ones if they are there.
    pub fn context_tokens(&self) -> usize {
        if self.use_global_stream {
            1 + self.n_global_tokens
        } else {
            1
        }
    }

    /// Tokens in all.
    pub fn tokens(&self) -> usize {
        self.context_tokens() + self.seq_len
    }
}
