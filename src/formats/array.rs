//! One array: a shape and its elements in C order.

use half::{bf16, f16};

use super::ArrayError;

/// Element type of an [`Array`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// 8-bit signed.
    I8,
    /// 8-bit unsigned.
    U8,
    /// 16-bit signed.
    I16,
    /// 16-bit unsigned.
    U16,
    /// 32-bit signed.
    I32,
    /// 32-bit unsigned.
    U32,
    /// 64-bit signed.
    I64,
    /// 64-bit unsigned.
    U64,
    /// One byte, 0 or 1.
    Bool,
    /// Text; npz only.
    String,
}

impl DType {
    /// Bytes of one element in a file; 0 for [`DType::String`], whose width is the array's own.
    pub const fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 | DType::I64 | DType::U64 => 8,
            DType::String => 0,
        }
    }

    /// The name in a safetensors header; `STR` for text.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "F32",
            DType::F64 => "F64",
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            DType::I8 => "I8",
            DType::U8 => "U8",
            DType::I16 => "I16",
            DType::U16 => "U16",
            DType::I32 => "I32",
            DType::U32 => "U32",
            DType::I64 => "I64",
            DType::U64 => "U64",
            DType::Bool => "BOOL",
            DType::String => "STR",
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The elements of an [`Array`], C order.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayData {
    /// Elements of [`DType::F32`].
    F32(Vec<f32>),
    /// Elements of [`DType::F64`].
    F64(Vec<f64>),
    /// Elements of [`DType::F16`].
    F16(Vec<f16>),
    /// Elements of [`DType::BF16`].
    BF16(Vec<bf16>),
    /// Elements of [`DType::I8`].
    I8(Vec<i8>),
    /// Elements of [`DType::U8`].
    U8(Vec<u8>),
    /// Elements of [`DType::I16`].
    I16(Vec<i16>),
    /// Elements of [`DType::U16`].
    U16(Vec<u16>),
    /// Elements of [`DType::I32`].
    I32(Vec<i32>),
    /// Elements of [`DType::U32`].
    U32(Vec<u32>),
    /// Elements of [`DType::I64`].
    I64(Vec<i64>),
    /// Elements of [`DType::U64`].
    U64(Vec<u64>),
    /// Elements of [`DType::Bool`].
    Bool(Vec<bool>),
    /// Elements of [`DType::String`].
    String(Vec<String>),
}

/// Runs one expression for whatever vector an [`ArrayData`] holds.
macro_rules! each_kind {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            ArrayData::F32($values) => $body,
            ArrayData::F64($values) => $body,
            ArrayData::F16($values) => $body,
            ArrayData::BF16($values) => $body,
            ArrayData::I8($values) => $body,
            ArrayData::U8($values) => $body,
            ArrayData::I16($values) => $body,
            ArrayData::U16($values) => $body,
            ArrayData::I32($values) => $body,
            ArrayData::U32($values) => $body,
            ArrayData::I64($values) => $body,
            ArrayData::U64($values) => $body,
            ArrayData::Bool($values) => $body,
            ArrayData::String($values) => $body,
        }
    };
}

impl ArrayData {
    /// Number of elements.
    pub fn len(&self) -> usize {
        each_kind!(self, values => values.len())
    }

    /// True when there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            ArrayData::F32(_) => DType::F32,
            ArrayData::F64(_) => DType::F64,
            ArrayData::F16(_) => DType::F16,
            ArrayData::BF16(_) => DType::BF16,
            ArrayData::I8(_) => DType::I8,
            ArrayData::U8(_) => DType::U8,
            ArrayData::I16(_) => DType::I16,
            ArrayData::U16(_) => DType::U16,
            ArrayData::I32(_) => DType::I32,
            ArrayData::U32(_) => DType::U32,
            ArrayData::I64(_) => DType::I64,
            ArrayData::U64(_) => DType::U64,
            ArrayData::Bool(_) => DType::Bool,
            ArrayData::String(_) => DType::String,
        }
    }
}

macro_rules! from_vector {
    ($($element:ty => $variant:ident),* $(,)?) => {
        $(impl From<Vec<$element>> for ArrayData {
            fn from(values: Vec<$element>) -> Self {
                ArrayData::$variant(values)
            }
        })*
    };
}
from_vector!(f32 => F32, f64 => F64, f16 => F16, bf16 => BF16, i8 => I8, u8 => U8, i16 => I16,
    u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64, bool => Bool, String => String);

/// A shape and as many elements as it says, in C order. No dimension (`[]`) is one element.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: ArrayData,
}

/// The number of elements of a shape.
///
/// # Errors
/// [`ArrayError::TooLarge`] when the product, times 8 bytes, is above `isize::MAX`.
pub(super) fn element_count(shape: &[usize]) -> Result<usize, ArrayError> {
    // A zero anywhere makes the array empty, whatever the other dimensions claim.
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(1_usize, |product, &dimension| {
            product.checked_mul(dimension)
        })
        .filter(|count| *count <= isize::MAX as usize / 8)
        .ok_or_else(|| ArrayError::TooLarge {
            shape: shape.to_vec(),
        })
}

impl Array {
    /// An array of `shape` over `data` in C order (`Vec<f32>` and the like convert).
    ///
    /// # Errors
    /// [`ArrayError::TooLarge`] when the product of `shape` overflows, [`ArrayError::Count`]
    /// when it is not the number of elements.
    pub fn new(shape: &[usize], data: impl Into<ArrayData>) -> Result<Array, ArrayError> {
        let data = data.into();
        let expected = element_count(shape)?;
        if expected != data.len() {
            return Err(ArrayError::Count {
                shape: shape.to_vec(),
                expected,
                found: data.len(),
            });
        }
        Ok(Array {
            shape: shape.to_vec(),
            data,
        })
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &ArrayData {
        &self.data
    }

    /// The shape and the elements, without a copy.
    pub fn into_parts(self) -> (Vec<usize>, ArrayData) {
        (self.shape, self.data)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// True when some dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Size of the elements, bytes; for text the bytes of its UTF-8.
    pub fn byte_len(&self) -> usize {
        match &self.data {
            ArrayData::String(values) => values.iter().map(String::len).sum(),
            other => other.len() * other.dtype().size(),
        }
    }

    /// Checks the shape.
    ///
    /// # Errors
    /// [`ArrayError::Shape`].
    pub fn check_shape(&self, shape: &[usize]) -> Result<(), ArrayError> {
        if self.shape == shape {
            return Ok(());
        }
        Err(ArrayError::Shape {
            expected: shape.to_vec(),
            found: self.shape.clone(),
        })
    }

    /// Flat index of the first element that is NaN or infinite; `None` when all are finite or
    /// the type has no such values.
    pub fn first_non_finite(&self) -> Option<usize> {
        match &self.data {
            ArrayData::F32(values) => values.iter().position(|v| !v.is_finite()),
            ArrayData::F64(values) => values.iter().position(|v| !v.is_finite()),
            ArrayData::F16(values) => values.iter().position(|v| !v.is_finite()),
            ArrayData::BF16(values) => values.iter().position(|v| !v.is_finite()),
            _ => None,
        }
    }
}
