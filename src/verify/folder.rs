//! A golden folder: its index and its files, both untrusted.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::checks::CaseError;
use super::error::VerifyError;
use crate::formats::{ArrayMap, FormatError, load_arrays};

/// An index is text; a larger file is a mistake.
const INDEX_BYTES: u64 = 64 << 20;

/// The JSON of an index.
pub(super) fn read_index(path: &Path) -> Result<Value, VerifyError> {
    let failed = |message: String| VerifyError::Read {
        path: path.display().to_string(),
        message,
    };
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if length.len() > INDEX_BYTES {
        let (limit, found) = (INDEX_BYTES, length.len());
        return Err(failed(format!(
            "expected at most {limit} bytes, found {found}"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(format!("not JSON: {error}")))
}

/// A folder with an index.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    index: Value,
}

impl Folder {
    pub fn new(path: &Path, index: Value) -> Self {
        Self {
            path: path.to_owned(),
            index,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole index.
    pub fn index(&self) -> Node<'_> {
        Node {
            value: &self.index,
            path: String::new(),
        }
    }

    /// The arrays of a file of the folder; names that lead out of it are refused.
    pub fn arrays(&self, name: &str) -> Result<ArrayMap, CaseError> {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.is_empty() || !Path::new(name).components().all(inside) {
            return Err(CaseError::Index {
                path: "file".into(),
                expected: "the name of a file in this folder",
                found: format!("{name:?}"),
            });
        }
        Ok(load_arrays(self.path.join(name))?)
    }
}

/// A value of the index and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    /// The entry of that name; `None` where there is none, or null.
    pub fn find(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.child(key, value))
    }

    pub fn get(&self, key: &str) -> Result<Node<'a>, CaseError> {
        let entry = self.find(key);
        entry.ok_or_else(|| CaseError::Index {
            path: self.path_to(key),
            expected: "an entry",
            found: "none".into(),
        })
    }

    /// The JSON.
    pub fn json(&self) -> &'a Value {
        self.value
    }

    /// Entries of an object, in order; none for anything else.
    pub fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        let object = self.value.as_object().into_iter().flatten();
        object
            .map(|(key, value)| (key.as_str(), self.child(key, value)))
            .collect()
    }

    /// Elements of an array.
    pub fn elements(&self) -> Result<Vec<Node<'a>>, CaseError> {
        let array = self.value.as_array();
        let array = array.ok_or_else(|| self.wrong("an array"))?;
        let elements = array.iter().enumerate();
        Ok(elements
            .map(|(at, value)| self.child(&at.to_string(), value))
            .collect())
    }

    pub fn as_text(&self) -> Result<&'a str, CaseError> {
        self.value.as_str().ok_or_else(|| self.wrong("text"))
    }

    pub fn as_number(&self) -> Result<f64, CaseError> {
        self.value.as_f64().ok_or_else(|| self.wrong("a number"))
    }

    pub fn as_integer(&self) -> Result<i64, CaseError> {
        self.value.as_i64().ok_or_else(|| self.wrong("an integer"))
    }

    pub fn as_bool(&self) -> Result<bool, CaseError> {
        let value = self.value.as_bool();
        value.ok_or_else(|| self.wrong("true or false"))
    }

    /// An integer from 0 to 2^32, the range of sizes and counts here.
    pub fn as_size(&self) -> Result<usize, CaseError> {
        let size = self
            .value
            .as_u64()
            .filter(|size| *size <= u64::from(u32::MAX));
        size.and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| self.wrong("a size or a count"))
    }

    pub fn numbers(&self) -> Result<Vec<f64>, CaseError> {
        self.elements()?.iter().map(Self::as_number).collect()
    }

    pub fn integers(&self) -> Result<Vec<i64>, CaseError> {
        self.elements()?.iter().map(Node::as_integer).collect()
    }

    pub fn text(&self, key: &str) -> Result<&'a str, CaseError> {
        self.get(key)?.as_text()
    }

    pub fn number(&self, key: &str) -> Result<f64, CaseError> {
        self.get(key)?.as_number()
    }

    pub fn integer(&self, key: &str) -> Result<i64, CaseError> {
        self.get(key)?.as_integer()
    }

    pub fn size(&self, key: &str) -> Result<usize, CaseError> {
        self.get(key)?.as_size()
    }

    pub fn wrong(&self, expected: &'static str) -> CaseError {
        let found: String = self.value.to_string().chars().take(60).collect();
        CaseError::Index {
            path: self.path.clone(),
            expected,
            found,
        }
    }

    fn path_to(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn child(&self, key: &str, value: &'a Value) -> Node<'a> {
        Node {
            value,
            path: self.path_to(key),
        }
    }
}

/// The elements of a floating or integer array as f64, with its shape.
pub(super) fn numbers(
    arrays: &ArrayMap,
    name: &str,
) -> Result<(Vec<usize>, Vec<f64>), FormatError> {
    let array = arrays.get(name)?;
    let values = array.to_f64().or_else(|error| match array.to_i64() {
        Ok(values) => Ok(values.into_iter().map(|value| value as f64).collect()),
        Err(_) => Err(error),
    });
    let values = values.map_err(|error| arrays.array_error(name, error))?;
    Ok((array.shape().to_vec(), values))
}

/// The elements of an integer array as i32, with its shape.
pub(super) fn integers(
    arrays: &ArrayMap,
    name: &str,
) -> Result<(Vec<usize>, Vec<i32>), FormatError> {
    let array = arrays.get(name)?;
    let values = array.to_i32();
    let values = values.map_err(|error| arrays.array_error(name, error))?;
    Ok((array.shape().to_vec(), values))
}

/// f32 as f64.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
