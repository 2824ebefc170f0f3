//! What is asked of a flow sampler, and what it gives.

use super::adaptive::AdaptiveSettings;
use super::error::{FlowError, refuse};
use super::noise::fill_noise;
use super::solver::Method;
use crate::models::flow::DecoderConfig;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most numbers of recorded states, held in double precision.
const MOST_RECORDED: usize = 1 << 28;
/// Most steps of a solver: recorded launches take memory.
const MOST_STEPS: usize = 100_000;

/// How the ODE is solved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// Equal steps.
    Fixed {
        /// Method.
        method: Method,
        /// Steps from t = 0 to t = 1.
        steps: usize,
    },
    /// Dormand-Prince 5(4) with a step size for every row.
    Adaptive(AdaptiveSettings),
}

impl Default for Solver {
    /// The original's choice for every reported number.
    fn default() -> Self {
        Self::Fixed {
            method: Method::Heun,
            steps: 32,
        }
    }
}

impl Solver {
    /// Checks the settings themselves.
    ///
    /// # Errors
    /// [`FlowError::Request`] naming the setting.
    pub fn check(&self) -> Result<(), FlowError> {
        match self {
            Self::Fixed { steps, .. } if *steps == 0 || *steps > MOST_STEPS => {
                Err(refuse("steps", format!("1..={MOST_STEPS}"), steps))
            }
            Self::Fixed { .. } => Ok(()),
            Self::Adaptive(settings) => settings.check(),
        }
    }
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { method, steps } => write!(f, "{method}/{steps}"),
            Self::Adaptive(settings) => {
                let (relative, absolute) =
                    (settings.relative_tolerance, settings.absolute_tolerance);
                write!(f, "adaptive/{relative:e}")?;
                if absolute == relative {
                    return Ok(());
                }
                write!(f, ",{absolute:e}")
            }
        }
    }
}

impl FromStr for Solver {
    type Err = String;

    /// A method and its steps, such as `rk4/256`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected METHOD/STEPS such as rk4/256, found {text:?}");
        let (method, steps) = text.split_once('/').ok_or_else(wrong)?;
        let solver = Self::Fixed {
            method: method.parse()?,
            steps: steps.parse().map_err(|_| wrong())?,
        };
        solver.check().map_err(|error| error.to_string())?;
        Ok(solver)
    }
}

impl AdaptiveSettings {
    fn check(&self) -> Result<(), FlowError> {
        let positive = |v: f32| v.is_finite() && v > 0.0;
        for (what, value) in [
            ("relative tolerance", self.relative_tolerance),
            ("absolute tolerance", self.absolute_tolerance),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(refuse(what, "a finite number of at least 0", value));
            }
        }
        if !positive(self.relative_tolerance.max(self.absolute_tolerance)) {
            return Err(refuse("tolerance", "one of the two above 0", 0));
        }
        for (what, step) in [
            ("initial step", self.initial_step),
            ("maximum step", self.maximum_step),
        ] {
            if !(positive(step) && (2e-6..=1.0).contains(&step)) {
                return Err(refuse(what, "in [2e-6, 1]", step));
            }
        }
        if self.maximum_steps == 0 {
            return Err(refuse("maximum steps", "at least 1", 0));
        }
        Ok(())
    }
}

/// Where draws start.
#[derive(Debug, Clone, Copy)]
pub enum Noise<'a> {
    /// Standard normals, see [`super::fill_noise`], times a temperature.
    Seeded {
        /// Seed.
        seed: u64,
        /// Which of several independent sets of draws.
        stream: u32,
        /// Standard deviation.
        temperature: f32,
    },
    /// These numbers, `[frames, draws, H, A]`, as they are.
    Recorded(&'a [f32]),
}

/// Frames to draw for.
#[derive(Debug, Clone, Copy)]
pub struct FlowRequest<'a> {
    /// Condition tokens `[frames, S, Dc]`, finite.
    pub conditions: &'a [f32],
    /// Frames.
    pub frames: usize,
    /// Number of the first frame in the whole job: noise is keyed by it.
    pub first_frame: u32,
    /// Draws K of a frame.
    pub draws: usize,
    /// Where they start.
    pub noise: Noise<'a>,
    /// How the ODE is solved.
    pub solver: Solver,
    /// Whether every state is kept (equal steps only).
    pub record: bool,
}

impl FlowRequest<'_> {
    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.frames.saturating_mul(self.draws)
    }

    /// Where a draw of a frame of the request starts, one chunk.
    pub(super) fn fill_start(&self, (frame, draw): (usize, usize), start: &mut [f32]) {
        match self.noise {
            Noise::Seeded {
                seed,
                stream,
                temperature,
            } => {
                let frame = self.first_frame + frame as u32;
                fill_noise(start, (seed, stream), (frame, draw as u32), temperature);
            }
            Noise::Recorded(values) => {
                let at = (frame * self.draws + draw) * start.len();
                start.copy_from_slice(&values[at..at + start.len()]);
            }
        }
    }

    /// Checks the request against a model.
    ///
    /// # Errors
    /// [`FlowError::Request`] naming the part that does not fit.
    pub fn check(&self, config: &DecoderConfig) -> Result<(), FlowError> {
        self.solver.check()?;
        if self.draws == 0 {
            return Err(refuse("draws", "at least 1 draw a frame (K)", 0));
        }
        if self.frames == 0 {
            return Err(refuse("frames", "at least 1", 0));
        }
        let most = u32::MAX as usize;
        let last = self.frames.saturating_add(self.first_frame as usize);
        if last > most || self.rows().saturating_mul(config.chunk()) > most {
            let numbers = self.rows().saturating_mul(config.chunk());
            let expected = format!("frame numbers and numbers of all draws up to {most}");
            return Err(refuse("frames and draws", expected, last.max(numbers)));
        }
        let (tokens, width) = (config.tokens, config.cond_dim);
        let expected = self.frames * tokens * width;
        if self.conditions.len() != expected {
            return Err(refuse(
                "conditions",
                format!(
                    "{} frames of {tokens} tokens of {width}: {expected} numbers",
                    self.frames
                ),
                format!("{} numbers", self.conditions.len()),
            ));
        }
        if let Some(place) = self.conditions.iter().position(|v| !v.is_finite()) {
            let frame = place / (tokens * width);
            let (token, column) = (place / width % tokens, place % width);
            return Err(refuse(
                "conditions",
                "finite numbers",
                format!(
                    "{} at frame {frame}, token {token}, column {column}",
                    self.conditions[place]
                ),
            ));
        }
        if let (true, Solver::Fixed { steps, .. }) = (self.record, self.solver) {
            let states = self.rows().saturating_mul(config.chunk());
            let numbers = states.saturating_mul(steps.saturating_add(1));
            if numbers > MOST_RECORDED {
                let expected = format!("at most {MOST_RECORDED} numbers of recorded states");
                return Err(refuse("record", expected, numbers));
            }
        }
        self.check_noise(config)?;
        if self.record && matches!(self.solver, Solver::Adaptive(_)) {
            return Err(refuse(
                "record",
                "a solver with equal steps",
                "the adaptive one",
            ));
        }
        Ok(())
    }

    fn check_noise(&self, config: &DecoderConfig) -> Result<(), FlowError> {
        match self.noise {
            Noise::Seeded { temperature, .. } => {
                let legal = temperature.is_finite() && temperature >= 0.0;
                let expected = "a finite number of at least 0";
                if legal {
                    Ok(())
                } else {
                    Err(refuse("noise temperature", expected, temperature))
                }
            }
            Noise::Recorded(values) => {
                let (h, a) = (config.horizon, config.action_dim);
                let expected = self.rows() * h * a;
                if values.len() != expected {
                    return Err(refuse(
                        "noise",
                        format!(
                            "{} rows of {h} slots of {a} channels: {expected} numbers",
                            self.rows()
                        ),
                        format!("{} numbers", values.len()),
                    ));
                }
                match values.iter().find(|v| !v.is_finite()) {
                    Some(strange) => Err(refuse("noise", "finite numbers", strange)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What carrying out a request took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FlowReport {
    /// Runs that the batch was cut into.
    pub runs: usize,
    /// Frames and draws of one run.
    pub run_frames: usize,
    /// Draws of one run.
    pub run_draws: usize,
    /// Launches of all runs.
    pub dispatches: u64,
    /// Launches of one step of one run.
    pub dispatches_a_step: usize,
    /// Submissions of all runs; one a run unless the watchdog rule demands more.
    pub submissions: u64,
    /// Seconds of the host to record and submit; on the CPU device the work itself.
    pub host_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
    /// Bytes of working memory.
    pub working_bytes: u64,
    /// Velocity evaluations of a row: the same for all rows with equal steps, the mean otherwise.
    pub evaluations: f64,
    /// Accepted and rejected steps of the adaptive solver, over all rows.
    pub accepted: u64,
    /// Rejected steps.
    pub rejected: u64,
}

/// End points of all draws.
#[derive(Debug, Clone)]
pub struct FlowDraws {
    /// `[frames, draws, H, A]`, model space.
    pub values: Vec<f32>,
    /// The same in double precision, for devices that compute in it.
    pub values_f64: Vec<f64>,
    /// Every state `[frames * draws, steps + 1, H, A]`, where recorded.
    pub trajectories: Option<Vec<f64>>,
    /// What it took.
    pub report: FlowReport,
}
