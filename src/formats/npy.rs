//! The npy format (versions 1, 2 and 3) of one array: magic, version, a Python dictionary
//! literal as header, raw elements.
//!
//! Headers are written by the `npyz` crate; they are read here, as that crate's parser
//! recurses as deep as the header says and allocates what it claims.

use std::path::Path;

use npyz::WriterBuilder;

use super::array::element_count;
use super::convert::{Endian, decode, encode_le, gather_strided};
use super::io::{check_limit, reserve};
use super::{Array, ArrayData, ArrayError, DType, FormatError, Limits};

/// First bytes of an npy file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Text of width 1 takes 24 times its file size in memory, so the number of text elements of a
/// file is bounded.
pub(super) const MAX_STRINGS: u64 = 4 << 20;

/// Element layout of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Fixed(DType, Endian),
    /// UTF-32 code units, padded with zeros to that many.
    Unicode(usize, Endian),
    /// Bytes, padded with zeros to that many.
    Bytes(usize),
}

impl Element {
    fn size(self) -> Option<usize> {
        match self {
            Element::Fixed(dtype, _) => Some(dtype.size()),
            Element::Unicode(width, _) => width.checked_mul(4),
            Element::Bytes(width) => Some(width),
        }
    }
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// One array from the bytes of an npy file; `name` is used in errors. `strings_left` is how
/// many text elements the file may still have.
pub(super) fn parse(
    file: &Path,
    name: &str,
    bytes: &[u8],
    limits: &Limits,
    strings_left: &mut u64,
) -> Result<Array, FormatError> {
    let fail = |source| FormatError::Array {
        file: file.to_path_buf(),
        array: name.to_owned(),
        source,
    };
    let (text, data) = split_header(bytes, limits).map_err(fail)?;
    let header = HeaderText::new(text).parse().map_err(fail)?;
    if header.shape.len() > limits.dimensions {
        return Err(fail(invalid(
            format!("at most {} dimensions", limits.dimensions),
            header.shape.len(),
        )));
    }
    let element = element_of(&header.descr).map_err(fail)?;
    let count = element_count(&header.shape).map_err(fail)?;
    let too_large = || ArrayError::TooLarge {
        shape: header.shape.clone(),
    };
    let size = element.size().ok_or_else(|| fail(too_large()))?;
    let expected = size.checked_mul(count).ok_or_else(|| fail(too_large()))?;
    if data.len() != expected {
        return Err(fail(invalid(
            format!("{expected} bytes for '{}' {:?}", header.descr, header.shape),
            format!("{} bytes", data.len()),
        )));
    }
    let reordered;
    let data = if header.fortran_order && header.shape.len() > 1 {
        let strides = fortran_strides(&header.shape);
        reordered = gather_strided(data, size, 0, &header.shape, &strides).map_err(fail)?;
        reordered.as_slice()
    } else {
        data
    };
    match element {
        Element::Fixed(dtype, endian) => decode(file, name, dtype, &header.shape, data, endian),
        Element::Unicode(..) | Element::Bytes(_) => {
            if count > 0 && size == 0 {
                return Err(fail(invalid("text of width 1 or more".to_owned(), 0)));
            }
            check_limit(
                file,
                format!("text array '{name}': elements"),
                *strings_left,
                count as u64,
            )?;
            *strings_left -= count as u64;
            let mut strings = reserve(file, name, count)?;
            for item in data.chunks_exact(size.max(1)) {
                strings.push(text_of(item, element).map_err(fail)?);
            }
            Array::new(&header.shape, strings).map_err(fail)
        }
    }
}

fn invalid(expected: String, found: impl ToString) -> ArrayError {
    ArrayError::Invalid {
        expected,
        found: found.to_string(),
    }
}

fn fortran_strides(shape: &[usize]) -> Vec<usize> {
    let mut stride = 1_usize;
    shape
        .iter()
        .map(|dimension| {
            let current = stride;
            // Wraps only for an empty array, where strides do not matter.
            stride = stride.wrapping_mul(*dimension);
            current
        })
        .collect()
}

fn split_header<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(&'a [u8], &'a [u8]), ArrayError> {
    let truncated = || {
        invalid(
            "a whole npy header".to_owned(),
            format!("{} bytes", bytes.len()),
        )
    };
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(invalid("npy data".to_owned(), "other first bytes"));
    };
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
    let (length, rest) = match version {
        [1, 0] => {
            let (raw, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
            (u64::from(u16::from_le_bytes(*raw)), rest)
        }
        [2 | 3, 0] => {
            let (raw, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
            (u64::from(u32::from_le_bytes(*raw)), rest)
        }
        [major, minor] => {
            return Err(invalid(
                "npy version 1.0, 2.0 or 3.0".to_owned(),
                format!("{major}.{minor}"),
            ));
        }
    };
    if length > limits.header_bytes {
        return Err(invalid(
            format!("an npy header of at most {} bytes", limits.header_bytes),
            length,
        ));
    }
    rest.split_at_checked(length as usize)
        .ok_or_else(|| invalid(format!("an npy header of {length} bytes"), rest.len()))
}

/// A numpy type string such as `<f4`.
fn element_of(descr: &str) -> Result<Element, ArrayError> {
    let unknown = || {
        invalid(
            "a type string of numbers, bool or fixed-width text".to_owned(),
            format!("'{descr}'"),
        )
    };
    let mut characters = descr.chars();
    let order = characters.next().ok_or_else(unknown)?;
    let kind = characters.next().ok_or_else(unknown)?;
    let digits = characters.as_str();
    if kind == 'O' {
        return Err(invalid(
            "numbers, bool or fixed-width text".to_owned(),
            "pickled Python objects, which are never loaded",
        ));
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    let width: usize = digits.parse().map_err(|_| unknown())?;
    let endian = match order {
        '<' => Endian::Little,
        '>' => Endian::Big,
        '|' if width == 1 || kind == 'S' => Endian::Little,
        _ => return Err(unknown()),
    };
    let dtype = match (kind, width) {
        ('U', _) => return Ok(Element::Unicode(width, endian)),
        ('S', _) => return Ok(Element::Bytes(width)),
        ('f', 2) => DType::F16,
        ('f', 4) => DType::F32,
        ('f', 8) => DType::F64,
        ('i', 1) => DType::I8,
        ('i', 2) => DType::I16,
        ('i', 4) => DType::I32,
        ('i', 8) => DType::I64,
        ('u', 1) => DType::U8,
        ('u', 2) => DType::U16,
        ('u', 4) => DType::U32,
        ('u', 8) => DType::U64,
        ('b', 1) => DType::Bool,
        _ => return Err(unknown()),
    };
    Ok(Element::Fixed(dtype, endian))
}

/// One item of a text array, without its padding.
fn text_of(item: &[u8], element: Element) -> Result<String, ArrayError> {
    let bad = |found: String| invalid("valid text".to_owned(), found);
    let Element::Unicode(_, endian) = element else {
        let length = item
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let (used, _) = item.split_at_checked(length).unwrap_or((item, &[]));
        return String::from_utf8(used.to_vec()).map_err(|error| bad(error.to_string()));
    };
    let (units, _) = item.as_chunks::<4>();
    let mut text = String::new();
    for unit in units {
        let code = match endian {
            Endian::Little => u32::from_le_bytes(*unit),
            Endian::Big => u32::from_be_bytes(*unit),
        };
        text.push(char::from_u32(code).ok_or_else(|| bad(format!("code point {code:#x}")))?);
    }
    text.truncate(text.trim_end_matches('\0').len());
    Ok(text)
}

/// A reader of the one kind of Python literal that npy headers are.
struct HeaderText<'a> {
    rest: &'a [u8],
}

impl<'a> HeaderText<'a> {
    fn new(text: &'a [u8]) -> HeaderText<'a> {
        HeaderText { rest: text }
    }

    fn parse(mut self) -> Result<Header, ArrayError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.accept(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            let repeated = match key.as_str() {
                "descr" => descr.replace(self.string()?).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => true,
            };
            if repeated {
                return Err(self.unexpected("each of the keys descr, fortran_order, shape once"));
            }
            if !self.accept(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        self.skip_space();
        if !self.rest.is_empty() {
            return Err(self.unexpected("the end of the npy header"));
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header {
                descr,
                fortran_order,
                shape,
            }),
            _ => Err(self.unexpected("the keys descr, fortran_order and shape in the npy header")),
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), ArrayError> {
        if self.accept(byte) {
            return Ok(());
        }
        Err(self.unexpected(&format!("'{}' in the npy header", char::from(byte))))
    }

    fn unexpected(&self, expected: &str) -> ArrayError {
        let head: Vec<u8> = self.rest.iter().take(40).copied().collect();
        invalid(
            expected.to_owned(),
            format!("'{}'", String::from_utf8_lossy(&head)),
        )
    }

    /// Takes bytes as long as they pass.
    fn take_while(&mut self, pass: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self
            .rest
            .iter()
            .position(|byte| !pass(*byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn string(&mut self) -> Result<String, ArrayError> {
        const EXPECTED: &str = "a plain quoted string in the npy header (no structured types)";
        let quote = if self.accept(b'\'') {
            b'\''
        } else if self.accept(b'"') {
            b'"'
        } else {
            return Err(self.unexpected(EXPECTED));
        };
        let text = self.take_while(|byte| byte != quote && byte != b'\\');
        let text = String::from_utf8_lossy(text).into_owned();
        if !self.accept(quote) {
            return Err(self.unexpected(EXPECTED));
        }
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, ArrayError> {
        self.skip_space();
        match self.take_while(|byte| byte.is_ascii_alphabetic()) {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err(self.unexpected("True or False in the npy header")),
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, ArrayError> {
        let mut items = Vec::new();
        self.expect(b'(')?;
        while !self.accept(b')') {
            self.skip_space();
            let digits = self.take_while(|byte| byte.is_ascii_digit());
            // Python 2 wrote long integers with an L.
            self.accept(b'L');
            let number = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| {
                    self.unexpected("a dimension of at most 64 bits in the npy header")
                })?;
            items.push(number);
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(items)
    }
}

/// The bytes of an npy file, little endian, C order.
pub(super) fn to_bytes(file: &Path, name: &str, array: &Array) -> Result<Vec<u8>, FormatError> {
    let (descr, data) = match array.data() {
        ArrayData::String(values) => unicode_bytes(values),
        data => (descr_of(data.dtype()).to_owned(), encode_le(data)),
    };
    let type_string = descr.parse().map_err(|_| FormatError::Array {
        file: file.to_path_buf(),
        array: name.to_owned(),
        source: ArrayError::Kind {
            expected: "an element type that numpy has",
            found: array.dtype(),
        },
    })?;
    let shape: Vec<u64> = array.shape().iter().map(|d| *d as u64).collect();
    let mut bytes = Vec::with_capacity(data.len() + 128);
    npyz::WriteOptions::new_header_only()
        .dtype(npyz::DType::new_scalar(type_string))
        .shape(&shape)
        .writer(&mut bytes)
        .write_header_only()
        .map_err(|source| FormatError::Io {
            file: file.to_path_buf(),
            action: "write an npy header",
            source,
        })?;
    bytes.extend_from_slice(&data);
    Ok(bytes)
}

/// numpy's type string; bf16 has none.
fn descr_of(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::F16 => "<f2",
        DType::I8 => "|i1",
        DType::U8 => "|u1",
        DType::I16 => "<i2",
        DType::U16 => "<u2",
        DType::I32 => "<i4",
        DType::U32 => "<u4",
        DType::I64 => "<i8",
        DType::U64 => "<u8",
        DType::Bool => "|b1",
        DType::BF16 | DType::String => "",
    }
}

fn unicode_bytes(values: &[String]) -> (String, Vec<u8>) {
    // numpy gives an array of empty strings width 1 as well.
    let lengths = values.iter().map(|text| text.chars().count());
    let width = lengths.max().unwrap_or(0).max(1);
    let mut data = Vec::with_capacity(values.len() * width * 4);
    for (item, text) in values.iter().enumerate() {
        for character in text.chars() {
            data.extend_from_slice(&u32::from(character).to_le_bytes());
        }
        data.resize((item + 1) * width * 4, 0);
    }
    (format!("<U{width}"), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_parse() {
        let parse = |text: &str| HeaderText::new(text.as_bytes()).parse();
        assert_eq!(
            parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n"),
            Ok(Header {
                descr: "<f4".to_owned(),
                fortran_order: false,
                shape: vec![3, 4]
            })
        );
        assert_eq!(
            parse("{\"shape\":(7L,),\"fortran_order\":True,\"descr\":\"|S3\"}").map(|h| h.shape),
            Ok(vec![7])
        );
        for broken in [
            "",
            "{",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': Perhaps, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': ()} more",
        ] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn type_strings() {
        assert_eq!(
            element_of(">i8"),
            Ok(Element::Fixed(DType::I64, Endian::Big))
        );
        assert_eq!(element_of("|S12"), Ok(Element::Bytes(12)));
        for bad in [
            "", "<", "<f", "<f3", "|f4", "=f4", "<c8", "<m8[ns]", "|O", "<f+4", "<é4",
        ] {
            assert!(element_of(bad).is_err(), "{bad}");
        }
    }
}
