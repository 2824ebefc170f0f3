//! Rows that are samples of DriveChunk-1, whatever file they come from.

use crate::cli::flow::source::{Source, Truth};
use attractor::worlds::driving::{
    CHANNELS, CONDITION_DIM, CONDITION_VALUES, Drive, FRAMES, HELD_OUT_DRIVES, HORIZON,
    TARGET_VALUES, TOKENS, read_history,
};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Where every row is in the benchmark.
#[derive(Debug)]
pub struct Benchmark {
    /// The drives that there are rows of, by rising number.
    pub drives: Vec<Drive>,
    /// Index of the drive and number of the sample, row by row.
    places: Vec<(usize, usize)>,
}

impl Benchmark {
    /// Knows the rows by their names (`drive-24/000123`) and checks that their targets are those of the
    /// benchmark, bit for bit; none where anything differs.
    pub fn of(source: &Source, truth: &Truth) -> Option<Self> {
        let shape = (source.tokens, source.width, truth.horizon);
        if shape != (TOKENS, CONDITION_DIM, HORIZON) || truth.keys != CHANNELS {
            return None;
        }
        let names = source.input_id.iter();
        let rows: Vec<(u32, usize)> = names.map(|name| place(name)).collect::<Option<_>>()?;
        // What a file claims bounds no memory.
        let most = FRAMES.max(source.file_rows);
        let mut lengths = BTreeMap::new();
        for &(number, sample) in &rows {
            let length = lengths.entry(number).or_insert(0);
            *length = sample.checked_add(1).filter(|&l| l <= most)?.max(*length);
        }
        let numbers: Vec<u32> = lengths.keys().copied().collect();
        let generated: Vec<Drive> = lengths
            .into_par_iter()
            .map(|(number, length)| Drive::generate(number, length))
            .collect();
        let places: Vec<(usize, usize)> = rows
            .into_iter()
            .map(|(number, sample)| Some((numbers.binary_search(&number).ok()?, sample)))
            .collect::<Option<_>>()?;
        let benchmark = Self {
            drives: generated,
            places,
        };
        let targets = truth.values.chunks_exact(TARGET_VALUES);
        let mut rows = benchmark.places.iter().zip(targets);
        let same = |(&(drive, sample), target): (&(usize, usize), &[f32])| {
            let drive = benchmark.drives.get(drive)?;
            let known = drive.targets.chunks_exact(TARGET_VALUES).nth(sample)?;
            (known == target).then_some(())
        };
        rows.all(|row| same(row).is_some()).then_some(benchmark)
    }

    /// Number of the drive of each row.
    pub fn drive_numbers(&self) -> Vec<u32> {
        let number = |&(drive, _): &(usize, usize)| Some(self.drives.get(drive)?.number);
        self.places.iter().filter_map(number).collect()
    }

    /// The row of every sample of the drives one after another, where it is there.
    pub fn rows(&self) -> HashMap<usize, usize> {
        let mut first = Vec::new();
        let mut samples = 0;
        for drive in &self.drives {
            first.push(samples);
            samples += drive.frames;
        }
        let rows = self.places.iter().enumerate();
        rows.filter_map(|(row, &(drive, sample))| Some((first.get(drive)? + sample, row)))
            .collect()
    }

    /// For each row a number that changes wherever the next row is not the next sample of the same drive.
    pub fn unbroken_runs(&self) -> Vec<u32> {
        let mut run = 0;
        let mut last: Option<(usize, usize)> = None;
        let mut runs = Vec::with_capacity(self.places.len());
        for &(drive, sample) in &self.places {
            if last.is_some_and(|(before, number)| (before, number + 1) != (drive, sample)) {
                run += 1;
            }
            last = Some((drive, sample));
            runs.push(run);
        }
        runs
    }
}

/// Drive and sample of a name such as `drive-24/000123`.
fn place(name: &str) -> Option<(u32, usize)> {
    let (drive, sample) = name.strip_prefix("drive-")?.split_once('/')?;
    let drive = drive.parse().ok()?;
    (drive < HELD_OUT_DRIVES.end).then_some((drive, sample.parse().ok()?))
}

/// Whether conditions `[frames, 12, 16]` tell of no past action at all.
pub fn history_is_zero(conditions: &[f32]) -> bool {
    let mut conditions = conditions.as_chunks::<CONDITION_VALUES>().0.iter();
    conditions.all(|condition| {
        let mut actions = read_history(condition).into_iter();
        actions.all(|action| action.steering == 0.0 && action.longitudinal == 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_drive_and_sample() {
        assert_eq!(place("drive-24/000123"), Some((24, 123)));
        assert_eq!(place("drive-29/000000"), None);
        assert_eq!(place("24/000000"), None);
    }

    #[test]
    fn runs_break_where_samples_are_missing() {
        let benchmark = Benchmark {
            drives: vec![Drive::generate(24, 8), Drive::generate(25, 4)],
            places: vec![(0, 1), (0, 2), (0, 4), (1, 5), (1, 0), (1, 1)],
        };
        assert_eq!(benchmark.unbroken_runs(), [0, 0, 1, 2, 3, 3]);
        assert_eq!(benchmark.drive_numbers(), [24, 24, 24, 25, 25, 25]);
        assert_eq!(benchmark.rows()[&2], 1);
        assert_eq!(benchmark.rows()[&9], 5);
    }
}
