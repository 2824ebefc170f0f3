//! One case: its configuration, its tensors, and which of its outputs have been compared.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use super::super::checks::{CaseError, Checks};
use super::super::folder::{Folder, Node, numbers};
use crate::device::{Device, Precision};
use crate::formats::ArrayMap;

/// A case of a folder.
pub(super) struct Case<'a> {
    pub name: &'a str,
    pub folder: &'a Folder,
    pub entry: Node<'a>,
    pub config: Node<'a>,
    pub arrays: ArrayMap,
    pub device: &'a Device,
    compared: RefCell<BTreeSet<String>>,
    /// Expected scalars of the configuration that nothing compares.
    unknown: RefCell<BTreeSet<String>>,
}

/// An error of the engine as the failure of a case.
pub(super) fn engine(error: impl Display) -> CaseError {
    CaseError::Engine(error.to_string())
}

impl<'a> Case<'a> {
    pub fn read(
        folder: &'a Folder,
        name: &'a str,
        entry: &Node<'a>,
        device: &'a Device,
    ) -> Result<Self, CaseError> {
        let config = entry.get("config")?;
        if !config.json().is_object() {
            return Err(config.wrong("an object"));
        }
        let file = match entry.find("file") {
            Some(file) => file.as_text()?.to_owned(),
            None => format!("{name}.safetensors"),
        };
        Ok(Self {
            name,
            folder,
            entry: entry.clone(),
            config,
            arrays: folder.arrays(&file)?,
            device,
            compared: RefCell::default(),
            unknown: RefCell::default(),
        })
    }

    /// The tensors that the index lists are there, in the shapes that it lists.
    pub fn check_list(&self, checks: &mut Checks) -> Result<(), CaseError> {
        let listed = self.entry.get("tensors")?;
        if !listed.json().is_object() {
            return Err(listed.wrong("an object"));
        }
        for (name, entry) in listed.entries() {
            let array = self.arrays.get(name)?;
            // `[type, shape]`
            let Some(shape) = entry.elements()?.into_iter().nth(1) else {
                return Err(entry.wrong("a type and a shape"));
            };
            let expected = shape.integers()?;
            let found: Vec<i64> = array.shape().iter().map(|&size| size as i64).collect();
            if found != expected {
                let reason = format!("shape of {name}: expected {expected:?}, found {found:?}");
                checks.fail(reason);
            }
        }
        Ok(())
    }

    /// One tolerance for `f32` arithmetic, a tighter one where everything is computed in `f64`.
    pub fn tolerance(&self, single: f64, double: f64) -> f64 {
        match self.device.precision() {
            Precision::F64 => double,
            _ => single,
        }
    }

    /// An input whose last dimensions are `tail`: how many there are of it, and the numbers.
    pub fn rows(&self, name: &str, tail: &[usize]) -> Result<(usize, Vec<f32>), CaseError> {
        let (rows, values) = self.rows_f64(name, tail)?;
        Ok((rows, values.into_iter().map(|value| value as f32).collect()))
    }

    /// As [`Case::rows`], in double precision.
    pub fn rows_f64(&self, name: &str, tail: &[usize]) -> Result<(usize, Vec<f64>), CaseError> {
        let (shape, values) = numbers(&self.arrays, name)?;
        let leading = shape.len().checked_sub(tail.len());
        let (first, last) = shape.split_at(leading.unwrap_or(0));
        if leading.is_none() || last != tail {
            let reason = format!("{name}: expected a shape that ends in {tail:?}, found {shape:?}");
            return Err(CaseError::Engine(reason));
        }
        Ok((first.iter().product(), values))
    }

    /// Shape of a tensor with so many dimensions.
    pub fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N], CaseError> {
        let shape = self.arrays.get(name)?.shape();
        <[usize; N]>::try_from(shape).map_err(|_| {
            CaseError::Engine(format!(
                "{name}: expected {N} dimensions, found shape {shape:?}"
            ))
        })
    }

    /// The tensors under `w.`, by the names of a state dict.
    pub fn weights(&self) -> Result<ArrayMap, CaseError> {
        let mut weights = ArrayMap::new(self.arrays.file());
        for (name, array) in self.arrays.iter() {
            if let Some(name) = name.strip_prefix("w.") {
                weights.insert(name, array.clone())?;
            }
        }
        Ok(weights)
    }

    /// Outputs that start with `out.{start}` and what follows, in order of the file.
    pub fn outputs<'b>(&'b self, start: &str) -> Vec<(&'b str, &'b str)> {
        let rest = |name: &'b str| name.strip_prefix("out.")?.strip_prefix(start);
        let names = self.arrays.names();
        names.filter_map(|name| Some((name, rest(name)?))).collect()
    }

    /// An output, marked as compared: whoever reads it compares it.
    pub fn expected(&self, name: &str) -> Result<(Vec<usize>, Vec<f64>), CaseError> {
        let expected = numbers(&self.arrays, name)?;
        self.compared.borrow_mut().insert(name.to_owned());
        Ok(expected)
    }

    /// Compares an output, relative to its largest magnitude.
    pub fn compare(
        &self,
        name: &str,
        found: &[f64],
        tolerance: f64,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let (_, expected) = self.expected(name)?;
        checks.close_to_scale(name, found, &expected, tolerance);
        Ok(())
    }

    /// A number of the configuration, relative to its magnitude.
    pub fn compare_number(
        &self,
        expected: &Node<'_>,
        what: &str,
        found: f64,
        tolerance: f64,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        checks.close_to_scale(what, &[found], &[expected.as_number()?], tolerance);
        Ok(())
    }

    /// Remembers an expected value of the configuration that nothing compares.
    pub fn leave(&self, what: String) {
        self.unknown.borrow_mut().insert(what);
    }

    /// Outputs and expected values that nothing compared.
    pub fn left(&self) -> Vec<String> {
        let compared = self.compared.borrow();
        let outputs = self.arrays.names().filter(|name| name.starts_with("out."));
        let outputs = outputs.filter(|name| !compared.contains(*name));
        let unknown = self.unknown.borrow();
        outputs
            .map(str::to_owned)
            .chain(unknown.iter().cloned())
            .collect()
    }
}

/// Two numbers of a tensor's name that are joined by a point, such as `0.5.15`; every way to read them.
pub(super) fn two_numbers(text: &str) -> Vec<(f64, f64)> {
    let points = text.char_indices().filter(|(_, c)| *c == '.');
    points
        .filter_map(|(at, _)| Some((number(text.get(..at)?)?, number(text.get(at + 1..)?)?)))
        .collect()
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The largest difference to `expected`; infinite where a number is none or the lengths differ.
pub(super) fn distance(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |most, difference| {
        if difference <= most {
            most
        } else {
            difference.max(0.0)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_way() {
        assert_eq!(two_numbers("0.1"), [(0.0, 1.0)]);
        assert_eq!(two_numbers("0.5.0.8"), [(0.5, 0.8)]);
        assert_eq!(two_numbers("1.5.0.999"), [(1.5, 0.999)]);
        assert_eq!(two_numbers("0.5.15"), [(0.0, 5.15), (0.5, 15.0)]);
        assert_eq!(two_numbers("1.1e+09"), [(1.0, 1e9)]);
        assert_eq!(two_numbers("1.0.0.999"), [(1.0, 0.999)]);
        assert_eq!(two_numbers("-0.5.2.25"), [(-0.5, 2.25)]);
        assert!(two_numbers("0").is_empty() && two_numbers("a.b").is_empty());
    }
}
