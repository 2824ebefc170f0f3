//! A reader of Python pickles that executes nothing.
//!
//! A pickle is a program: it names callables and has them called. This reader keeps values
//! only. Callables that build tensors and plain containers are recognised by name and their
//! arguments matched; some that make other plain data (numpy arrays and random states, for
//! example) become an inert [`Opaque`]; a call to anything else is refused, with its name.
//!
//! Opcodes follow Python's `pickletools`; what is matched is what `torch.save` writes
//! (`torch/_utils.py`, `torch/serialization.py` of PyTorch 1.6 to 2.x).

mod calls;
mod globals;
mod machine;
mod memory;

use std::path::Path;
use std::sync::Arc;

use super::{DType, FormatError, Limits};

/// A value of a pickle. Containers are shared, so a clone is cheap.
#[derive(Clone)]
pub enum PickleValue {
    /// Python's `None`.
    None,
    /// A bool.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// A larger integer: two's complement, little endian.
    BigInt(Arc<[u8]>),
    /// A float.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A list or a deque.
    List(Arc<[PickleValue]>),
    /// A tuple or a `torch.Size`.
    Tuple(Arc<[PickleValue]>),
    /// A set or frozenset.
    Set(Arc<[PickleValue]>),
    /// A dict, OrderedDict, defaultdict or Counter, in order. Of equal keys the last counts.
    Dict(Arc<[(PickleValue, PickleValue)]>),
    /// The name of a class, function or constant that was not called.
    Global(Arc<str>),
    /// A tensor; its elements are in the checkpoint's storages.
    Tensor(Arc<TensorRef>),
    /// A storage that no tensor wraps.
    Storage(Arc<StorageRef>),
    /// Some other object, kept as parts.
    Opaque(Arc<Opaque>),
}

/// A block of elements in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRef {
    /// Name of the archive member, below `data/`.
    pub key: Arc<str>,
    /// What the elements are.
    pub kind: StorageKind,
    /// Number of elements; of bytes for [`StorageKind::Untyped`].
    pub count: usize,
}

/// What the elements of a storage are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// Elements of a type that this program reads.
    Typed(DType),
    /// Bytes, whose type is given by the tensor.
    Untyped,
    /// A class that this program does not read.
    Other(Arc<str>),
}

/// A view of a storage: element `i` is at `offset + sum(i[d] * stride[d])`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    /// Where the elements are.
    pub storage: StorageRef,
    /// The element type; `None` where the storage or the tensor names one that is not read.
    pub dtype: Option<DType>,
    /// First element, in elements.
    pub offset: usize,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Steps, in elements.
    pub stride: Vec<usize>,
}

/// An object that is neither tensor nor plain container, kept as it was written. Nothing was
/// called to make it.
#[derive(Clone, Debug)]
pub struct Opaque {
    /// Module and name of what would have made it.
    pub name: Arc<str>,
    /// The arguments it would have been called with.
    pub arguments: Vec<PickleValue>,
    /// The state it would have been given.
    pub state: Option<PickleValue>,
}

/// The value of a pickle. `place` names the archive member in errors, `file` the file.
///
/// # Errors
/// [`FormatError::RefusedCall`] for a call to anything but data constructors,
/// [`FormatError::Limit`], and [`FormatError::Corrupt`] naming the byte.
pub fn parse(
    file: &Path,
    place: &str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<PickleValue, FormatError> {
    machine::Machine::new(file, place, bytes, limits).run()
}

// A description and not all parts: shared containers can print as exponentially many.
impl std::fmt::Debug for PickleValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl PickleValue {
    /// The value of a dict under a text key; the last one, as Python would have it.
    pub fn get(&self, key: &str) -> Option<&PickleValue> {
        let PickleValue::Dict(entries) = self else {
            return None;
        };
        entries
            .iter()
            .rev()
            .find(|(name, _)| name.as_str() == Some(key))
            .map(|(_, value)| value)
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            PickleValue::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one that fits.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            PickleValue::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if it is a float or an integer.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            PickleValue::Float(number) => Some(*number),
            PickleValue::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The items of a list, tuple or set.
    pub fn items(&self) -> Option<&[PickleValue]> {
        match self {
            PickleValue::List(items) | PickleValue::Tuple(items) | PickleValue::Set(items) => {
                Some(items)
            }
            _ => None,
        }
    }

    /// What it is, in a few words for an error.
    pub fn describe(&self) -> String {
        match self {
            PickleValue::None => "None".to_owned(),
            PickleValue::Bool(_) => "a bool".to_owned(),
            PickleValue::Int(_) | PickleValue::BigInt(_) => "an int".to_owned(),
            PickleValue::Float(_) => "a float".to_owned(),
            PickleValue::Str(_) => "a str".to_owned(),
            PickleValue::Bytes(_) => "bytes".to_owned(),
            PickleValue::List(items) => format!("a list of {}", items.len()),
            PickleValue::Tuple(items) => format!("a tuple of {}", items.len()),
            PickleValue::Set(items) => format!("a set of {}", items.len()),
            PickleValue::Dict(entries) => describe_dict(entries),
            PickleValue::Global(name) => format!("the name {name}"),
            PickleValue::Tensor(_) => "a tensor".to_owned(),
            PickleValue::Storage(_) => "a storage".to_owned(),
            PickleValue::Opaque(object) => format!("an object of {}", object.name),
        }
    }
}

fn describe_dict(entries: &[(PickleValue, PickleValue)]) -> String {
    const SHOWN: usize = 8;
    let keys: Vec<String> = entries
        .iter()
        .take(SHOWN)
        .map(|(key, _)| match key {
            PickleValue::Str(text) => format!("'{}'", text.chars().take(60).collect::<String>()),
            PickleValue::Int(number) => number.to_string(),
            _ => "...".to_owned(),
        })
        .collect();
    let more = if entries.len() > SHOWN { ", ..." } else { "" };
    format!("a dict of {} ({}{more})", entries.len(), keys.join(", "))
}
