//! How many episodes does a gap take?

use super::GapError;
use super::gap::agresti_caffo;

/// More episodes than this nobody runs.
const MOST_EPISODES: usize = 100_000;

/// Centre and half width at rates that need not give whole numbers of successes.
fn interval(rates: [f64; 2], episodes: usize) -> Result<[f64; 2], GapError> {
    let option = |what, expected, found: String| GapError::Option {
        what,
        expected,
        found,
    };
    for rate in rates {
        if !(0.0..=1.0).contains(&rate) {
            return Err(option("success rate", "between 0 and 1", rate.to_string()));
        }
    }
    if episodes == 0 {
        return Err(option("episodes", "1 or more", "0".into()));
    }
    let n = episodes as f64;
    Ok(agresti_caffo(rates.map(|rate| rate * n), [n, n]))
}

/// Half the width of the interval of Agresti and Caffo at these success rates (oracle, learned) and this
/// number of episodes an arm.
///
/// # Errors
/// [`GapError::Option`] for rates outside 0 to 1 or no episodes.
pub fn half_width(rates: [f64; 2], episodes: usize) -> Result<f64, GapError> {
    interval(rates, episodes).map(|[_, half]| half)
}

/// Whether that interval leaves out zero.
///
/// # Errors
/// As [`half_width`].
pub fn detectable(rates: [f64; 2], episodes: usize) -> Result<bool, GapError> {
    interval(rates, episodes).map(|[centre, half]| centre - half > 0.0 || centre + half < 0.0)
}

/// The fewest episodes an arm whose half width is at most `width`; none where 100,000 are not enough.
///
/// # Errors
/// As [`half_width`], and for a width that is not positive.
pub fn required_episodes(rates: [f64; 2], width: f64) -> Result<Option<usize>, GapError> {
    if width.is_nan() || width <= 0.0 {
        return Err(GapError::Option {
            what: "half width",
            expected: "more than 0",
            found: width.to_string(),
        });
    }
    if half_width(rates, MOST_EPISODES)? > width {
        return Ok(None);
    }
    let (mut low, mut high) = (1, MOST_EPISODES);
    while low < high {
        let middle = low.midpoint(high);
        if half_width(rates, middle)? <= width {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_found_is_the_first_that_is_enough() {
        for rates in [[0.3, 0.0], [0.5, 0.5], [1.0, 0.9]] {
            for width in [0.2, 0.1, 0.03] {
                let found = required_episodes(rates, width).unwrap().unwrap();
                assert!(half_width(rates, found).unwrap() <= width);
                assert!(found == 1 || half_width(rates, found - 1).unwrap() > width);
            }
        }
        assert_eq!(required_episodes([0.5, 0.5], 0.001), Ok(None));
        assert_eq!(required_episodes([0.5, 0.5], 1.0), Ok(Some(1)));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(half_width([1.1, 0.5], 10).is_err());
        assert!(half_width([0.5, f64::NAN], 10).is_err());
        assert!(detectable([0.5, 0.5], 0).is_err());
        assert!(required_episodes([0.5, 0.5], 0.0).is_err());
        assert_eq!(detectable([0.9, 0.1], 30), Ok(true));
        assert_eq!(detectable([0.5, 0.5], 30), Ok(false));
    }
}
