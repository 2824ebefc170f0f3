//! HRM and TRM: exponents of every puzzle, and the diagnostics that the two-by-two analysis takes.

use super::maps::columns;
use super::measured::{Example, FtleSettings, Measured, covariant_angles};
use super::{MeasureArguments, Model};
use crate::cli::exit::Usage;
use crate::cli::output::note;
use crate::cli::progress;
use crate::cli::record::RunRecord;
use crate::cli::recurse::{Arch, fitted};
use anyhow::Result;
use attractor::device::Selection;
use attractor::formats::{Array, ArrayMap, load_arrays};
use attractor::models::recursive::{Granularity, RecursiveConfig};
use attractor::samplers::recursive::{ExponentSettings, Exponents, Reasoner, Score, SolveRequest};
use attractor::worlds::puzzles::{PuzzleKind, PuzzleSet};
use std::path::PathBuf;
use std::time::Instant;

/// Tangents where none are asked for.
const COLUMNS: usize = 8;
/// Puzzles handed over at once: bounds what the host holds beside the results.
const PIECE: usize = 256;

/// `--granularity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum GranularityName {
    /// After every level call
    Sub,
    /// After every lower update, the upper one counted with the one before
    Lstep,
    /// After every ACT step
    Step,
}

impl From<GranularityName> for Granularity {
    fn from(name: GranularityName) -> Self {
        match name {
            GranularityName::Sub => Self::Sub,
            GranularityName::Lstep => Self::Lstep,
            GranularityName::Step => Self::Step,
        }
    }
}

/// What is gathered over all pieces.
#[derive(Default)]
struct Gathered {
    examples: Vec<Example>,
    spectra: Vec<f32>,
    drift_h: Vec<f32>,
    drift_l: Vec<f32>,
    q_halt: Vec<f32>,
    q_continue: Vec<f32>,
    halted_at: Vec<i64>,
    scores: Vec<Score>,
    bytes: u64,
}

/// Measures every puzzle that is asked for.
pub fn measure(arguments: &MeasureArguments, selection: &Selection) -> Result<Measured> {
    let data = &arguments.data;
    let path = data.data.as_ref();
    let path = path.ok_or_else(|| Usage("expected --data with puzzles, found none".into()))?;
    let set = PuzzleSet::load(path, data.kind.map(PuzzleKind::from))?;
    let mut model = arguments.learned.clone();
    model.arch = Some(match arguments.model {
        Some(Model::Hrm) => Arch::Hrm,
        _ => Arch::Trm,
    });
    let (weights, config) = model.load(&set)?;
    let set = fitted(set, &config)?;
    let range = data.range(set.count())?;
    let device = &selection.device;
    let mut reasoner = Reasoner::new(config, &weights, model.puzzle_rows(), device)?;
    drop(weights);
    let config = reasoner.config().clone();
    let settings = settings(arguments, &config)?;
    let size = config.dimension() * settings.k;
    let given = first_tangents(arguments, set.count(), &config, settings.k)?;
    let granularity = data.granularity.map(Granularity::from);
    let granularity = granularity.unwrap_or_else(|| Granularity::default_of(config.arch));
    let run = RunRecord::new(
        device,
        arguments.seed,
        (&model.file(), reasoner.weights_hash()),
        &FtleSettings {
            granularity: crate::cli::record::name(&granularity),
            ..settings.clone()
        },
    );
    note(run.head(&selection.reason).trim_end());
    let started = Instant::now();
    let set = set.slice(range.clone());
    let mut gathered = Gathered::default();
    let bar = progress::bar(set.count());
    let mut per_step = 1;
    for start in (0..set.count()).step_by(PIECE) {
        let piece = set.slice(start..start + PIECE);
        let request = SolveRequest {
            puzzles: &piece.puzzles,
            steps: settings.steps as usize,
            batch: data.batch,
            ..SolveRequest::new(&piece.inputs, &config)
        };
        let first = range.start + start;
        let exponents = ExponentSettings {
            first_example: u32::try_from(first)?,
            factors: arguments.covariant,
            start: given
                .as_ref()
                .and_then(|all| all.get(first * size..(first + piece.count()) * size)),
            ..ExponentSettings::new(settings.k, granularity, arguments.seed)
        };
        if start == 0 {
            let (summary, runs) = reasoner.exponents_summary(&request, &exponents)?;
            let bytes = summary.working_bytes.saturating_mul(runs as u64);
            note(&format!("memory   {bytes} bytes of working memory needed"));
        }
        let found = reasoner.exponents(&request, &exponents)?;
        per_step = found.events / settings.steps.max(1) as usize;
        gathered.take(arguments, &piece, first, found, config.dimension())?;
        bar.inc(piece.count() as u64);
    }
    bar.finish_and_clear();
    let arrays = gathered.diagnostics(arguments, &settings)?;
    Ok(Measured {
        run,
        event_time: 1.0,
        unit: match per_step {
            1 => "ACT step",
            _ => "QR",
        },
        examples: gathered.examples,
        sum_rule: None,
        literature: None,
        working_bytes: gathered.bytes,
        seconds: started.elapsed().as_secs_f64(),
        arrays: Some(arrays),
    })
}

/// The tangents of `--tangents`, `[N, n, k]`.
fn first_tangents(
    arguments: &MeasureArguments,
    count: usize,
    config: &RecursiveConfig,
    k: usize,
) -> Result<Option<Vec<f64>>> {
    let Some(path) = &arguments.data.tangents else {
        return Ok(None);
    };
    let arrays = load_arrays(path)?;
    let array = arrays.get("Q0")?;
    let expected = [count, config.dimension(), k];
    if array.shape() != expected {
        let (file, found) = (path.display(), array.shape());
        return Err(Usage(format!(
            "{file}: Q0: expected {expected:?}, found {found:?}"
        ))
        .into());
    }
    Ok(Some(array.to_f64()?))
}

fn settings(arguments: &MeasureArguments, config: &RecursiveConfig) -> Result<FtleSettings> {
    if arguments.every != 1 {
        let found = arguments.every;
        return Err(Usage(format!(
            "--every: expected 1 for a reasoner, whose QRs --granularity sets, found {found}"
        ))
        .into());
    }
    let steps = match arguments.steps {
        Some(steps) => steps,
        None => u32::try_from(config.halt_max_steps)?,
    };
    Ok(FtleSettings {
        map: crate::cli::record::name(&config.arch),
        dimension: config.dimension(),
        k: columns(
            arguments.k.or(Some(COLUMNS.min(config.dimension()))),
            config.dimension(),
        )?,
        steps,
        transient: 0,
        granularity: String::new(),
        parameters: serde_json::json!({ "model": config, "sorted": arguments.sorted }),
    })
}

impl Gathered {
    fn take(
        &mut self,
        arguments: &MeasureArguments,
        piece: &PuzzleSet,
        first: usize,
        found: Exponents,
        dimension: usize,
    ) -> Result<()> {
        let (k, events, cells) = (found.columns, found.events, piece.seq_len.max(1));
        let solutions = &found.solutions;
        for index in 0..solutions.count {
            let bad = found.invalid.iter().find(|bad| bad.example == index);
            let invalid = bad.map(|bad| {
                format!(
                    "not finite at ACT step {} after node {}",
                    bad.step, bad.node
                )
            });
            let angles = match (&found.factors, &invalid) {
                (Some(factors), None) => {
                    covariant_angles(factors, index, (dimension, events, k), arguments.seed)?
                }
                _ => None,
            };
            let logs = &found.log_r[index * events * k..(index + 1) * events * k];
            let mut spectrum = found.of(index);
            if arguments.sorted {
                spectrum.sort_by(|a, b| b.total_cmp(a));
            }
            self.spectra
                .extend(spectrum.iter().map(|&value| value as f32));
            self.examples.push(Example {
                index: first + index,
                log_r: logs.to_vec(),
                restarts: found.restarts.get(index).copied().unwrap_or(0),
                invalid,
                angles,
            });
            let answer = &solutions.predictions[index * cells..(index + 1) * cells];
            let labels = piece.labels.as_ref();
            let labels = labels.and_then(|labels| labels.get(index * cells..(index + 1) * cells));
            self.scores
                .extend(labels.map(|labels| Score::of(answer, labels)));
        }
        let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
        self.drift_h.extend(single(&solutions.drift_h));
        self.drift_l.extend(single(&solutions.drift_l));
        self.q_halt.extend(single(&solutions.q_halt));
        self.q_continue.extend(single(&solutions.q_continue));
        self.halted_at
            .extend(solutions.halted_at.iter().map(|&step| i64::from(step)));
        self.bytes = self.bytes.max(solutions.report.working_bytes);
        Ok(())
    }

    /// The arrays of the npz schema; examples that are not finite are left out.
    fn diagnostics(
        &self,
        arguments: &MeasureArguments,
        settings: &FtleSettings,
    ) -> Result<ArrayMap> {
        let valid: Vec<usize> = (0..self.examples.len())
            .filter(|&index| self.examples[index].invalid.is_none())
            .collect();
        let (steps, k, count) = (settings.steps as usize, settings.k, valid.len());
        let mut map = ArrayMap::new(
            arguments
                .out
                .clone()
                .unwrap_or(PathBuf::from("diagnostics")),
        );
        let rows = |values: &[f32], width: usize| {
            let row = |&index: &usize| values[index * width..(index + 1) * width].iter();
            valid.iter().flat_map(row).copied().collect::<Vec<f32>>()
        };
        for (name, values, width) in [
            ("drift_zH", &self.drift_h, steps),
            ("drift_zL", &self.drift_l, steps),
            ("q_halt", &self.q_halt, steps),
            ("q_continue", &self.q_continue, steps),
            ("lyap_spec", &self.spectra, k),
        ] {
            map.insert(name, Array::new(&[count, width], rows(values, width))?)?;
        }
        let words =
            |value: &dyn Fn(usize) -> i64| valid.iter().map(|&i| value(i)).collect::<Vec<_>>();
        let halted = words(&|index| self.halted_at[index]);
        map.insert("halted_at", Array::new(&[count], halted)?)?;
        let index = words(&|index| self.examples[index].index as i64);
        map.insert("idx", Array::new(&[count], index)?)?;
        if self.scores.len() == self.examples.len() {
            let exact = words(&|index| i64::from(self.scores[index].exact_correct));
            map.insert("exact_correct", Array::new(&[count], exact)?)?;
            let share = valid
                .iter()
                .map(|&index| self.scores[index].token_acc as f32);
            map.insert(
                "token_acc",
                Array::new(&[count], share.collect::<Vec<f32>>())?,
            )?;
        } else if arguments.out.is_some() {
            note("the puzzles have no answers: exact_correct and token_acc are left out");
        }
        Ok(map)
    }
}
