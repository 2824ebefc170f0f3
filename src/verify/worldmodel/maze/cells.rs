//! Trained models of the maze: predictions, metrics, episodes, from their final weights.

use super::{all_known, engine, integers, layout, of_calls, of_episodes};
use crate::analysis::correlation::round_to;
use crate::analysis::maze::{OfflineMetrics, SweepCell, SweepSettings, Trained, evaluate};
use crate::device::Device;
use crate::formats::ArrayMap;
use crate::samplers::tabular::{DrawSource, Method, TabularSettings};
use crate::training::mlp::MlpParameters;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node, numbers};
use crate::worlds::maze::{Action, EpisodeSettings, Layout, LearnedMaze, Position, training_batch};

/// Predictions from given weights: a sum of 32 products, twice, and one of 6.
const PREDICTIONS: f64 = 1e-5;

/// Entries that are compared here.
const ENTRIES: &[&str] = &[
    "cell",
    "epochs",
    "seed",
    "hidden",
    "m1_mismatch",
    "m2_kstep_divergence",
    "m3_action_agreement",
    "m1_count",
    "m2_sum",
    "m2_per_state",
    "m3_tau_per_state",
    "m2_action_seq",
    "m3_exact",
    "success_rate",
    "episodes",
    "plan_calls",
    "n_plan_calls",
    "min_rounding_margin",
    "final_loss",
    "f64_train_same_rounded_rows",
    "f64_train_max_abs_pred_diff",
];

/// What the cells of a file have in common.
pub(super) struct Study {
    pub layout: Layout,
    pub settings: SweepSettings,
}

impl Study {
    pub fn read(index: &Node<'_>) -> Result<Self, CaseError> {
        let meta = index.get("meta")?;
        let settings = SweepSettings {
            k_steps: meta.size("k_steps")?,
            growth_sequences: None,
            episodes: EpisodeSettings {
                episodes: meta.size("episodes")?,
                horizon: meta.size("episode_horizon")?,
                planner: TabularSettings {
                    method: Method::Shooting {
                        candidates: meta.size("num_candidates")?,
                    },
                    horizon: meta.size("plan_horizon")?,
                },
                draws: DrawSource::Python,
                kept_calls: usize::MAX,
            },
            ..SweepSettings::published()
        };
        let layout = layout(&index.get("layout")?)?;
        Ok(Self { layout, settings })
    }
}

/// The model of a cell.
pub(super) fn trained(arrays: &ArrayMap, golden: &Node<'_>) -> Result<Trained, CaseError> {
    let prefix = format!("{}.final.net", golden.text("cell")?);
    Ok(Trained {
        epochs: golden.size("epochs")? as u32,
        seed: golden.size("seed")? as u64,
        parameters: MlpParameters::read(arrays, &prefix).map_err(engine)?,
    })
}

pub(in crate::verify::worldmodel) fn run(
    folder: &Folder,
    stem: &str,
    device: &Device,
    cases: &mut Cases,
) {
    let index = folder.index();
    let read = || -> Result<_, CaseError> {
        let study = Study::read(&index)?;
        let arrays = folder.arrays(&format!("{stem}.safetensors"))?;
        let goldens = index.get("cells")?.elements()?;
        let models: Result<Vec<Trained>, CaseError> = goldens
            .iter()
            .map(|golden| trained(&arrays, golden))
            .collect();
        let cells = evaluate(device, &study.layout, &study.settings, &models?);
        Ok((study, arrays, goldens, cells.map_err(engine)?))
    };
    let (study, arrays, goldens, cells_) = match read() {
        Ok(all) => all,
        Err(error) => return cases.run(stem, "maze", |_| Err(error)),
    };
    cases.run(&format!("{stem} training batch"), "maze", |checks| {
        batch(checks, &study.layout, &arrays)
    });
    for (golden, cell) in goldens.iter().zip(&cells_) {
        let name = golden.text("cell").unwrap_or("?");
        cases.run(&format!("{stem}.{name}"), "maze", |checks| {
            all_known(checks, golden, ENTRIES);
            descriptors(checks, golden)?;
            let model = trained(&arrays, golden)?;
            bounds(checks, &index.get("meta")?, &study.layout, &arrays, golden)?;
            predictions(checks, golden, (&study.layout, device), &arrays, &model)?;
            metrics(checks, golden, &cell.metrics)?;
            planning(checks, golden, cell)
        });
    }
}

/// Inputs and targets, which every cell shares.
fn batch(checks: &mut Checks, layout: &Layout, arrays: &ArrayMap) -> Result<(), CaseError> {
    let (inputs, targets) = training_batch(layout);
    for (name, found) in [("train_inputs", inputs), ("train_targets", targets)] {
        let (_, expected) = numbers(arrays, name)?;
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        checks.equal(name, &found, &expected);
    }
    Ok(())
}

/// A cell is called after its epochs, seed and width.
fn descriptors(checks: &mut Checks, golden: &Node<'_>) -> Result<(), CaseError> {
    let [epochs, seed, hidden] = [
        golden.size("epochs")?,
        golden.size("seed")?,
        golden.size("hidden")?,
    ];
    let expected = format!("e{epochs}_s{seed}_h{hidden}");
    checks.equal("cell", &[golden.text("cell")?], &[expected.as_str()]);
    Ok(())
}

/// First and last coordinates of the grid.
fn bounds(
    checks: &mut Checks,
    meta: &Node<'_>,
    layout: &Layout,
    arrays: &ArrayMap,
    golden: &Node<'_>,
) -> Result<(), CaseError> {
    let margins = margins(layout, golden, arrays)?;
    let sides = [("grid_x", layout.width()), ("grid_y", layout.height())];
    for ((key, size), margin) in sides.into_iter().zip(margins) {
        let margin = i64::from(margin);
        let found = [-margin, size as i64 - 1 + margin];
        checks.equal(key, &found, &meta.get(key)?.integers()?);
    }
    Ok(())
}

/// Raw predictions over all transitions and over the window, and how near they come to a half.
fn predictions(
    checks: &mut Checks,
    golden: &Node<'_>,
    (layout, device): (&Layout, &Device),
    arrays: &ArrayMap,
    model: &Trained,
) -> Result<(), CaseError> {
    let cell = golden.text("cell")?;
    let widths = model.parameters.widths();
    let hidden = golden.size("hidden")?;
    let inner = widths
        .get(1..widths.len().saturating_sub(1))
        .unwrap_or_default();
    checks.equal("hidden", inner, &vec![hidden; inner.len()]);
    let learned = LearnedMaze::new(cell, model.parameters.clone()).map_err(engine)?;
    let transitions = layout.transitions();
    let pairs: Vec<(Position, Action)> = transitions.iter().map(|t| (t.state, t.action)).collect();
    let found = learned
        .displacements(device, layout, &pairs)
        .map_err(engine)?;
    let (_, expected) = numbers(arrays, &format!("{cell}.pred"))?;
    checks.close("pred", &found, &expected, PREDICTIONS);
    let margin = |value: &f64| (value - value.floor() - 0.5).abs();
    let nearest = found.iter().map(margin).fold(f64::INFINITY, f64::min);
    let expected = golden.number("min_rounding_margin")?;
    checks.close("min_rounding_margin", &[nearest], &[expected], PREDICTIONS);
    let found = grid(&learned, (layout, device), golden, arrays)?;
    let (_, expected) = numbers(arrays, &format!("{cell}.grid"))?;
    checks.close("grid", &found, &expected, PREDICTIONS);
    Ok(())
}

/// Raw predictions over the window that the golden has, six positions around the grid in the published
/// file: its shape tells.
pub(super) fn grid(
    learned: &LearnedMaze,
    (layout, device): (&Layout, &Device),
    golden: &Node<'_>,
    arrays: &ArrayMap,
) -> Result<Vec<f64>, CaseError> {
    let [across, up] = margins(layout, golden, arrays)?;
    let mut pairs = Vec::new();
    for x in -across..layout.width() as i32 + across {
        for y in -up..layout.height() as i32 + up {
            pairs.extend(Action::ALL.map(|action| (Position::new(x, y), action)));
        }
    }
    learned
        .displacements(device, layout, &pairs)
        .map_err(engine)
}

/// Positions of a cell's grid beyond the maze, on either side: left and right, below and above.
fn margins(layout: &Layout, golden: &Node<'_>, arrays: &ArrayMap) -> Result<[i32; 2], CaseError> {
    let (shape, _) = numbers(arrays, &format!("{}.grid", golden.text("cell")?))?;
    let wrong = || golden.wrong("a grid [x, y, actions, 2] with the same margin on both sides");
    let &[columns, rows, Action::COUNT, 2] = shape.as_slice() else {
        return Err(wrong());
    };
    let margin = |size: usize, inner: usize| {
        let both = size
            .checked_sub(inner)
            .filter(|both| both.is_multiple_of(2));
        both.and_then(|both| i32::try_from(both / 2).ok())
            .ok_or_else(wrong)
    };
    Ok([
        margin(columns, layout.width())?,
        margin(rows, layout.height())?,
    ])
}

fn metrics(
    checks: &mut Checks,
    golden: &Node<'_>,
    found: &OfflineMetrics,
) -> Result<(), CaseError> {
    let sum: u64 = found.divergences.iter().map(|d| u64::from(*d)).sum();
    let states = found.divergences.len() as i64;
    let list = |values: Vec<i64>| [vec![values.len() as i64], values].concat();
    let exact = [
        (
            "m1_count",
            list(vec![found.mismatches as i64, found.transitions as i64]),
        ),
        ("m2_sum", list(vec![sum as i64, states])),
        (
            "m2_per_state",
            list(found.divergences.iter().map(|d| i64::from(*d)).collect()),
        ),
        (
            "m2_action_seq",
            list(found.sequence.iter().map(|a| a.index() as i64).collect()),
        ),
    ];
    for (key, found) in exact {
        checks.equal(key, &found, &integers(&golden.get(key)?)?);
    }
    // What does not exist is null there and NaN here.
    let or_nan = |node: &Node<'_>| -> Result<f64, CaseError> {
        if node.json().is_null() {
            Ok(f64::NAN)
        } else {
            node.as_number()
        }
    };
    let taus: Result<Vec<f64>, CaseError> = golden
        .get("m3_tau_per_state")?
        .elements()?
        .iter()
        .map(or_nan)
        .collect();
    let own: Vec<f64> = found
        .agreements
        .iter()
        .map(|tau| tau.unwrap_or(f64::NAN))
        .collect();
    checks.close("m3_tau_per_state", &own, &taus?, 1e-12);
    let agreement = found.action_agreement().unwrap_or(f64::NAN);
    let rounded = |value| round_to(value, 4);
    let mismatch = rounded(found.one_step_mismatch());
    let divergence = rounded(found.k_step_divergence());
    for (key, found, tolerance) in [
        ("m3_exact", agreement, 1e-12),
        ("m3_action_agreement", rounded(agreement), 0.0),
        ("m1_mismatch", mismatch, 0.0),
        ("m2_kstep_divergence", divergence, 0.0),
    ] {
        let there = golden.json().get(key).is_some();
        checks.hold(there, || {
            format!("{key}: expected a number or null, found nothing")
        });
        let expected = match golden.find(key) {
            Some(node) => node.as_number()?,
            None => f64::NAN,
        };
        checks.close(key, &[found], &[expected], tolerance);
    }
    Ok(())
}

fn planning(checks: &mut Checks, golden: &Node<'_>, cell: &SweepCell) -> Result<(), CaseError> {
    let found = &cell.episodes;
    checks.equal(
        "episodes",
        &of_episodes(found),
        &integers(&golden.get("episodes")?)?,
    );
    let kept = golden.get("plan_calls")?;
    let count = kept.elements()?.len();
    let first = found.calls.get(..count).unwrap_or(&found.calls);
    checks.equal("plan_calls", &of_calls(first), &integers(&kept)?);
    let all = golden.integer("n_plan_calls")?;
    checks.equal("n_plan_calls", &[found.calls.len() as i64], &[all]);
    let rate = golden.number("success_rate")?;
    checks.close(
        "success_rate",
        &[round_to(found.success_rate(), 4)],
        &[rate],
        0.0,
    );
    Ok(())
}
