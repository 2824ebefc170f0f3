//! Cells without a value: what could they change?

use super::{BootstrapOptions, Interval, Method, bootstrap};
use serde::Serialize;

/// A correlation in which missing values were replaced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imputed {
    /// Where the replacement comes from: `lowest` or `highest` value of the metric, or `zero`.
    pub rule: &'static str,
    /// The replacement.
    pub value: f64,
    /// Cells that got it.
    pub replaced: usize,
    /// The correlation of all cells then.
    #[serde(flatten)]
    pub interval: Interval,
    /// Whether its interval lies on one side of zero.
    pub clears_zero: bool,
}

/// The correlation under every rule, over pairs whose first value may be missing. Rules that give the same
/// replacement as an earlier one, or no correlation, are left out; so are all where nothing is missing.
///
/// A metric of agreement that does not exist where a model ignores its actions is no evidence of agreement:
/// `zero` and `lowest` say so, `highest` is the other extreme.
pub fn imputations(
    method: Method,
    pairs: &[(Option<f64>, f64)],
    options: &BootstrapOptions,
) -> Vec<Imputed> {
    let present = || pairs.iter().filter_map(|pair| pair.0);
    let replaced = pairs.len() - present().count();
    if replaced == 0 || replaced == pairs.len() {
        return Vec::new();
    }
    let lowest = present().fold(f64::INFINITY, f64::min);
    let highest = present().fold(f64::NEG_INFINITY, f64::max);
    let rules = [("lowest", lowest), ("highest", highest), ("zero", 0.0)];
    let mut found: Vec<Imputed> = Vec::new();
    for (rule, value) in rules {
        if found.iter().any(|known| known.value == value) {
            continue;
        }
        let x: Vec<f64> = pairs.iter().map(|pair| pair.0.unwrap_or(value)).collect();
        let y: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
        if let Ok(interval) = bootstrap(method, &x, &y, options) {
            found.push(Imputed {
                rule,
                value,
                replaced,
                interval,
                clears_zero: interval.clears_zero(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_those_of_the_rules() {
        let mut pairs: Vec<(Option<f64>, f64)> = (1..=8)
            .map(|at| (Some(f64::from(at)), f64::from(at)))
            .collect();
        let options = BootstrapOptions {
            resamples: 200,
            ..BootstrapOptions::default()
        };
        assert!(imputations(Method::Spearman, &pairs, &options).is_empty());
        pairs.extend([(None, 0.0), (None, 0.5)]);
        let found = imputations(Method::Spearman, &pairs, &options);
        let rules: Vec<_> = found
            .iter()
            .map(|f| (f.rule, f.value, f.replaced))
            .collect();
        assert_eq!(
            rules,
            [("lowest", 1.0, 2), ("highest", 8.0, 2), ("zero", 0.0, 2)]
        );
        // Cells that fail and count as best spoil the order; as worst they do not.
        assert!(found[1].interval.rho < 0.5 && found[2].interval.rho > 0.95);
        assert!(found.iter().all(|f| f.interval.pairs == 10));
        let none: Vec<_> = pairs.iter().map(|pair| (None, pair.1)).collect();
        assert!(imputations(Method::Spearman, &none, &options).is_empty());
    }
}
