//! Bootstrap intervals of medians, their differences, and areas under curves.
//!
//! The percentile bootstrap (B. Efron, "Bootstrap methods: another look at the jackknife", 1979). The
//! threshold and with it the cells are held as they are. Every group of examples (a cell, or a class of an
//! area) is drawn from on its own, with replacement and to its own size, so that no resample has an empty
//! side. Draws are Philox words keyed by the seed and counted by draw, resample and group: an interval
//! depends on neither the number of threads nor on which others are asked for.

use super::analysis::{Analysis, CELL_NAMES, labelled, pick};
use super::diagnostics::Diagnostics;
use super::json::Json;
use super::number::{fixed, signed};
use super::statistics::{area_under_curve, median_of_sorted, percentile_of_sorted};
use attractor_kernels::philox::philox4x32;
use rayon::prelude::*;

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Seed of the draws.
    pub seed: u64,
    /// Resamples.
    pub resamples: u32,
    /// Coverage, between 0 and 1.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            seed: 0,
            resamples: 2_000,
            level: 0.95,
        }
    }
}

/// A number and the interval about it; all NaN where the number is not defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The number, over all examples.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The intervals of one analysis, each under the name of its number in the results.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals {
    /// How they were made.
    pub bootstrap: Bootstrap,
    /// Examples and medians of cells A to D.
    pub cells: [(usize, Vec<(&'static str, Interval)>); 4],
    /// Differences of medians.
    pub contrasts: Vec<(&'static str, Interval)>,
    /// Areas under curves.
    pub areas: Vec<(&'static str, Interval)>,
}

/// Values of one group, sorted, and the number that keeps its draws apart from those of others.
#[derive(Debug, Clone)]
struct Group {
    number: u32,
    sorted: Vec<f64>,
}

impl Group {
    fn new(number: u32, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            number,
            sorted: values,
        }
    }

    /// How often each value is in one resample. A word times the size, shifted down, favours no value by
    /// more than the size times 2^-32.
    fn counts(&self, seed: u64, resample: u32, counts: &mut Vec<u32>) {
        counts.clear();
        counts.resize(self.sorted.len(), 0);
        let key = [seed as u32, (seed >> 32) as u32];
        for (block, draws) in (0..self.sorted.len()).step_by(4).enumerate() {
            let words = philox4x32([block as u32, resample, self.number, STREAM], key);
            for word in words.iter().take(self.sorted.len() - draws) {
                let index = (u64::from(*word) * self.sorted.len() as u64) >> 32;
                if let Some(count) = counts.get_mut(index as usize) {
                    *count += 1;
                }
            }
        }
    }

    fn median(&self, seed: u64, resample: u32, counts: &mut Vec<u32>) -> f64 {
        self.counts(seed, resample, counts);
        let half = self.sorted.len() / 2;
        let (mut seen, mut below) = (0, f64::NAN);
        for (value, count) in self.sorted.iter().zip(counts.iter()) {
            let before = seen;
            seen += *count as usize;
            // Ranks half - 1 and half, counted from 0, are the middle two.
            if before < half && seen >= half {
                below = *value;
            }
            if seen > half {
                let even = self.sorted.len().is_multiple_of(2);
                return if even { (below + value) / 2.0 } else { *value };
            }
        }
        f64::NAN
    }
}

/// Separates these draws from those of other uses of one seed.
const STREAM: u32 = 0x2b2_b007;

/// Runs a statistic over all resamples and takes the percentiles.
fn interval(
    bootstrap: Bootstrap,
    value: f64,
    statistic: impl Fn(u32, &mut Vec<u32>) -> f64 + Sync,
) -> Interval {
    if !value.is_finite() || bootstrap.resamples == 0 {
        return Interval {
            value,
            low: f64::NAN,
            high: f64::NAN,
        };
    }
    let resamples = (0..bootstrap.resamples).into_par_iter();
    let mut found: Vec<f64> = resamples
        .map_init(Vec::new, |counts, resample| statistic(resample, counts))
        .collect();
    found.sort_by(f64::total_cmp);
    let tail = 50.0 * (1.0 - bootstrap.level);
    Interval {
        value,
        low: percentile_of_sorted(&found, tail),
        high: percentile_of_sorted(&found, 100.0 - tail),
    }
}

fn of_median(bootstrap: Bootstrap, group: &Group) -> Interval {
    interval(
        bootstrap,
        median_of_sorted(&group.sorted),
        |resample, counts| group.median(bootstrap.seed, resample, counts),
    )
}

fn of_difference(bootstrap: Bootstrap, first: &Group, second: &Group) -> Interval {
    let value = median_of_sorted(&first.sorted) - median_of_sorted(&second.sorted);
    interval(bootstrap, value, |resample, counts| {
        let first = first.median(bootstrap.seed, resample, counts);
        first - second.median(bootstrap.seed, resample, counts)
    })
}

/// The area of scores whose high values tell `positive`; both classes are resampled.
fn of_area(bootstrap: Bootstrap, value: f64, positive: &Group, negative: &Group) -> Interval {
    // Negatives below each positive, a tie as a half, from running counts of a resample.
    interval(bootstrap, value, |resample, counts| {
        negative.counts(bootstrap.seed, resample, counts);
        let negatives = std::mem::take(counts);
        positive.counts(bootstrap.seed, resample, counts);
        let mut rest = negative.sorted.iter().zip(&negatives).peekable();
        let (mut below, mut wins) = (0_u64, 0.0);
        let mut positives = positive.sorted.iter().zip(counts.iter()).peekable();
        while let Some((score, count)) = positives.next() {
            while let Some((_, count)) = rest.next_if(|(other, _)| *other < score) {
                below += u64::from(*count);
            }
            // Equal scores of both classes are met together.
            let mut own = u64::from(*count);
            while let Some((_, count)) = positives.next_if(|(other, _)| *other == score) {
                own += u64::from(*count);
            }
            let mut ties = 0_u64;
            while let Some((_, count)) = rest.next_if(|(other, _)| *other == score) {
                ties += u64::from(*count);
            }
            wins += own as f64 * (below as f64 + ties as f64 / 2.0);
            below += ties;
        }
        wins / (positive.sorted.len() as f64 * negative.sorted.len() as f64)
    })
}

/// Numbers of the groups that are drawn from: quantities of cells, and classes of areas.
const CELL_GROUPS: u32 = 0;
const CLASS_GROUPS: u32 = 64;

impl Intervals {
    /// Intervals of the medians by cell, the contrasts and the areas of an analysis of `diagnostics`.
    pub fn of(diagnostics: &Diagnostics, analysis: &Analysis, bootstrap: Bootstrap) -> Self {
        let exponents = &diagnostics.lyap_spec;
        let halted_at = diagnostics.halted_at.iter().map(|step| *step as f64);
        let quantities: [(&'static str, Vec<f64>); 4] = [
            ("lam1_median", analysis.lam1.clone()),
            (
                "lam8_median",
                exponents.column(exponents.columns.saturating_sub(1)),
            ),
            ("token_acc_median", diagnostics.token_acc.to_f64()),
            ("halted_at_median", halted_at.collect()),
        ];
        let cells = std::array::from_fn(|cell| {
            let members = analysis.cells.get(cell).map(|cell| cell.members.as_slice());
            let members = members.unwrap_or_default();
            let medians = quantities.iter().enumerate().map(|(at, (name, values))| {
                let number = CELL_GROUPS + (4 * at + cell) as u32;
                let group = Group::new(number, pick(values, members));
                (*name, of_median(bootstrap, &group))
            });
            (members.len(), medians.collect())
        });
        Self {
            bootstrap,
            cells,
            contrasts: contrasts(analysis, bootstrap),
            areas: areas(analysis, bootstrap),
        }
    }

    /// The text of `intervals_<tag>.json`; `npz` is the name of the file in it.
    pub fn to_json(&self, npz: &str, strict: bool) -> String {
        let list = |entries: &[(&'static str, Interval)]| {
            let entries = entries
                .iter()
                .map(|(name, interval)| (*name, interval.to_json()));
            Json::Object(entries.collect())
        };
        let cells = CELL_NAMES
            .into_iter()
            .zip(&self.cells)
            .map(|(name, (count, medians))| {
                let mut entries = vec![("n", Json::Count(*count))];
                if *count > 0 {
                    entries.push(("medians", list(medians)));
                }
                (name, Json::Object(entries))
            });
        Json::Object(vec![
            ("npz", Json::Text(npz.into())),
            ("method", Json::Text(METHOD.into())),
            ("seed", Json::Text(self.bootstrap.seed.to_string())),
            ("resamples", Json::Count(self.bootstrap.resamples as usize)),
            ("level", Json::Number(self.bootstrap.level)),
            ("cells", Json::Object(cells.collect())),
            ("contrasts", list(&self.contrasts)),
            ("auc", list(&self.areas)),
        ])
        .write(strict)
    }

    /// Lines of `intervals.md` under a heading `tag`.
    fn markdown(&self, tag: &str, lines: &mut Vec<String>) {
        lines.push(format!("## {tag}"));
        lines.push(String::new());
        lines.push("| quantity | value | low | high |".into());
        lines.push("|---|---|---|---|".into());
        for (name, (count, medians)) in CELL_NAMES.into_iter().zip(&self.cells) {
            for (quantity, interval) in medians.iter().filter(|_| *count > 0) {
                lines.push(interval.row(&format!("{name} (n={count}) {quantity}"), signed));
            }
        }
        let contrasts = self.contrasts.iter().map(|(name, i)| i.row(name, signed));
        lines.extend(contrasts);
        let areas = self
            .areas
            .iter()
            .map(|(name, i)| i.row(&format!("AUC {name}"), fixed));
        lines.extend(areas);
        lines.push(String::new());
    }
}

const METHOD: &str = "percentile bootstrap within groups, threshold held";

impl Interval {
    fn to_json(self) -> Json {
        Json::Object(vec![
            ("value", Json::Number(self.value)),
            ("low", Json::Number(self.low)),
            ("high", Json::Number(self.high)),
        ])
    }

    fn row(self, name: &str, show: fn(f64, usize) -> String) -> String {
        let numbers = [self.value, self.low, self.high].map(|value| show(value, 4));
        format!("| {name} | {} |", numbers.join(" | "))
    }
}

/// The text of `intervals.md` over the intervals of several files under their tags.
pub fn intervals_markdown(all: &[(String, Intervals)]) -> String {
    let mut lines = vec![
        "# Bootstrap intervals of the 2x2 analysis".to_owned(),
        String::new(),
    ];
    if let Some((_, first)) = all.first() {
        let Bootstrap {
            seed,
            resamples,
            level,
        } = first.bootstrap;
        let percent = fixed(100.0 * level, 1);
        lines.push(format!(
            "{percent} % intervals: {METHOD}; {resamples} resamples, seed {seed}."
        ));
        lines.push(String::new());
    }
    for (tag, intervals) in all {
        intervals.markdown(tag, &mut lines);
    }
    lines.join("\n")
}

fn contrasts(analysis: &Analysis, bootstrap: Bootstrap) -> Vec<(&'static str, Interval)> {
    let group = |number: u32, members: &[usize]| Group::new(number, pick(&analysis.lam1, members));
    let [a, b, c, d] = analysis
        .cells
        .each_ref()
        .map(|cell| cell.members.as_slice());
    // The groups of the cells are those of their medians: the same resamples, so that results agree.
    let cells = [a, b, c, d];
    let cell = |at: usize| {
        group(
            CELL_GROUPS + at as u32,
            cells.get(at).copied().unwrap_or_default(),
        )
    };
    let right = group(CLASS_GROUPS, &labelled(&analysis.correct, 1));
    let wrong = group(CLASS_GROUPS + 1, &labelled(&analysis.correct, 0));
    let differences = [
        of_difference(bootstrap, &right, &wrong),
        of_difference(bootstrap, &cell(0), &cell(1)),
        of_difference(bootstrap, &cell(2), &cell(3)),
        of_difference(bootstrap, &cell(1), &cell(3)),
    ];
    let names = analysis.contrasts.named().map(|(name, _)| name);
    names.into_iter().zip(differences).collect()
}

fn areas(analysis: &Analysis, bootstrap: Bootstrap) -> Vec<(&'static str, Interval)> {
    let settled: Vec<i64> = analysis
        .late_drift
        .iter()
        .map(|drift| i64::from(*drift < analysis.tau))
        .collect();
    let everyone: Vec<usize> = (0..analysis.examples()).collect();
    let (inside, outside) = (labelled(&settled, 1), labelled(&settled, 0));
    let (lam1, drift, correct) = (&analysis.lam1, &analysis.late_drift, &analysis.correct);
    let parts = [
        (lam1, correct, &everyone),
        (lam1, correct, &inside),
        (lam1, correct, &outside),
        (drift, correct, &everyone),
        (lam1, &settled, &everyone),
    ];
    let names = analysis.areas.named().map(|(name, _)| name);
    /// Values, labels, members.
    type Part<'a> = (&'a Vec<f64>, &'a Vec<i64>, &'a Vec<usize>);
    let area = |(at, (values, labels, members)): (usize, Part<'_>)| {
        // Low values tell the positive class; minus zero must equal zero.
        let scores: Vec<f64> = pick(values, members)
            .iter()
            .map(|value| 0.0 - value)
            .collect();
        let labels = pick(labels, members);
        let class = |label: i64, number: usize| {
            let number = CLASS_GROUPS + 2 + 2 * at as u32 + number as u32;
            Group::new(number, pick(&scores, &labelled(&labels, label)))
        };
        of_area(
            bootstrap,
            area_under_curve(&scores, &labels),
            &class(1, 0),
            &class(0, 1),
        )
    };
    let intervals = parts.into_iter().enumerate().map(area);
    names.into_iter().zip(intervals).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u32, count: usize) -> Group {
        let wave = (0..count).map(|at| (at as f64 * 0.7).sin());
        Group::new(number, wave.collect())
    }

    /// A resample spelled out, for comparison.
    fn drawn(group: &Group, resample: u32) -> Vec<f64> {
        let mut counts = Vec::new();
        group.counts(7, resample, &mut counts);
        let pairs = group.sorted.iter().zip(&counts);
        pairs
            .flat_map(|(value, count)| vec![*value; *count as usize])
            .collect()
    }

    #[test]
    fn medians_of_resamples_are_those_of_the_values_drawn() {
        for count in [1, 2, 5, 8, 33, 64] {
            let group = group(3, count);
            for resample in 0..50 {
                let values = drawn(&group, resample);
                assert_eq!(values.len(), count);
                let median = group.median(7, resample, &mut Vec::new());
                assert_eq!(median, median_of_sorted(&values));
            }
        }
    }

    #[test]
    fn areas_of_resamples_are_those_of_the_values_drawn() {
        let rounded = |number, count| {
            let values = group(number, count).sorted;
            Group::new(number, values.iter().map(|v| (v * 4.0).round()).collect())
        };
        let (positive, negative) = (rounded(1, 21), rounded(2, 34));
        let bootstrap = Bootstrap {
            seed: 7,
            resamples: 1,
            level: 0.95,
        };
        let (own, other) = (drawn(&positive, 0), drawn(&negative, 0));
        let scores: Vec<f64> = own.iter().chain(&other).copied().collect();
        let labels: Vec<i64> = (0..scores.len())
            .map(|at| i64::from(at < own.len()))
            .collect();
        let expected = area_under_curve(&scores, &labels);
        let found = of_area(bootstrap, 0.5, &positive, &negative);
        assert!((found.low - expected).abs() < 1e-12 && found.low == found.high);
    }

    #[test]
    fn intervals_cover_about_as_often_as_they_say() {
        // Medians of 60 normal numbers whose true median is 0.
        let covered = (0..300_u32).filter(|trial| {
            let values = (0..30_u32).flat_map(|at| {
                let [a, b, ..] = philox4x32([at, *trial, 0, 9], [1, 2]);
                let [u, v] = [a, b].map(|word| (f64::from(word) + 0.5) / 4_294_967_296.0);
                let radius = (-2.0 * u.ln()).sqrt();
                let angle = std::f64::consts::TAU * v;
                [radius * angle.cos(), radius * angle.sin()]
            });
            let bootstrap = Bootstrap {
                seed: u64::from(*trial),
                resamples: 400,
                level: 0.95,
            };
            let interval = of_median(bootstrap, &Group::new(0, values.collect()));
            (interval.low..=interval.high).contains(&0.0)
        });
        let share = covered.count() as f64 / 300.0;
        assert!((0.90..=0.99).contains(&share), "{share}");
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let group = group(0, 40);
        let with = |seed| {
            let bootstrap = Bootstrap {
                seed,
                ..Bootstrap::default()
            };
            of_median(bootstrap, &group)
        };
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
        let empty = of_median(Bootstrap::default(), &Group::new(0, vec![]));
        assert!(empty.value.is_nan() && empty.low.is_nan());
    }
}
