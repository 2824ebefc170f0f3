//! Weights and configuration of the planner from files, or those built into the program.

use super::exit::Usage;
use anyhow::Result;
use attractor::formats::torch::{Checkpoint, StateDict, WRAPPER_PREFIXES};
use attractor::formats::{ArrayMap, FileKind, Limits, npz, parse_arrays, read_file, sniff};
use attractor::models::remdm::DenoiserConfig;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The trained planner that ships with the program, and real observations to plan for.
pub mod shipped {
    use super::*;

    const WEIGHTS: &[u8] = include_bytes!("../../assets/remdm_minihack.safetensors");
    const CONFIGURATION: &str = include_str!("../../assets/remdm_minihack.json");
    const OBSERVATIONS: &[u8] = include_bytes!("../../assets/minihack_eval_observations.npz");
    const NAME: &str = "assets/remdm_minihack";

    /// Weights.
    pub fn weights() -> Result<ArrayMap> {
        let file = PathBuf::from(NAME).with_extension("safetensors");
        Ok(parse_arrays(&file, WEIGHTS, &Limits::default())?)
    }

    /// Configuration.
    pub fn configuration() -> Result<Configuration> {
        Configuration::parse(&PathBuf::from(NAME).with_extension("json"), CONFIGURATION)
    }

    /// First observations of 350 evaluation episodes.
    pub fn observations() -> Result<ArrayMap> {
        let file = Path::new("assets/minihack_eval_observations.npz");
        Ok(npz::parse(file, OBSERVATIONS, &Limits::default())?)
    }
}

/// A configuration file: the shapes of the network, and defaults of the sampler.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Where it came from, for errors.
    pub file: String,
    /// Shapes.
    pub denoiser: DenoiserConfig,
    values: Value,
}

impl Configuration {
    /// Reads the given file, or the JSON beside the weights of the same stem.
    pub fn load(given: Option<&Path>, weights: &Path) -> Result<Self> {
        // A path to weights that are not there must not be taken for a missing configuration.
        std::fs::metadata(weights)
            .map_err(|error| Usage(format!("{}: cannot open: {error}", weights.display())))?;
        let beside = weights.with_extension("json");
        if given.is_none() && !beside.is_file() {
            return Err(Usage(format!(
                "{}: no configuration beside the weights: expected {}, or --config FILE",
                weights.display(),
                beside.display()
            ))
            .into());
        }
        let path = given.unwrap_or(&beside);
        Self::parse(path, &read_text(path)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let file = path.display().to_string();
        let denoiser = DenoiserConfig::from_json(&file, text)?;
        let mut values: Value = serde_json::from_str(text)?;
        if let Some(inner) = values.get_mut("config") {
            values = inner.take();
        }
        Ok(Self {
            file,
            denoiser,
            values,
        })
    }

    /// Whether a key is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.is_null())
    }

    /// A value by key, if it is there.
    pub fn get<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        if !self.has(key) {
            return Ok(None);
        }
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|error| Usage(format!("{}: {key}: {error}", self.file)).into())
    }
}

/// The text of a configuration file.
pub fn read_text(path: &Path) -> Result<String> {
    let limits = Limits {
        file_bytes: 16 << 20,
        ..Limits::default()
    };
    let bytes = read_file(path, &limits)?;
    String::from_utf8(bytes).map_err(|_| {
        let file = path.display();
        Usage(format!(
            "{file}: expected JSON text, found bytes that are not UTF-8"
        ))
        .into()
    })
}

/// Loads weights of any of the three kinds of file, without the prefixes that PyTorch wrappers put
/// before all names. `key` chooses the state dictionary of a PyTorch checkpoint.
pub fn load_weights(path: &Path, key: Option<&str>) -> Result<ArrayMap> {
    let limits = Limits::default();
    let bytes = read_file(path, &limits)?;
    let kind = sniff(path, &bytes)?;
    let mut map = match (kind, key) {
        (FileKind::Torch, _) => {
            let choice = StateDict {
                key: key.map(str::to_string),
                strip_prefixes: true,
            };
            Checkpoint::parse(path, &bytes, &limits)?.state_dict(&choice)?
        }
        (_, None) => parse_arrays(path, &bytes, &limits)?,
        (kind, Some(key)) => {
            return Err(Usage(format!(
                "{}: --weights-key {key}: expected a PyTorch checkpoint, found {kind:?}",
                path.display()
            ))
            .into());
        }
    };
    map.strip_common_prefixes(&WRAPPER_PREFIXES);
    Ok(map)
}
