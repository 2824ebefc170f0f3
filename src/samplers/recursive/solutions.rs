//! What a reasoner gives, and how it is judged.

use super::SolveRequest;
use crate::models::recursive::RecursiveConfig;
use serde::Serialize;

/// What solving took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SolveReport {
    /// Runs that the examples were cut into.
    pub runs: usize,
    /// Examples of a run.
    pub run_examples: usize,
    /// Launches.
    pub dispatches: u64,
    /// Submissions.
    pub submissions: u64,
    /// Bytes of all working memory.
    pub working_bytes: u64,
    /// Time in all, seconds.
    pub seconds: f64,
}

/// States and logits of every step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trajectories {
    /// Joint states after every step `[N, T, 2L, D]`, z_H first.
    pub states: Vec<f64>,
    /// Logits after every step `[N, T, S, V]`.
    pub logits: Vec<f64>,
}

/// Answers to N puzzles of S cells, and what was seen over T steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Solutions {
    /// Puzzles N.
    pub count: usize,
    /// Steps T.
    pub steps: usize,
    /// Tokens of the largest logits after the last step `[N, S]`.
    pub predictions: Vec<u32>,
    /// Logits after the last step `[N, S, V]`.
    pub logits: Vec<f64>,
    /// Logit to halt, after every step `[N, T]`.
    pub q_halt: Vec<f64>,
    /// Logit to go on `[N, T]`.
    pub q_continue: Vec<f64>,
    /// Length of the move of z_H at every step `[N, T]`, over all its `L D` numbers.
    pub drift_h: Vec<f64>,
    /// The same of z_L.
    pub drift_l: Vec<f64>,
    /// First step, from 1, at which the model would have halted; T where it never would `[N]`.
    pub halted_at: Vec<u32>,
    /// Where recorded.
    pub trajectories: Option<Trajectories>,
    /// What it took.
    pub report: SolveReport,
}

impl Solutions {
    /// No answers yet, for this many.
    pub(super) fn begin(count: usize, request: &SolveRequest<'_>, report: SolveReport) -> Self {
        Self {
            count,
            steps: request.steps,
            trajectories: request.record.then(Trajectories::default),
            report,
            ..Self::default()
        }
    }

    /// Adds the answers of another part of the same job, over as many steps; the logits and trajectories of
    /// both must have been kept alike.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.predictions.extend(other.predictions);
        self.logits.extend(other.logits);
        self.q_halt.extend(other.q_halt);
        self.q_continue.extend(other.q_continue);
        self.drift_h.extend(other.drift_h);
        self.drift_l.extend(other.drift_l);
        self.halted_at.extend(other.halted_at);
        if let Some(more) = other.trajectories {
            let kept = self.trajectories.get_or_insert_default();
            kept.states.extend(more.states);
            kept.logits.extend(more.logits);
        }
        let (report, more) = (&mut self.report, other.report);
        report.runs += more.runs;
        report.run_examples = report.run_examples.max(more.run_examples);
        report.dispatches += more.dispatches;
        report.submissions += more.submissions;
        report.working_bytes = report.working_bytes.max(more.working_bytes);
        report.seconds += more.seconds;
    }
}

/// How an answer compares with its labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Right cells over labelled ones; 0 where no cell is labelled.
    pub token_acc: f64,
    /// Whether every labelled cell is right; false where none is labelled.
    pub exact_correct: bool,
}

impl Score {
    /// Judges one answer; labels below zero are not asked for.
    pub fn of(predictions: &[u32], labels: &[i32]) -> Self {
        let pairs = predictions.iter().zip(labels);
        let valid = pairs.filter(|(_, label)| **label >= 0);
        let right = |(token, label): (&u32, &i32)| i64::from(*token) == i64::from(*label);
        let (mut asked, mut correct) = (0usize, 0usize);
        for pair in valid {
            asked += 1;
            correct += usize::from(right(pair));
        }
        Self {
            token_acc: correct as f64 / asked.max(1) as f64,
            exact_correct: asked > 0 && correct == asked,
        }
    }
}

/// First step, from 1, at which halting is called for; the last where it never is.
pub(super) fn halted_at(config: &RecursiveConfig, q_halt: &[f64], q_continue: &[f64]) -> u32 {
    let mut logits = q_halt.iter().zip(q_continue);
    let bar = |go_on: f64| if config.no_act_continue { 0.0 } else { go_on };
    let first = logits.position(|(halt, go_on)| *halt > bar(*go_on));
    first.map_or(q_halt.len(), |index| index + 1) as u32
}

#[cfg(test)]
mod tests {
    use super::Score;

    #[test]
    fn scores_count_labelled_cells_alone() {
        let score = |labels: &[i32]| {
            let score = Score::of(&[2, 3, 4, 5], labels);
            (score.token_acc, score.exact_correct)
        };
        assert_eq!(score(&[2, 3, 4, 5]), (1.0, true));
        assert_eq!(score(&[2, 3, 4, 1]), (0.75, false));
        assert_eq!(score(&[-100, 3, -100, 1]), (0.5, false));
        assert_eq!(score(&[-100, 3, 4, -100]), (1.0, true));
        assert_eq!(score(&[-100; 4]), (0.0, false));
    }
}
