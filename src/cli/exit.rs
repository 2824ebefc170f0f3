//! Exit codes, and errors as one line.

use attractor::analysis::ftle_field::FieldError;
use attractor::analysis::stage2::Stage2Error;
use attractor::bench::BenchError;
use attractor::device::DeviceError;
use attractor::graph::GraphError;
use attractor::models::flow::ranker::RankerError;
use attractor::orbit::lyapunov::LyapunovError;
use attractor::samplers::PlannerError;
use attractor::samplers::ensemble::EnsembleError;
use attractor::samplers::flow::FlowError;
use attractor::samplers::mppi::MppiError;
use attractor::samplers::recursive::ReasonerError;
use attractor::samplers::shooting::ShootingError;
use attractor::samplers::tabular::TabularError;
use attractor::training::TrainingError;
use attractor::worlds::maze::MazeError;
use std::process::ExitCode;

/// How a command that ran to its end came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Good,
    /// A check failed.
    CheckFailed,
    /// A part has no result.
    Partial,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::CheckFailed => Self::from(CHECK_FAILED),
            Outcome::Partial => Self::from(PARTIAL),
        }
    }
}

/// What the user asked for cannot be done as asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// No example of a measurement stayed finite.
#[derive(Debug, thiserror::Error)]
#[error("no example stayed finite: {0}")]
pub struct NotFinite(pub String);

/// A file that an analysis was asked to read is not there; by the specification of that analysis no bad
/// usage, but a check that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

const CHECK_FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
const NO_DEVICE: u8 = 3;
const DEVICE_FAILED: u8 = 4;
const NUMERIC_FAILURE: u8 = 5;
const PARTIAL: u8 = 6;

/// Reports what clap has to say: help and version as they are, mistakes on one line.
pub fn of_usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe has nobody left to tell.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        complain("expected a command, found none (see attractor --help)");
        return ExitCode::from(BAD_INPUT);
    }
    let text = error.render().to_string();
    let mistake = text
        .split("\n\nUsage:")
        .next()
        .and_then(|text| text.split("\n\nFor more").next())
        .unwrap_or_default();
    complain(&format!(
        "{} (see attractor --help)",
        mistake.trim_start_matches("error:").trim()
    ));
    ExitCode::from(BAD_INPUT)
}

/// Reports an error as one line and gives its exit code.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    if closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    complain(&chain(error));
    ExitCode::from(code(error))
}

/// The reader of our output has seen enough, which is no failure.
fn closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The error and its sources, joined; sources that an error quotes itself are not repeated.
fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

fn complain(message: &str) {
    use std::io::Write;
    let words: Vec<&str> = message.split_whitespace().collect();
    // Nothing can be done about a closed standard error.
    let _ = writeln!(std::io::stderr(), "error: {}", words.join(" "));
}

fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(BAD_INPUT)
}

/// The code of one cause. Transparent wrappers hide what they hold from the chain, so they are opened.
fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    match cause.downcast_ref::<PlannerError>() {
        Some(PlannerError::NotFinite { .. } | PlannerError::GoalNotFinite { .. }) => {
            return Some(NUMERIC_FAILURE);
        }
        Some(PlannerError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    match cause.downcast_ref::<FlowError>() {
        Some(
            FlowError::NotFinite { .. } | FlowError::Tolerance { .. } | FlowError::Unsettled { .. },
        ) => {
            return Some(NUMERIC_FAILURE);
        }
        Some(FlowError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    match cause.downcast_ref::<RankerError>() {
        Some(RankerError::NotFinite { .. }) => return Some(NUMERIC_FAILURE),
        Some(RankerError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    match cause.downcast_ref::<ReasonerError>() {
        Some(ReasonerError::NotFinite { .. }) => return Some(NUMERIC_FAILURE),
        Some(ReasonerError::Graph(graph)) => return graph_code(graph),
        Some(ReasonerError::Lyapunov(lyapunov)) => return code_of(lyapunov),
        _ => {}
    }
    match cause.downcast_ref::<MppiError>() {
        Some(MppiError::NotFinite { .. } | MppiError::ValuesNotFinite { .. }) => {
            return Some(NUMERIC_FAILURE);
        }
        Some(MppiError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    match cause.downcast_ref::<Stage2Error>() {
        Some(Stage2Error::NotFinite { .. }) => return Some(NUMERIC_FAILURE),
        Some(Stage2Error::Shooting(shooting)) => return code_of(shooting),
        Some(Stage2Error::Lyapunov(lyapunov)) => return code_of(lyapunov),
        _ => {}
    }
    match cause.downcast_ref::<ShootingError>() {
        Some(ShootingError::NotFinite { .. }) => return Some(NUMERIC_FAILURE),
        Some(ShootingError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    if let Some(LyapunovError::Graph(graph)) = cause.downcast_ref::<LyapunovError>() {
        return graph_code(graph);
    }
    if cause.is::<NotFinite>() {
        return Some(NUMERIC_FAILURE);
    }
    if cause.is::<Missing>() {
        return Some(CHECK_FAILED);
    }
    match cause.downcast_ref::<BenchError>() {
        Some(BenchError::Planner(planner)) => return code_of(planner),
        Some(BenchError::Flow(flow)) => return code_of(flow),
        Some(BenchError::Reasoner(reasoner)) => return code_of(reasoner),
        Some(BenchError::Mppi(mppi)) => return code_of(mppi.as_ref()),
        Some(BenchError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    match cause.downcast_ref::<FieldError>() {
        Some(FieldError::Ensemble(ensemble)) => return code_of(ensemble),
        Some(_) => return Some(BAD_INPUT),
        None => {}
    }
    match cause.downcast_ref::<EnsembleError>() {
        Some(
            EnsembleError::Diverged { .. }
            | EnsembleError::Collapsed { .. }
            | EnsembleError::Tolerance { .. },
        ) => return Some(NUMERIC_FAILURE),
        Some(EnsembleError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    match cause.downcast_ref::<MazeError>() {
        Some(MazeError::Displacement { .. } | MazeError::Window { .. }) => {
            return Some(NUMERIC_FAILURE);
        }
        Some(MazeError::Planner(TabularError::Graph(graph))) | Some(MazeError::Graph(graph)) => {
            return graph_code(graph);
        }
        Some(MazeError::Training(training)) => return code_of(training),
        _ => {}
    }
    match cause.downcast_ref::<TrainingError>() {
        Some(TrainingError::NotFinite { .. }) => return Some(NUMERIC_FAILURE),
        Some(TrainingError::Graph(graph)) => return graph_code(graph),
        _ => {}
    }
    match cause.downcast_ref::<GraphError>() {
        Some(graph) => graph_code(graph),
        None => cause.downcast_ref::<DeviceError>().map(device_code),
    }
}

fn graph_code(error: &GraphError) -> Option<u8> {
    match error {
        GraphError::Device(device) => Some(device_code(device)),
        _ => None,
    }
}

fn device_code(error: &DeviceError) -> u8 {
    match error {
        DeviceError::NotFound { .. } | DeviceError::Unsupported { .. } => NO_DEVICE,
        DeviceError::OutOfMemory { .. }
        | DeviceError::Lost { .. }
        | DeviceError::Refused { .. } => DEVICE_FAILED,
        // Known before anything ran: the request does not fit the device.
        DeviceError::TooLarge { .. }
        | DeviceError::TooManyWorkgroups { .. }
        | DeviceError::TooManyIterations { .. } => BAD_INPUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_errors_keep_their_codes_inside_others() {
        let lost = || DeviceError::Lost {
            device: "a".into(),
            message: "b".into(),
        };
        assert_eq!(code(&anyhow::Error::from(lost())), DEVICE_FAILED);
        let wrapped = anyhow::Error::from(GraphError::Device(lost())).context("planning");
        assert_eq!(code(&wrapped), DEVICE_FAILED);
        let planning = anyhow::Error::from(PlannerError::from(lost()));
        assert_eq!(code(&planning), DEVICE_FAILED);
        let nan = PlannerError::NotFinite {
            example: 0,
            position: 0,
        };
        assert_eq!(code(&anyhow::Error::from(nan)), NUMERIC_FAILURE);
        let goal = PlannerError::GoalNotFinite { example: 0 };
        assert_eq!(code(&anyhow::Error::from(goal)), NUMERIC_FAILURE);
        let absent = DeviceError::NotFound {
            selector: "x".into(),
            available: "none".into(),
        };
        assert_eq!(code(&anyhow::Error::from(absent)), NO_DEVICE);
        assert_eq!(code(&anyhow::anyhow!("anything else")), BAD_INPUT);
    }

    #[test]
    fn chains_are_not_repeated() {
        let source = std::io::Error::other("no such file");
        let quoting = attractor::formats::FormatError::Io {
            file: "a.npz".into(),
            action: "open",
            source,
        };
        let error = anyhow::Error::from(quoting).context("observations");
        assert_eq!(
            chain(&error),
            "observations: a.npz: cannot open: no such file"
        );
    }
}
