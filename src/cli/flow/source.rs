//! What to predict for: conditions, and the actions that were taken where they are known.

use crate::cli::drive::{DriveList, check_samples};
use crate::cli::exit::Usage;
use crate::cli::output::note;
use anyhow::Result;
use attractor::formats::feature_cache::{CacheExpectation, FeatureCache, FeatureCacheError};
use attractor::formats::{
    ArrayError, ArrayMap, FileKind, Limits, parse_arrays, read_file, safetensors, sniff,
};
use attractor::worlds::driving::{CHANNELS, CacheForm, Drive, FRAMES, feature_cache};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

const CONDITIONS: &str = "cond";
const TARGETS: &str = "target_actions";

/// Where conditions and truth come from.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceArguments {
    /// Feature cache, or an npz or safetensors file with cond [N, S, Dc] and perhaps target_actions
    /// [N, H, R]
    #[arg(value_name = "DATA", conflicts_with = "drives")]
    pub data: Option<PathBuf>,
    /// Drives of DriveChunk-1 in place of a file, such as 24-28
    #[arg(long, value_name = "LIST")]
    pub drives: Option<DriveList>,
    /// Samples of each drive
    #[arg(long, value_name = "COUNT", default_value_t = FRAMES, conflicts_with = "data")]
    pub frames: usize,
    /// Set the action history inside the conditions of the drives to zero
    #[arg(long, conflicts_with = "data")]
    pub history_zeroed: bool,
    /// Take every Nth row
    #[arg(long, value_name = "ROWS", default_value_t = 1)]
    pub frame_stride: usize,
    /// Names of the raw action channels of a file that is no feature cache, in order
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_values_t = CHANNELS.map(String::from))]
    pub action_keys: Vec<String>,
}

/// The actions that were taken, raw.
#[derive(Debug, Clone)]
pub struct Truth {
    /// `[N, H, R]`.
    pub values: Vec<f32>,
    /// Slots H.
    pub horizon: usize,
    /// Names of the R channels.
    pub keys: Vec<String>,
}

/// Rows to predict for; those that are not finite are left out.
#[derive(Debug)]
pub struct Source {
    /// File, or the drives in words.
    pub name: String,
    /// Condition tokens `[N, S, Dc]`.
    pub conditions: Vec<f32>,
    /// Tokens S.
    pub tokens: usize,
    /// Width Dc of a token.
    pub width: usize,
    /// The actions that were taken, where known.
    pub truth: Option<Truth>,
    /// Number of each row in the file or in the drives one after another, `[N]`.
    pub rows: Vec<usize>,
    /// Steps of history T; 1 where the file tells of none.
    pub history_steps: usize,
    /// Frame numbers of the history `[N, T]`, oldest first; row numbers where the file has none.
    pub frame_idx: Vec<i32>,
    /// Times of the history `[N, T]`.
    pub time_stamp: Vec<i64>,
    /// Names of the recordings `[N]`.
    pub input_id: Vec<String>,
    /// Rows before any were left out.
    pub file_rows: usize,
    /// Rows left out as not finite.
    pub dropped: usize,
}

/// The shape of a condition and of the history.
struct Widths {
    condition: usize,
    target: usize,
    history: usize,
}

impl Source {
    /// Reads or generates the rows, leaves out those that are not finite, and says how many.
    pub fn load(arguments: &SourceArguments) -> Result<Self> {
        if arguments.frame_stride == 0 {
            return Err(Usage("--frame-stride: expected at least 1, found 0".into()).into());
        }
        let mut source = match (&arguments.data, &arguments.drives) {
            (Some(file), _) => Self::read(file, &arguments.action_keys)?,
            (None, Some(drives)) => Self::generate(drives, arguments)?,
            (None, None) => {
                return Err(Usage("expected a file or --drives, found neither".into()).into());
            }
        };
        if source.file_rows == 0 {
            return Err(Usage(format!("{}: expected at least 1 row, found 0", source.name)).into());
        }
        source.keep(arguments.frame_stride)?;
        Ok(source)
    }

    /// Rows N.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Conditions of some rows `[.., S, Dc]`.
    pub fn conditions_of(&self, range: std::ops::Range<usize>) -> &[f32] {
        let width = self.tokens * self.width;
        let range = range.start * width..range.end * width;
        self.conditions.get(range).unwrap_or_default()
    }

    /// The frame a row is about: the last of its history.
    pub fn frame(&self, row: usize) -> Option<i32> {
        let last = (row + 1) * self.history_steps;
        self.frame_idx.get(last.checked_sub(1)?).copied()
    }

    fn generate(numbers: &DriveList, arguments: &SourceArguments) -> Result<Self> {
        check_samples(numbers, arguments.frames)?;
        let drives: Vec<Drive> = numbers
            .0
            .par_iter()
            .map(|&number| Drive::generate(number, arguments.frames))
            .collect();
        let form = CacheForm {
            history_zeroed: arguments.history_zeroed,
            single_precision: true,
        };
        let cache = feature_cache(&drives, form)?;
        let list: Vec<String> = numbers.0.iter().map(ToString::to_string).collect();
        let name = format!("{} drives {}", cache.meta.model_artifact, list.join(","));
        Ok(Self::of_cache(name, cache))
    }

    fn read(file: &Path, keys: &[String]) -> Result<Self> {
        let limits = Limits::default();
        let bytes = read_file(file, &limits)?;
        let is_safetensors = sniff(file, &bytes)? == FileKind::Safetensors;
        let arrays = if is_safetensors {
            safetensors::parse(file, &bytes, &limits)?
        } else {
            parse_arrays(file, &bytes, &limits)?
        };
        // A cache says that it is one, by its header or by what only caches have.
        let parts = ["frame_idx", "time_stamp", "input_id"];
        let is_cache = parts.iter().any(|name| arrays.contains(name));
        if is_safetensors && (is_cache || arrays.metadata().contains_key("meta")) {
            drop(arrays);
            let cache = FeatureCache::parse(file, &bytes, &limits, &CacheExpectation::default())?;
            return Ok(Self::of_cache(file.display().to_string(), cache));
        }
        if is_cache && !arrays.contains("time_stamp") {
            let file = file.to_path_buf();
            return Err(FeatureCacheError::Schema { file, found: 1 }.into());
        }
        Self::of_arrays(file, &arrays, keys)
    }

    fn of_cache(name: String, cache: FeatureCache) -> Self {
        let rows = cache.rows();
        let values = cache.conditions.len();
        Self {
            name,
            conditions: cache.conditions.range(0..values).unwrap_or_default(),
            tokens: cache.meta.condition_tokens.len(),
            width: cache.condition_dim,
            truth: Some(Truth {
                values: cache.target_actions,
                horizon: cache.horizon,
                keys: cache.meta.action_keys,
            }),
            rows: (0..rows).collect(),
            history_steps: cache.meta.history_steps,
            frame_idx: cache.frame_idx,
            time_stamp: cache.time_stamp,
            input_id: cache.input_id,
            file_rows: rows,
            dropped: 0,
        }
    }

    fn of_arrays(file: &Path, arrays: &ArrayMap, keys: &[String]) -> Result<Self> {
        let wrong = |name: &str, expected: String, found: &[usize]| {
            let found = format!("{found:?}");
            arrays.array_error(name, ArrayError::Invalid { expected, found })
        };
        let array = arrays.get(CONDITIONS)?;
        let &[rows, tokens, width] = array.shape() else {
            return Err(wrong(CONDITIONS, "shape [N, S, Dc]".into(), array.shape()).into());
        };
        if tokens == 0 || width == 0 {
            let expected = "shape [N, S, Dc] with S and Dc of at least 1".into();
            return Err(wrong(CONDITIONS, expected, array.shape()).into());
        }
        let conditions = array
            .to_f32()
            .map_err(|source| arrays.array_error(CONDITIONS, source))?;
        let truth = match arrays.find(TARGETS) {
            None => None,
            Some(array) => match *array.shape() {
                [count, horizon, channels]
                    if count == rows && channels == keys.len() && horizon > 0 =>
                {
                    Some(Truth {
                        values: array
                            .to_f32()
                            .map_err(|source| arrays.array_error(TARGETS, source))?,
                        horizon,
                        keys: keys.to_vec(),
                    })
                }
                _ => {
                    let names = keys.join(", ");
                    let expected = format!("shape [{rows}, H, {}] ({names})", keys.len());
                    return Err(wrong(TARGETS, expected, array.shape()).into());
                }
            },
        };
        let stem = file.file_stem().unwrap_or(file.as_os_str());
        let frames = 0..rows as i64;
        Ok(Self {
            name: file.display().to_string(),
            conditions,
            tokens,
            width,
            truth,
            rows: (0..rows).collect(),
            history_steps: 1,
            frame_idx: frames.clone().map(|frame| frame as i32).collect(),
            time_stamp: frames.collect(),
            input_id: vec![stem.to_string_lossy().into_owned(); rows],
            file_rows: rows,
            dropped: 0,
        })
    }

    /// Keeps every `stride`-th row, and of these the finite ones.
    fn keep(&mut self, stride: usize) -> Result<()> {
        let widths = Widths {
            condition: self.tokens * self.width,
            target: self.truth.as_ref().map_or(0, |t| t.horizon * t.keys.len()),
            history: self.history_steps,
        };
        let taken: Vec<usize> = self.rows.iter().copied().step_by(stride).collect();
        let kept: Vec<usize> = taken
            .iter()
            .copied()
            .filter(|&row| self.is_finite(row, &widths))
            .collect();
        self.dropped = taken.len() - kept.len();
        if self.dropped > 0 {
            note(&format!(
                "dropped  {} of {} rows of {} with conditions or actions that are not finite",
                self.dropped,
                taken.len(),
                self.name
            ));
        }
        if kept.is_empty() {
            return Err(Usage(format!(
                "{}: expected rows of finite numbers, found none in {} rows",
                self.name,
                taken.len()
            ))
            .into());
        }
        if kept.len() < self.rows.len() {
            self.conditions = pick(&self.conditions, widths.condition, &kept);
            self.frame_idx = pick(&self.frame_idx, widths.history, &kept);
            self.time_stamp = pick(&self.time_stamp, widths.history, &kept);
            self.input_id = pick(&self.input_id, 1, &kept);
            if let Some(truth) = &mut self.truth {
                truth.values = pick(&truth.values, widths.target, &kept);
            }
            self.rows = kept;
        }
        Ok(())
    }

    fn is_finite(&self, row: usize, widths: &Widths) -> bool {
        let finite = |values: &[f32], width: usize| {
            let row = values.get(row * width..(row + 1) * width);
            row.is_some_and(|row| row.iter().all(|value| value.is_finite()))
        };
        finite(&self.conditions, widths.condition)
            && self
                .truth
                .as_ref()
                .is_none_or(|truth| finite(&truth.values, widths.target))
    }
}

/// Some rows of `width` values.
fn pick<T: Clone>(values: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    let part = |&row: &usize| values.get(row * width..(row + 1) * width);
    rows.iter().filter_map(part).flatten().cloned().collect()
}
