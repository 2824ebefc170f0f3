//! Conversions of an [`Array`]'s elements: to other types, and to and from bytes.

use std::path::Path;

use half::{bf16, f16};

use super::array::{Array, ArrayData, DType};
use super::{ArrayError, FormatError, io};

impl Array {
    /// The elements as f32: any floating type; f64 is rounded.
    ///
    /// # Errors
    /// [`ArrayError::Kind`] for other types, [`ArrayError::Range`] for a finite f64 above
    /// `f32::MAX`.
    pub fn to_f32(&self) -> Result<Vec<f32>, ArrayError> {
        match self.data() {
            ArrayData::F32(values) => Ok(values.clone()),
            ArrayData::F16(values) => Ok(values.iter().map(|v| v.to_f32()).collect()),
            ArrayData::BF16(values) => Ok(values.iter().map(|v| v.to_f32()).collect()),
            ArrayData::F64(values) => convert(values, DType::F32, |v: &f64| {
                let narrow = *v as f32;
                (narrow.is_finite() || !v.is_finite()).then_some(narrow)
            }),
            _ => Err(self.wrong_kind("a floating type")),
        }
    }

    /// The elements as f64: any floating type, exactly.
    ///
    /// # Errors
    /// [`ArrayError::Kind`] for other types.
    pub fn to_f64(&self) -> Result<Vec<f64>, ArrayError> {
        match self.data() {
            ArrayData::F32(values) => Ok(values.iter().map(|v| f64::from(*v)).collect()),
            ArrayData::F16(values) => Ok(values.iter().map(|v| v.to_f64()).collect()),
            ArrayData::BF16(values) => Ok(values.iter().map(|v| v.to_f64()).collect()),
            ArrayData::F64(values) => Ok(values.clone()),
            _ => Err(self.wrong_kind("a floating type")),
        }
    }

    /// The elements as i64: any integer type.
    ///
    /// # Errors
    /// [`ArrayError::Kind`] for other types (bool too), [`ArrayError::Range`] for a u64 above
    /// `i64::MAX`.
    pub fn to_i64(&self) -> Result<Vec<i64>, ArrayError> {
        self.to_integer(DType::I64)
    }

    /// The elements as i32: any integer type.
    ///
    /// # Errors
    /// [`ArrayError::Kind`] for other types (bool too), [`ArrayError::Range`] for a value
    /// outside of i32.
    pub fn to_i32(&self) -> Result<Vec<i32>, ArrayError> {
        self.to_integer(DType::I32)
    }

    /// The elements as bool: bool, or an integer type holding only 0 and 1.
    ///
    /// # Errors
    /// [`ArrayError::Kind`] for other types, [`ArrayError::Range`] for another value.
    pub fn to_bool(&self) -> Result<Vec<bool>, ArrayError> {
        if let ArrayData::Bool(values) = self.data() {
            return Ok(values.clone());
        }
        convert(&self.to_i64()?, DType::Bool, |v| match v {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    /// The elements as text.
    ///
    /// # Errors
    /// [`ArrayError::Kind`] for other types.
    pub fn to_strings(&self) -> Result<Vec<String>, ArrayError> {
        match self.data() {
            ArrayData::String(values) => Ok(values.clone()),
            _ => Err(self.wrong_kind("text")),
        }
    }

    fn to_integer<T>(&self, target: DType) -> Result<Vec<T>, ArrayError>
    where
        T: TryFrom<i8>
            + TryFrom<u8>
            + TryFrom<i16>
            + TryFrom<u16>
            + TryFrom<i32>
            + TryFrom<u32>
            + TryFrom<i64>
            + TryFrom<u64>,
    {
        match self.data() {
            ArrayData::I8(values) => convert(values, target, |v| T::try_from(*v).ok()),
            ArrayData::U8(values) => convert(values, target, |v| T::try_from(*v).ok()),
            ArrayData::I16(values) => convert(values, target, |v| T::try_from(*v).ok()),
            ArrayData::U16(values) => convert(values, target, |v| T::try_from(*v).ok()),
            ArrayData::I32(values) => convert(values, target, |v| T::try_from(*v).ok()),
            ArrayData::U32(values) => convert(values, target, |v| T::try_from(*v).ok()),
            ArrayData::I64(values) => convert(values, target, |v| T::try_from(*v).ok()),
            ArrayData::U64(values) => convert(values, target, |v| T::try_from(*v).ok()),
            _ => Err(self.wrong_kind("an integer type")),
        }
    }

    fn wrong_kind(&self, expected: &'static str) -> ArrayError {
        ArrayError::Kind {
            expected,
            found: self.dtype(),
        }
    }
}

fn convert<S: std::fmt::Display, T>(
    values: &[S],
    target: DType,
    one: impl Fn(&S) -> Option<T>,
) -> Result<Vec<T>, ArrayError> {
    let mut converted = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let Some(fitting) = one(value) else {
            return Err(ArrayError::Range {
                index,
                value: value.to_string(),
                target,
            });
        };
        converted.push(fitting);
    }
    Ok(converted)
}

/// Byte order of the elements in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

macro_rules! decode_as {
    ($bytes:expr, $endian:expr, $element:ty, $what:expr, $file:expr) => {{
        let (chunks, _) = $bytes.as_chunks::<{ size_of::<$element>() }>();
        let mut values: Vec<$element> = io::reserve($file, $what, chunks.len())?;
        match $endian {
            Endian::Little => values.extend(chunks.iter().map(|c| <$element>::from_le_bytes(*c))),
            Endian::Big => values.extend(chunks.iter().map(|c| <$element>::from_be_bytes(*c))),
        }
        values.into()
    }};
}

/// Elements from bytes, and the array from the elements. `bytes` must be as long as the
/// shape says.
///
/// # Errors
/// [`FormatError::Array`] naming `name`: another length, a bool byte other than 0 and 1, or
/// a `dtype` without a fixed width.
pub(super) fn decode(
    file: &Path,
    name: &str,
    dtype: DType,
    shape: &[usize],
    bytes: &[u8],
    endian: Endian,
) -> Result<Array, FormatError> {
    let fail = |source| FormatError::Array {
        file: file.to_path_buf(),
        array: name.to_owned(),
        source,
    };
    let expected = super::array::element_count(shape).map_err(fail)? * dtype.size();
    if bytes.len() != expected {
        return Err(fail(ArrayError::Invalid {
            expected: format!("{expected} bytes for {dtype} {shape:?}"),
            found: format!("{} bytes", bytes.len()),
        }));
    }
    let data: ArrayData = match dtype {
        DType::F32 => decode_as!(bytes, endian, f32, name, file),
        DType::F64 => decode_as!(bytes, endian, f64, name, file),
        DType::F16 => decode_as!(bytes, endian, f16, name, file),
        DType::BF16 => decode_as!(bytes, endian, bf16, name, file),
        DType::I8 => decode_as!(bytes, endian, i8, name, file),
        DType::U8 => decode_as!(bytes, endian, u8, name, file),
        DType::I16 => decode_as!(bytes, endian, i16, name, file),
        DType::U16 => decode_as!(bytes, endian, u16, name, file),
        DType::I32 => decode_as!(bytes, endian, i32, name, file),
        DType::U32 => decode_as!(bytes, endian, u32, name, file),
        DType::I64 => decode_as!(bytes, endian, i64, name, file),
        DType::U64 => decode_as!(bytes, endian, u64, name, file),
        DType::Bool => {
            if let Some(index) = bytes.iter().position(|byte| *byte > 1) {
                return Err(fail(ArrayError::Invalid {
                    expected: "bool bytes of 0 or 1".to_owned(),
                    found: format!("another byte at index {index}"),
                }));
            }
            let mut values: Vec<bool> = io::reserve(file, name, bytes.len())?;
            values.extend(bytes.iter().map(|byte| *byte == 1));
            values.into()
        }
        DType::String => {
            return Err(fail(ArrayError::Kind {
                expected: "elements of a fixed width",
                found: dtype,
            }));
        }
    };
    Array::new(shape, data).map_err(fail)
}

/// The elements as little-endian bytes; text as UTF-8, each string after its length (u64).
pub(super) fn encode_le(data: &ArrayData) -> Vec<u8> {
    fn gather<T: Copy, const N: usize>(values: &[T], one: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(values.len() * N);
        for value in values {
            bytes.extend_from_slice(&one(*value));
        }
        bytes
    }
    match data {
        ArrayData::F32(values) => gather(values, f32::to_le_bytes),
        ArrayData::F64(values) => gather(values, f64::to_le_bytes),
        ArrayData::F16(values) => gather(values, f16::to_le_bytes),
        ArrayData::BF16(values) => gather(values, bf16::to_le_bytes),
        ArrayData::I8(values) => gather(values, i8::to_le_bytes),
        ArrayData::U8(values) => values.clone(),
        ArrayData::I16(values) => gather(values, i16::to_le_bytes),
        ArrayData::U16(values) => gather(values, u16::to_le_bytes),
        ArrayData::I32(values) => gather(values, i32::to_le_bytes),
        ArrayData::U32(values) => gather(values, u32::to_le_bytes),
        ArrayData::I64(values) => gather(values, i64::to_le_bytes),
        ArrayData::U64(values) => gather(values, u64::to_le_bytes),
        ArrayData::Bool(values) => gather(values, |value| [u8::from(value)]),
        ArrayData::String(values) => {
            let mut bytes = Vec::new();
            for text in values {
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            bytes
        }
    }
}

/// Copies the elements that a strided view selects from `bytes` into C order. Offset and
/// strides count elements of `size` bytes.
///
/// # Errors
/// [`ArrayError::Invalid`] when the view reaches outside of `bytes`; nothing is allocated
/// before that is known. The caller bounds the number of elements.
pub(super) fn gather_strided(
    bytes: &[u8],
    size: usize,
    offset: usize,
    shape: &[usize],
    strides: &[usize],
) -> Result<Vec<u8>, ArrayError> {
    let count = super::array::element_count(shape)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    check_view(bytes.len(), size, offset, shape, strides)?;
    let mut gathered = Vec::new();
    if gathered.try_reserve_exact(count * size).is_err() {
        return Err(ArrayError::TooLarge {
            shape: shape.to_vec(),
        });
    }
    // All in bounds by check_view, so `get` never misses below.
    if is_c_order(shape, strides) {
        let begin = offset * size;
        gathered.extend_from_slice(bytes.get(begin..begin + count * size).unwrap_or_default());
        return Ok(gathered);
    }
    let mut index = vec![0_usize; shape.len()];
    let mut position = offset;
    for _ in 0..count {
        let begin = position * size;
        gathered.extend_from_slice(bytes.get(begin..begin + size).unwrap_or_default());
        // Odometer: advance the last index, carry to the left.
        for ((digit, dimension), stride) in index.iter_mut().zip(shape).zip(strides).rev() {
            *digit += 1;
            position = position.wrapping_add(*stride);
            if *digit < *dimension {
                break;
            }
            position = position.wrapping_sub(stride * *dimension);
            *digit = 0;
        }
    }
    Ok(gathered)
}

fn check_view(
    available: usize,
    size: usize,
    offset: usize,
    shape: &[usize],
    strides: &[usize],
) -> Result<(), ArrayError> {
    let outside = || ArrayError::Invalid {
        expected: format!("a view inside of its {available} bytes of storage"),
        found: format!(
            "shape {shape:?}, strides {strides:?}, offset {offset}, {size} bytes an element"
        ),
    };
    if shape.len() != strides.len() {
        return Err(outside());
    }
    let end = shape
        .iter()
        .zip(strides)
        .try_fold(offset, |last, (dimension, stride)| {
            // The odometer takes this product when it carries.
            dimension.checked_mul(*stride)?;
            dimension
                .checked_sub(1)?
                .checked_mul(*stride)?
                .checked_add(last)
        })
        .and_then(|last| last.checked_add(1)?.checked_mul(size));
    match end {
        Some(end) if end <= available => Ok(()),
        _ => Err(outside()),
    }
}

fn is_c_order(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(dimension, stride)| {
        let fits = *dimension == 1 || *stride == expected;
        expected *= dimension;
        fits
    })
}
