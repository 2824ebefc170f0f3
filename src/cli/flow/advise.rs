//! `attractor flow advise`: the cheapest solver that is accurate enough.

use super::draw::{DrawSettings, NoiseArguments};
use super::model::{ModelArguments, Policy};
use super::source::{Source, SourceArguments};
use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::{check_free, note, pretty, print};
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::device::Selection;
use attractor::formats::write_atomic;
use attractor::report::Table;
use attractor::samplers::flow::{
    Advice, AdviceOptions, FlowRequest, MeasuredSolver, Solver, adaptive_at, advise,
    usual_candidates,
};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `attractor flow advise`.
#[derive(Debug, clap::Args)]
pub struct AdviseArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    draws: NoiseArguments,
    /// Rows of the data to measure on, spread evenly
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    rows: usize,
    /// Largest error of an end point that is accepted, model space
    #[arg(
        long,
        value_name = "ERROR",
        default_value_t = 1e-2,
        allow_negative_numbers = true
    )]
    tolerance: f64,
    /// What the others are held against
    #[arg(long, value_name = "METHOD/STEPS", default_value = "rk4/256")]
    reference: Solver,
    /// Solvers to try in place of the usual ones, such as midpoint/16,heun/16
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    solvers: Vec<Solver>,
    /// Tolerances of the adaptive solver to try, such as 1e-3,1e-4; with --solvers none unless given
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    adaptive: Vec<f32>,
    /// Timed runs of every solver, of which the fastest counts
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    repeats: usize,
    /// Write the measurements to this JSON file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over an existing file
    #[arg(long)]
    force: bool,
    /// How to print the measurements
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Aligned text
    Table,
    /// One JSON object
    Json,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    run: &'a RunRecord<DrawSettings>,
    /// Rows of the data.
    rows: &'a [usize],
    /// The solver with the fewest evaluations within the tolerance.
    fewest_evaluations: Option<String>,
    /// The fastest solver within the tolerance.
    fastest: Option<String>,
    advice: &'a Advice,
}

/// Measures and advises.
pub fn run(arguments: &AdviseArguments, selector: &str) -> Result<Outcome> {
    if let Some(path) = &arguments.out {
        check_free(path, arguments.force)?;
    }
    arguments.draws.check()?;
    let options = AdviceOptions {
        reference: arguments.reference,
        candidates: candidates(arguments),
        tolerance: arguments.tolerance,
        repeats: arguments.repeats,
    };
    options.check()?;
    let mut policy = Policy::load(&arguments.model)?;
    let source = Source::load(&arguments.source)?;
    policy.accept(&source)?;
    if arguments.rows == 0 {
        return Err(Usage("--rows: expected at least 1, found 0".into()).into());
    }
    let count = arguments.rows.min(source.len());
    let chosen: Vec<usize> = (0..count).map(|i| i * source.len() / count).collect();
    let conditions: Vec<f32> = chosen
        .iter()
        .flat_map(|&row| source.conditions_of(row..row + 1))
        .copied()
        .collect();
    let Selection { device, reason } = Selection::by_name(selector)?;
    let mut sampler = policy.sampler(&device)?;
    let settings = DrawSettings::new(&policy, &source, arguments.reference, &arguments.draws);
    let weights = (policy.file.as_str(), sampler.weights_hash());
    let record = RunRecord::new(&device, arguments.draws.seed, weights, &settings);
    note(record.head(&reason).trim_end());
    note(&format!(
        "data     {} of {} rows of {}, {} draws each",
        count,
        source.len(),
        source.name,
        arguments.draws.draws
    ));
    let request = FlowRequest {
        conditions: &conditions,
        frames: count,
        first_frame: 0,
        draws: arguments.draws.draws,
        noise: arguments.draws.noise(),
        solver: arguments.reference,
        record: false,
    };
    let advice = advise(&mut sampler, &request, &options)?;
    let rows: Vec<usize> = chosen
        .iter()
        .filter_map(|&row| source.rows.get(row).copied())
        .collect();
    write(arguments, &record, &rows, &advice)
}

/// What to try: the usual ones, unless there are some on the command line.
fn candidates(arguments: &AdviseArguments) -> Vec<Solver> {
    if arguments.solvers.is_empty() && arguments.adaptive.is_empty() {
        return usual_candidates();
    }
    let adaptive = arguments.adaptive.iter().copied().map(adaptive_at);
    arguments.solvers.iter().copied().chain(adaptive).collect()
}

fn write(
    arguments: &AdviseArguments,
    record: &RunRecord<DrawSettings>,
    rows: &[usize],
    advice: &Advice,
) -> Result<Outcome> {
    let chosen = advice.cheapest();
    let name = |index: usize| {
        let chosen = chosen.as_ref().ok()?;
        chosen
            .get(index)
            .map(|measured| measured.solver.to_string())
    };
    let document = Document {
        run: record,
        rows,
        fewest_evaluations: name(0),
        fastest: name(1),
        advice,
    };
    if let Some(path) = &arguments.out {
        write_atomic(path, pretty(&document)?.as_bytes())?;
    }
    match arguments.format {
        Format::Json => print(&pretty(&document)?)?,
        Format::Table => print(&format!(
            "end-point errors in model space against {}, end points up to {:.3}\n{}",
            advice.reference.solver,
            advice.size,
            table(advice).to_text()
        ))?,
    }
    match chosen {
        Ok([fewest, fastest]) => {
            let tolerance = advice.tolerance;
            note(&format!(
                "fewest evaluations within {tolerance:e}: {}",
                told(fewest)
            ));
            note(&format!("fastest within {tolerance:e}: {}", told(fastest)));
            Ok(Outcome::Good)
        }
        Err(error) => {
            note(&format!("error: {error}"));
            Ok(Outcome::CheckFailed)
        }
    }
}

/// A solver as flags, and its cost.
fn told(measured: &MeasuredSolver) -> String {
    let flags = match measured.solver {
        Solver::Fixed { method, steps } => format!("--solver {method} --steps {steps}"),
        Solver::Adaptive(settings) => format!(
            "--solver adaptive --rtol {:e} --atol {:e}",
            settings.relative_tolerance, settings.absolute_tolerance
        ),
    };
    format!(
        "{flags} ({:.1} evaluations, {:.3} ms a draw)",
        measured.evaluations,
        1e3 * measured.seconds
    )
}

fn table(advice: &Advice) -> Table {
    let mut table = Table::new([
        "solver",
        "evaluations",
        "ms a draw",
        "max error",
        "rms error",
        "max, relative",
        "rms, relative",
        "within",
    ]);
    for measured in &advice.candidates {
        let mut cells = vec![measured.solver.to_string()];
        match &measured.error {
            Some(error) => {
                cells.push(format!("{:.1}", measured.evaluations));
                cells.push(format!("{:.3}", 1e3 * measured.seconds));
                let numbers = [
                    error.maximum,
                    error.root_mean_square,
                    error.relative_maximum,
                    error.relative_root_mean_square,
                ];
                cells.extend(numbers.map(|number| format!("{number:.2e}")));
                cells.push(if measured.meets { "yes" } else { "no" }.into());
            }
            None => {
                cells.resize(7, "-".into());
                cells.push("no end".into());
            }
        }
        table.row(cells);
    }
    table
}
