//! Textbook systems: small ones in one kernel, those of any size as graphs.

use super::MeasureArguments;
use super::graph_run::GraphRun;
use super::measured::{Example, FtleSettings, Measured};
use crate::cli::exit::Usage;
use crate::cli::output::note;
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::device::{Device, Selection};
use attractor::formats::load_arrays;
use attractor::graph::{Moment, Plan};
use attractor::models::classical::System;
use attractor::models::maps::{KuramotoSivashinsky, Lorenz96, linear_map};
use attractor::orbit::lyapunov::{Settings, Start};
use attractor::orbit::{IteratedMap, Orbit};
use attractor::samplers::ensemble::{SpectrumRequest, spectrum};
use serde_json::json;
use std::time::Instant;

/// Steps where none are asked for.
const STEPS: u32 = 20_000;
/// Most tangents unless more are asked for, and most that a QR takes.
const MOST_COLUMNS: usize = 64;
/// Rows of logarithms that error bars are made of, about.
const ROWS: usize = 4096;
const FEWEST_ROWS: usize = 16;
/// Rows kept where the steps cannot be cut evenly.
const MOST_ROWS: usize = 1 << 20;

/// Parameters as NAME=VALUE pairs.
struct Parameters(Vec<(String, f64)>);

impl Parameters {
    fn parse(given: &[String]) -> Result<Self> {
        let pair = |text: &String| -> Result<(String, f64)> {
            let pair = text.split_once('=');
            let pair = pair.and_then(|(n, v)| Some((n.trim().to_string(), v.trim().parse().ok()?)));
            let wanted = "expected NAME=VALUE with a number";
            Ok(pair.ok_or_else(|| Usage(format!("--parameter: {wanted}, found {text:?}")))?)
        };
        Ok(Self(given.iter().map(pair).collect::<Result<_>>()?))
    }

    /// Takes one out, or its default.
    fn take(&mut self, name: &str, default: f64) -> f64 {
        match self.0.iter().position(|(known, _)| known == name) {
            Some(place) => self.0.remove(place).1,
            None => default,
        }
    }

    fn none_left(&self, map: &str, known: &str) -> Result<()> {
        match self.0.first() {
            Some((name, _)) => Err(Usage(format!(
                "--parameter: expected one of {known} for {map}, found {name:?}"
            ))
            .into()),
            None => Ok(()),
        }
    }
}

/// Measures a system by its name.
pub fn measure(
    name: &str,
    arguments: &MeasureArguments,
    selection: &Selection,
) -> Result<Measured> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let matrix = arguments.system.matrix.is_some();
    let graph = match plain.to_ascii_lowercase().as_str() {
        "linear" => Some(linear(arguments)?),
        "lorenz96" => Some(lorenz96(arguments)?),
        "kuramotosivashinsky" | "ks" => Some(kuramoto_sivashinsky(arguments)?),
        _ => None,
    };
    if matrix && plain != "linear" {
        return Err(Usage(format!("--matrix: expected --map linear, found {name}")).into());
    }
    match graph {
        Some(system) => of_graph(system, arguments, selection),
        None => of_kernel(name, arguments, selection),
    }
}

/// How many events one row of logarithms sums: rows that error bars are quick with, and no event lost.
pub fn events_a_row(events: usize) -> usize {
    let fits = |q: &usize| {
        let rows = events / q;
        events.is_multiple_of(*q) && (FEWEST_ROWS..=ROWS).contains(&rows)
    };
    (events.div_ceil(ROWS)..=events / FEWEST_ROWS)
        .find(|q| *q > 0 && fits(q))
        .unwrap_or(1)
}

/// A small system, in one kernel from start to end.
fn of_kernel(name: &str, arguments: &MeasureArguments, selection: &Selection) -> Result<Measured> {
    let mut system = System::parse(name)?;
    for (name, value) in Parameters::parse(&arguments.system.parameters)?.0 {
        system.set(&name, value)?;
    }
    if let Some(size) = arguments.system.step_size {
        system.set_step(size)?;
    }
    if arguments.covariant {
        let message =
            "--covariant: expected a map that is a graph (linear, lorenz96, kuramoto_sivashinsky)";
        return Err(Usage(format!("{message}, found {name}")).into());
    }
    let (steps, every) = (arguments.steps.unwrap_or(STEPS), arguments.every);
    check_steps(steps, every)?;
    let events = (steps / every) as usize;
    let mut row = events_a_row(events);
    if events / row > MOST_ROWS {
        row = events;
    }
    let dimension = system.dimension();
    let mut request = SpectrumRequest::new(&system, steps);
    request.tangents = columns(arguments.k, dimension)?;
    request.reorthonormalise_every = every;
    request.record_every = row as u32;
    if let Some(transient) = arguments.system.transient {
        request.transient = transient;
    }
    let count = arguments.system.starts.unwrap_or(1);
    let usual = system.starts(count, arguments.seed);
    request.starts = starts(arguments, dimension, usual)?;
    let device = &selection.device;
    let settings = FtleSettings {
        map: system.title().to_string(),
        dimension,
        k: request.tangents,
        steps,
        transient: request.transient,
        granularity: format!("{every} steps"),
        parameters: json!({
            "parameters": system.parameters(),
            "step_time": system.step_time(),
            "starts": count,
        }),
    };
    let run = begin(device, selection, arguments.seed, &settings);
    let started = Instant::now();
    let result = spectrum(device, &request)?;
    let (k, trajectories) = (result.tangents, result.trajectories);
    let examples = (0..trajectories).map(|index| {
        let rows = result.records.chunks_exact((trajectories * k).max(1));
        Example {
            index,
            log_r: rows
                .flat_map(|row| &row[index * k..(index + 1) * k])
                .copied()
                .collect(),
            restarts: result.replaced.get(index).copied().unwrap_or(0),
            invalid: result
                .invalid
                .get(index)
                .copied()
                .flatten()
                .map(|bad| bad.to_string()),
            angles: None,
        }
    });
    let literature = system.literature();
    Ok(Measured {
        run,
        event_time: result.interval.abs() * row as f64,
        unit: match system.dynamics.is_flow() {
            true => "time",
            false => "iteration",
        },
        examples: examples.collect(),
        // The sum is that of the exact flow; the integrator's steps and single precision move it.
        sum_rule: system
            .exponent_sum()
            .map(|sum| (sum, 2e-4 * sum.abs().max(0.1))),
        literature: literature.map(|l| (l.exponents.to_vec(), l.source.to_string())),
        working_bytes: result.working_bytes,
        seconds: started.elapsed().as_secs_f64(),
        arrays: None,
    })
}

/// A system as a graph, with all that is said of it.
struct GraphSystem {
    title: String,
    map: IteratedMap,
    start: Vec<f64>,
    transient: u32,
    step_time: f64,
    flow: bool,
    sum_rule: Option<(f64, f64)>,
    literature: Option<(Vec<f64>, String)>,
    parameters: serde_json::Value,
}

fn starts(arguments: &MeasureArguments, dimension: usize, usual: Vec<f64>) -> Result<Vec<f64>> {
    match arguments.system.start.as_slice() {
        [] => Ok(usual),
        start if start.len() == dimension => Ok(start.to_vec()),
        start => {
            let found = start.len();
            Err(Usage(format!(
                "--start: expected {dimension} numbers, found {found}"
            ))
            .into())
        }
    }
}

fn linear(arguments: &MeasureArguments) -> Result<GraphSystem> {
    Parameters::parse(&arguments.system.parameters)?.none_left("linear", "none")?;
    let path = arguments.system.matrix.as_ref();
    let path = path.ok_or_else(|| Usage("--map linear: expected --matrix, found none".into()))?;
    let arrays = load_arrays(path)?;
    let first = arrays.names().next().unwrap_or("A").to_string();
    let name = if arrays.contains("A") { "A" } else { &first };
    let array = arrays.get(name)?;
    let &[n, columns] = array.shape() else {
        let (file, found) = (path.display(), array.shape());
        return Err(Usage(format!(
            "{file}: {name}: expected a square matrix, found {found:?}"
        ))
        .into());
    };
    let values = array.to_f64()?;
    if n != columns {
        let file = path.display();
        return Err(Usage(format!(
            "{file}: {name}: expected a square matrix, found [{n}, {columns}]"
        ))
        .into());
    }
    let count = arguments.system.starts.unwrap_or(1);
    Ok(GraphSystem {
        title: format!("linear map of {}", path.display()),
        map: linear_map(&values, n, count)?,
        // The derivative does not depend on the state, which would overflow from anywhere else.
        start: starts(arguments, n, vec![0.0; n * count])?,
        transient: 0,
        step_time: 1.0,
        flow: false,
        sum_rule: None,
        literature: None,
        parameters: json!({}),
    })
}

fn lorenz96(arguments: &MeasureArguments) -> Result<GraphSystem> {
    let mut parameters = Parameters::parse(&arguments.system.parameters)?;
    let system = Lorenz96 {
        sites: whole("N", parameters.take("N", 40.0))?,
        forcing: parameters.take("F", 8.0),
        step: arguments.system.step_size.unwrap_or(0.05),
    };
    parameters.none_left("lorenz96", "N, F")?;
    let count = arguments.system.starts.unwrap_or(1);
    let usual = system.sites == 40 && system.forcing == 8.0;
    let sites = system.sites;
    Ok(GraphSystem {
        title: format!("Lorenz-96, N = {sites}, F = {}", system.forcing),
        map: system.map(count)?,
        start: starts(arguments, sites, system.start(count))?,
        transient: 1000,
        step_time: system.step,
        flow: true,
        sum_rule: Some((-(sites as f64), 1e-3 * sites as f64)),
        literature: usual.then(|| {
            let source = "Karimi and Paul, Chaos 20, 2010: largest 1.67 to 1.69, 13 positive";
            (vec![1.68], source.to_string())
        }),
        parameters: json!({"N": sites, "F": system.forcing, "step": system.step}),
    })
}

fn kuramoto_sivashinsky(arguments: &MeasureArguments) -> Result<GraphSystem> {
    let mut parameters = Parameters::parse(&arguments.system.parameters)?;
    let system = KuramotoSivashinsky {
        length: parameters.take("L", 22.0),
        points: whole("N", parameters.take("N", 32.0))?,
        step: arguments.system.step_size.unwrap_or(0.25),
    };
    parameters.none_left("kuramoto_sivashinsky", "L, N")?;
    let count = arguments.system.starts.unwrap_or(1);
    let known = [
        0.043, 0.003, 0.002, -0.004, -0.008, -0.185, -0.253, -0.296, -0.309, -1.965,
    ];
    Ok(GraphSystem {
        title: format!(
            "Kuramoto-Sivashinsky, L = {}, {} points",
            system.length, system.points
        ),
        map: system.map(count)?,
        start: starts(arguments, system.points, system.start(count))?,
        transient: 2000,
        step_time: system.step,
        flow: true,
        sum_rule: None,
        literature: (system.length == 22.0).then(|| {
            let source = "Edson, Bunder, Mattner, Roberts, ANZIAM J. 61, 2019";
            (known.to_vec(), source.to_string())
        }),
        parameters: json!({"L": system.length, "N": system.points, "step": system.step}),
    })
}

fn whole(name: &str, value: f64) -> Result<usize> {
    if value.fract() == 0.0 && (1.0..=1e6).contains(&value) {
        return Ok(value as usize);
    }
    Err(Usage(format!(
        "--parameter {name}: expected a whole number up to 1000000, found {value}"
    ))
    .into())
}

fn of_graph(
    system: GraphSystem,
    arguments: &MeasureArguments,
    selection: &Selection,
) -> Result<Measured> {
    let (map, device) = (&system.map, &selection.device);
    let (steps, every) = (arguments.steps.unwrap_or(STEPS), arguments.every);
    check_steps(steps, every)?;
    let settings = Settings {
        columns: columns(arguments.k, map.dimension)?,
        every,
        start: Start::Given,
        factors: arguments.covariant,
        ..Settings::by_step(map, 1)
    };
    let transient = arguments.system.transient.unwrap_or(system.transient);
    let recorded = FtleSettings {
        map: system.title.clone(),
        dimension: map.dimension,
        k: settings.columns,
        steps,
        transient,
        granularity: format!("{every} steps"),
        parameters: system.parameters.clone(),
    };
    let run = begin(device, selection, arguments.seed, &recorded);
    let started = Instant::now();
    let state = settle(map, &system.start, transient, device)?;
    let identity = identity(map.batch, map.dimension, settings.columns);
    let run_of = GraphRun {
        map,
        settings: &settings,
        state: &state,
        tangents: Some(&identity),
        steps,
        seed: arguments.seed,
        first: 0,
        events_a_row,
    };
    let (examples, bytes) = run_of.carry_out(device)?;
    let row = events_a_row((steps / every) as usize);
    Ok(Measured {
        run,
        event_time: system.step_time * f64::from(every) * row as f64,
        unit: if system.flow { "time" } else { "iteration" },
        examples,
        sum_rule: system.sum_rule,
        literature: system.literature,
        working_bytes: bytes,
        seconds: started.elapsed().as_secs_f64(),
        arrays: None,
    })
}

/// The state after so many steps without tangents.
fn settle(map: &IteratedMap, start: &[f64], steps: u32, device: &Device) -> Result<Vec<f64>> {
    let mut orbit = Orbit::new(&Plan::compile(map.graph.clone(), device)?)?;
    orbit.execution.write_f64(map.state, start)?;
    orbit.run(steps, &Moment::default())?;
    Ok(orbit.execution.read_f64(map.state)?)
}

/// The first columns of the identity for every example, `[batch, dimension, k]`.
fn identity(batch: usize, dimension: usize, k: usize) -> Vec<f64> {
    let mut basis = vec![0.0; batch * dimension * k];
    for example in basis.chunks_exact_mut(dimension * k) {
        example
            .iter_mut()
            .step_by(k + 1)
            .take(k)
            .for_each(|one| *one = 1.0);
    }
    basis
}

/// Tangents: those asked for, or all, up to what a QR takes.
pub fn columns(asked: Option<usize>, dimension: usize) -> Result<usize> {
    let most = dimension.min(MOST_COLUMNS);
    match asked {
        Some(k) if k == 0 || k > most => {
            let reason = format!("the dimension is {dimension}, and a QR takes {MOST_COLUMNS}");
            Err(Usage(format!("--k: expected 1 to {most} ({reason}), found {k}")).into())
        }
        Some(k) => Ok(k),
        None => Ok(most),
    }
}

fn check_steps(steps: u32, every: u32) -> Result<()> {
    if steps.is_multiple_of(every) && steps / every >= 2 {
        return Ok(());
    }
    let expected = format!(
        "a multiple of --every {every}, at least {}",
        2 * u64::from(every)
    );
    Err(Usage(format!("--steps: expected {expected}, found {steps}")).into())
}

/// Says what is about to run.
fn begin(
    device: &Device,
    selection: &Selection,
    seed: u64,
    settings: &FtleSettings,
) -> RunRecord<FtleSettings> {
    let record = RunRecord::new(device, seed, ("none", "formulas alone"), settings);
    note(record.head(&selection.reason).trim_end());
    record
}
