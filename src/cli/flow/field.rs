//! `attractor flow field`: a velocity field, and what it does with noise.

use super::draw::{DrawSettings, NoiseArguments};
use super::model::{ModelArguments, Policy};
use super::source::{Source, SourceArguments, Truth};
use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::{check_free, note, pretty, print};
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::device::{Device, Selection};
use attractor::formats::write_atomic;
use attractor::models::flow::actions::ActionTransform;
use attractor::report::Table;
use attractor::report::flow::{FieldView, FlowReport, HeatMap, Quiver, Run, Space};
use attractor::samplers::flow::{
    FieldOptions, FieldViews, FlowSampler, Method, Solver, field_views, quantile_ranks,
};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `attractor flow field`.
#[derive(Debug, clap::Args)]
pub struct FieldArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    view: ViewArguments,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Which of several independent sets of draws
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    stream: u32,
    /// Write a web page in one file that loads nothing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the views as JSON, as a manifest of attractor flow report takes them
    #[arg(long, value_name = "FILE")]
    views: Option<PathBuf>,
    /// Write over existing files
    #[arg(long)]
    force: bool,
    /// How to print the views
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What to look at.
#[derive(Debug, Clone, clap::Args)]
struct ViewArguments {
    /// Slot of the chunk to look at
    #[arg(long, value_name = "SLOT", default_value_t = 0)]
    slot: usize,
    /// Conditions to look at, at equal quantiles of the true steering at the slot
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    conditions: usize,
    /// Draws of every condition
    #[arg(long, value_name = "K", default_value_t = 200)]
    draws: usize,
    /// Steps of the Euler method; every state is kept
    #[arg(long, value_name = "N", default_value_t = 50)]
    steps: usize,
    /// Standard deviation of the noise
    #[arg(
        long,
        value_name = "T",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    temperature: f32,
    /// Model shows the field where the network works; raw turns the paths into raw actions, and has no field
    #[arg(long, value_enum, default_value_t = SpaceName::Model)]
    space: SpaceName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SpaceName {
    Model,
    Raw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Aligned text: where the draws end
    Table,
    /// One JSON object with every number
    Json,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    run: &'a RunRecord<DrawSettings>,
    /// Rows of the data.
    rows: &'a [usize],
    views: &'a [FieldView],
}

/// Channels that the views are about.
struct Channels {
    /// Of the raw actions.
    raw: usize,
    /// Of the model.
    model: usize,
    /// The other axis of the planes.
    other: Option<usize>,
}

/// Computes, writes, prints.
pub fn run(arguments: &FieldArguments, selector: &str) -> Result<Outcome> {
    for path in [&arguments.out, &arguments.views].into_iter().flatten() {
        check_free(path, arguments.force)?;
    }
    let solver = Solver::Fixed {
        method: Method::Euler,
        steps: arguments.view.steps,
    };
    solver.check()?;
    let noise = NoiseArguments {
        draws: arguments.view.draws,
        seed: arguments.seed,
        stream: arguments.stream,
        temperature: arguments.view.temperature,
    };
    noise.check()?;
    let mut policy = Policy::load(&arguments.model)?;
    let source = Source::load(&arguments.source)?;
    policy.accept(&source)?;
    let truth = source.truth.as_ref().ok_or_else(|| {
        let message =
            "target_actions: expected the true actions, by which conditions are chosen, found none";
        Usage(format!("{}: {message}", source.name))
    })?;
    let channels = channels(&policy, &source, truth)?;
    let chosen = choose(&arguments.view, &policy, truth, channels.raw, source.len())?;
    if arguments.view.space == SpaceName::Raw && policy.transform().is_none() {
        return Err(Usage("--space raw: expected --statistics, found none".into()).into());
    }
    let Selection { device, reason } = Selection::by_name(selector)?;
    let mut sampler = policy.sampler(&device)?;
    let settings = DrawSettings::new(&policy, &source, solver, &noise);
    let weights = (policy.file.as_str(), sampler.weights_hash());
    let record = RunRecord::new(&device, arguments.seed, weights, &settings);
    note(&format!(
        "{}{}",
        record.head(&reason),
        record.sampler.sampler_line()
    ));
    let model = (&policy, &mut sampler);
    let data = (&source, truth, &channels);
    let run = (policy.file.as_str(), &arguments.view, &noise);
    let views = views(run, model, data, &chosen)?;
    let rows: Vec<usize> = chosen
        .iter()
        .filter_map(|&row| source.rows.get(row).copied())
        .collect();
    write(arguments, &record, &rows, views)?;
    Ok(Outcome::Good)
}

/// Views by the usual options, under the name of a run.
pub fn usual_views(
    run: &str,
    policy: &Policy,
    device: &Device,
    (source, truth): (&Source, &Truth),
    noise: &NoiseArguments,
) -> Result<Vec<FieldView>> {
    let arguments = ViewArguments {
        slot: 0,
        conditions: 3,
        draws: 200,
        steps: 50,
        temperature: noise.temperature,
        space: SpaceName::Model,
    };
    let channels = channels(policy, source, truth)?;
    let chosen = choose(&arguments, policy, truth, channels.raw, source.len())?;
    let model = (policy, &mut policy.sampler(device)?);
    let data = (source, truth, &channels);
    views((run, &arguments, noise), model, data, &chosen)
}

/// One view a row.
fn views(
    (run, arguments, noise): (&str, &ViewArguments, &NoiseArguments),
    (policy, sampler): (&Policy, &mut FlowSampler),
    (source, truth, channels): (&Source, &Truth, &Channels),
    rows: &[usize],
) -> Result<Vec<FieldView>> {
    let mut views = Vec::new();
    for &row in rows {
        let model = (policy, &mut *sampler);
        let place = (row, channels);
        let mut view = view(arguments, model, (source, truth), place, noise)?;
        view.run = run.to_owned();
        views.push(view);
    }
    Ok(views)
}

/// Steering, and what it is shown against.
fn channels(policy: &Policy, source: &Source, truth: &Truth) -> Result<Channels> {
    let steering = |key: &String| key.to_lowercase().contains("steer");
    let raw = truth.keys.iter().position(steering).ok_or_else(|| {
        Usage(format!(
            "{}: expected an action channel of steering, found {}",
            source.name,
            truth.keys.join(", ")
        ))
    })?;
    let last = policy.config.action_dim.saturating_sub(1);
    let model = match policy.transform() {
        Some(transform) => transform.model_channel(raw).unwrap_or(last),
        // Merged or not, steering comes after the pedals.
        None => last,
    };
    let other = (0..policy.config.action_dim).find(|&channel| channel != model);
    Ok(Channels { raw, model, other })
}

/// Rows at equal quantiles of the size of the true steering at the slot.
fn choose(
    arguments: &ViewArguments,
    policy: &Policy,
    truth: &Truth,
    steering: usize,
    rows: usize,
) -> Result<Vec<usize>> {
    let horizon = policy.config.horizon;
    if arguments.slot >= horizon {
        let message = format!(
            "--slot: expected 0 to {}, found {}",
            horizon - 1,
            arguments.slot
        );
        return Err(Usage(message).into());
    }
    if !(1..=64).contains(&arguments.conditions) {
        let found = arguments.conditions;
        return Err(Usage(format!("--conditions: expected 1 to 64, found {found}")).into());
    }
    let size = |row: &usize| steering_at(truth, *row, arguments.slot, steering).abs();
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|a, b| size(a).total_cmp(&size(b)));
    let ranks = quantile_ranks(rows, arguments.conditions).into_iter();
    Ok(ranks.filter_map(|rank| order.get(rank).copied()).collect())
}

fn steering_at(truth: &Truth, row: usize, slot: usize, steering: usize) -> f32 {
    let at = (row * truth.horizon + slot) * truth.keys.len() + steering;
    truth.values.get(at).copied().unwrap_or(f32::NAN)
}

fn view(
    arguments: &ViewArguments,
    (policy, sampler): (&Policy, &mut FlowSampler),
    (source, truth): (&Source, &Truth),
    (row, channels): (usize, &Channels),
    noise: &NoiseArguments,
) -> Result<FieldView> {
    let options = FieldOptions {
        draws: arguments.draws,
        steps: arguments.steps,
        ..FieldOptions::new(arguments.slot, channels.model, channels.other)
    };
    let condition = source.conditions_of(row..row + 1);
    let number = source.rows.get(row).copied().unwrap_or(row);
    let frame = (u32::try_from(number)?, noise.noise());
    let found = field_views(sampler, condition, frame, &options)?;
    let raw_truth = steering_at(truth, row, arguments.slot, channels.raw);
    let name = source.input_id.get(row).map_or("", String::as_str);
    let frame = source.frame(row).unwrap_or_default();
    let condition = format!(
        "{name}, frame {frame}, row {}, true steering {raw_truth:.3} (raw)",
        source.rows.get(row).copied().unwrap_or(row)
    );
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let in_model = arguments.space == SpaceName::Model;
    let states = match policy.transform().filter(|_| !in_model) {
        Some(transform) => (
            transform.to_raw(&found.states)?,
            transform.raw_channels(),
            channels.raw,
        ),
        None => (
            found.states.clone(),
            policy.config.action_dim,
            channels.model,
        ),
    };
    let truth_shown = match policy.transform() {
        Some(transform) if in_model => {
            model_steering(transform, truth, row, (arguments.slot, channels.model))?
        }
        Some(_) => Some(raw_truth),
        // Without statistics nobody knows where the truth lies in model space.
        None => None,
    };
    let view = FieldView {
        run: policy.file.clone(),
        condition,
        slot: arguments.slot,
        space: if in_model { Space::Model } else { Space::Raw },
        truth: truth_shown,
        times: narrow(&found.times),
        paths: paths(
            &states,
            (found.times.len(), policy.config.horizon),
            arguments.slot,
        ),
        background: match in_model {
            true => Some(heat_map(&found)?),
            false => None,
        },
        quivers: if in_model {
            quivers(&found)?
        } else {
            Vec::new()
        },
    };
    view.check()?;
    Ok(view)
}

/// The true steering of a row where the network works.
fn model_steering(
    transform: &ActionTransform,
    truth: &Truth,
    row: usize,
    (slot, channel): (usize, usize),
) -> Result<Option<f32>> {
    let width = truth.keys.len();
    let at = (row * truth.horizon + slot) * width;
    let action = truth.values.get(at..at + width).unwrap_or_default();
    Ok(transform.to_model(action)?.get(channel).copied())
}

/// One channel of one slot of all states, a list a draw.
fn paths(
    (states, channels, channel): &(Vec<f64>, usize, usize),
    (times, horizon): (usize, usize),
    slot: usize,
) -> Vec<Vec<f32>> {
    let chunk = horizon * channels;
    let own = |path: &[f64]| {
        let values = path.iter().skip(slot * channels + channel).step_by(chunk);
        values.map(|&v| v as f32).collect()
    };
    states
        .chunks_exact((times * chunk).max(1))
        .map(own)
        .collect()
}

fn heat_map(found: &FieldViews) -> Result<HeatMap> {
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let map = &found.background;
    Ok(HeatMap::new(
        narrow(&map.times),
        narrow(&map.values),
        narrow(&map.velocity),
    )?)
}

fn quivers(found: &FieldViews) -> Result<Vec<Quiver>> {
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let quiver = |plane: &attractor::samplers::flow::FieldPlane| {
        let velocity = plane.velocity.iter().map(|v| v.map(|v| v as f32)).collect();
        let axis = || narrow(&plane.values);
        Ok(Quiver::new(plane.time as f32, axis(), axis(), velocity)?)
    };
    found.planes.iter().map(quiver).collect()
}

fn write(
    arguments: &FieldArguments,
    record: &RunRecord<DrawSettings>,
    rows: &[usize],
    views: Vec<FieldView>,
) -> Result<()> {
    if let Some(path) = &arguments.views {
        write_atomic(path, pretty(&views)?.as_bytes())?;
    }
    match arguments.format {
        Format::Json => print(&pretty(&Document {
            run: record,
            rows,
            views: &views,
        })?)?,
        Format::Table => print(&table(&views).to_text())?,
    }
    if let Some(path) = &arguments.out {
        let run = Run {
            name: record.weights.clone(),
            notes: format!(
                "attractor {}, {}, {}, seed {}, weights {}",
                record.version,
                record.device,
                record
                    .sampler
                    .sampler_line()
                    .trim_start_matches("sampler")
                    .trim(),
                record.seed,
                record.weights_hash
            ),
            frames: views.len(),
            ..Run::default()
        };
        let page = FlowReport {
            title: "Velocity field".into(),
            runs: vec![run],
            fields: views,
            ..FlowReport::default()
        }
        .render();
        write_atomic(path, page.as_bytes())?;
        note(&format!(
            "wrote    {}: {} bytes",
            path.display(),
            page.len()
        ));
    }
    Ok(())
}

/// Where the draws of every condition end.
fn table(views: &[FieldView]) -> Table {
    let mut table = Table::new([
        "condition",
        "space",
        "truth",
        "draws",
        "least",
        "mean",
        "most",
    ]);
    for view in views {
        let ends: Vec<f64> = view
            .paths
            .iter()
            .filter_map(|path| path.last().map(|&end| f64::from(end)))
            .collect();
        let least = ends.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = ends.iter().sum::<f64>() / ends.len().max(1) as f64;
        table.row([
            view.condition.clone(),
            match view.space {
                Space::Model => "model".into(),
                Space::Raw => "raw".into(),
            },
            view.truth.map_or("-".into(), |truth| format!("{truth:.4}")),
            ends.len().to_string(),
            format!("{least:.4}"),
            format!("{mean:.4}"),
            format!("{most:.4}"),
        ]);
    }
    table
}
