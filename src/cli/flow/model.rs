//! Which policy: weights, their shape, and the statistics that turn its actions into raw ones.

use super::source::Source;
use crate::cli::exit::Usage;
use crate::cli::model::{load_weights, read_text};
use anyhow::{Context, Result};
use attractor::device::Device;
use attractor::formats::{ArrayMap, Limits, parse_arrays};
use attractor::models::flow::actions::ActionTransform;
use attractor::models::flow::{DecoderConfig, TimeDirection, decoder_arrays};
use attractor::samplers::flow::{FlowSampler, RegressionHead};
use attractor::training::action_statistics::ActionStatistics;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The trained decoder of DriveChunk-1 that ships with the program, and the statistics it was trained with.
mod shipped {
    pub const NAME: &str = "drivechunk";
    pub const FILE: &str = "assets/drivechunk_decoder.safetensors";
    pub const STATISTICS_FILE: &str = "assets/drivechunk_statistics.json";
    pub const WEIGHTS: &[u8] = include_bytes!("../../../assets/drivechunk_decoder.safetensors");
    pub const CONFIGURATION: &str = include_str!("../../../assets/drivechunk_decoder.json");
    pub const STATISTICS: &[u8] = include_bytes!("../../../assets/drivechunk_statistics.json");
}

/// Which policy to load.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelArguments {
    /// Weights: safetensors, npz, a PyTorch checkpoint, or the word drivechunk for the decoder that ships
    /// with the program [default: drivechunk]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Which state dictionary of a PyTorch checkpoint [default: averaged weights first]
    #[arg(long, value_name = "KEY")]
    pub weights_key: Option<String>,
    /// Configuration [default: the JSON beside the weights, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Attention heads, which no shape tells [default: by the configuration]
    #[arg(long, value_name = "COUNT")]
    pub heads: Option<usize>,
    /// Condition tokens of a frame [default: by the configuration, else as many as the data have]
    #[arg(long, value_name = "COUNT")]
    pub tokens: Option<usize>,
    /// Which end of the time interval is noise; pi0 and LeRobot have it at one [default: by the
    /// configuration, else noise-at-zero]
    #[arg(long, value_enum, value_name = "END")]
    pub time_direction: Option<Direction>,
    /// Statistics of the actions, which turn model space into raw actions [default: none; for drivechunk
    /// those it was trained with]
    #[arg(long, value_name = "FILE")]
    pub statistics: Option<PathBuf>,
    /// Stay in the space of the model: use no statistics, not even the shipped ones
    #[arg(long, conflicts_with = "statistics")]
    pub model_space: bool,
}

/// `--time-direction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Direction {
    /// t = 0 is noise, t = 1 is the action
    NoiseAtZero,
    /// t = 1 is noise, t = 0 is the action
    NoiseAtOne,
}

impl From<Direction> for TimeDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::NoiseAtZero => Self::NoiseAtZero,
            Direction::NoiseAtOne => Self::NoiseAtOne,
        }
    }
}

/// A policy as loaded, before it is on a device.
#[derive(Debug)]
pub struct Policy {
    /// File of the weights.
    pub file: String,
    /// Weights under the decoder's own names.
    pub weights: ArrayMap,
    /// Shape.
    pub config: DecoderConfig,
    /// Whether it is a regression head and no velocity decoder.
    pub is_regression: bool,
    /// Statistics of the actions, where known.
    pub statistics: Option<ActionStatistics>,
    /// File of the statistics.
    pub statistics_file: Option<String>,
    /// Whether the number of condition tokens is known, or to be taken from the data.
    tokens_known: bool,
}

/// A configuration, where there is one, and what it says.
struct Given {
    file: String,
    values: Map<String, Value>,
}

impl Given {
    fn parse(file: String, text: &str) -> Result<Self> {
        let mut value: Value = serde_json::from_str(text)
            .map_err(|error| Usage(format!("{file}: not JSON: {error}")))?;
        if let Some(inner) = value.get_mut("config") {
            value = inner.take();
        }
        match value {
            Value::Object(values) => Ok(Self { file, values }),
            _ => Err(Usage(format!("{file}: expected an object of configuration keys")).into()),
        }
    }

    /// The given file, or the JSON beside the weights, if there is one.
    fn find(given: Option<&Path>, weights: &Path) -> Result<Option<Self>> {
        let beside = weights.with_extension("json");
        let path = match given {
            Some(path) => path,
            None if beside.is_file() => &beside,
            None => return Ok(None),
        };
        Self::parse(path.display().to_string(), &read_text(path)?).map(Some)
    }

    fn says(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.is_null())
    }

    /// Refuses a configuration that says something else than the weights.
    fn check(
        &self,
        config: &DecoderConfig,
        flags: &ModelArguments,
        regression: bool,
    ) -> Result<()> {
        let Value::Object(found) = serde_json::to_value(config)? else {
            return Ok(());
        };
        for (key, truth) in found {
            let overridden = match key.as_str() {
                "heads" => flags.heads.is_some(),
                "tokens" => flags.tokens.is_some(),
                "time_direction" => flags.time_direction.is_some(),
                // A head is trained beside a decoder, and has neither.
                "rope" | "slot" => regression,
                _ => false,
            };
            match self.values.get(&key) {
                Some(said) if !overridden && !said.is_null() && *said != truth => {
                    let file = &self.file;
                    return Err(Usage(format!(
                        "{file}: {key}: expected {truth} as in the weights, found {said}"
                    ))
                    .into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Policy {
    /// Loads weights, configuration and statistics, and checks them against each other.
    pub fn load(arguments: &ModelArguments) -> Result<Self> {
        let built_in = arguments
            .weights
            .as_deref()
            .filter(|path| *path != Path::new(shipped::NAME));
        let (file, weights, given) = match built_in {
            None => {
                let file = Path::new(shipped::FILE);
                let weights = parse_arrays(file, shipped::WEIGHTS, &Limits::default())?;
                let beside = file.with_extension("json").display().to_string();
                let given = match &arguments.config {
                    Some(path) => Given::parse(path.display().to_string(), &read_text(path)?)?,
                    None => Given::parse(beside, shipped::CONFIGURATION)?,
                };
                (file.to_path_buf(), weights, Some(given))
            }
            Some(file) => {
                let weights = load_weights(file, arguments.weights_key.as_deref())?;
                let given = Given::find(arguments.config.as_deref(), file)?;
                (file.to_path_buf(), weights, given)
            }
        };
        let weights = decoder_arrays(&weights);
        let is_regression = weights.contains("slot_queries.weight");
        let config = shape(arguments, &file, &weights, given.as_ref(), is_regression)?;
        let (statistics, statistics_file) = statistics(arguments, built_in.is_none())?.unzip();
        let policy = Self {
            tokens_known: arguments.tokens.is_some()
                || given.is_some_and(|given| given.says("tokens")),
            file: file.display().to_string(),
            weights,
            config,
            is_regression,
            statistics,
            statistics_file,
        };
        policy.check_statistics()?;
        Ok(policy)
    }

    fn check_statistics(&self) -> Result<()> {
        if let (Some(transform), Some(file)) = (self.transform(), &self.statistics_file) {
            let (expected, found) = (self.config.action_dim, transform.model_channels());
            if expected != found {
                return Err(Usage(format!(
                    "{file}: expected {expected} model channels, the action_dim of {}, found {found} ({})",
                    self.file,
                    transform.model_keys().join(", ")
                ))
                .into());
            }
        }
        Ok(())
    }

    /// From model space to raw actions and back, where statistics are known.
    pub fn transform(&self) -> Option<&ActionTransform> {
        self.statistics
            .as_ref()
            .map(|statistics| &statistics.transform)
    }

    /// Checks that data fit the model; a number of tokens that nothing else told is taken from them.
    pub fn accept(&mut self, source: &Source) -> Result<()> {
        if !self.tokens_known {
            self.config.tokens = source.tokens;
            self.config.check(&source.name)?;
        }
        let (tokens, width) = (self.config.tokens, self.config.cond_dim);
        if (source.tokens, source.width) != (tokens, width) {
            return Err(Usage(format!(
                "{}: cond: expected shape [N, {tokens}, {width}] as {} takes it, found [{}, {}, {}]",
                source.name, self.file, source.file_rows, source.tokens, source.width
            ))
            .into());
        }
        let Some(truth) = &source.truth else {
            return Ok(());
        };
        let horizon = self.config.horizon;
        let channels = self.transform().map(|transform| transform.raw_channels());
        let found = truth.keys.len();
        if truth.horizon != horizon || channels.is_some_and(|expected| expected != found) {
            let channels = channels.map_or("R".to_string(), |channels| channels.to_string());
            return Err(Usage(format!(
                "{}: target_actions: expected shape [N, {horizon}, {channels}], found [{}, {}, {found}]",
                source.name, source.file_rows, truth.horizon
            ))
            .into());
        }
        match self.transform().map(|transform| transform.raw_keys()) {
            Some(keys) if keys != truth.keys => Err(Usage(format!(
                "{}: expected the action channels of the statistics ({}), found {}",
                source.name,
                keys.join(", "),
                truth.keys.join(", ")
            ))
            .into()),
            _ => Ok(()),
        }
    }

    /// The decoder on a device.
    pub fn sampler(&self, device: &Device) -> Result<FlowSampler> {
        if self.is_regression {
            return Err(Usage(format!(
                "{}: expected a velocity decoder, found a regression head (slot_queries.weight), which has \
                 nothing to draw from",
                self.file
            ))
            .into());
        }
        FlowSampler::new(self.config.clone(), &self.weights, device)
            .with_context(|| self.file.clone())
    }

    /// The regression head on a device.
    pub fn head(&self, device: &Device) -> Result<RegressionHead> {
        RegressionHead::new(self.config.clone(), &self.weights, device)
            .with_context(|| self.file.clone())
    }
}

/// The configuration under the flags, over what names and shapes of the weights say.
fn shape(
    arguments: &ModelArguments,
    file: &Path,
    weights: &ArrayMap,
    given: Option<&Given>,
    is_regression: bool,
) -> Result<DecoderConfig> {
    let mut known = match given {
        Some(given) => serde_json::from_value(Value::Object(given.values.clone()))
            .map_err(|error| Usage(format!("{}: {error}", given.file)))?,
        None => DecoderConfig::default(),
    };
    match arguments.heads {
        Some(heads) => known.heads = heads,
        None if given.is_none_or(|given| !given.says("heads")) => {
            let why = match given {
                Some(given) => format!("{} has no key 'heads'", given.file),
                None => format!("no configuration {}", file.with_extension("json").display()),
            };
            return Err(Usage(format!(
                "{}: the number of attention heads is unknown ({why}): expected --heads COUNT or --config FILE",
                file.display()
            ))
            .into());
        }
        None => {}
    }
    known.tokens = arguments.tokens.unwrap_or(known.tokens);
    known.time_direction = arguments
        .time_direction
        .map_or(known.time_direction, Into::into);
    let config = DecoderConfig::infer(weights, &known);
    if let Some(given) = given {
        given.check(&config, arguments, is_regression)?;
    }
    config.check(&file.display().to_string())?;
    Ok(config)
}

/// Statistics and their file: those asked for, else for the shipped decoder its own.
fn statistics(
    arguments: &ModelArguments,
    built_in: bool,
) -> Result<Option<(ActionStatistics, String)>> {
    Ok(match &arguments.statistics {
        Some(path) => Some((ActionStatistics::load(path)?, path.display().to_string())),
        None if built_in && !arguments.model_space => {
            let file = Path::new(shipped::STATISTICS_FILE);
            let statistics = ActionStatistics::parse(file, shipped::STATISTICS)?;
            Some((statistics, shipped::STATISTICS_FILE.to_string()))
        }
        None => None,
    })
}
