//! Diagnostics of solved puzzles: drifts, exponents, answers, halting; read from and written to npz.

use super::table::vector;
use super::{Floats, Table, TwoByTwoError};
use crate::formats::{Array, ArrayData, ArrayError, ArrayMap, FormatError, npz};
use std::path::{Path, PathBuf};

/// Columns of drift that make up the late drift.
pub(super) const LATE: usize = 4;

/// What was measured of each of `N` examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostics {
    /// The file they came from or go to; errors name it.
    pub file: PathBuf,
    /// Change of the high-level latent in each step, `[N, steps]`, at least four steps.
    pub drift_zh: Table,
    /// Change of the low-level latent in each step, `[N, steps]`.
    pub drift_zl: Table,
    /// Finite-time Lyapunov exponents, largest first, `[N, k]`, per step.
    pub lyap_spec: Table,
    /// 1 where the answer is right throughout, 0 where it is not, `[N]`.
    pub exact_correct: Vec<i64>,
    /// Share of the tokens that are right, `[N]`.
    pub token_acc: Floats,
    /// Step at which the example halted, `[N]`.
    pub halted_at: Vec<i64>,
    /// Logit of halting after each step, `[N, steps]`.
    pub q_halt: Table,
    /// Logit of going on after each step, `[N, steps]`; not every file has it.
    pub q_continue: Option<Table>,
    /// Number of the example in its data, `[N]`; not every file has it.
    pub idx: Option<Vec<i64>>,
    /// Any other arrays, in the order of the file.
    pub extra: Vec<(String, Array)>,
}

impl Diagnostics {
    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.exact_correct.len()
    }

    /// Reads an npz file and checks it.
    ///
    /// # Errors
    /// [`TwoByTwoError::Format`] for a file that is no npz, an array that is missing, of another kind or shape
    /// than the fields say, or holds a number that is not finite; [`TwoByTwoError::TooFew`] for fewer
    /// than two examples.
    pub fn read(path: &Path) -> Result<Self, TwoByTwoError> {
        Self::from_arrays(npz::load(path)?)
    }

    /// [`Diagnostics::read`] over arrays at hand.
    ///
    /// # Errors
    /// As [`Diagnostics::read`].
    pub fn from_arrays(mut arrays: ArrayMap) -> Result<Self, TwoByTwoError> {
        let examples = examples_of(&arrays)?;
        let steps = "[N, steps] with 4 steps or more";
        let drift_zh = table(&mut arrays, "drift_zH", examples, LATE, steps)?;
        let drift_zl = table(&mut arrays, "drift_zL", examples, LATE, steps)?;
        let lyap_spec = table(&mut arrays, "lyap_spec", examples, 1, "[N, k]")?;
        let exact_correct = labels(&mut arrays)?;
        let token_acc = floats(&mut arrays, "token_acc", examples)?;
        let halted_at = integers(&mut arrays, "halted_at", examples)?;
        let q_halt = table(&mut arrays, "q_halt", examples, 1, "[N, steps]")?;
        let has_q = arrays.contains("q_continue");
        let q_continue = has_q.then(|| table(&mut arrays, "q_continue", examples, 1, "[N, steps]"));
        let q_continue = q_continue.transpose()?;
        let has_idx = arrays.contains("idx");
        let idx = has_idx.then(|| integers(&mut arrays, "idx", examples));
        let idx = idx.transpose()?;
        let names: Vec<String> = arrays.names().map(str::to_owned).collect();
        let file = arrays.file().to_path_buf();
        let mut extra = Vec::new();
        for name in names {
            let array = arrays.take(&name)?;
            extra.push((name, array));
        }
        Ok(Self {
            file,
            drift_zh,
            drift_zl,
            lyap_spec,
            exact_correct,
            token_acc,
            halted_at,
            q_halt,
            q_continue,
            idx,
            extra,
        })
    }

    /// The arrays of the npz file, under its names: integers as 64 bits, right and wrong as bool where
    /// they are no more than that, floating numbers as they are.
    ///
    /// # Errors
    /// [`TwoByTwoError::Format`] when lengths disagree or an extra array takes the name of another.
    pub fn to_arrays(&self) -> Result<ArrayMap, TwoByTwoError> {
        let rows = self.examples();
        let mut arrays = ArrayMap::new(&self.file);
        let mut put = |name: &str, array: Result<Array, ArrayError>| {
            let array = array.map_err(|source| FormatError::Array {
                file: self.file.clone(),
                array: name.to_owned(),
                source,
            })?;
            arrays.insert(name, array)
        };
        if let Some(idx) = &self.idx {
            put("idx", Array::new(&[rows], idx.clone()))?;
        }
        put("drift_zH", self.drift_zh.to_array(rows))?;
        put("drift_zL", self.drift_zl.to_array(rows))?;
        put("lyap_spec", self.lyap_spec.to_array(rows))?;
        put("exact_correct", labels_array(&self.exact_correct))?;
        put("token_acc", vector(&self.token_acc, rows))?;
        put("halted_at", Array::new(&[rows], self.halted_at.clone()))?;
        put("q_halt", self.q_halt.to_array(rows))?;
        if let Some(q_continue) = &self.q_continue {
            put("q_continue", q_continue.to_array(rows))?;
        }
        for (name, array) in &self.extra {
            put(name, Ok(array.clone()))?;
        }
        Ok(arrays)
    }

    /// Writes an npz file, deflated, by an atomic rename.
    ///
    /// # Errors
    /// As [`Diagnostics::to_arrays`], and [`FormatError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), TwoByTwoError> {
        Ok(npz::save(path, &self.to_arrays()?)?)
    }
}

/// What the series over checkpoints needs of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub drift_zh: Table,
    pub lyap_spec: Table,
    pub exact_correct: Vec<i64>,
}

impl Checkpoint {
    pub fn read(path: &Path) -> Result<Self, TwoByTwoError> {
        let mut arrays = npz::load(path)?;
        let examples = examples_of(&arrays)?;
        let steps = "[N, steps] with 4 steps or more";
        Ok(Self {
            drift_zh: table(&mut arrays, "drift_zH", examples, LATE, steps)?,
            lyap_spec: table(&mut arrays, "lyap_spec", examples, 1, "[N, k]")?,
            exact_correct: labels(&mut arrays)?,
        })
    }
}

fn invalid(expected: impl Into<String>, found: impl ToString) -> ArrayError {
    ArrayError::Invalid {
        expected: expected.into(),
        found: found.to_string(),
    }
}

/// The number of examples, as the labels have it.
fn examples_of(arrays: &ArrayMap) -> Result<usize, TwoByTwoError> {
    const NAME: &str = "exact_correct";
    let array = arrays.get(NAME)?;
    let [examples] = array.shape() else {
        let error = invalid("shape [N]", format!("{:?}", array.shape()));
        return Err(arrays.array_error(NAME, error).into());
    };
    if *examples < 2 {
        return Err(TwoByTwoError::TooFew {
            file: arrays.file().to_path_buf(),
            found: *examples,
        });
    }
    Ok(*examples)
}

/// Takes floating numbers of a checked shape, all of them finite.
fn finite(
    arrays: &mut ArrayMap,
    name: &str,
    fits: impl Fn(&[usize]) -> bool,
    expected: String,
) -> Result<(usize, Floats), FormatError> {
    let array = arrays.get(name)?;
    let columns = array.shape().get(1).copied().unwrap_or(1);
    let fail = |error| arrays.array_error(name, error);
    if !fits(array.shape()) {
        return Err(fail(invalid(expected, format!("{:?}", array.shape()))));
    }
    let values = Floats::of(array.data()).map_err(fail)?;
    if let Some(index) = values.first_non_finite() {
        let (example, column) = (index / columns.max(1), index % columns.max(1));
        let found = format!("NaN or infinity at example {example}, column {column}");
        return Err(fail(invalid("finite numbers", found)));
    }
    arrays.take(name)?;
    Ok((columns, values))
}

fn table(
    arrays: &mut ArrayMap,
    name: &str,
    examples: usize,
    least: usize,
    shape: &str,
) -> Result<Table, FormatError> {
    let fits = |shape: &[usize]| match shape {
        [rows, columns] => *rows == examples && *columns >= least,
        _ => false,
    };
    let expected = format!("shape {shape} where N is {examples}");
    let (columns, values) = finite(arrays, name, fits, expected)?;
    Ok(Table { columns, values })
}

fn floats(arrays: &mut ArrayMap, name: &str, examples: usize) -> Result<Floats, FormatError> {
    let expected = format!("shape [{examples}]");
    let (_, values) = finite(arrays, name, |shape| *shape == [examples], expected)?;
    Ok(values)
}

fn integers(arrays: &mut ArrayMap, name: &str, examples: usize) -> Result<Vec<i64>, FormatError> {
    let values = arrays.expect_i64(name, &[examples])?;
    arrays.take(name)?;
    Ok(values)
}

/// Labels of any number type, cut to integers as a cast does.
fn labels(arrays: &mut ArrayMap) -> Result<Vec<i64>, FormatError> {
    const NAME: &str = "exact_correct";
    let array = arrays.take(NAME)?;
    let fail = |error| arrays.array_error(NAME, error);
    if let Some(index) = array.first_non_finite() {
        let found = format!("NaN or infinity at example {index}");
        return Err(fail(invalid("finite numbers", found)));
    }
    match array.data() {
        ArrayData::Bool(values) => Ok(values.iter().map(|value| i64::from(*value)).collect()),
        ArrayData::F32(values) => Ok(values.iter().map(|value| *value as i64).collect()),
        ArrayData::F64(values) => Ok(values.iter().map(|value| *value as i64).collect()),
        _ => array.to_i64().map_err(fail),
    }
}

fn labels_array(labels: &[i64]) -> Result<Array, ArrayError> {
    let shape = [labels.len()];
    if labels.iter().all(|label| (0..=1).contains(label)) {
        let flags: Vec<bool> = labels.iter().map(|label| *label == 1).collect();
        return Array::new(&shape, flags);
    }
    Array::new(&shape, labels.to_vec())
}
