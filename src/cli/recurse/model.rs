//! Which model: weights, and what no shape of theirs tells.

use crate::cli::exit::Usage;
use crate::cli::model::{load_weights, read_text};
use anyhow::Result;
use attractor::formats::ArrayMap;
use attractor::models::recursive::{Architecture, PuzzleRows, RecursiveConfig, RecursiveSettings};
use attractor::worlds::puzzles::PuzzleSet;
use std::path::{Path, PathBuf};

/// Which model to load.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelArguments {
    /// Weights: safetensors, npz, or a PyTorch checkpoint
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Which state dictionary of a PyTorch checkpoint [default: averaged weights first]
    #[arg(long, value_name = "KEY")]
    pub weights_key: Option<String>,
    /// Configuration, JSON or the YAML of a run [default: that beside the weights, else all_config.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which model [default: by the configuration, else by the weights]
    #[arg(long, value_enum)]
    pub arch: Option<Arch>,
    /// Attention heads, which no shape tells
    #[arg(long, value_name = "COUNT")]
    pub heads: Option<usize>,
    /// Updates of the upper latent in a step, which no shape tells
    #[arg(long, value_name = "COUNT")]
    h_cycles: Option<usize>,
    /// Updates of the lower latent before each of them, which no shape tells
    #[arg(long, value_name = "COUNT")]
    l_cycles: Option<usize>,
    /// Give every puzzle the mean of a table of puzzle embeddings that was made for other puzzles
    #[arg(long)]
    mean_puzzle_embedding: bool,
}

/// `--arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// Hierarchical Reasoning Model
    Hrm,
    /// Tiny Recursive Model
    Trm,
}

impl ModelArguments {
    /// The file of the weights.
    pub fn weights(&self) -> Result<&Path> {
        let missing = || Usage("--weights: expected a file, found none".into());
        Ok(self.weights.as_deref().ok_or_else(missing)?)
    }

    /// File of the weights, for records.
    pub fn file(&self) -> String {
        let file = self.weights.as_ref();
        file.map_or_else(String::new, |file| file.display().to_string())
    }

    /// What to do with a table of puzzle embeddings of another size.
    pub fn puzzle_rows(&self) -> PuzzleRows {
        match self.mean_puzzle_embedding {
            true => PuzzleRows::Mean,
            false => PuzzleRows::Exact,
        }
    }

    /// Weights and their shape: flags first, then the configuration, the data, the weights.
    pub fn load(&self, set: &PuzzleSet) -> Result<(ArrayMap, RecursiveConfig)> {
        let weights = load_weights(self.weights()?, self.weights_key.as_deref())?;
        let flags = RecursiveSettings {
            arch: self.arch.map(|arch| match arch {
                Arch::Hrm => Architecture::Hrm,
                Arch::Trm => Architecture::Trm,
            }),
            num_heads: self.heads,
            h_cycles: self.h_cycles,
            l_cycles: self.l_cycles,
            ..RecursiveSettings::default()
        };
        let (file, given) = match self.configuration() {
            Some(path) => {
                let file = path.display().to_string();
                let settings = RecursiveSettings::parse(&file, &read_text(&path)?)?;
                (file, settings)
            }
            None => (self.file(), RecursiveSettings::default()),
        };
        let data = RecursiveSettings {
            seq_len: Some(set.seq_len),
            vocab_size: set.vocab_size,
            num_puzzle_identifiers: set.num_puzzle_identifiers,
            ..RecursiveSettings::default()
        };
        let settings = flags.or(&given).or(&data);
        let config = settings.complete(&file, &weights)?;
        self.check_table(&config, &weights)?;
        Ok((weights, config))
    }

    /// Names the way out where the table of puzzle embeddings was made for other puzzles.
    fn check_table(&self, config: &RecursiveConfig, weights: &ArrayMap) -> Result<()> {
        let own = attractor::models::recursive::recursive_arrays(weights);
        let table = own.find("puzzle_emb.weights").map(|table| table.shape());
        match table {
            Some(&[found, _])
                if found != config.num_puzzle_identifiers && !self.mean_puzzle_embedding =>
            {
                Err(Usage(format!(
                    "{}: puzzle_emb.weights: expected {} rows, one a puzzle, found {found}; \
                     --mean-puzzle-embedding gives every puzzle their mean",
                    self.file(),
                    config.num_puzzle_identifiers
                ))
                .into())
            }
            _ => Ok(()),
        }
    }

    /// The given configuration, or one beside the weights, if there is one.
    fn configuration(&self) -> Option<PathBuf> {
        let weights = self.weights.as_deref().unwrap_or(Path::new(""));
        let beside = ["json", "yaml", "yml"].map(|name| weights.with_extension(name));
        let of_run = weights
            .parent()
            .unwrap_or(Path::new(""))
            .join("all_config.yaml");
        let mut known = beside.into_iter().chain([of_run]);
        self.config
            .clone()
            .or_else(|| known.find(|path| path.is_file()))
    }
}
