//! safetensors in and out: an 8-byte little-endian header length, a JSON header that gives
//! each tensor's `dtype`, `shape` and `data_offsets`, then the tensors without gaps.
//!
//! The header is checked here rather than by the `safetensors` crate (which supplies the
//! header's types), so that every error names the tensor and offsets near 2^64 cannot wrap.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use ::safetensors::tensor::{Dtype, TensorInfo};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::array::element_count;
use super::convert::{Endian, decode, encode_le};
use super::io::{check_limit, read_file, write_atomic};
use super::{ArrayError, ArrayMap, DType, FormatError, Limits};

const LENGTH_BYTES: usize = 8;
const METADATA_KEY: &str = "__metadata__";

/// Loads a safetensors file.
///
/// # Errors
/// As [`parse`], and [`FormatError::Io`].
pub fn load(path: impl AsRef<Path>) -> Result<ArrayMap, FormatError> {
    let limits = Limits::default();
    let path = path.as_ref();
    parse(path, &read_file(path, &limits)?, &limits)
}

/// Arrays and metadata of a safetensors file, in the order of their data; `file` names it in
/// errors.
///
/// # Errors
/// [`FormatError`] for a truncated file, a header over `limits`, and any tensor whose type,
/// shape and offsets do not agree or which leaves a gap or overlaps another.
pub fn parse(file: &Path, bytes: &[u8], limits: &Limits) -> Result<ArrayMap, FormatError> {
    check_limit(
        file,
        "file size in bytes",
        limits.file_bytes,
        bytes.len() as u64,
    )?;
    let (header, data) = split_header(file, bytes, limits)?;
    let mut parsed = parse_header(file, header, limits)?;
    parsed.tensors.sort_by_key(|(_, info)| info.data_offsets);

    let mut map = ArrayMap::new(file);
    *map.metadata_mut() = parsed.metadata;
    let mut position = 0;
    for (name, info) in parsed.tensors {
        let fail = |source| FormatError::Array {
            file: file.to_path_buf(),
            array: name.clone(),
            source,
        };
        let dtype = dtype_of(info.dtype).map_err(fail)?;
        let raw = tensor_bytes(data, position, dtype, &info, limits).map_err(fail)?;
        let array = decode(file, &name, dtype, &info.shape, raw, Endian::Little)?;
        position = info.data_offsets.1;
        map.insert(name, array)?;
    }
    if position != data.len() {
        return Err(FormatError::Corrupt {
            file: file.to_path_buf(),
            place: "tensor data".to_owned(),
            expected: format!("{position} bytes as the header says"),
            found: format!("{} bytes", data.len()),
        });
    }
    Ok(map)
}

fn split_header<'a>(
    file: &Path,
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<(&'a [u8], &'a [u8]), FormatError> {
    let corrupt = |expected: String, found: String| FormatError::Corrupt {
        file: file.to_path_buf(),
        place: "safetensors header".to_owned(),
        expected,
        found,
    };
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(corrupt(
            format!("at least {LENGTH_BYTES} bytes"),
            format!("{} bytes", bytes.len()),
        ));
    };
    let length = u64::from_le_bytes(*length);
    check_limit(
        file,
        "safetensors header size in bytes",
        limits.header_bytes,
        length,
    )?;
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| {
            corrupt(
                format!("{length} bytes as declared"),
                format!("{} bytes to the end of the file", rest.len()),
            )
        })
}

/// The bytes of one tensor, which must start where the one before it ended.
fn tensor_bytes<'a>(
    data: &'a [u8],
    position: usize,
    dtype: DType,
    info: &TensorInfo,
    limits: &Limits,
) -> Result<&'a [u8], ArrayError> {
    let (begin, end) = info.data_offsets;
    if info.shape.len() > limits.dimensions {
        return Err(ArrayError::Invalid {
            expected: format!("at most {} dimensions", limits.dimensions),
            found: format!("{}", info.shape.len()),
        });
    }
    if begin != position {
        return Err(ArrayError::Invalid {
            expected: format!("data from byte {position}, where the tensor before it ends"),
            found: format!("data from byte {begin}"),
        });
    }
    // element_count bounds the product by isize::MAX / 8, so this cannot wrap.
    let size = element_count(&info.shape)? * dtype.size();
    if end.checked_sub(begin) != Some(size) {
        return Err(ArrayError::Invalid {
            expected: format!("{size} bytes for {dtype} {:?}", info.shape),
            found: format!("data_offsets {begin} to {end}"),
        });
    }
    data.get(begin..end).ok_or_else(|| ArrayError::Invalid {
        expected: format!("data up to byte {end}"),
        found: format!("a file with {} bytes of data", data.len()),
    })
}

fn dtype_of(dtype: Dtype) -> Result<DType, ArrayError> {
    Ok(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::I16 => DType::I16,
        Dtype::U16 => DType::U16,
        Dtype::I32 => DType::I32,
        Dtype::U32 => DType::U32,
        Dtype::I64 => DType::I64,
        Dtype::U64 => DType::U64,
        Dtype::BOOL => DType::Bool,
        other => {
            return Err(ArrayError::Invalid {
                expected: "an element type of 8, 16, 32 or 64 bits".to_owned(),
                found: other.to_string(),
            });
        }
    })
}

/// The JSON header, names unchecked against the data.
#[derive(Default)]
struct Header {
    tensors: Vec<(String, TensorInfo)>,
    metadata: BTreeMap<String, String>,
}

/// Reads a [`Header`] key by key, which keeps the name at hand when a value is wrong and
/// shows names that occur twice.
struct HeaderReader<'a> {
    limit: usize,
    current: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for HeaderReader<'_> {
    type Value = Header;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderReader<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            *self.current = Some(name.clone());
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom("a second entry of that name"));
            }
            if seen.len() > self.limit {
                return Err(A::Error::custom(format!(
                    "more than {} entries",
                    self.limit
                )));
            }
            if name == METADATA_KEY {
                header.metadata = map.next_value()?;
            } else {
                header.tensors.push((name, map.next_value()?));
            }
        }
        *self.current = None;
        Ok(header)
    }
}

fn parse_header(file: &Path, header: &[u8], limits: &Limits) -> Result<Header, FormatError> {
    let mut current = None;
    let mut json = serde_json::Deserializer::from_slice(header);
    let reader = HeaderReader {
        limit: limits.entries,
        current: &mut current,
    };
    let parsed = reader
        .deserialize(&mut json)
        .and_then(|parsed| json.end().map(|()| parsed));
    parsed.map_err(|error| match current {
        Some(name) => FormatError::Array {
            file: file.to_path_buf(),
            array: name,
            source: ArrayError::Invalid {
                expected: "one header entry with dtype, shape and data_offsets".to_owned(),
                found: error.to_string(),
            },
        },
        None => FormatError::Corrupt {
            file: file.to_path_buf(),
            place: "safetensors header".to_owned(),
            expected: "a JSON object of tensors".to_owned(),
            found: error.to_string(),
        },
    })
}

/// Writes a safetensors file, atomically.
///
/// # Errors
/// As [`to_bytes`], and [`FormatError::Io`].
pub fn save(path: impl AsRef<Path>, map: &ArrayMap) -> Result<(), FormatError> {
    write_atomic(path, &to_bytes(map)?)
}

/// A safetensors file; the same map always gives the same bytes. Tensors are laid out widest
/// element first, then by name, which keeps each of them aligned.
///
/// # Errors
/// [`FormatError::Array`] for text arrays, which the format cannot hold, and for an array
/// named `__metadata__`.
pub fn to_bytes(map: &ArrayMap) -> Result<Vec<u8>, FormatError> {
    let mut arrays: Vec<_> = map.iter().collect();
    arrays.sort_by_key(|(name, array)| (std::cmp::Reverse(array.dtype().size()), *name));
    let mut header = vec![b'{'];
    if !map.metadata().is_empty() {
        push_json(map.file(), &mut header, METADATA_KEY, map.metadata())?;
    }
    let mut data = Vec::with_capacity(map.byte_len());
    for (name, array) in arrays {
        let fail = |expected: &str, found: &str| {
            map.array_error(
                name,
                ArrayError::Invalid {
                    expected: expected.to_owned(),
                    found: found.to_owned(),
                },
            )
        };
        if name == METADATA_KEY {
            return Err(fail("a name other than the metadata's", METADATA_KEY));
        }
        let Some(dtype) = dtype_to(array.dtype()) else {
            return Err(fail("an element type that safetensors has", "text"));
        };
        let begin = data.len();
        data.extend_from_slice(&encode_le(array.data()));
        let info = TensorInfo {
            dtype,
            shape: array.shape().to_vec(),
            data_offsets: (begin, data.len()),
        };
        push_json(map.file(), &mut header, name, &info)?;
    }
    header.push(b'}');
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + header.len() + data.len());
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&data);
    Ok(bytes)
}

fn push_json(
    file: &Path,
    header: &mut Vec<u8>,
    key: &str,
    value: &impl serde::Serialize,
) -> Result<(), FormatError> {
    let fail = |error: serde_json::Error| FormatError::Io {
        file: file.to_path_buf(),
        action: "write the safetensors header",
        source: error.into(),
    };
    if header.len() > 1 {
        header.push(b',');
    }
    serde_json::to_writer(&mut *header, key).map_err(fail)?;
    header.push(b':');
    serde_json::to_writer(&mut *header, value).map_err(fail)
}

fn dtype_to(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I8 => Dtype::I8,
        DType::U8 => Dtype::U8,
        DType::I16 => Dtype::I16,
        DType::U16 => Dtype::U16,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::I64 => Dtype::I64,
        DType::U64 => Dtype::U64,
        DType::Bool => Dtype::BOOL,
        DType::String => return None,
    })
}
