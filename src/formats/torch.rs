//! PyTorch checkpoints: the zip archives that `torch.save` writes since PyTorch 1.6.
//!
//! The archive `NAME` holds a pickle, `NAME/data.pkl`, and the storages that the tensors in
//! it are views of, `NAME/data/KEY`. The pickle is read by [`super::pickle`], which executes
//! nothing; only the tensors asked for are read from their storages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::array::element_count;
use super::convert::{Endian, decode, gather_strided};
use super::io::{check_limit, read_file};
use super::pickle::{self, PickleValue, StorageKind, TensorRef};
use super::{Array, ArrayError, ArrayMap, FormatError, Limits};

/// Keys under which training code keeps weights, averaged ones first.
pub const STATE_DICT_KEYS: [&str; 4] =
    ["ema_state_dict", "model_state_dict", "state_dict", "model"];

/// Prefixes that wrappers of PyTorch put before all names of a state dictionary.
pub const WRAPPER_PREFIXES: [&str; 2] = ["_orig_mod.", "module."];

/// Which tensors of a checkpoint to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDict {
    /// The key of the dictionary; without one the first of [`STATE_DICT_KEYS`] that holds a
    /// dictionary with entries, else the checkpoint itself.
    pub key: Option<String>,
    /// Remove [`WRAPPER_PREFIXES`] where all names have them.
    pub strip_prefixes: bool,
}

/// An open checkpoint: its values, without the elements of its tensors.
pub struct Checkpoint<'a> {
    file: PathBuf,
    bytes: Cow<'a, [u8]>,
    limits: Limits,
    prefix: String,
    root: PickleValue,
}

impl std::fmt::Debug for Checkpoint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("file", &self.file)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The dictionary being flattened.
struct Flattening<'a> {
    tensors: Vec<(String, &'a TensorRef)>,
    visited: usize,
}

impl Checkpoint<'static> {
    /// Opens a checkpoint.
    ///
    /// # Errors
    /// As [`Checkpoint::parse`], and [`FormatError::Io`].
    pub fn load(path: impl AsRef<Path>) -> Result<Checkpoint<'static>, FormatError> {
        let limits = Limits::default();
        let path = path.as_ref();
        let bytes = read_file(path, &limits)?;
        Checkpoint::open(path, Cow::Owned(bytes), &limits)
    }
}

impl<'a> Checkpoint<'a> {
    /// Opens a checkpoint over bytes in memory; `file` names it in errors.
    ///
    /// # Errors
    /// [`FormatError`]: none of the known kinds, a broken archive or pickle, over `limits`,
    /// or [`FormatError::RefusedCall`] for a pickle that calls something.
    pub fn parse(
        file: &Path,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Checkpoint<'a>, FormatError> {
        Checkpoint::open(file, Cow::Borrowed(bytes), limits)
    }

    fn open(
        file: &Path,
        bytes: Cow<'a, [u8]>,
        limits: &Limits,
    ) -> Result<Checkpoint<'a>, FormatError> {
        if !bytes.starts_with(super::ZIP_MAGIC) {
            // Says what it is instead, unless it is safetensors.
            super::sniff(file, &bytes)?;
            return Err(FormatError::Corrupt {
                file: file.to_path_buf(),
                place: "first bytes".to_owned(),
                expected: "a PyTorch zip checkpoint".to_owned(),
                found: "another kind of file".to_owned(),
            });
        }
        let mut archive = Archive::open(file, &bytes, limits)?;
        let prefix = archive_prefix(file, archive.names())?;
        check_byte_order(file, &prefix, &mut archive)?;
        let member = format!("{prefix}data.pkl");
        let program = archive.read(&member, limits.pickle_bytes)?;
        let root = pickle::parse(file, &member, &program, limits)?;
        Ok(Checkpoint {
            file: file.to_path_buf(),
            bytes,
            limits: *limits,
            prefix,
            root,
        })
    }

    /// Everything in the checkpoint.
    pub fn root(&self) -> &PickleValue {
        &self.root
    }

    /// The tensors of a state dictionary. Nested dictionaries are flattened, with a dot
    /// between the keys; size and device of `tensordict` containers are left out.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] naming the keys there are when none is a state dictionary,
    /// [`FormatError::Array`] for an entry that is no tensor or whose storage is missing,
    /// short, or of another type than can be read, [`FormatError::Limit`].
    pub fn state_dict(&self, choice: &StateDict) -> Result<ArrayMap, FormatError> {
        let dict = self.choose(choice.key.as_deref())?;
        let mut flat = Flattening {
            tensors: Vec::new(),
            visited: 0,
        };
        self.flatten("", dict, 0, &mut flat)?;
        let mut map = self.read_tensors(&flat.tensors)?;
        if choice.strip_prefixes {
            map.strip_common_prefixes(&WRAPPER_PREFIXES);
        }
        Ok(map)
    }

    /// One tensor of the checkpoint, found in [`Checkpoint::root`]; `name` is for errors.
    ///
    /// # Errors
    /// As [`Checkpoint::state_dict`].
    pub fn tensor(&self, name: &str, tensor: &TensorRef) -> Result<Array, FormatError> {
        let map = self.read_tensors(&[(name.to_owned(), tensor)])?;
        map.get(name).cloned()
    }

    fn choose(&self, key: Option<&str>) -> Result<&PickleValue, FormatError> {
        let filled = |value: &&PickleValue| matches!(value, PickleValue::Dict(entries) if !entries.is_empty());
        let none = |expected: String| FormatError::Corrupt {
            file: self.file.clone(),
            place: "checkpoint".to_owned(),
            expected,
            found: self.root.describe(),
        };
        if let Some(key) = key {
            return self
                .root
                .get(key)
                .filter(|value| matches!(value, PickleValue::Dict(_)))
                .ok_or_else(|| none(format!("a dictionary of tensors under '{key}'")));
        }
        STATE_DICT_KEYS
            .iter()
            .filter_map(|key| self.root.get(key))
            .find(filled)
            .or_else(|| Some(&self.root).filter(|root| holds_tensors(root)))
            .ok_or_else(|| {
                none(format!(
                    "a dictionary of tensors, or one under {}",
                    STATE_DICT_KEYS.join(", ")
                ))
            })
    }

    fn flatten<'v>(
        &self,
        prefix: &str,
        value: &'v PickleValue,
        depth: usize,
        flat: &mut Flattening<'v>,
    ) -> Result<(), FormatError> {
        flat.visited += 1;
        check_limit(
            &self.file,
            "entries of the state dictionary",
            self.limits.entries as u64,
            flat.visited as u64,
        )?;
        let fail = |found: String| FormatError::Array {
            file: self.file.clone(),
            array: prefix.to_owned(),
            source: ArrayError::Invalid {
                expected: "a tensor".to_owned(),
                found,
            },
        };
        match value {
            PickleValue::Tensor(tensor) => flat.tensors.push((prefix.to_owned(), tensor)),
            PickleValue::Dict(entries) if depth < MAX_NESTED_DICTS => {
                for (key, value) in entries.iter() {
                    let Some(key) = key.as_str().filter(|key| key.len() <= MAX_KEY) else {
                        return Err(fail(format!(
                            "a dictionary with a key that is {}, not a short text",
                            key.describe()
                        )));
                    };
                    if is_bookkeeping(key, value) {
                        continue;
                    }
                    let name = if depth == 0 {
                        key.to_owned()
                    } else {
                        format!("{prefix}.{key}")
                    };
                    self.flatten(&name, value, depth + 1, flat)?;
                }
            }
            other => return Err(fail(other.describe())),
        }
        Ok(())
    }

    /// Reads each storage once, and lets go of it after the last tensor that views it.
    fn read_tensors(&self, tensors: &[(String, &TensorRef)]) -> Result<ArrayMap, FormatError> {
        let mut archive = Archive::open(&self.file, &self.bytes, &self.limits)?;
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for (_, tensor) in tensors {
            *uses.entry(&tensor.storage.key).or_default() += 1;
        }
        let mut open: HashMap<&str, Vec<u8>> = HashMap::new();
        let mut map = ArrayMap::new(&self.file);
        let mut expanded = 0_u64;
        for (name, tensor) in tensors {
            let key: &str = &tensor.storage.key;
            let member = format!("{}data/{key}", self.prefix);
            if !open.contains_key(key) {
                if !archive.contains(&member) {
                    return Err(self.bad_tensor(
                        name,
                        "its storage in the file",
                        &format!("no member '{member}'"),
                    ));
                }
                open.insert(key, archive.read(&member, self.limits.entry_bytes)?);
            }
            let storage = open.get(key).map(Vec::as_slice).unwrap_or_default();
            let array = self.materialise(name, tensor, storage, &mut expanded)?;
            map.insert(name.clone(), array)?;
            if let Some(left) = uses.get_mut(key) {
                *left -= 1;
                if *left == 0 {
                    open.remove(key);
                }
            }
        }
        Ok(map)
    }

    /// The elements of a view in C order. `expanded` counts the bytes made so far: views that
    /// overlap (strides of 0) can make more of a file than it holds.
    fn materialise(
        &self,
        name: &str,
        tensor: &TensorRef,
        storage: &[u8],
        expanded: &mut u64,
    ) -> Result<Array, FormatError> {
        let Some(dtype) = tensor.dtype else {
            let class: &str = match &tensor.storage.kind {
                StorageKind::Other(class) => class,
                _ => "a type without a name",
            };
            return Err(self.bad_tensor(name, "elements of a type that is read here", class));
        };
        if tensor.storage.byte_len() != Some(storage.len()) {
            return Err(self.bad_tensor(
                name,
                &format!(
                    "a storage of {} elements ({:?}) in data/{}",
                    tensor.storage.count, tensor.storage.kind, tensor.storage.key
                ),
                &format!("{} bytes", storage.len()),
            ));
        }
        let fail = |source| FormatError::Array {
            file: self.file.clone(),
            array: name.to_owned(),
            source,
        };
        let size = dtype.size();
        let count = element_count(&tensor.shape).map_err(fail)?;
        *expanded = expanded.saturating_add(count as u64 * size as u64);
        check_limit(
            &self.file,
            format!("tensor '{name}': bytes of all tensors so far"),
            self.limits.content_bytes(self.bytes.len()),
            *expanded,
        )?;
        let elements = gather_strided(storage, size, tensor.offset, &tensor.shape, &tensor.stride)
            .map_err(fail)?;
        decode(
            &self.file,
            name,
            dtype,
            &tensor.shape,
            &elements,
            Endian::Little,
        )
    }

    fn bad_tensor(&self, name: &str, expected: &str, found: &str) -> FormatError {
        FormatError::Array {
            file: self.file.clone(),
            array: name.to_owned(),
            source: ArrayError::Invalid {
                expected: expected.to_owned(),
                found: found.to_owned(),
            },
        }
    }
}

/// Last parts of the keys under which `tensordict` keeps size and device of a container of parameters.
const BOOKKEEPING: [&str; 2] = ["__batch_size", "__device"];

/// Whether an entry tells of a container of tensors and is none itself.
fn is_bookkeeping(key: &str, value: &PickleValue) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    BOOKKEEPING.contains(&last) && !matches!(value, PickleValue::Tensor(_) | PickleValue::Dict(_))
}

/// Nesting of dictionaries that is flattened; each level makes names longer.
const MAX_NESTED_DICTS: usize = 4;
/// Longest key of a dictionary that is flattened, bytes.
const MAX_KEY: usize = 256;

/// True for a dictionary of which at least one entry is a tensor.
fn holds_tensors(value: &PickleValue) -> bool {
    match value {
        PickleValue::Dict(entries) => entries
            .iter()
            .any(|(_, value)| matches!(value, PickleValue::Tensor(_))),
        _ => false,
    }
}

/// What all members start with: the folder of `data.pkl`, with its slash.
fn archive_prefix(file: &Path, names: &[String]) -> Result<String, FormatError> {
    let mut prefixes = names
        .iter()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'));
    match (prefixes.next(), prefixes.next()) {
        (Some(prefix), None) => Ok(prefix.to_owned()),
        (first, _) => Err(FormatError::Corrupt {
            file: file.to_path_buf(),
            place: "zip directory".to_owned(),
            expected: "one member data.pkl".to_owned(),
            found: if first.is_some() { "several" } else { "none" }.to_owned(),
        }),
    }
}

fn check_byte_order(
    file: &Path,
    prefix: &str,
    archive: &mut Archive<'_>,
) -> Result<(), FormatError> {
    let member = format!("{prefix}byteorder");
    // Written since PyTorch 2.1; before that by little-endian machines for all that matters.
    if !archive.contains(&member) {
        return Ok(());
    }
    match archive.read(&member, 64)?.as_slice() {
        b"little" => Ok(()),
        other => Err(FormatError::Unsupported {
            file: file.to_path_buf(),
            what: format!("byte order '{}'", String::from_utf8_lossy(other)),
        }),
    }
}
