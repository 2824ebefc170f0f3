//! What a measurement gave, whatever was measured.

use super::MeasureArguments;
use crate::cli::record::RunRecord;
use attractor::analysis::lyapunov::{
    BootstrapOptions, History, Logs, LyapunovError, Summary, SummaryOptions, covariant_vectors,
    summarize,
};
use attractor::formats::ArrayMap;
use attractor::orbit::lyapunov::Factors;
use serde::Serialize;

/// Settings of a run, for its record.
#[derive(Debug, Clone, Serialize)]
pub struct FtleSettings {
    /// What was measured.
    pub map: String,
    /// Numbers of one example's state.
    pub dimension: usize,
    /// Tangent vectors.
    pub k: usize,
    /// Steps.
    pub steps: u32,
    /// Steps before them that were left out.
    pub transient: u32,
    /// After which updates the tangents were re-orthonormalised.
    pub granularity: String,
    /// Everything else that the result depends on.
    pub parameters: serde_json::Value,
}

/// One example.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its number in the data.
    pub index: usize,
    /// Logarithms of the diagonals of R, `[events, k]`; sums of several where a kernel keeps no more.
    pub log_r: Vec<f64>,
    /// Tangents that were replaced because they depended on others.
    pub restarts: u32,
    /// What is wrong with it.
    pub invalid: Option<String>,
    /// Means and least of the angles between neighbouring covariant vectors, in radians.
    pub angles: Option<[f64; 2]>,
}

/// A measurement.
#[derive(Debug)]
pub struct Measured {
    /// Where and how.
    pub run: RunRecord<FtleSettings>,
    /// Time of one row of logarithms.
    pub event_time: f64,
    /// What time is counted in.
    pub unit: &'static str,
    /// Examples in order.
    pub examples: Vec<Example>,
    /// Sum of all exponents, where it is known, and what it may be off by.
    pub sum_rule: Option<(f64, f64)>,
    /// Exponents that the literature gives, and where.
    pub literature: Option<(Vec<f64>, String)>,
    /// Bytes of working memory at the peak.
    pub working_bytes: u64,
    /// Seconds.
    pub seconds: f64,
    /// Arrays of an npz file of its own kind, in place of the usual ones.
    pub arrays: Option<ArrayMap>,
}

impl Measured {
    /// Examples that are not finite.
    pub fn invalid(&self) -> usize {
        let invalid = |example: &&Example| example.invalid.is_some();
        self.examples.iter().filter(invalid).count()
    }

    /// Tangent vectors.
    pub fn k(&self) -> usize {
        self.run.sampler.k
    }

    /// The logarithms of an example that is finite.
    pub fn logs(&self, example: &Example) -> Result<Option<Logs>, LyapunovError> {
        if example.invalid.is_some() {
            return Ok(None);
        }
        Logs::new(example.log_r.clone(), self.k(), self.event_time).map(Some)
    }

    /// The rows of logarithms that count.
    pub fn window(&self, arguments: &MeasureArguments) -> std::ops::Range<usize> {
        let first = self.examples.first().map_or(0, |e| e.log_r.len());
        arguments.from..arguments.to.unwrap_or(first / self.k().max(1))
    }

    /// Exponents of an example with their errors; none where it is not finite.
    pub fn summary(
        &self,
        example: &Example,
        arguments: &MeasureArguments,
    ) -> Result<Option<Summary>, LyapunovError> {
        let Some(logs) = self.logs(example)? else {
            return Ok(None);
        };
        let options = SummaryOptions {
            window: self.window(arguments),
            dimension: self.run.sampler.dimension,
            bootstrap: BootstrapOptions {
                replicates: arguments.resamples,
                level: arguments.level,
                block: None,
                seed: arguments.seed,
            },
        };
        let mut summary = summarize(&logs, &options)?;
        if arguments.sorted {
            let descending = |a: &f64, b: &f64| b.total_cmp(a);
            summary
                .exponents
                .sort_by(|a, b| descending(&a.value, &b.value));
            // The errors by batch means stay with their columns, and would not fit any more.
            summary.batch_errors = None;
        }
        Ok(Some(summary))
    }
}

/// Mean and least angle, in radians, between pairs of covariant vectors over the inner half of a run of
/// one example of (dimension, events, k); none of a single vector.
pub fn covariant_angles(
    factors: &Factors,
    example: usize,
    (dimension, events, k): (usize, usize, usize),
    seed: u64,
) -> Result<Option<[f64; 2]>, LyapunovError> {
    let (r, q) = (events * k * k, events * k * dimension);
    let part = |values: &[f64], size: usize| -> Vec<f64> {
        let part = values.get(example * size..(example + 1) * size);
        part.unwrap_or_default().to_vec()
    };
    let (bases, factors) = (part(&factors.q, q), part(&factors.r, r));
    let history = History {
        bases: &bases,
        // The first belongs to the step from the tangents before the first QR, which are not kept.
        factors: factors.get(k * k..).unwrap_or_default(),
        rows: dimension,
        columns: k,
    };
    let window = events / 4..events - events / 4;
    let angles = covariant_vectors(&history, window, seed)?.angles();
    let least = angles.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = angles.iter().sum::<f64>() / angles.len() as f64;
    Ok((!angles.is_empty()).then_some([mean, least]))
}
