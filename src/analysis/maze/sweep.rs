//! Models of graded quality, measured and put to work.

use super::growth::{Growth, GrowthSettings, growth};
use super::metrics::{OfflineMetrics, action_sequence, offline_metrics};
use crate::device::Device;
use crate::training::mlp::{MlpParameters, Recipe, train as train_mlps};
use crate::worlds::maze::{
    Atlas, EpisodeSettings, Episodes, INPUTS, Lane, Layout, LearnedMaze, MazeError, MazeModel,
    OUTPUTS, training_batch,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// Step size of Adam.
const LEARNING_RATE: f64 = 1e-2;

/// A sweep over training lengths and seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepSettings {
    /// Epochs of training; the outer order of the cells.
    pub epochs: Vec<u32>,
    /// Seeds of initial weights and planner; the inner order.
    pub seeds: Vec<u64>,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Length of the sequence of M2 and M4.
    pub k_steps: usize,
    /// Episodes of each cell.
    pub episodes: EpisodeSettings,
    /// Sequences of M4, and whether it is measured at all.
    pub growth_sequences: Option<usize>,
}

impl SweepSettings {
    /// The published study: 24 cells of 20 episodes.
    pub fn published() -> Self {
        Self {
            epochs: super::PUBLISHED_EPOCHS.to_vec(),
            seeds: super::PUBLISHED_SEEDS.to_vec(),
            hidden: 32,
            k_steps: 8,
            episodes: EpisodeSettings::published(),
            growth_sequences: None,
        }
    }

    /// Two cells and three short episodes, to see that all works.
    pub fn smoke() -> Self {
        let published = Self::published();
        Self {
            epochs: vec![2, 50],
            seeds: vec![0],
            episodes: EpisodeSettings {
                episodes: 3,
                horizon: 20,
                ..published.episodes
            },
            ..published
        }
    }

    /// Checks that a sweep can be made so.
    ///
    /// # Errors
    /// [`MazeError`] naming an empty list, a duplicate, or a number out of range.
    pub fn check(&self) -> Result<(), MazeError> {
        let most = 1_000_000;
        let epochs: BTreeSet<_> = self.epochs.iter().collect();
        let seeds: BTreeSet<_> = self.seeds.iter().collect();
        let lists = [
            ("epochs", self.epochs.len(), epochs.len()),
            ("seeds", self.seeds.len(), seeds.len()),
        ];
        for (what, count, distinct) in lists {
            if count == 0 {
                return Err(MazeError::setting(what, "at least one", "none"));
            }
            if count != distinct {
                let found = format!("{} of them twice", count - distinct);
                return Err(MazeError::setting(what, "each one once", found));
            }
        }
        if let Some(found) = self.epochs.iter().find(|e| !(1..=most).contains(*e)) {
            return Err(MazeError::setting("epochs", format!("1 to {most}"), found));
        }
        if !(1..=4096).contains(&self.hidden) {
            return Err(MazeError::setting("hidden", "1 to 4096", self.hidden));
        }
        let growth = GrowthSettings {
            steps: self.k_steps,
            sequences: self.growth_sequences.unwrap_or(1),
        };
        growth.check()?;
        self.episodes.check()
    }
}

/// A model of the sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Epochs of training.
    pub epochs: u32,
    /// Seed.
    pub seed: u64,
    /// Weights.
    pub parameters: MlpParameters,
}

/// A cell of the sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepCell {
    /// Epochs of training.
    pub epochs: u32,
    /// Seed.
    pub seed: u64,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// M1 to M3.
    pub metrics: OfflineMetrics,
    /// M4, where it is measured.
    pub growth: Option<Growth>,
    /// What planning came to.
    pub episodes: Episodes,
}

/// Weights that training starts from: those given for a seed and this width, else uniform ones.
fn initial(
    settings: &SweepSettings,
    given: &[(u64, MlpParameters)],
) -> Result<Vec<MlpParameters>, MazeError> {
    let widths = [INPUTS, settings.hidden, settings.hidden, OUTPUTS];
    let of_seed = |seed: &u64| {
        let known = given
            .iter()
            .find(|(s, p)| s == seed && p.widths() == widths);
        match known {
            Some((_, parameters)) => Ok(parameters.clone()),
            None => Ok(MlpParameters::uniform(&widths, *seed, 0)?),
        }
    };
    settings.seeds.iter().map(of_seed).collect()
}

/// Trains the models of a sweep: each seed once, all of them together, with snapshots on the way. Cells
/// are in the order of the study, epochs outer, seeds inner. `given` are initial weights by seed; seeds
/// without any, or of another width, start from uniform ones.
///
/// # Errors
/// [`MazeError`] for settings out of range, and from training.
pub fn train(
    device: &Device,
    layout: &Layout,
    settings: &SweepSettings,
    given: &[(u64, MlpParameters)],
) -> Result<Vec<Trained>, MazeError> {
    settings.check()?;
    let start = initial(settings, given)?;
    let (inputs, targets) = training_batch(layout);
    let mut ascending = settings.epochs.clone();
    ascending.sort_unstable();
    let recipe = Recipe::adam(LEARNING_RATE, &ascending);
    let models = train_mlps(device, &start, &inputs, &targets, &recipe)?;
    let mut cells = Vec::with_capacity(settings.epochs.len() * settings.seeds.len());
    for &epochs in &settings.epochs {
        for (&seed, model) in settings.seeds.iter().zip(&models) {
            let snapshot = model.snapshots.iter().find(|s| s.epochs == epochs);
            let Some(snapshot) = snapshot else {
                let expected = format!("a snapshot after {epochs} epochs");
                return Err(MazeError::setting("training", expected, "none"));
            };
            cells.push(Trained {
                epochs,
                seed,
                parameters: snapshot.parameters.clone(),
            });
        }
    }
    Ok(cells)
}

/// Measures models and plans with them. A lane's seed is that of its model; counters have the epochs as
/// their stream, so that cells of one seed do not share their luck.
///
/// # Errors
/// [`MazeError`] for settings and models that do not fit, for a model that runs off, and from the device.
pub fn evaluate(
    device: &Device,
    layout: &Layout,
    settings: &SweepSettings,
    models: &[Trained],
) -> Result<Vec<SweepCell>, MazeError> {
    let learned: Result<Vec<MazeModel>, MazeError> = models
        .iter()
        .map(|model| {
            let name = format!("model of seed {} after {} epochs", model.seed, model.epochs);
            let learned = LearnedMaze::new(name, model.parameters.clone())?;
            Ok(MazeModel::Learned(learned))
        })
        .collect();
    let mut atlas = Atlas::new(layout, device, learned?)?;
    let lanes = models.iter().enumerate().map(|(index, model)| Lane {
        model: index,
        seed: model.seed,
        stream: model.epochs,
    });
    let lanes: Vec<Lane> = lanes.collect();
    let episodes = Episodes::run(&mut atlas, &lanes, settings.episodes)?;
    let sequence = action_sequence(0, settings.k_steps);
    let cells = models.iter().zip(episodes).enumerate();
    let cells = cells.map(|(index, (model, episodes))| {
        let growth = match settings.growth_sequences {
            Some(sequences) => {
                let steps = settings.k_steps;
                Some(growth(
                    &mut atlas,
                    index,
                    GrowthSettings { steps, sequences },
                )?)
            }
            None => None,
        };
        Ok(SweepCell {
            epochs: model.epochs,
            seed: model.seed,
            hidden: settings.hidden,
            metrics: offline_metrics(&mut atlas, index, &sequence)?,
            growth,
            episodes,
        })
    });
    cells.collect()
}

/// [`evaluate`], but a model that runs off, or predicts no displacement, fails alone: results `[models]`.
///
/// # Errors
/// As [`evaluate`], but for those two.
pub fn evaluate_each(
    device: &Device,
    layout: &Layout,
    settings: &SweepSettings,
    models: &[Trained],
) -> Result<Vec<Result<SweepCell, MazeError>>, MazeError> {
    let is_own = |error: &MazeError| {
        matches!(
            error,
            MazeError::Window { .. } | MazeError::Displacement { .. }
        )
    };
    match evaluate(device, layout, settings, models) {
        Ok(cells) => return Ok(cells.into_iter().map(Ok).collect()),
        Err(error) if !is_own(&error) => return Err(error),
        Err(_) => {}
    }
    // A cell does not depend on those beside it, so that alone it comes out the same.
    let mut results = Vec::with_capacity(models.len());
    for model in models.chunks(1) {
        match evaluate(device, layout, settings, model) {
            Ok(cells) => results.extend(cells.into_iter().map(Ok)),
            Err(error) if is_own(&error) => results.push(Err(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(results)
}

/// [`train`], then [`evaluate`].
///
/// # Errors
/// As both.
pub fn sweep(
    device: &Device,
    layout: &Layout,
    settings: &SweepSettings,
    given: &[(u64, MlpParameters)],
) -> Result<Vec<SweepCell>, MazeError> {
    let models = train(device, layout, settings, given)?;
    evaluate(device, layout, settings, &models)
}
