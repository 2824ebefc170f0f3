//! What a verification found: one case a line, and the counts.

use serde::Serialize;

/// How a case came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Everything compared lies within its tolerance.
    Pass,
    /// Something does not, or could not be read or computed.
    Fail,
    /// The engine does not know this kind of case yet.
    Unsupported,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

/// One golden against the engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// Folder (when several are walked), file and part of it.
    pub name: String,
    /// What it holds: `forward`, `trace`, `loss` and so on.
    pub kind: String,
    /// The error that is largest by its tolerance, in the quantity's own unit; `None` where numbers
    /// were not reached.
    pub worst_error: Option<f64>,
    /// The tolerance of that quantity; 0 where equality is asked for.
    pub tolerance: Option<f64>,
    /// The quantity.
    pub worst_at: Option<String>,
    /// Numbers compared.
    pub compared: usize,
    /// Outcome.
    pub verdict: Verdict,
    /// Why it failed or is unsupported, or a remark.
    pub reason: Option<String>,
}

/// Every case below a folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The folder.
    pub folder: String,
    /// The device that computed.
    pub device: String,
    /// Cases, in the order of the folder's index.
    pub cases: Vec<Case>,
}

impl Report {
    /// Number of cases with that verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        let cases = self.cases.iter();
        cases.filter(|case| case.verdict == verdict).count()
    }

    /// Whether no case failed.
    pub fn good(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }

    /// One line a case, columns aligned, and the counts as the last line.
    pub fn lines(&self) -> Vec<String> {
        let width = |text: fn(&Case) -> usize| self.cases.iter().map(text).max().unwrap_or(0);
        let names = width(|case| case.name.chars().count());
        let kinds = width(|case| case.kind.chars().count());
        let mut lines: Vec<String> = self
            .cases
            .iter()
            .map(|case| {
                let number = |value: Option<f64>| {
                    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2e}"))
                };
                let line = format!(
                    "{:names$}  {:kinds$}  error {:>8}  tolerance {:>8}  {}",
                    case.name,
                    case.kind,
                    number(case.worst_error),
                    number(case.tolerance),
                    case.verdict.word(),
                );
                match &case.reason {
                    Some(reason) => format!("{line}  {reason}"),
                    None => line,
                }
            })
            .collect();
        lines.push(format!(
            "{} passed, {} failed, {} unsupported",
            self.count(Verdict::Pass),
            self.count(Verdict::Fail),
            self.count(Verdict::Unsupported)
        ));
        lines
    }
}
