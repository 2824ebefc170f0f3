//! Shapes of a TD-MPC2 model and constants of its planner.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Largest value that a size in a configuration may have; larger ones are mistakes or attacks.
const LARGEST: usize = 1 << 20;

/// What can be wrong with a configuration.
#[derive(Debug, Error)]
pub enum Tdmpc2ConfigError {
    /// The text is not a configuration.
    #[error("{file}: {message}")]
    Read {
        /// File.
        file: String,
        /// The parser's words.
        message: String,
    },
    /// A key has a value that the model is not defined for.
    #[error("{file}: {key}: expected {expected}, found {found}")]
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

/// Shapes and constants; keys and defaults are those of the original (Hansen, Su, Wang 2024), at 5 million
/// parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tdmpc2Config {
    /// Numbers of an observation; an index of goldens states it beside the configuration.
    pub obs_dim: usize,
    /// Numbers of an action.
    pub action_dim: usize,
    /// Numbers of a latent, a multiple of `simnorm_dim`.
    pub latent_dim: usize,
    /// Width of the encoder's hidden layers.
    pub enc_dim: usize,
    /// Width of all other hidden layers.
    pub mlp_dim: usize,
    /// Layers of the encoder; fewer than 2 count as 2.
    pub num_enc_layers: usize,
    /// Members of the ensemble of value functions.
    pub num_q: usize,
    /// Bins of reward and value: 0 are numbers, 1 are numbers on the symmetric logarithmic scale.
    pub num_bins: usize,
    /// First bin, symmetric logarithmic.
    pub vmin: f64,
    /// Last bin, symmetric logarithmic.
    pub vmax: f64,
    /// Numbers of a group of SimNorm.
    pub simnorm_dim: usize,
    /// Share of inputs that the value functions drop in training; off at inference.
    pub dropout: f64,
    /// Least logarithm of the policy's standard deviation.
    pub log_std_min: f64,
    /// Largest logarithm of the policy's standard deviation.
    pub log_std_max: f64,
    /// Whether episodes end, so that there is a network for it.
    pub episodic: bool,
    /// Rounds of the planner.
    pub iterations: usize,
    /// Candidates of a round.
    pub num_samples: usize,
    /// Candidates that a round keeps.
    pub num_elites: usize,
    /// Candidates that the policy proposes.
    pub num_pi_trajs: usize,
    /// Steps that the planner looks ahead.
    pub horizon: usize,
    /// Least standard deviation of a planned action.
    pub min_std: f64,
    /// Largest standard deviation of a planned action.
    pub max_std: f64,
    /// Factor on values in the weights of elites.
    pub temperature: f64,
    /// Divisor of the episode's length in the heuristic for the discount.
    pub discount_denom: f64,
    /// Least discount.
    pub discount_min: f64,
    /// Largest discount.
    pub discount_max: f64,
    /// Steps of an episode.
    pub episode_length: usize,
}

impl Default for Tdmpc2Config {
    fn default() -> Self {
        Self {
            obs_dim: 1,
            action_dim: 1,
            latent_dim: 512,
            enc_dim: 256,
            mlp_dim: 512,
            num_enc_layers: 2,
            num_q: 5,
            num_bins: 101,
            vmin: -10.0,
            vmax: 10.0,
            simnorm_dim: 8,
            dropout: 0.01,
            log_std_min: -10.0,
            log_std_max: 2.0,
            episodic: false,
            iterations: 6,
            num_samples: 512,
            num_elites: 64,
            num_pi_trajs: 24,
            horizon: 3,
            min_std: 0.05,
            max_std: 2.0,
            temperature: 0.5,
            discount_denom: 5.0,
            discount_min: 0.95,
            discount_max: 0.995,
            episode_length: 500,
        }
    }
}

/// Sizes that the original names by their millions of parameters: (name, encoder, hidden, latent, encoder
/// layers, value functions).
const PRESETS: [(u32, [usize; 5]); 5] = [
    (1, [256, 384, 128, 2, 2]),
    (5, [256, 512, 512, 2, 5]),
    (19, [1024, 1024, 768, 3, 5]),
    (48, [1792, 1792, 768, 4, 5]),
    (317, [4096, 4096, 1376, 5, 8]),
];

impl Tdmpc2Config {
    /// A size of the original: 1, 5, 19, 48 or 317 million parameters.
    ///
    /// # Errors
    /// [`Tdmpc2ConfigError::Value`] naming the sizes there are.
    pub fn preset(size: u32, obs_dim: usize, action_dim: usize) -> Result<Self, Tdmpc2ConfigError> {
        let found = PRESETS.iter().find(|(name, _)| *name == size);
        let Some((_, [enc_dim, mlp_dim, latent_dim, num_enc_layers, num_q])) = found else {
            let names = PRESETS.map(|(name, _)| name.to_string());
            return Err(value("configuration", "model_size", names.join(", "), size));
        };
        let config = Self {
            obs_dim,
            action_dim,
            latent_dim: *latent_dim,
            enc_dim: *enc_dim,
            mlp_dim: *mlp_dim,
            num_enc_layers: *num_enc_layers,
            num_q: *num_q,
            ..Self::default()
        };
        config.check("configuration")?;
        Ok(config)
    }

    /// Reads a configuration from JSON: the object under `config`, with `obs_dim` beside it, or the flat
    /// object itself. Unknown keys belong to other parts of the original and are left alone.
    ///
    /// # Errors
    /// [`Tdmpc2ConfigError`] naming `file` and the key.
    pub fn from_json(file: &str, json: &serde_json::Value) -> Result<Self, Tdmpc2ConfigError> {
        let read = |message: String| Tdmpc2ConfigError::Read {
            file: file.to_string(),
            message,
        };
        let object = json.get("config").unwrap_or(json);
        if !object.is_object() {
            return Err(read("expected an object of configuration keys".into()));
        }
        let mut object = object.clone();
        if let (Some(outer), None) = (json.get("obs_dim"), object.get("obs_dim")) {
            object["obs_dim"] = outer.clone();
        }
        for key in ["obs_dim", "action_dim"] {
            if object.get(key).is_none() {
                return Err(read(format!("{key}: expected a size, found none")));
            }
        }
        let stated = object.get("bin_size").cloned();
        let config: Self = serde_json::from_value(object).map_err(|e| read(e.to_string()))?;
        config.check(file)?;
        match stated {
            Some(stated) if !stated.is_null() => config.check_bin_size(file, &stated)?,
            _ => {}
        }
        Ok(config)
    }

    /// Files state the width of a bin beside what it follows from; they must agree. Without two bins there
    /// is none, and what is stated has no meaning.
    fn check_bin_size(
        &self,
        file: &str,
        stated: &serde_json::Value,
    ) -> Result<(), Tdmpc2ConfigError> {
        let expected = self.bin_size();
        let agrees = |found: f64| (found - expected).abs() <= 1e-6 * expected;
        if self.num_bins < 2 || stated.as_f64().is_some_and(agrees) {
            return Ok(());
        }
        let expected = format!(
            "(vmax - vmin) / (num_bins - 1) = {expected}, for vmin = {}, vmax = {}, num_bins = {}",
            self.vmin, self.vmax, self.num_bins
        );
        Err(value(file, "bin_size", expected, stated))
    }

    /// Checks every key; `file` is named in errors.
    ///
    /// # Errors
    /// [`Tdmpc2ConfigError::Value`] naming the first that is out of range.
    pub fn check(&self, file: &str) -> Result<(), Tdmpc2ConfigError> {
        let sizes = [
            ("obs_dim", self.obs_dim, 1),
            ("action_dim", self.action_dim, 1),
            ("latent_dim", self.latent_dim, 1),
            ("enc_dim", self.enc_dim, 1),
            ("mlp_dim", self.mlp_dim, 1),
            ("num_q", self.num_q, 1),
            ("num_bins", self.num_bins, 0),
            ("simnorm_dim", self.simnorm_dim, 1),
            ("iterations", self.iterations, 1),
            ("num_samples", self.num_samples, 1),
            ("num_elites", self.num_elites, 1),
            ("num_pi_trajs", self.num_pi_trajs, 0),
            ("horizon", self.horizon, 1),
            ("episode_length", self.episode_length, 1),
        ];
        for (key, found, least) in sizes {
            if !(least..=LARGEST).contains(&found) {
                return Err(value(file, key, format!("{least} to {LARGEST}"), found));
            }
        }
        if self.num_enc_layers > 64 {
            return Err(value(
                file,
                "num_enc_layers",
                "0 to 64",
                self.num_enc_layers,
            ));
        }
        if !self.latent_dim.is_multiple_of(self.simnorm_dim) {
            let expected = format!("a multiple of simnorm_dim = {}", self.simnorm_dim);
            return Err(value(file, "latent_dim", expected, self.latent_dim));
        }
        let candidates = format!("at most num_samples = {}", self.num_samples);
        for (key, found) in [
            ("num_elites", self.num_elites),
            ("num_pi_trajs", self.num_pi_trajs),
        ] {
            if found > self.num_samples {
                return Err(value(file, key, candidates, found));
            }
        }
        self.check_ranges(file)
    }

    fn check_ranges(&self, file: &str) -> Result<(), Tdmpc2ConfigError> {
        let pairs = [
            (("vmin", self.vmin), ("vmax", self.vmax)),
            (
                ("log_std_min", self.log_std_min),
                ("log_std_max", self.log_std_max),
            ),
            (("min_std", self.min_std), ("max_std", self.max_std)),
            (
                ("discount_min", self.discount_min),
                ("discount_max", self.discount_max),
            ),
        ];
        for ((low_key, low), (key, high)) in pairs {
            if !(low.is_finite() && low.abs() < 80.0) {
                return Err(value(file, low_key, "a number of magnitude below 80", low));
            }
            if !(high.is_finite() && high.abs() < 80.0 && high > low) {
                let expected = format!("a number above {low_key} = {low} and below 80");
                return Err(value(file, key, expected, high));
            }
        }
        let positive = [
            ("min_std", self.min_std),
            ("temperature", self.temperature),
            ("discount_denom", self.discount_denom),
            ("discount_min", self.discount_min),
        ];
        for (key, found) in positive {
            if !(found.is_finite() && found > 0.0) {
                return Err(value(file, key, "a number above 0", found));
            }
        }
        if self.discount_max > 1.0 {
            return Err(value(file, "discount_max", "at most 1", self.discount_max));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(value(file, "dropout", "0 or more, below 1", self.dropout));
        }
        Ok(())
    }

    /// Layers of the encoder before the last.
    pub fn hidden_encoder_layers(&self) -> usize {
        self.num_enc_layers.saturating_sub(1).max(1)
    }

    /// Logits of a reward or value.
    pub fn logits(&self) -> usize {
        self.num_bins.max(1)
    }

    /// Width of one bin; 0 where there are none.
    pub fn bin_size(&self) -> f64 {
        match self.num_bins {
            0 | 1 => 0.0,
            bins => (self.vmax - self.vmin) / (bins - 1) as f64,
        }
    }

    /// Discount of one step, from the length of an episode: its share that is left after a fifth of it
    /// (by default), within bounds.
    pub fn discount(&self) -> f64 {
        let steps = self.episode_length as f64 / self.discount_denom;
        ((steps - 1.0) / steps).clamp(self.discount_min, self.discount_max)
    }

    /// Trained parameters: encoder, dynamics, reward, policy, termination and value functions, without
    /// the copies of the last.
    pub fn parameters(&self) -> u64 {
        let wide = |count: usize| count as u64;
        let (mlp, latent) = (wide(self.mlp_dim), wide(self.latent_dim));
        let (action, logits) = (wide(self.action_dim), wide(self.logits()));
        let joint = latent + action;
        let plain = |inputs: u64, outputs: u64| inputs * outputs + outputs;
        let normed = |inputs: u64, outputs: u64| inputs * outputs + 3 * outputs;
        let hidden = |inputs: u64| normed(inputs, mlp) + normed(mlp, mlp);
        let enc = wide(self.enc_dim);
        let encoder = normed(wide(self.obs_dim), enc)
            + wide(self.hidden_encoder_layers() - 1) * normed(enc, enc)
            + normed(enc, latent);
        let dynamics = hidden(joint) + normed(mlp, latent);
        let head = hidden(joint) + plain(mlp, logits);
        let policy = hidden(latent) + plain(mlp, 2 * action);
        let termination = match self.episodic {
            true => hidden(latent) + plain(mlp, 1),
            false => 0,
        };
        encoder + dynamics + policy + termination + head * (1 + wide(self.num_q))
    }
}

fn value(
    file: &str,
    key: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> Tdmpc2ConfigError {
    Tdmpc2ConfigError::Value {
        file: file.to_string(),
        key,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_published_sizes() {
        for (size, parameters) in [(1, 1_198_257), (5, 4_932_704)] {
            let config = Tdmpc2Config::preset(size, 5, 1).unwrap();
            assert_eq!(config.parameters(), parameters, "size {size}");
        }
        // The name of a size is its millions of parameters, at common shapes.
        for size in [19, 48, 317] {
            let config = Tdmpc2Config::preset(size, 24, 6).unwrap();
            let millions = config.parameters() as f64 / 1e6;
            assert!((millions / f64::from(size) - 1.0).abs() < 0.1, "{millions}");
        }
        assert!(Tdmpc2Config::preset(2, 5, 1).is_err());
    }

    #[test]
    fn discounts_of_the_published_lengths() {
        for (episode_length, discount) in [(500, 0.99), (1000, 0.995), (10, 0.95)] {
            let config = Tdmpc2Config {
                episode_length,
                ..Tdmpc2Config::default()
            };
            assert!((config.discount() - discount).abs() < 1e-12);
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let refused = |json: serde_json::Value| {
            Tdmpc2Config::from_json("f.json", &json)
                .unwrap_err()
                .to_string()
        };
        let json = |key: &str, value: serde_json::Value| {
            let mut json = serde_json::json!({"obs_dim": 5, "action_dim": 1});
            json[key] = value;
            json
        };
        for (key, value) in [
            ("bin_size", 0.5.into()),
            ("bin_size", "0.2".into()),
            ("num_q", 0.into()),
            ("latent_dim", 12.into()),
            ("num_elites", 513.into()),
            ("vmax", (-11).into()),
            ("temperature", 0.into()),
            ("discount_max", 1.5.into()),
        ] {
            let error = refused(json(key, value));
            assert!(error.contains("f.json") && error.contains(key), "{error}");
        }
        assert!(refused(serde_json::json!({"obs_dim": 5})).contains("action_dim"));
        assert!(refused(serde_json::json!([1])).contains("object"));
    }
}
