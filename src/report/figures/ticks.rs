//! Round numbers along an axis.

/// Marks of an axis: places, and the text at each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Marks {
    pub at: Vec<(f64, String)>,
}

/// Multiples of 1, 2, 2.5 or 5 times a power of ten within `low..=high`, at most about `most` of them.
pub(super) fn round_marks([low, high]: [f64; 2], most: usize) -> Marks {
    let least = (high - low) / most.max(1) as f64;
    let power = 10.0_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let round = steps.map(|step| step * power);
    let enough = round.into_iter().find(|step| *step >= least * (1.0 - 1e-9));
    let step = enough.unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    // Twice the number asked for cannot come of the step; the bound only guards the loop.
    let count = (last - first + 1.0).clamp(0.0, 2.0 * most as f64 + 2.0) as usize;
    let digits = digits_of(step);
    let largest = (first.abs().max(last.abs()) * step).abs();
    let scientific = largest >= 1e6 || (largest > 0.0 && digits > 5);
    let at = (0..count).map(|index| {
        let value = (first + index as f64) * step;
        let text = if scientific {
            format!("{value:.2e}")
        } else {
            format!("{value:.digits$}")
        };
        (value, with_minus(&text))
    });
    Marks { at: at.collect() }
}

/// Decimals that tell multiples of `step` apart.
fn digits_of(step: f64) -> usize {
    (0..16)
        .find(|digits| {
            let scaled = step * 10.0_f64.powi(*digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        })
        .unwrap_or(16) as usize
}

/// The minus sign of typography; no sign before zero.
fn with_minus(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|letter| letter == '0' || letter == '.') => rest.to_owned(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(range: [f64; 2], most: usize) -> Vec<String> {
        let marks = round_marks(range, most);
        marks.at.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(texts([0.0, 10.0], 5), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(texts([-0.3, 0.31], 4), ["\u{2212}0.2", "0.0", "0.2"]);
        assert_eq!(texts([0.0, 2082.9], 9).last().unwrap(), "2000");
        assert_eq!(texts([0.0, 0.9], 4), ["0.00", "0.25", "0.50", "0.75"]);
    }

    #[test]
    fn wide_ranges_stay_readable() {
        assert_eq!(texts([0.0, 2e7], 2)[1], "1.00e7");
        assert!(texts([1e-9, 3e-9], 3).iter().all(|text| text.contains('e')));
    }

    #[test]
    fn every_range_has_marks() {
        for exponent in -12..12 {
            let scale = 10.0_f64.powi(exponent);
            for low in [-3.7, -0.2, 0.0, 1.3] {
                let marks = round_marks([low * scale, (low + 1.9) * scale], 6);
                assert!((2..=13).contains(&marks.at.len()), "{exponent} {low}");
                assert!(marks.at.windows(2).all(|pair| pair[0].1 != pair[1].1));
            }
        }
    }
}
