//! Numbers of a file in the precision of the file.

use crate::formats::{Array, ArrayData, ArrayError};

/// Floating numbers in one of two precisions.
#[derive(Debug, Clone, PartialEq)]
pub enum Floats {
    /// IEEE 754 binary32.
    F32(Vec<f32>),
    /// IEEE 754 binary64.
    F64(Vec<f64>),
}

impl From<Vec<f32>> for Floats {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl From<Vec<f64>> for Floats {
    fn from(values: Vec<f64>) -> Self {
        Self::F64(values)
    }
}

impl Floats {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them in f64, which is exact.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
            Self::F64(values) => values.clone(),
        }
    }

    /// The numbers of an array.
    pub(super) fn of(data: &ArrayData) -> Result<Self, ArrayError> {
        match data {
            ArrayData::F32(values) => Ok(Self::F32(values.clone())),
            ArrayData::F64(values) => Ok(Self::F64(values.clone())),
            other => Err(ArrayError::Kind {
                expected: "F32 or F64",
                found: other.dtype(),
            }),
        }
    }

    /// Index of the first that is NaN or infinite.
    pub(super) fn first_non_finite(&self) -> Option<usize> {
        match self {
            Self::F32(values) => values.iter().position(|value| !value.is_finite()),
            Self::F64(values) => values.iter().position(|value| !value.is_finite()),
        }
    }

    fn into_data(self) -> ArrayData {
        match self {
            Self::F32(values) => values.into(),
            Self::F64(values) => values.into(),
        }
    }
}

/// Numbers in rows of one length, row by row; one row an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Numbers in a row.
    pub columns: usize,
    /// All numbers.
    pub values: Floats,
}

impl Table {
    /// A table of rows of `columns` numbers.
    pub fn new(columns: usize, values: impl Into<Floats>) -> Self {
        Self {
            columns,
            values: values.into(),
        }
    }

    /// Whole rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// One column in f64; empty where there is none.
    pub fn column(&self, column: usize) -> Vec<f64> {
        let picked = |index: &usize| index % self.columns == column;
        let picked = (0..self.values.len()).filter(picked);
        match &self.values {
            Floats::F32(values) => picked
                .filter_map(|index| values.get(index))
                .map(|value| f64::from(*value))
                .collect(),
            Floats::F64(values) => picked
                .filter_map(|index| values.get(index))
                .copied()
                .collect(),
        }
    }

    /// As an array `[rows, columns]`.
    pub(super) fn to_array(&self, rows: usize) -> Result<Array, ArrayError> {
        Array::new(&[rows, self.columns], self.values.clone().into_data())
    }
}

/// Numbers, one an example, as an array `[rows]`.
pub(super) fn vector(values: &Floats, rows: usize) -> Result<Array, ArrayError> {
    Array::new(&[rows], values.clone().into_data())
}
