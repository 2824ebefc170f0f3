//! `attractor recurse`: solves puzzles with a recursive reasoner.

mod model;
mod output;

use super::exit::{Outcome, Usage};
use super::output::{check_free, note, print};
use super::progress;
use super::record::RunRecord;
use super::shard::Shard;
use anyhow::Result;
use attractor::device::Selection;
use attractor::models::recursive::RecursiveConfig;
use attractor::samplers::recursive::{Reasoner, Score, Solutions, SolveRequest};
use attractor::worlds::puzzles::{Board, PuzzleKind, PuzzleSet};
pub use model::{Arch, ModelArguments};
use serde::Serialize;
use std::ops::Range;
use std::path::PathBuf;

/// Arguments of `attractor recurse`.
#[derive(Debug, clap::Args)]
pub struct RecurseArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// One puzzle: 81 characters of a Sudoku (. or 0 for a blank), 900 of a maze ("# SGo"), or any other
    /// square of them
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "data",
        required_unless_present = "data"
    )]
    puzzle: Option<String>,
    /// Puzzles: a folder with dataset.json, an npz or safetensors file with inputs, a CSV with question and
    /// answer, or a line PUZZLE or PUZZLE,ANSWER each
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// What the puzzles are [default: by their characters or tokens]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// ACT steps [default: halt_max_steps of the configuration, else 16]
    #[arg(long, value_name = "T")]
    steps: Option<usize>,
    /// Puzzles of one run [default: by the device]
    #[arg(long, value_name = "COUNT")]
    batch: Option<usize>,
    /// Solve the first so many puzzles alone
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Solve part I of N (I from 1) of the puzzles
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Write answers, halting and drift to this npz file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over the file of --out
    #[arg(long, requires = "out")]
    force: bool,
    /// How to print; with --out nothing is printed unless this is given
    #[arg(long, value_enum)]
    format: Option<output::Format>,
    /// Print the compiled graph and its peak memory before the run
    #[arg(long)]
    explain: bool,
}

/// `--kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Digits
    Sudoku,
    /// Walls, floors, start, goal and path
    Maze,
}

impl From<Kind> for PuzzleKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Sudoku => Self::Sudoku,
            Kind::Maze => Self::Maze,
        }
    }
}

/// What a run depends on, for its record.
#[derive(Debug, Clone, Serialize)]
struct RecurseSettings {
    model: RecursiveConfig,
    steps: usize,
}

/// Solved puzzles.
struct Results {
    /// Numbers of the puzzles in the data.
    range: Range<usize>,
    set: PuzzleSet,
    solutions: Solutions,
    scores: Option<Vec<Score>>,
}

/// Puzzles handed over at once: enough for several runs, few enough to show progress.
const PIECE: usize = 512;

/// Loads, solves, writes.
pub fn run(arguments: &RecurseArguments, selector: &str) -> Result<Outcome> {
    if let Some(path) = &arguments.out {
        check_free(path, arguments.force)?;
    }
    let kind = arguments.kind.map(PuzzleKind::from);
    let set = match (&arguments.puzzle, &arguments.data) {
        (Some(text), _) => PuzzleSet::from_puzzle(text, kind)?,
        (None, Some(path)) => PuzzleSet::load(path, kind)?,
        (None, None) => {
            return Err(Usage("expected --puzzle or --data, found neither".into()).into());
        }
    };
    let (weights, config) = arguments.model.load(&set)?;
    let set = fitted(set, &config)?;
    let range = part(arguments, set.count())?;
    let Selection { device, reason } = Selection::by_name(selector)?;
    let rows = arguments.model.puzzle_rows();
    let mut reasoner = Reasoner::new(config, &weights, rows, &device)?;
    drop(weights);
    let steps = arguments.steps.unwrap_or(reasoner.config().halt_max_steps);
    let settings = RecurseSettings {
        model: reasoner.config().clone(),
        steps,
    };
    let set = set.slice(range.clone());
    if set.count() > 0 {
        // Before anything is printed: what is wrong with a request is one line.
        reasoner.check(&request(arguments, &set, steps))?;
    }
    let file = arguments.model.file();
    let record = RunRecord::new(&device, 0, (&file, reasoner.weights_hash()), &settings);
    note(record.head(&reason).trim_end());
    if set.count() > 0 {
        describe(arguments, &mut reasoner, &set, steps)?;
    }
    let solutions = solve(arguments, &mut reasoner, &set, (range.start, steps))?;
    let cells = set.seq_len.max(1);
    let scores = set.labels.as_ref().map(|labels| {
        let pairs = solutions
            .predictions
            .chunks_exact(cells)
            .zip(labels.chunks_exact(cells));
        pairs
            .map(|(answer, labels)| Score::of(answer, labels))
            .collect()
    });
    let results = Results {
        range,
        set,
        solutions,
        scores,
    };
    output::write(arguments, &record, &results)?;
    Ok(Outcome::Good)
}

/// The puzzles with a board that goes with the model's vocabulary.
pub fn fitted(mut set: PuzzleSet, config: &RecursiveConfig) -> Result<PuzzleSet> {
    if set.seq_len != config.seq_len {
        return Err(Usage(format!(
            "the puzzles: expected {} cells as the model takes them, found {}",
            config.seq_len, set.seq_len
        ))
        .into());
    }
    if let Some(found) = set.vocab_size.filter(|found| *found != config.vocab_size) {
        return Err(Usage(format!(
            "the puzzles: expected {} tokens as the model has them, found {found}",
            config.vocab_size
        ))
        .into());
    }
    let told = || Board::of_tokens(config.vocab_size, config.seq_len);
    set.board = set.board.or_else(told);
    Ok(set)
}

/// The puzzles that are asked for.
fn part(arguments: &RecurseArguments, count: usize) -> Result<Range<usize>> {
    let total = match arguments.limit {
        Some(0) => return Err(Usage("--limit is 0, expected at least 1".into()).into()),
        Some(limit) => limit.min(count),
        None => count,
    };
    Ok(arguments.shard.map_or(0..total, |shard| shard.range(total)))
}

/// Says what memory a run takes, and prints its graph where that is asked for.
fn describe(
    arguments: &RecurseArguments,
    reasoner: &mut Reasoner,
    set: &PuzzleSet,
    steps: usize,
) -> Result<()> {
    let first = set.slice(0..PIECE);
    let request = request(arguments, &first, steps);
    let peak = reasoner.peak_bytes(&request)?;
    note(&format!("memory   {peak} bytes of working memory needed"));
    if arguments.explain {
        let plan = reasoner.plan(&request)?;
        let text = format!("graph of one run\n{}", plan.explain(u32::try_from(steps)?));
        match arguments.format {
            None | Some(output::Format::Table) => print(&text)?,
            // Results that a program reads must stay alone on standard output.
            Some(_) => note(text.trim_end()),
        }
    }
    Ok(())
}

fn request<'a>(arguments: &RecurseArguments, set: &'a PuzzleSet, steps: usize) -> SolveRequest<'a> {
    SolveRequest {
        tokens: &set.inputs,
        puzzles: &set.puzzles,
        steps,
        record: false,
        batch: arguments.batch,
    }
}

/// Solves piece by piece; examples are numbered as in the data, from `first`.
fn solve(
    arguments: &RecurseArguments,
    reasoner: &mut Reasoner,
    set: &PuzzleSet,
    (first, steps): (usize, usize),
) -> Result<Solutions> {
    let mut all = Solutions {
        steps,
        ..Solutions::default()
    };
    let bar = progress::bar(set.count());
    for start in (0..set.count()).step_by(PIECE) {
        let piece = set.slice(start..start + PIECE);
        let solved = reasoner.solve(&request(arguments, &piece, steps));
        all.append(solved.map_err(|error| error.numbered_from(first + start))?);
        bar.inc(piece.count() as u64);
    }
    bar.finish_and_clear();
    Ok(all)
}
