//! Folders of flow matching: `index.json` holds one entry a case, `{note, config, tensors}`, and each
//! case has a file of tensors `w.*` (weights), `in.*` and `out.*`.
//!
//! What a case is follows from its configuration and the names of its tensors, never from its own
//! name. An output that nothing here compares gets a line of its own that says so.

mod actions;
mod benchmark;
mod case;
mod conditions;
mod decoder;
mod evaluation;
mod losses;
mod ranker;
mod readouts;
mod times;
mod trajectories;
mod weights;

use case::Case;

use super::checks::{CaseError, Cases, Checks};
use super::folder::{Folder, Node};
use crate::device::Device;

/// Outputs of one case that get lines of their own; of more, the rest share the last line.
const MOST_LINES: usize = 64;

/// What a case compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Velocity,
    Trajectories,
    FlowTime,
    Transform,
    LabelSmoothing,
    Losses,
    Training,
    Readouts,
    Ranker,
    Regression,
    Evaluation,
    Benchmark,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Velocity => "velocity",
            Self::Trajectories => "trajectories",
            Self::FlowTime => "flow-time",
            Self::Transform => "transform",
            Self::LabelSmoothing => "lds",
            Self::Losses => "loss",
            Self::Training => "training",
            Self::Readouts => "readouts",
            Self::Ranker => "ranker",
            Self::Regression => "regression",
            Self::Evaluation => "evaluation",
            Self::Benchmark => "benchmark",
        }
    }

    /// The kind of a case with these configuration keys and tensors; the first that fits, most telling
    /// signs first.
    fn of(config: Option<&Node<'_>>, tensors: &[&str]) -> Option<Self> {
        let key = |key: &str| config.is_some_and(|config| config.find(key).is_some());
        let has = |name: &str| tensors.contains(&name);
        let any = |start: &str| tensors.iter().any(|name| name.starts_with(start));
        let velocity = has("out.velocity") && has("in.x");
        let readout = ["single", "meank", "mode", "mode_medoid"];
        let signs = [
            (
                key("philox") || key("z12") || has("out.kind"),
                Self::Benchmark,
            ),
            (key("expected") && has("in.draws"), Self::Evaluation),
            (key("curve") || any("out.final."), Self::Training),
            (key("scalars") && has("in.x1"), Self::Losses),
            (has("out.scores"), Self::Ranker),
            (has("out.model") && has("in.cond"), Self::Regression),
            (has("in.knots"), Self::Transform),
            (has("in.edges"), Self::LabelSmoothing),
            (
                readout.iter().any(|name| has(&format!("out.{name}"))),
                Self::Readouts,
            ),
            (velocity, Self::Velocity),
            (
                has("in.cond") && tensors.iter().any(|name| trajectories::is_output(name)),
                Self::Trajectories,
            ),
            (
                tensors.iter().any(|name| times::is_output(name)),
                Self::FlowTime,
            ),
        ];
        signs
            .into_iter()
            .find_map(|(fits, kind)| fits.then_some(kind))
    }

    fn check(self, case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
        match self {
            Self::Velocity | Self::Trajectories => decoder::check(case, checks),
            Self::FlowTime => times::check(case, checks),
            Self::Transform => actions::check_transform(case, checks),
            Self::LabelSmoothing => actions::check_label_smoothing(case, checks),
            Self::Losses => losses::check(case, checks),
            Self::Training => Err(CaseError::Unsupported(
                "training steps need reverse mode".into(),
            )),
            Self::Readouts => readouts::check(case, checks),
            Self::Ranker => ranker::check(case, checks),
            Self::Regression => decoder::check_regression(case, checks),
            Self::Evaluation => evaluation::check(case, checks),
            Self::Benchmark => benchmark::check(case, checks),
        }
    }
}

/// Whether an entry of an index is laid out like a case of this family.
pub(super) fn is_case(entry: &serde_json::Value) -> bool {
    let object = |key: &str| entry.get(key).and_then(serde_json::Value::as_object);
    // The planner's entries name their file and describe tensors by objects.
    let shaped = |(name, tensor): (&String, &serde_json::Value)| {
        let role = ["w.", "in.", "out."];
        tensor.is_array() && role.iter().any(|role| name.starts_with(role))
    };
    let tensors = object("tensors");
    object("config").is_some() && tensors.is_some_and(|tensors| tensors.iter().any(shaped))
}

pub(super) fn run(folder: &Folder, device: &Device, cases: &mut Cases) {
    for (name, entry) in folder.index().entries() {
        if entry.json().is_object() || entry.json().is_array() {
            run_case(folder, name, &entry, device, cases);
        }
    }
}

fn run_case(folder: &Folder, name: &str, entry: &Node<'_>, device: &Device, cases: &mut Cases) {
    let listed: Vec<&str> = entry.find("tensors").map_or_else(Vec::new, |tensors| {
        let entries = tensors.entries().into_iter();
        entries.map(|(name, _)| name).collect()
    });
    let case = match Case::read(folder, name, entry, device) {
        Ok(case) => case,
        Err(error) => {
            // A file that is not there is a failure of a kind that is known, and none otherwise.
            return match Kind::of(entry.find("config").as_ref(), &listed) {
                Some(kind) => cases.run(name, kind.name(), |_| Err(error)),
                None => cases.unsupported(name, "unknown", "unknown kind of case"),
            };
        }
    };
    let tensors: Vec<&str> = listed.iter().copied().chain(case.arrays.names()).collect();
    let Some(kind) = Kind::of(Some(&case.config), &tensors) else {
        return cases.unsupported(name, "unknown", "unknown kind of case");
    };
    if case.config.find("philox_key").is_some() && kind != Kind::Benchmark {
        let title = format!("{name}.weights");
        cases.run(&title, "procedural", |checks| weights::check(&case, checks));
    }
    let mut finished = false;
    cases.run(name, kind.name(), |checks| {
        if kind != Kind::Training {
            case.check_list(checks)?;
        }
        kind.check(&case, checks)?;
        finished = true;
        Ok(())
    });
    if finished {
        leftovers(&case, kind, cases);
    }
}

/// Lines for what the case holds and nothing compared.
fn leftovers(case: &Case<'_>, kind: Kind, cases: &mut Cases) {
    let (gradients, unknown): (Vec<String>, Vec<String>) =
        case.left().into_iter().partition(|name| {
            name.split('.')
                .any(|part| part == "grad" || part == "grad_norm")
        });
    if !gradients.is_empty() {
        let reason = format!("{} gradients need reverse mode", gradients.len());
        let title = format!("{}.gradients", case.name);
        cases.unsupported(&title, "gradient", &reason);
    }
    for name in unknown.iter().take(MOST_LINES) {
        let title = format!("{}.{name}", case.name);
        cases.unsupported(&title, kind.name(), "unknown output, not compared");
    }
    if unknown.len() > MOST_LINES {
        let more = unknown.len() - MOST_LINES;
        let title = format!("{}.others", case.name);
        let reason = format!("{more} more unknown outputs, not compared");
        cases.unsupported(&title, kind.name(), &reason);
    }
}
