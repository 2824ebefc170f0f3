//! Comparing numbers, and turning the outcome of a case into a line of the report.

use std::fmt::Display;

use super::report::{Case, Verdict};
use crate::formats::FormatError;
use crate::training::losses::LossError;
use crate::worlds::minihack::WorldError;

/// Why a case could not be carried through.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaseError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("index.json: {path}: expected {expected}, found {found}")]
    Index {
        path: String,
        expected: &'static str,
        found: String,
    },
    #[error(transparent)]
    Loss(#[from] LossError),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("{0}")]
    Engine(String),
    /// Not a failure: a kind, name or setting that the engine does not know.
    #[error("{0}")]
    Unsupported(String),
}

/// Comparisons of one case.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// Error, tolerance and place of the comparison with the largest ratio of the two.
    worst: Option<(f64, f64, String)>,
    compared: usize,
    failure: Option<String>,
    remark: Option<String>,
}

impl Checks {
    /// Absolute differences of at most `tolerance`; equal infinities and two NaNs agree.
    pub fn close(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        self.compare(what, found, expected, tolerance, 1.0);
    }

    /// Differences of at most `tolerance` times the largest magnitude of `expected`.
    pub fn close_to_scale(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        let largest = expected
            .iter()
            .fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 && largest.is_finite() {
            largest
        } else {
            1.0
        };
        self.compare(what, found, expected, tolerance, scale);
    }

    /// Equality.
    pub fn equal<T: PartialEq + Display>(&mut self, what: &str, found: &[T], expected: &[T]) {
        if !self.same_length(what, found.len(), expected.len()) {
            return;
        }
        let mut differing = 0_usize;
        let mut first = None;
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            if found != expected {
                differing += 1;
                first.get_or_insert_with(|| {
                    format!("{what}[{at}]: expected {expected}, found {found}")
                });
            }
        }
        self.see(what, differing as f64, 0.0);
        if let Some(first) = first {
            self.fail(format!("{first} ({differing} of {} differ)", found.len()));
        }
    }

    /// A condition with its own words.
    pub fn hold(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.compared += 1;
        if !holds {
            self.fail(otherwise());
        }
    }

    /// Something a reader should know about a case that passed.
    pub fn remark(&mut self, remark: String) {
        self.remark = Some(remark);
    }

    pub fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    fn same_length(&mut self, what: &str, found: usize, expected: usize) -> bool {
        self.compared += expected.max(1);
        let same = found == expected;
        if !same {
            self.fail(format!(
                "{what}: expected {expected} numbers, found {found}"
            ));
        }
        same
    }

    fn compare(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: f64, scale: f64) {
        if !self.same_length(what, found.len(), expected.len()) {
            return;
        }
        let mut worst = (0.0_f64, 0_usize);
        for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let error = difference(found, expected) / scale;
            if error > worst.0 {
                worst = (error, at);
            }
        }
        let (error, at) = worst;
        self.see(what, error, tolerance);
        if error > tolerance {
            let number = |values: &[f64]| values.get(at).copied().unwrap_or(f64::NAN);
            let (wanted, got) = (number(expected), number(found));
            self.fail(format!("{what}[{at}]: expected {wanted}, found {got}"));
        }
    }

    fn see(&mut self, what: &str, error: f64, tolerance: f64) {
        // An error of an exact quantity weighs more than any other, none weighs nothing.
        let weight = |error: f64, tolerance: f64| {
            if error == 0.0 { 0.0 } else { error / tolerance }
        };
        let heavier = self.worst.as_ref().is_none_or(|(worst, allowed, _)| {
            let (new, old) = (weight(error, tolerance), weight(*worst, *allowed));
            new > old || (new == old && tolerance > *allowed)
        });
        if heavier {
            self.worst = Some((error, tolerance, what.to_owned()));
        }
    }
}

/// NaN on one side only is as far as can be.
fn difference(found: f64, expected: f64) -> f64 {
    if found == expected || (found.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let difference = (found - expected).abs();
    if difference.is_nan() {
        f64::INFINITY
    } else {
        difference
    }
}

/// The cases of a folder so far.
#[derive(Debug, Default)]
pub(super) struct Cases {
    pub done: Vec<Case>,
    /// Put before every name.
    pub prefix: String,
}

impl Cases {
    /// Runs one case; whatever it returns becomes one line.
    pub fn run(
        &mut self,
        name: &str,
        kind: &str,
        body: impl FnOnce(&mut Checks) -> Result<(), CaseError>,
    ) {
        let mut checks = Checks::default();
        let outcome = body(&mut checks);
        let (verdict, reason) = match (outcome, checks.failure) {
            (Err(CaseError::Unsupported(reason)), None) => (Verdict::Unsupported, Some(reason)),
            (_, Some(reason)) => (Verdict::Fail, Some(reason)),
            (Err(error), None) => (Verdict::Fail, Some(error.to_string())),
            (Ok(()), None) if checks.compared == 0 => (
                Verdict::Fail,
                Some("there was nothing to compare".to_owned()),
            ),
            (Ok(()), None) => (Verdict::Pass, checks.remark),
        };
        let (worst_error, tolerance, worst_at) = match checks.worst {
            Some((error, tolerance, at)) => (Some(error), Some(tolerance), Some(at)),
            None => (None, None, None),
        };
        self.done.push(Case {
            name: format!("{}{name}", self.prefix),
            kind: kind.to_owned(),
            worst_error,
            tolerance,
            worst_at,
            compared: checks.compared,
            verdict,
            reason,
        });
    }

    /// A case of a kind that the engine does not know.
    pub fn unsupported(&mut self, name: &str, kind: &str, reason: &str) {
        self.run(name, kind, |_| {
            Err(CaseError::Unsupported(reason.to_owned()))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(body: impl FnOnce(&mut Checks) -> Result<(), CaseError>) -> Verdict {
        let mut cases = Cases::default();
        cases.run("name", "kind", body);
        cases.done.remove(0).verdict
    }

    fn close(found: &[f64], expected: &[f64]) -> Verdict {
        verdict(|checks| {
            checks.close("x", found, expected, 0.5);
            Ok(())
        })
    }

    #[test]
    fn differences_over_the_tolerance_fail() {
        assert_eq!(close(&[1.0, 2.5], &[1.0, 2.0]), Verdict::Pass);
        assert_eq!(close(&[1.0, 2.6], &[1.0, 2.0]), Verdict::Fail);
        assert_eq!(close(&[1.0], &[1.0, 2.0]), Verdict::Fail);
        assert_eq!(close(&[f64::NAN], &[1.0]), Verdict::Fail);
        assert_eq!(close(&[1.0], &[f64::NAN]), Verdict::Fail);
        assert_eq!(close(&[f64::INFINITY], &[f64::INFINITY]), Verdict::Pass);
        assert_eq!(close(&[f64::INFINITY], &[f64::NEG_INFINITY]), Verdict::Fail);
    }

    #[test]
    fn nothing_compared_is_no_pass() {
        assert_eq!(verdict(|_| Ok(())), Verdict::Fail);
        let unknown = || CaseError::Unsupported("unknown".into());
        assert_eq!(verdict(|_| Err(unknown())), Verdict::Unsupported);
        let failed_before = |checks: &mut Checks| {
            checks.equal("x", &[1], &[2]);
            Err(unknown())
        };
        assert_eq!(verdict(failed_before), Verdict::Fail);
    }

    #[test]
    fn the_worst_is_the_largest_by_its_tolerance() {
        let mut cases = Cases::default();
        cases.run("name", "kind", |checks| {
            checks.close("loose", &[0.4], &[0.0], 1.0);
            checks.close("tight", &[0.009], &[0.0], 0.01);
            checks.equal("exact", &[1], &[1]);
            Ok(())
        });
        let case = cases.done.remove(0);
        assert_eq!(case.worst_at.as_deref(), Some("tight"));
        assert_eq!(
            (case.worst_error, case.tolerance),
            (Some(0.009), Some(0.01))
        );
    }
}
