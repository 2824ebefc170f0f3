//! The report of all cells.

use super::arms::{self, OracleArms, Protocol};
use super::cell::{CellRow, Context, Measured};
use super::registry::{Entry, REGISTRY, Skipped, Source};
use super::{Metrics, Sample, SampleSettings, Stage2Error, measure};
use crate::analysis::correlation::{BootstrapOptions, Cell, Environment, within_environments};
use crate::device::Device;
use crate::models::Dynamics;
use crate::models::adapter::{Adapter, AdapterFile};
use crate::models::control::ControlTask;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Metrics whose correlation with the gap is published.
pub const METRICS: [&str; 3] = ["m1_l2_onestep", "m2_l2_kstep", "m3_action_agreement"];

/// These and, after them, those beyond the published ones.
pub const ALL_METRICS: [&str; 6] = [
    METRICS[0],
    METRICS[1],
    METRICS[2],
    "m3_held_action_agreement",
    "m4_exponent_difference",
    "m4_exponent_distance",
];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReportConfig {
    /// States and actions.
    pub sample: SampleSettings,
    /// Tangents of M4.
    pub columns: usize,
    /// Episodes of an arm of a gap that is measured anew; none for the published gaps alone.
    pub episodes: Option<usize>,
}

/// Cells that were measured and those that were not.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// States and actions.
    pub config: SampleSettings,
    /// Correlations of [`METRICS`] with the gap within each environment, as JSON.
    pub within_env_correlation: Value,
    /// Cells without a result, a checkpoint or numbers.
    pub skipped: Vec<Skipped>,
    /// Cells.
    pub cells: Vec<CellRow>,
}

/// Why there is no row.
enum Trouble {
    /// The cell is left out: the reason, the published gap where it is known, the file.
    Skip(String, Option<f64>, PathBuf),
    /// Nothing more can be measured.
    Fail(Stage2Error),
}

impl From<Stage2Error> for Trouble {
    fn from(error: Stage2Error) -> Self {
        Self::Fail(error)
    }
}

impl Report {
    /// Measures every cell of the registry that is there. A cell whose files are missing or cannot be used
    /// is left out with the reason, and fails nothing; `see` is told each before it is begun.
    ///
    /// # Errors
    /// [`Stage2Error`] of a device that fails, of settings that no cell can be measured with, or of the
    /// statistics.
    pub fn measure(
        config: &ReportConfig,
        results: &Source,
        checkpoints: &Path,
        device: &Device,
        mut see: impl FnMut(&str),
    ) -> Result<Self, Stage2Error> {
        let (mut skipped, mut cells) = (Vec::new(), Vec::new());
        let mut oracles = OracleArms::default();
        for entry in &REGISTRY {
            see(&entry.name());
            let row = row(config, entry, (results, checkpoints), device, &mut oracles);
            match row {
                Ok(row) => cells.push(row),
                Err(Trouble::Skip(reason, gap, path)) => skipped.push(Skipped {
                    cell: entry.name(),
                    reason,
                    env: entry.task.name().into(),
                    file: entry.file(),
                    gap,
                    path: path.display().to_string(),
                }),
                Err(Trouble::Fail(error)) => return Err(error),
            }
        }
        Ok(Self {
            config: config.sample,
            within_env_correlation: within(&cells)?,
            skipped,
            cells,
        })
    }
}

fn row(
    config: &ReportConfig,
    entry: &Entry,
    (results, checkpoints): (&Source, &Path),
    device: &Device,
    oracles: &mut OracleArms,
) -> Result<CellRow, Trouble> {
    let downstream = results.find(entry).map_err(|(path, reason)| {
        let reason = match reason.starts_with("missing") {
            true => format!("{reason}: {}", path.display()),
            false => reason,
        };
        Trouble::Skip(reason, None, path)
    })?;
    let path = entry.find_checkpoint(checkpoints).map_err(|path| {
        let reason = format!("missing checkpoint: {}", path.display());
        Trouble::Skip(reason, Some(downstream.gap), path)
    })?;
    let skip = |reason: String| Trouble::Skip(reason, Some(downstream.gap), path.clone());
    let adapter = AdapterFile::load(&path).map_err(|error| skip(error.to_string()))?;
    let adapter = fitting(adapter.adapter, entry.task).map_err(skip)?;
    let sample = Sample::draw(entry.task, &config.sample)?;
    let unless_device = |error: Stage2Error| match error.is_of_device() {
        true => Trouble::Fail(error),
        false => skip(error.to_string()),
    };
    let metrics: Metrics =
        measure(&adapter, &sample, config.columns, device).map_err(unless_device)?;
    let context = Context {
        downstream_json: entry.file(),
        oracle_success_rate: downstream.oracle_success_rate,
        learned_success_rate: downstream.learned_success_rate,
        training_steps: downstream.training_steps,
        n_states: config.sample.n_states,
        k_steps: config.sample.k_steps,
    };
    let key = (entry.task.name(), entry.model_size, entry.seed);
    let mut row = CellRow::new(key, &metrics, &downstream, context).map_err(unless_device)?;
    if let Some(episodes) = config.episodes {
        let protocol = Protocol {
            episodes,
            ..Protocol::published(entry.seed)
        };
        let oracle = oracles.successes(entry.task, &protocol)?;
        let gap = arms::measure_gap((entry.task, &oracle), &adapter, &protocol, device);
        row.measured = Measured::of(gap)?;
    }
    Ok(row)
}

/// Refuses an adapter of another task.
fn fitting(adapter: Adapter, task: ControlTask) -> Result<Adapter, String> {
    let (name, arch) = (task.name(), adapter.arch());
    for (what, expected, found) in [
        ("obs_dim", task.state(), arch.obs_dim),
        ("action_dim", task.action(), arch.action_dim),
    ] {
        if expected != found {
            let reason = format!("arch.{what}: expected {expected} as {name} has, found {found}");
            return Err(reason);
        }
    }
    let table = arms::action_table(task);
    if adapter.actions() == table {
        return Ok(adapter);
    }
    let found = adapter.actions();
    Err(format!(
        "action_set: expected the actions of {name}, {table:?}, found {found:?}"
    ))
}

/// The published block of correlations within environments, Spearman's, with 10,000 resamples of seed 0.
///
/// # Errors
/// [`Stage2Error::Correlation`].
pub fn within(cells: &[CellRow]) -> Result<Value, Stage2Error> {
    let found = correlated(cells, &METRICS)?;
    Ok(serde_json::to_value(Environment::block(&found)).unwrap_or(Value::Null))
}

/// The same of [`ALL_METRICS`], not yet as JSON.
///
/// # Errors
/// [`Stage2Error::Correlation`].
pub fn within_all(cells: &[CellRow]) -> Result<Vec<Environment>, Stage2Error> {
    correlated(cells, &ALL_METRICS)
}

fn correlated(cells: &[CellRow], metrics: &[&str]) -> Result<Vec<Environment>, Stage2Error> {
    let object = |cell: &CellRow| match serde_json::to_value(cell) {
        Ok(Value::Object(cell)) => Some(cell),
        _ => None,
    };
    let cells: Vec<Cell> = cells.iter().filter_map(object).collect();
    let options = BootstrapOptions::default();
    Ok(within_environments(&cells, metrics, "gap", &options)?)
}

#[cfg(test)]
mod tests {
    use super::super::Downstream;
    use super::super::exponents::Divergence;
    use super::*;

    fn cell(seed: u32) -> CellRow {
        let order = f64::from(seed);
        let metrics = Metrics {
            one_step: order,
            k_step: 2.0 * order,
            agreement: Some(-order),
            held_agreement: Some(1.0 - order),
            divergence: Some(Divergence {
                mean: -order,
                mean_absolute: order,
                states: 4,
            }),
        };
        let downstream = Downstream {
            verdict: "INCONCLUSIVE".into(),
            gap: 0.1 * order,
            oracle_success_rate: 1.0,
            learned_success_rate: 1.0 - 0.1 * order,
            training_steps: None,
        };
        let context = Context {
            downstream_json: "gap.json".into(),
            oracle_success_rate: 1.0,
            learned_success_rate: 1.0 - 0.1 * order,
            training_steps: None,
            n_states: 4,
            k_steps: 2,
        };
        CellRow::new(("dmc_cartpole", 1, seed), &metrics, &downstream, context).unwrap()
    }

    #[test]
    fn metrics_beyond_the_published_follow_them() {
        let cells: Vec<CellRow> = (0..4).map(cell).collect();
        let published = within(&cells).unwrap();
        let found = within_all(&cells).unwrap();
        let all = serde_json::to_value(Environment::block(&found)).unwrap();
        let names: Vec<&str> = found[0].metrics.iter().map(|one| &one.0[..]).collect();
        assert_eq!(names, ALL_METRICS);
        let [published, all] = [&published, &all].map(|block| &block["dmc_cartpole"]["metrics"]);
        assert_eq!(published.as_object().unwrap().len(), METRICS.len());
        for name in METRICS {
            assert_eq!(published[name], all[name]);
        }
        let signs = [1.0, 1.0, -1.0, -1.0, -1.0, 1.0];
        for (name, sign) in ALL_METRICS.into_iter().zip(signs) {
            assert_eq!(all[name]["rho"], sign, "{name}");
        }
    }
}
