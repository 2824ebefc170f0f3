//! Texts of words and numbers: the words must be the same, the numbers close.

use super::super::super::checks::{CaseError, Checks};

/// Relative difference of numbers in shortest form.
const CLOSE: f64 = 1e-12;
/// The same of means, whose sums depend on their order.
const CLOSE_MEAN: f64 = 1e-11;
/// What stands for a number among the words.
const NUMBER: char = '#';

/// A line without its numbers, and these.
#[derive(Debug, Default)]
struct Line<'a> {
    words: String,
    numbers: Vec<&'a str>,
}

fn separates(letter: char) -> bool {
    letter.is_whitespace() || ",:;=|[](){}\"`".contains(letter)
}

fn is_number(token: &str) -> bool {
    // Tokens such as `-` are none, NaN is one.
    token.parse::<f64>().is_ok()
}

fn take_apart(line: &str) -> Line<'_> {
    let mut parts = Line::default();
    for piece in line.split_inclusive(separates) {
        let token = piece.trim_end_matches(separates);
        let separator = piece.get(token.len()..).unwrap_or_default();
        if is_number(token) {
            parts.numbers.push(token);
            parts.words.push(NUMBER);
        } else {
            parts.words.push_str(token);
        }
        parts.words.push_str(separator);
    }
    parts
}

/// A number that has neither point nor exponent counts something.
fn is_count(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    digits.chars().all(|letter| letter.is_ascii_digit())
}

/// Compares line by line. Counts are equal always, other numbers where not `shortest`: those are rounded
/// to a fixed number of decimals.
pub(super) fn compare(checks: &mut Checks, found: &str, expected: &str, shortest: bool) {
    let (own, others): (Vec<&str>, Vec<&str>) =
        (found.split('\n').collect(), expected.split('\n').collect());
    checks.equal("number of lines", &[own.len()], &[others.len()]);
    for (at, (found, expected)) in own.iter().zip(&others).enumerate() {
        let place = format!("line {}", at + 1);
        let (found, expected) = (take_apart(found), take_apart(expected));
        checks.hold(found.words == expected.words, || {
            format!(
                "{place}: expected \"{}\", found \"{}\"",
                expected.words, found.words
            )
        });
        checks.equal(
            &format!("{place}: numbers in it"),
            &[found.numbers.len()],
            &[expected.numbers.len()],
        );
        let mean = expected.words.contains("mean");
        let tolerance = if mean { CLOSE_MEAN } else { CLOSE };
        for (found, expected) in found.numbers.iter().zip(&expected.numbers) {
            if shortest && !is_count(expected) && !is_count(found) {
                let error = relative(found, expected);
                let what = format!("{place}: {expected}");
                checks.close(&what, &[error], &[0.0], tolerance);
            } else {
                checks.equal(&place, &[*found], &[*expected]);
            }
        }
    }
}

/// Difference as a share of the expected number; of itself where that is zero.
fn relative(found: &str, expected: &str) -> f64 {
    let number = |token: &str| token.parse::<f64>().unwrap_or(f64::NAN);
    let (found, expected) = (number(found), number(expected));
    if found == expected || (found.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let scale = if expected == 0.0 { 1.0 } else { expected.abs() };
    let error = (found - expected).abs() / scale;
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The text without the date at the end of its first line.
pub(super) fn without_date(text: &str) -> Result<String, CaseError> {
    let title = text.lines().next().unwrap_or_default();
    let (_, date) = title.rsplit_once(' ').unwrap_or_default();
    let shape: String = date
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    if shape != "0000-00-00" {
        let reason = format!("line 1: expected a date YYYY-MM-DD at its end, found \"{title}\"");
        return Err(CaseError::Engine(reason));
    }
    Ok(format!(
        "{}{}",
        title.strip_suffix(date).unwrap_or(title),
        text.strip_prefix(title).unwrap_or(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_alone() {
        let line = take_apart("  \"lam1_median\": -0.25,");
        assert_eq!(line.words, "  \"lam1_median\": #,");
        assert_eq!(line.numbers, ["-0.25"]);
        let line = take_apart("| A_conv | 12 | +0.1 | [-1.0, nan] | - | hrm26040_n8192");
        assert_eq!(line.numbers, ["12", "+0.1", "-1.0", "nan"]);
        assert_eq!(line.words, "| A_conv | # | # | [#, #] | - | hrm26040_n8192");
    }

    #[test]
    fn differences_are_shares() {
        assert_eq!(relative("nan", "NaN"), 0.0);
        assert_eq!(relative("1.0", "nan"), f64::INFINITY);
        assert!((relative("2.0", "4.0") - 0.5).abs() < 1e-15);
        assert_eq!(relative("0.5", "0.0"), 0.5);
    }
}
