//! Feature caches in and out of safetensors files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    CacheExpectation, CacheMeta, Conditions, FeatureCache, FeatureCacheError, INPUT_ID_BYTES,
    SCHEMA,
};
use crate::formats::{Array, ArrayData, ArrayError, ArrayMap, Limits, read_file, safetensors};

const META: &str = "meta";
const CONDITIONS: &str = "cond";
const TARGETS: &str = "target_actions";
const FRAMES: &str = "frame_idx";
const TIMES: &str = "time_stamp";
const NAMES: &str = "input_id";

/// The header entry `meta`.
#[derive(Serialize, Deserialize)]
struct Header {
    schema: u64,
    #[serde(flatten)]
    meta: CacheMeta,
}

impl FeatureCache {
    /// Reads a cache, which must be of this schema and of what the caller expects.
    ///
    /// # Errors
    /// [`FeatureCacheError`]: not readable, of another schema, of another encoder, of other tokens or
    /// channels, or with arrays whose types or shapes disagree. Values that are not finite are no error:
    /// see [`FeatureCache::rows_finite`].
    pub fn load(
        path: impl AsRef<Path>,
        expectation: &CacheExpectation,
    ) -> Result<Self, FeatureCacheError> {
        let path = path.as_ref();
        let limits = Limits::default();
        Self::parse(path, &read_file(path, &limits)?, &limits, expectation)
    }

    /// [`FeatureCache::load`] over bytes already in memory; `file` names them in errors.
    ///
    /// # Errors
    /// As [`FeatureCache::load`], reading aside.
    pub fn parse(
        file: &Path,
        bytes: &[u8],
        limits: &Limits,
        expectation: &CacheExpectation,
    ) -> Result<Self, FeatureCacheError> {
        let mut map = safetensors::parse(file, bytes, limits)?;
        let meta = read_meta(&map)?;
        expectation.check(file, &meta)?;
        let tokens = meta.condition_tokens.len();
        let channels = meta.action_keys.len();

        let conditions = map.get(CONDITIONS)?;
        let &[rows, _, condition_dim] = conditions.shape() else {
            return Err(rank_error(&map, CONDITIONS, "[N, S, Dc]", conditions));
        };
        let targets = map.get(TARGETS)?;
        let &[_, horizon, _] = targets.shape() else {
            return Err(rank_error(&map, TARGETS, "[N, H, R]", targets));
        };
        let names = map.get(NAMES)?;
        let &[_, width] = names.shape() else {
            return Err(rank_error(&map, NAMES, "[N, width]", names));
        };
        check_sizes(file, &meta, condition_dim, horizon)?;
        let history = [rows, meta.history_steps];
        Ok(Self {
            conditions: match take(&mut map, CONDITIONS, &[rows, tokens, condition_dim])? {
                ArrayData::F16(values) => Conditions::Half(values),
                ArrayData::F32(values) => Conditions::Single(values),
                other => return Err(kind_error(&map, CONDITIONS, "F16 or F32", &other)),
            },
            target_actions: match take(&mut map, TARGETS, &[rows, horizon, channels])? {
                ArrayData::F32(values) => values,
                other => return Err(kind_error(&map, TARGETS, "F32", &other)),
            },
            frame_idx: match take(&mut map, FRAMES, &history)? {
                ArrayData::I32(values) => values,
                other => return Err(kind_error(&map, FRAMES, "I32", &other)),
            },
            time_stamp: match take(&mut map, TIMES, &history)? {
                ArrayData::I64(values) => values,
                other => return Err(kind_error(&map, TIMES, "I64", &other)),
            },
            input_id: match take(&mut map, NAMES, &[rows, width])? {
                ArrayData::U8(bytes) => {
                    unpack(&bytes, rows, width).map_err(|e| map.array_error(NAMES, e))?
                }
                other => return Err(kind_error(&map, NAMES, "U8", &other)),
            },
            meta,
            condition_dim,
            horizon,
        })
    }

    /// Writes the cache, atomically, over whatever is there.
    ///
    /// # Errors
    /// As [`FeatureCache::to_arrays`], and where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FeatureCacheError> {
        let path = path.as_ref();
        safetensors::save(path, &self.to_arrays(path)?)?;
        Ok(())
    }

    /// The arrays and the header of the file; `file` names it in errors.
    ///
    /// # Errors
    /// [`FormatError::Array`](crate::formats::FormatError::Array) where the length of an array is not
    /// what the rest of the cache says, and for a name of a recording that holds a zero byte or is longer
    /// than [`INPUT_ID_BYTES`].
    pub fn to_arrays(&self, file: &Path) -> Result<ArrayMap, FeatureCacheError> {
        let mut map = ArrayMap::new(file);
        let rows = self.rows();
        let meta = &self.meta;
        check_sizes(file, meta, self.condition_dim, self.horizon)?;
        let conditions = match &self.conditions {
            Conditions::Half(values) => ArrayData::F16(values.clone()),
            Conditions::Single(values) => ArrayData::F32(values.clone()),
        };
        let (width, names) = pack(&self.input_id).map_err(|e| map.array_error(NAMES, e))?;
        let condition = [rows, meta.condition_tokens.len(), self.condition_dim];
        let target = [rows, self.horizon, meta.action_keys.len()];
        let history = [rows, meta.history_steps];
        for (name, shape, data) in [
            (CONDITIONS, &condition[..], conditions),
            (TARGETS, &target, self.target_actions.clone().into()),
            (FRAMES, &history, self.frame_idx.clone().into()),
            (TIMES, &history, self.time_stamp.clone().into()),
            (NAMES, &[rows, width], names.into()),
        ] {
            let array = Array::new(shape, data).map_err(|e| map.array_error(name, e))?;
            map.insert(name, array)?;
        }
        let header = Header {
            schema: SCHEMA,
            meta: meta.clone(),
        };
        let text = serde_json::to_string(&header).map_err(|error| FeatureCacheError::Meta {
            file: file.to_path_buf(),
            expected: "what JSON can hold".to_owned(),
            found: error.to_string(),
        })?;
        map.metadata_mut().insert(META.to_owned(), text);
        Ok(map)
    }
}

impl CacheExpectation<'_> {
    fn check(&self, file: &Path, meta: &CacheMeta) -> Result<(), FeatureCacheError> {
        if let Some(expected) = self.model_artifact.filter(|e| *e != meta.model_artifact) {
            return Err(FeatureCacheError::Encoder {
                file: file.to_path_buf(),
                expected: expected.to_owned(),
                found: meta.model_artifact.clone(),
            });
        }
        for (what, expected, found) in [
            (
                "condition_tokens",
                self.condition_tokens,
                &meta.condition_tokens,
            ),
            ("action_keys", self.action_keys, &meta.action_keys),
        ] {
            let Some(expected) = expected.filter(|expected| found != expected) else {
                continue;
            };
            return Err(FeatureCacheError::Names {
                file: file.to_path_buf(),
                what,
                expected: expected.iter().map(|name| (*name).to_owned()).collect(),
                found: found.clone(),
            });
        }
        Ok(())
    }
}

fn read_meta(map: &ArrayMap) -> Result<CacheMeta, FeatureCacheError> {
    let file = || map.file().to_path_buf();
    // The first schema had all but the times, so a file with neither is no cache at all.
    if !map.contains(TIMES) {
        map.get(CONDITIONS)?;
        return Err(FeatureCacheError::Schema {
            file: file(),
            found: 1,
        });
    }
    let broken = |found: String| {
        FeatureCacheError::Meta {
        file: file(),
        expected: "a JSON object with schema, model_artifact, condition_tokens, history_steps and action_keys".to_owned(),
        found,
    }
    };
    let text = map.metadata().get(META);
    let text = text.ok_or_else(|| broken("no such entry".to_owned()))?;
    // The schema first: another one may well have other fields.
    #[derive(Deserialize)]
    struct Version {
        schema: u64,
    }
    let version: Version = serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
    if version.schema != SCHEMA {
        return Err(FeatureCacheError::Schema {
            file: file(),
            found: version.schema,
        });
    }
    let header: Header = serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
    Ok(header.meta)
}

/// Nothing in a cache may be of length zero but the number of rows: rows would have no bytes then, and no
/// bound.
fn check_sizes(
    file: &Path,
    meta: &CacheMeta,
    condition_dim: usize,
    horizon: usize,
) -> Result<(), FeatureCacheError> {
    let sizes = [
        ("condition_tokens", meta.condition_tokens.len()),
        ("history_steps", meta.history_steps),
        ("action_keys", meta.action_keys.len()),
        ("width of a condition token", condition_dim),
        ("horizon", horizon),
    ];
    match sizes.iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((what, _)) => Err(FeatureCacheError::Meta {
            file: file.to_path_buf(),
            expected: format!("{what} of at least 1"),
            found: "0".to_owned(),
        }),
    }
}

/// The elements of an array of that shape, moved out of the map: caches are large.
fn take(map: &mut ArrayMap, name: &str, shape: &[usize]) -> Result<ArrayData, FeatureCacheError> {
    let array = map.take(name)?;
    let fits = array.check_shape(shape);
    fits.map_err(|source| map.array_error(name, source))?;
    Ok(array.into_parts().1)
}

fn rank_error(map: &ArrayMap, name: &str, expected: &str, found: &Array) -> FeatureCacheError {
    let source = ArrayError::Invalid {
        expected: format!("shape {expected}"),
        found: format!("{:?}", found.shape()),
    };
    map.array_error(name, source).into()
}

fn kind_error(
    map: &ArrayMap,
    name: &str,
    expected: &'static str,
    found: &ArrayData,
) -> FeatureCacheError {
    let found = found.dtype();
    map.array_error(name, ArrayError::Kind { expected, found })
        .into()
}

/// Names as rows of bytes: the width of a row, at least 1, and the rows.
fn pack(names: &[String]) -> Result<(usize, Vec<u8>), ArrayError> {
    let width = names.iter().map(String::len).max().unwrap_or(0).max(1);
    for (row, name) in names.iter().enumerate() {
        let found = if name.contains('\0') {
            "a zero byte".to_owned()
        } else if name.len() > INPUT_ID_BYTES {
            format!("{} bytes", name.len())
        } else {
            continue;
        };
        return Err(ArrayError::Invalid {
            expected: format!("names of at most {INPUT_ID_BYTES} bytes without a zero byte"),
            found: format!("{found} in row {row}"),
        });
    }
    let mut bytes = Vec::with_capacity(names.len().saturating_mul(width));
    for name in names {
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len() + width - name.len(), 0);
    }
    Ok((width, bytes))
}

/// Rows of bytes as names; the inverse of [`pack`].
fn unpack(bytes: &[u8], rows: usize, width: usize) -> Result<Vec<String>, ArrayError> {
    if width == 0 || width > INPUT_ID_BYTES {
        return Err(ArrayError::Invalid {
            expected: format!("a width of 1 to {INPUT_ID_BYTES} bytes"),
            found: width.to_string(),
        });
    }
    let names = bytes.chunks_exact(width).take(rows).enumerate();
    names
        .map(|(row, bytes)| {
            let used = bytes.iter().position(|byte| *byte == 0).unwrap_or(width);
            let (name, rest) = bytes.split_at(used);
            let filled = rest.iter().all(|byte| *byte == 0);
            let text = std::str::from_utf8(name).ok().filter(|_| filled);
            text.map(str::to_owned).ok_or_else(|| ArrayError::Invalid {
                expected: "UTF-8 filled up with zero bytes".to_owned(),
                found: format!("other bytes in row {row}"),
            })
        })
        .collect()
}
