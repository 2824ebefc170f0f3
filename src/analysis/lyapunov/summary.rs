//! A spectrum with everything that is said about it.

use super::bootstrap::{Bootstrap, BootstrapOptions, Estimate, batch_means_error};
use super::error::LyapunovError;
use super::logs::Logs;
use super::spectrum::{KaplanYorke, entropy_bound, kaplan_yorke};
use serde::Serialize;
use std::ops::Range;

/// What to say about a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryOptions {
    /// Events that count: a transient before them is left out.
    pub window: Range<usize>,
    /// Numbers of the state, of which the tangents may be fewer.
    pub dimension: usize,
    /// Error bars.
    pub bootstrap: BootstrapOptions,
}

/// A spectrum with its errors, for one example.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// First event that counts.
    pub first_event: usize,
    /// Events that count.
    pub events: usize,
    /// Time of all of them.
    pub time: f64,
    /// Exponents in the order of the columns, with errors by the block bootstrap.
    pub exponents: Vec<Estimate>,
    /// Standard errors by batch means, about as many batches as events of one; none where there are
    /// fewer than 4 events.
    pub batch_errors: Option<Vec<f64>>,
    /// Their sum.
    pub sum: Option<Estimate>,
    /// Sum of the positive ones.
    pub entropy_bound: Option<Estimate>,
    /// Kaplan-Yorke dimension.
    pub kaplan_yorke: Option<KaplanYorke>,
    /// The same with its error.
    pub kaplan_yorke_error: Option<Estimate>,
    /// Events of a block of the bootstrap.
    pub block: usize,
}

/// Says it.
///
/// # Errors
/// [`LyapunovError`] for a window or option out of range; error bars need two events.
pub fn summarize(logs: &Logs, options: &SummaryOptions) -> Result<Summary, LyapunovError> {
    let window = options.window.clone();
    let bootstrap = Bootstrap::new(logs, window.clone(), &options.bootstrap)?;
    let part = logs.window(window.clone())?;
    let columns = logs.columns();
    let events = part.len() / columns;
    let batches = ((events as f64).sqrt() as usize).max(2);
    let batch_error = |column: usize| {
        let values = part.iter().skip(column).step_by(columns);
        let values: Vec<f64> = values.map(|value| value / logs.event_time()).collect();
        batch_means_error(&values, batches)
    };
    let exponents = logs.exponents(window.clone())?;
    let dimension = |spectrum: &[f64]| kaplan_yorke(spectrum, options.dimension);
    Ok(Summary {
        first_event: window.start,
        events,
        time: events as f64 * logs.event_time(),
        exponents: bootstrap.exponents(),
        batch_errors: match events {
            0..4 => None,
            _ => (0..columns).map(batch_error).collect(),
        },
        sum: bootstrap.of(|spectrum| spectrum.iter().sum()),
        entropy_bound: bootstrap.of(entropy_bound),
        kaplan_yorke: dimension(&exponents),
        kaplan_yorke_error: bootstrap
            .of(|spectrum| dimension(spectrum).map_or(f64::NAN, |found| found.dimension)),
        block: bootstrap.block,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_holds_together() {
        let events = 400;
        let rows = (0..events).flat_map(|t| {
            let swing = (f64::from(t) * 0.9).sin();
            [0.5 + swing, 0.1 - swing, -1.5]
        });
        let logs = Logs::new(rows.collect(), 3, 0.5).unwrap();
        let options = SummaryOptions {
            window: 100..400,
            dimension: 3,
            bootstrap: BootstrapOptions::default(),
        };
        let summary = summarize(&logs, &options).unwrap();
        assert_eq!((summary.first_event, summary.events), (100, 300));
        assert_eq!(summary.time, 150.0);
        let exponents = logs.exponents(100..400).unwrap();
        for (estimate, exponent) in summary.exponents.iter().zip(&exponents) {
            assert_eq!(estimate.value, *exponent);
        }
        assert!((summary.sum.unwrap().value + 1.8).abs() < 1e-12);
        assert_eq!(
            summary.entropy_bound.unwrap().value,
            exponents[0] + exponents[1]
        );
        let dimension = summary.kaplan_yorke.unwrap();
        assert!((dimension.dimension - (2.0 + 1.2 / 3.0)).abs() < 1e-9 && dimension.complete);
        assert_eq!(
            summary.kaplan_yorke_error.unwrap().value,
            dimension.dimension
        );
        let errors = summary.batch_errors.unwrap();
        assert!(errors[0] > 0.0 && errors[2] < 1e-12);
        let few = SummaryOptions {
            window: 0..3,
            ..options.clone()
        };
        assert_eq!(summarize(&logs, &few).unwrap().batch_errors, None);
        for window in [0..1, 0..401, 9..9] {
            let bad = SummaryOptions {
                window,
                ..options.clone()
            };
            assert!(summarize(&logs, &bad).is_err());
        }
    }
}
