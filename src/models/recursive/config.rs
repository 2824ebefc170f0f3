//! Shape and schedule of a recursive reasoner.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Two networks, one for each latent.
    Hrm,
    /// One network for both latents.
    Trm,
}

/// How the network learns of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// Queries and keys are turned by their position.
    Rope,
    /// A learned vector is added to every embedding.
    Learned,
    /// Not at all: a mixer tells positions by its weights.
    None,
}

/// Shape and schedule; the keys of its JSON are those of the original.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecursiveConfig {
    /// Which model.
    pub arch: Architecture,
    /// Width D.
    pub hidden_size: usize,
    /// Attention heads; a mixer has none.
    pub num_heads: usize,
    /// Width of the gated layers as a multiple of their inputs, before rounding.
    pub expansion: f64,
    /// Blocks of the upper network; HRM alone has one.
    #[serde(rename = "H_layers")]
    pub h_layers: usize,
    /// Blocks of the lower, or only, network.
    #[serde(rename = "L_layers")]
    pub l_layers: usize,
    /// Updates of the upper latent in one step.
    #[serde(rename = "H_cycles")]
    pub h_cycles: usize,
    /// Updates of the lower latent before each of them.
    #[serde(rename = "L_cycles")]
    pub l_cycles: usize,
    /// Whether blocks mix over the length in place of attention.
    pub mlp_t: bool,
    /// Positions.
    pub pos_encodings: Positions,
    /// Numbers E of a puzzle's own embedding; 0 for none.
    pub puzzle_emb_ndim: usize,
    /// Rows P that the puzzle's embedding takes before the puzzle.
    pub puzzle_emb_len: usize,
    /// Rows of the table of puzzle embeddings.
    pub num_puzzle_identifiers: usize,
    /// Tokens V.
    pub vocab_size: usize,
    /// Cells S of a puzzle.
    pub seq_len: usize,
    /// Added to the mean square under the root of every norm.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Steps of a run.
    pub halt_max_steps: usize,
    /// Whether halting looks at the sign of its own logit alone, as TRM was trained, and not at the logit
    /// for going on, as HRM was.
    #[serde(rename = "no_ACT_continue")]
    pub no_act_continue: bool,
}

/// What can be wrong with a configuration.
#[derive(Debug, Error)]
pub enum RecursiveConfigError {
    /// The text is no configuration.
    #[error("{file}: {message}")]
    Read {
        /// File.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A value is out of range or does not go with the others.
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
pub(super) const LARGEST: usize = 65_536;
/// Most level calls of one step; each is nodes of a graph.
const MOST_CALLS: usize = 4096;
/// Most steps of a run.
const MOST_STEPS: usize = 1_000_000;
/// Most puzzles with an embedding of their own.
const MOST_PUZZLES: usize = 1 << 24;

impl RecursiveConfig {
    /// Rows L of the latents: the puzzle's embedding, then the puzzle.
    pub fn length(&self) -> usize {
        self.puzzle_emb_len + self.seq_len
    }

    /// Numbers of one example's joint state: both latents, `2 L D`.
    pub fn dimension(&self) -> usize {
        2 * self.length() * self.hidden_size
    }

    /// Level calls of one step.
    pub fn calls(&self) -> usize {
        self.h_cycles * (self.l_cycles + 1)
    }

    /// Width of the hidden layer of a SwiGLU over `inputs` inputs: two thirds of `expansion * inputs`, up
    /// to a multiple of 256 (half rounds to even, as in Python).
    pub fn hidden_width(&self, inputs: usize) -> usize {
        let wanted = (2.0 * self.expansion * inputs as f64 / 3.0).round_ties_even();
        // The conversion saturates; the sizes were checked.
        (wanted as usize).div_ceil(256).saturating_mul(256)
    }

    /// Checks that the values belong together.
    ///
    /// # Errors
    /// [`RecursiveConfigError::Value`] naming the first key that does not fit.
    pub fn check(&self, file: &str) -> Result<(), RecursiveConfigError> {
        self.check_ranges(file)?;
        let wrong = |key: &'static str, expected: String, found: String| {
            Err(RecursiveConfigError::Value {
                file: file.to_string(),
                key,
                expected,
                found,
            })
        };
        let (trm, d) = (self.arch == Architecture::Trm, self.hidden_size);
        if self.mlp_t && !trm {
            return wrong("mlp_t", "false for hrm".into(), "true".into());
        }
        if self.calls() > MOST_CALLS {
            let expected = format!("H_cycles (L_cycles + 1) of at most {MOST_CALLS}");
            return wrong("H_cycles", expected, self.calls().to_string());
        }
        if !self.mlp_t {
            self.check_heads(file)?;
        }
        let (rows, numbers) = (self.puzzle_emb_len, self.puzzle_emb_ndim);
        if numbers == 0 && rows > 0 {
            // The original then sizes everything for rows that its embedding does not have.
            let expected = "0, as puzzle_emb_ndim is 0".into();
            return wrong("puzzle_emb_len", expected, rows.to_string());
        }
        if numbers > rows * d {
            let expected = format!("at most puzzle_emb_len hidden_size = {}", rows * d);
            return wrong("puzzle_emb_ndim", expected, numbers.to_string());
        }
        if self.length() > LARGEST {
            let expected = format!("at most {LARGEST} with puzzle_emb_len = {rows}");
            return wrong("seq_len", expected, self.seq_len.to_string());
        }
        Ok(())
    }

    fn check_heads(&self, file: &str) -> Result<(), RecursiveConfigError> {
        let (d, heads) = (self.hidden_size, self.num_heads);
        let pairs = self.pos_encodings == Positions::Rope;
        let expected = if heads == 0 || !d.is_multiple_of(heads) {
            format!("a divisor of hidden_size = {d}")
        } else if d / heads > 256 {
            format!(
                "at least {}, as a head has at most 256 numbers",
                d.div_ceil(256)
            )
        } else if pairs && !(d / heads).is_multiple_of(2) {
            format!("heads of an even number of numbers of hidden_size = {d}, as rope turns pairs")
        } else {
            return Ok(());
        };
        Err(RecursiveConfigError::Value {
            file: file.to_string(),
            key: "num_heads",
            expected,
            found: heads.to_string(),
        })
    }

    fn check_ranges(&self, file: &str) -> Result<(), RecursiveConfigError> {
        let upper = usize::from(self.arch == Architecture::Hrm);
        for (key, value, least, most) in [
            ("hidden_size", self.hidden_size, 1, LARGEST),
            ("vocab_size", self.vocab_size, 1, LARGEST),
            ("seq_len", self.seq_len, 1, LARGEST),
            ("L_layers", self.l_layers, 1, 1024),
            ("H_layers", self.h_layers, upper, 1024),
            ("L_cycles", self.l_cycles, 1, MOST_CALLS),
            ("H_cycles", self.h_cycles, 1, MOST_CALLS),
            ("puzzle_emb_ndim", self.puzzle_emb_ndim, 0, LARGEST),
            ("puzzle_emb_len", self.puzzle_emb_len, 0, LARGEST),
            (
                "num_puzzle_identifiers",
                self.num_puzzle_identifiers,
                1,
                MOST_PUZZLES,
            ),
            ("halt_max_steps", self.halt_max_steps, 1, MOST_STEPS),
        ] {
            if !(least..=most).contains(&value) {
                return Err(RecursiveConfigError::Value {
                    file: file.to_string(),
                    key,
                    expected: format!("{least}..={most}"),
                    found: value.to_string(),
                });
            }
        }
        for (key, value, least, most) in [
            ("expansion", self.expansion, 0.0, 256.0),
            ("rms_norm_eps", f64::from(self.rms_norm_eps), -1.0, 1.0),
            ("rope_theta", self.rope_theta, 0.0, 1e12),
        ] {
            if !(value > least && value <= most) {
                let expected = format!("above {least}, at most {most}");
                return Err(RecursiveConfigError::Value {
                    file: file.to_string(),
                    key,
                    expected,
                    found: value.to_string(),
                });
            }
        }
        if self.rms_norm_eps < 0.0 {
            return Err(RecursiveConfigError::Value {
                file: file.to_string(),
                key: "rms_norm_eps",
                expected: "0 or more".into(),
                found: self.rms_norm_eps.to_string(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RecursiveConfig {
        RecursiveConfig {
            arch: Architecture::Trm,
            hidden_size: 48,
            num_heads: 4,
            expansion: 4.0,
            h_layers: 0,
            l_layers: 2,
            h_cycles: 3,
            l_cycles: 6,
            mlp_t: false,
            pos_encodings: Positions::Rope,
            puzzle_emb_ndim: 48,
            puzzle_emb_len: 16,
            num_puzzle_identifiers: 1,
            vocab_size: 11,
            seq_len: 81,
            rms_norm_eps: 1e-5,
            rope_theta: 1e4,
            halt_max_steps: 16,
            no_act_continue: true,
        }
    }

    #[test]
    fn worked_sizes() {
        let config = config();
        for (inputs, hidden) in [(512, 1536), (97, 512), (916, 2560), (48, 256)] {
            assert_eq!(config.hidden_width(inputs), hidden);
        }
        assert_eq!((config.calls(), config.length()), (21, 97));
        assert_eq!(config.dimension(), 2 * 97 * 48);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        config().check("c").unwrap();
        let refused = |change: fn(&mut RecursiveConfig), key: &str| {
            let mut config = config();
            change(&mut config);
            let text = config.check("c.json").unwrap_err().to_string();
            assert!(
                text.starts_with(&format!("c.json: {key}: expected")),
                "{text}"
            );
        };
        refused(|c| c.num_heads = 5, "num_heads");
        refused(|c| c.num_heads = 0, "num_heads");
        refused(|c| c.num_heads = 16, "num_heads");
        refused(|c| c.puzzle_emb_ndim = 0, "puzzle_emb_len");
        refused(|c| c.puzzle_emb_ndim = 48 * 16 + 1, "puzzle_emb_ndim");
        refused(|c| c.l_cycles = 0, "L_cycles");
        refused(|c| c.h_cycles = 1024, "H_cycles");
        refused(|c| c.l_layers = 0, "L_layers");
        refused(|c| c.arch = Architecture::Hrm, "H_layers");
        refused(|c| c.expansion = f64::NAN, "expansion");
        refused(|c| c.rms_norm_eps = -1e-5, "rms_norm_eps");
        refused(|c| c.rope_theta = 0.0, "rope_theta");
        refused(|c| c.seq_len = LARGEST, "seq_len");
        refused(|c| c.halt_max_steps = 0, "halt_max_steps");
        let hrm = |c: &mut RecursiveConfig| {
            (c.arch, c.h_layers, c.mlp_t) = (Architecture::Hrm, 1, true);
        };
        refused(hrm, "mlp_t");
        // A head of three numbers has no pairs, which only rope needs.
        let mut odd = config();
        (odd.num_heads, odd.pos_encodings) = (16, Positions::Learned);
        odd.check("c").unwrap();
    }
}
