//! The arrays of one file, by name, in the order of the file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::convert::encode_le;
use super::{Array, ArrayError, FormatError};

/// Names and arrays in the order of the file, the metadata of the file, and its path, which
/// every error names.
#[derive(Clone, Debug, Default)]
pub struct ArrayMap {
    file: PathBuf,
    arrays: Vec<(String, Array)>,
    index: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

impl ArrayMap {
    /// An empty map; `file` is used in errors.
    pub fn new(file: impl Into<PathBuf>) -> ArrayMap {
        ArrayMap {
            file: file.into(),
            ..ArrayMap::default()
        }
    }

    /// The file that the arrays came from or go to.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Free text of the file; only safetensors has any.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The free text, to change it.
    pub fn metadata_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.metadata
    }

    /// Number of arrays.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    /// True when there is no array.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }

    /// Size of all elements, bytes.
    pub fn byte_len(&self) -> usize {
        self.arrays.iter().map(|(_, array)| array.byte_len()).sum()
    }

    /// Names and arrays, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays
            .iter()
            .map(|(name, array)| (name.as_str(), array))
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|(name, _)| name.as_str())
    }

    /// True when there is an array of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Adds an array at the end.
    ///
    /// # Errors
    /// [`FormatError::Array`] when the name is taken.
    pub fn insert(&mut self, name: impl Into<String>, array: Array) -> Result<(), FormatError> {
        let name = name.into();
        if self.contains(&name) {
            return Err(self.array_error(
                &name,
                ArrayError::Invalid {
                    expected: "one array of that name".to_owned(),
                    found: "a second one".to_owned(),
                },
            ));
        }
        self.index.insert(name.clone(), self.arrays.len());
        self.arrays.push((name, array));
        Ok(())
    }

    /// Moves the array of that name out of the map; the others stay in order.
    ///
    /// # Errors
    /// [`FormatError::Missing`], as [`ArrayMap::get`].
    pub fn take(&mut self, name: &str) -> Result<Array, FormatError> {
        let here = |at: &usize| *at < self.arrays.len();
        let Some(at) = self.index.get(name).copied().filter(here) else {
            return Err(self.missing(name));
        };
        self.index.remove(name);
        for later in self.index.values_mut().filter(|later| **later > at) {
            *later -= 1;
        }
        Ok(self.arrays.remove(at).1)
    }

    /// The array of that name, if there is one.
    pub fn find(&self, name: &str) -> Option<&Array> {
        self.index
            .get(name)
            .and_then(|at| self.arrays.get(*at))
            .map(|(_, array)| array)
    }

    /// The array of that name.
    ///
    /// # Errors
    /// [`FormatError::Missing`], with the names of the file that are most like it.
    pub fn get(&self, name: &str) -> Result<&Array, FormatError> {
        self.find(name).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> FormatError {
        FormatError::Missing {
            file: self.file.clone(),
            array: name.to_owned(),
            near: self.near_names(name),
            count: self.len(),
        }
    }

    /// The array of that name, of that shape.
    ///
    /// # Errors
    /// [`FormatError::Missing`], or [`FormatError::Array`] for another shape.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<&Array, FormatError> {
        let array = self.get(name)?;
        array
            .check_shape(shape)
            .map_err(|source| self.array_error(name, source))?;
        Ok(array)
    }

    /// The elements of a floating array of that name and shape, as f32.
    ///
    /// # Errors
    /// As [`ArrayMap::expect`] and [`Array::to_f32`].
    pub fn expect_f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, FormatError> {
        self.converted(name, shape, Array::to_f32)
    }

    /// [`ArrayMap::expect_f32`] that also refuses NaN and infinities: what weights must pass.
    ///
    /// # Errors
    /// As [`ArrayMap::expect_f32`], and [`FormatError::Array`] naming the index of the value.
    pub fn expect_finite_f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, FormatError> {
        let values = self.expect_f32(name, shape)?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(self.array_error(
                name,
                ArrayError::Invalid {
                    expected: "finite values".to_owned(),
                    found: format!(
                        "{} at index {index}",
                        values.get(index).copied().unwrap_or(f32::NAN)
                    ),
                },
            )),
        }
    }

    /// The elements of a floating array of that name and shape, as f64.
    ///
    /// # Errors
    /// As [`ArrayMap::expect`] and [`Array::to_f64`].
    pub fn expect_f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, FormatError> {
        self.converted(name, shape, Array::to_f64)
    }

    /// The elements of an integer array of that name and shape, as i64.
    ///
    /// # Errors
    /// As [`ArrayMap::expect`] and [`Array::to_i64`].
    pub fn expect_i64(&self, name: &str, shape: &[usize]) -> Result<Vec<i64>, FormatError> {
        self.converted(name, shape, Array::to_i64)
    }

    /// The elements of an integer array of that name and shape, as i32.
    ///
    /// # Errors
    /// As [`ArrayMap::expect`] and [`Array::to_i32`].
    pub fn expect_i32(&self, name: &str, shape: &[usize]) -> Result<Vec<i32>, FormatError> {
        self.converted(name, shape, Array::to_i32)
    }

    /// The elements of a bool array (or of zeros and ones) of that name and shape.
    ///
    /// # Errors
    /// As [`ArrayMap::expect`] and [`Array::to_bool`].
    pub fn expect_bool(&self, name: &str, shape: &[usize]) -> Result<Vec<bool>, FormatError> {
        self.converted(name, shape, Array::to_bool)
    }

    /// The elements of a text array of that name and shape.
    ///
    /// # Errors
    /// As [`ArrayMap::expect`] and [`Array::to_strings`].
    pub fn expect_strings(&self, name: &str, shape: &[usize]) -> Result<Vec<String>, FormatError> {
        self.converted(name, shape, Array::to_strings)
    }

    fn converted<T>(
        &self,
        name: &str,
        shape: &[usize],
        convert: impl Fn(&Array) -> Result<T, ArrayError>,
    ) -> Result<T, FormatError> {
        convert(self.expect(name, shape)?).map_err(|source| self.array_error(name, source))
    }

    /// Puts the file and the array's name to an error about one array of this map.
    pub fn array_error(&self, name: &str, source: ArrayError) -> FormatError {
        FormatError::Array {
            file: self.file.clone(),
            array: name.to_owned(),
            source,
        }
    }

    /// Removes each of `prefixes` from all names, as long as **all** names start with it
    /// (PyTorch wrappers add `_orig_mod.` and `module.`). Returns what was removed, in order.
    pub fn strip_common_prefixes(&mut self, prefixes: &[&str]) -> Vec<String> {
        let mut removed = Vec::new();
        while let Some(prefix) = prefixes.iter().find(|prefix| {
            !prefix.is_empty()
                && !self.is_empty()
                && self.names().all(|name| {
                    name.strip_prefix(**prefix)
                        .is_some_and(|rest| !rest.is_empty())
                })
        }) {
            for (name, _) in &mut self.arrays {
                name.drain(..prefix.len());
            }
            removed.push((*prefix).to_owned());
        }
        if !removed.is_empty() {
            let positions = self.arrays.iter().enumerate();
            self.index = positions
                .map(|(at, (name, _))| (name.clone(), at))
                .collect();
        }
        removed
    }

    /// A hash of all names, element types, shapes and elements, whatever their order and
    /// whatever the container: 64-bit FNV-1a over the arrays sorted by name, each part after
    /// its length. 16 hexadecimal digits.
    pub fn content_hash(&self) -> String {
        let mut sorted: Vec<&(String, Array)> = self.arrays.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut hash = Fnv1a::new();
        for (name, array) in sorted {
            hash.part(name.as_bytes());
            hash.part(array.dtype().name().as_bytes());
            hash.number(array.shape().len());
            for dimension in array.shape() {
                hash.number(*dimension);
            }
            hash.part(&encode_le(array.data()));
        }
        format!("{:016x}", hash.0)
    }

    /// Up to three names of the map, those with the smallest edit distance to `wanted`.
    fn near_names(&self, wanted: &str) -> Vec<String> {
        // The work is names x length squared: bounded, a file may hold 100,000 long names.
        const NAMES: usize = 2_000;
        const LENGTH: usize = 96;
        let tail = |name: &str| -> Vec<char> {
            let chars: Vec<char> = name.chars().collect();
            chars.into_iter().rev().take(LENGTH).collect()
        };
        let target = tail(wanted);
        let mut scored: Vec<(usize, &str)> = self
            .names()
            .take(NAMES)
            .map(|name| (edit_distance(&target, &tail(name)), name))
            .collect();
        scored.sort();
        scored
            .into_iter()
            .take(3)
            .map(|(_, name)| name.chars().take(200).collect())
            .collect()
    }
}

/// Levenshtein distance.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (slot, right) in row.iter_mut().skip(1).zip(b) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *slot;
            previous = replaced.min(diagonal + 1).min(previous + 1);
            *slot = previous;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

/// Fowler-Noll-Vo 1a, 64 bit (RFC 9923).
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Fnv1a {
        Fnv1a(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_of_known_pairs() {
        let distance = |a: &str, b: &str| {
            edit_distance(
                &a.chars().collect::<Vec<_>>(),
                &b.chars().collect::<Vec<_>>(),
            )
        };
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn fnv1a_of_known_inputs() {
        // Test vectors of the FNV specification.
        for (text, expected) in [
            ("", 0xcbf2_9ce4_8422_2325_u64),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut hash = Fnv1a::new();
            hash.bytes(text.as_bytes());
            assert_eq!(hash.0, expected);
        }
    }
}
