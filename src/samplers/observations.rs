//! What the planner looks at, and what it gives back.

use super::PlannerError;
use crate::formats::ArrayMap;
use crate::models::remdm::{DenoiserConfig, GLYPH_ROWS};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Observations of a batch: glyphs of the crop around the agent and of the level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observations {
    /// Examples N.
    pub count: usize,
    /// Side of the crop.
    pub crop: usize,
    /// Rows and columns of the level.
    pub map: (usize, usize),
    /// `[N, crop, crop]`.
    pub local: Vec<i32>,
    /// `[N, rows, columns]`.
    pub global: Vec<i32>,
}

impl Observations {
    /// Checks shapes and that every glyph has a row in the embeddings.
    ///
    /// # Errors
    /// [`PlannerError::Observation`] naming the array, the place and what was expected.
    pub fn new(
        config: &DenoiserConfig,
        local: Vec<i32>,
        global: Vec<i32>,
    ) -> Result<Self, PlannerError> {
        let cells = config.crop_size.saturating_mul(config.crop_size).max(1);
        let observations = Self {
            count: local.len().div_ceil(cells),
            crop: config.crop_size,
            map: (config.map_h, config.map_w),
            local,
            global,
        };
        observations.check(config)?;
        Ok(observations)
    }

    /// Checks shapes and glyphs against a model.
    ///
    /// # Errors
    /// As [`Observations::new`].
    pub fn check(&self, config: &DenoiserConfig) -> Result<(), PlannerError> {
        let count = self.count;
        let cells = config.crop_size.saturating_mul(config.crop_size);
        let level = config.map_h.saturating_mul(config.map_w);
        let wrong = |array: &'static str, expected: String, found: String| {
            Err(PlannerError::Observation {
                source_name: "observations".into(),
                array,
                expected,
                found,
            })
        };
        if count == 0 {
            return wrong("local_obs", "at least one example".into(), "none".into());
        }
        if self.crop != config.crop_size || self.local.len() != count.saturating_mul(cells) {
            return wrong(
                "local_obs",
                format!("crops of {0} x {0} glyphs", config.crop_size),
                format!("{} glyphs", self.local.len()),
            );
        }
        if self.map != (config.map_h, config.map_w)
            || self.global.len() != count.saturating_mul(level)
        {
            return wrong(
                "global_obs",
                format!("{count} maps of {} x {} glyphs", config.map_h, config.map_w),
                format!("{} glyphs", self.global.len()),
            );
        }
        for (array, glyphs, size) in [
            ("local_obs", &self.local, cells),
            ("global_obs", &self.global, level),
        ] {
            let bad = glyphs
                .iter()
                .position(|&g| g < 0 || g as usize >= GLYPH_ROWS);
            if let Some(place) = bad {
                return wrong(
                    array,
                    format!("glyphs in 0..{GLYPH_ROWS}"),
                    format!(
                        "{} in example {} at cell {}",
                        glyphs[place],
                        place / size,
                        place % size
                    ),
                );
            }
        }
        Ok(())
    }

    /// Reads `local_obs` and `global_obs` of an npz of observations.
    ///
    /// # Errors
    /// [`PlannerError`] naming the file and the array that is missing, misshapen or out of range.
    pub fn from_arrays(config: &DenoiserConfig, arrays: &ArrayMap) -> Result<Self, PlannerError> {
        let examples = arrays
            .get("local_obs")?
            .shape()
            .first()
            .copied()
            .unwrap_or(0);
        if examples == 0 {
            return Err(PlannerError::Observation {
                source_name: arrays.file().display().to_string(),
                array: "local_obs",
                expected: "at least one example".into(),
                found: "none".into(),
            });
        }
        let local =
            arrays.expect_i32("local_obs", &[examples, config.crop_size, config.crop_size])?;
        let global = arrays.expect_i32("global_obs", &[examples, config.map_h, config.map_w])?;
        Self::new(config, local, global).map_err(|error| match error {
            PlannerError::Observation {
                array,
                expected,
                found,
                ..
            } => PlannerError::Observation {
                source_name: arrays.file().display().to_string(),
                array,
                expected,
                found,
            },
            other => other,
        })
    }

    /// Glyphs of one crop.
    pub fn cells(&self) -> usize {
        self.crop.saturating_mul(self.crop)
    }

    /// Glyphs of one level.
    pub fn level(&self) -> usize {
        self.map.0.saturating_mul(self.map.1)
    }

    /// A contiguous part of the examples; out-of-range parts are cut off.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.count);
        let start = range.start.min(end);
        Self {
            count: end - start,
            local: part(&self.local, start, end, self.cells()),
            global: part(&self.global, start, end, self.level()),
            ..*self
        }
    }
}

/// Rows `start..end` of a row-major array; what is not there is left out.
fn part(values: &[i32], start: usize, end: usize, width: usize) -> Vec<i32> {
    let range = start.saturating_mul(width)..end.saturating_mul(width);
    values.get(range).unwrap_or(&[]).to_vec()
}

/// Random numbers handed in, so that a run elsewhere can be replayed. Parts that the sampler does not
/// draw may be empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draws {
    /// Steps K.
    pub steps: usize,
    /// Uniforms of the categorical choices `[K, N, L]`.
    pub categorical: Vec<f32>,
    /// Uniforms of unmasking `[K, N, L]` (`remdm_bernoulli`).
    pub unmask: Vec<f32>,
    /// Uniforms of remasking `[K, N, L]`.
    pub remask: Vec<f32>,
}

/// What to plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// Observations.
    pub observations: &'a Observations,
    /// Seed of the random streams.
    pub seed: u64,
    /// Number of the first example in the whole job.
    pub first_example: u32,
    /// Random numbers to use instead of the generator's.
    pub draws: Option<&'a Draws>,
    /// For every example the actions already executed, which stay as they are.
    pub locked: Option<&'a [Vec<i32>]>,
    /// For every example whether a step north, east, south or west meets a hazard; needed where the
    /// settings are physics-aware.
    pub hazards: Option<&'a [[bool; 4]]>,
    /// Whether to record what every step did.
    pub record: bool,
}

impl<'a> PlanRequest<'a> {
    /// A plan from nothing for every observation.
    pub fn new(observations: &'a Observations, seed: u64) -> Self {
        Self {
            observations,
            seed,
            first_example: 0,
            draws: None,
            locked: None,
            hazards: None,
            record: false,
        }
    }
}

/// What a run took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct PlannerReport {
    /// Runs that the batch was cut into.
    pub chunks: usize,
    /// Examples of one run.
    pub chunk: usize,
    /// Denoising steps carried out.
    pub steps: u32,
    /// Launches in all.
    pub dispatches: u64,
    /// Submissions in all.
    pub submissions: u64,
    /// Host time to record and submit, summed over runs.
    pub host_seconds: f64,
    /// Wall time of the whole batch.
    pub seconds: f64,
    /// Bytes of working memory held.
    pub working_bytes: u64,
}

/// Values of one kind recorded at every step.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Shape, `[K, N, ...]`.
    pub shape: Vec<usize>,
    /// Values, row-major; words are exact in a double.
    pub values: Vec<f64>,
}

impl Recorded {
    /// The values of one step.
    pub fn step(&self, step: usize) -> &[f64] {
        let length: usize = self.shape.iter().skip(1).product();
        let start = step.saturating_mul(length);
        self.values
            .get(start..start.saturating_add(length))
            .unwrap_or(&[])
    }
}

/// What every step of a run did, by name: `logits`, `probabilities`, `prediction`, `confidence`,
/// `tokens_in`, `tokens_out`; with `unmask_top` also `decision` (bit 0 committed, bit 1 remasked, bits
/// 8.. the token between the two) and `remask_probability`; with `remask_bernoulli` also `psi_in`,
/// `sigma`, `unmask_probability` and `decision` (0 none, 1 committed, 2 remasked).
pub type Trace = BTreeMap<String, Recorded>;

/// Finished plans.
#[derive(Debug, Clone)]
pub struct Plans {
    /// Examples N.
    pub count: usize,
    /// Actions L of a plan.
    pub length: usize,
    /// `[N, L]`.
    pub tokens: Vec<i32>,
    /// Predicted staircase of every example as (row / 20, column / 78), where the model predicts it.
    pub goal: Option<Vec<[f32; 2]>>,
    /// What every step did, if it was recorded.
    pub trace: Option<Trace>,
    /// What it took.
    pub report: PlannerReport,
}

impl Plans {
    /// The plan of one example.
    pub fn plan(&self, example: usize) -> &[i32] {
        let start = example.saturating_mul(self.length);
        self.tokens
            .get(start..start.saturating_add(self.length))
            .unwrap_or(&[])
    }
}
