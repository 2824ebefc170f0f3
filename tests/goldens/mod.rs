//! Reads the reference values in `tests/data/remdm`.

// Each test target uses its own part of this module.
#![allow(dead_code)]

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/remdm")
        .join(name)
}

/// The parsed `index.json`.
pub fn index() -> Value {
    let text = std::fs::read_to_string(path("index.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A JSON array of integers.
pub fn integers(value: &Value) -> Vec<i64> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| entry.as_i64().unwrap()).collect()
}

/// A JSON array of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| entry.as_f64().unwrap()).collect()
}

/// A file of tensors.
pub struct Goldens {
    bytes: Vec<u8>,
}

impl Goldens {
    pub fn open(name: &str) -> Self {
        let bytes = std::fs::read(path(name)).unwrap();
        Self { bytes }
    }

    pub fn names(&self) -> Vec<String> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        tensors.names().into_iter().map(String::from).collect()
    }

    fn read<const N: usize, T>(&self, name: &str, dtype: Dtype, of: fn([u8; N]) -> T) -> Vec<T> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        let chunks = tensor.data().chunks_exact(N);
        chunks.map(|chunk| of(chunk.try_into().unwrap())).collect()
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.read(name, Dtype::F32, f32::from_le_bytes)
    }

    pub fn f64(&self, name: &str) -> Vec<f64> {
        self.read(name, Dtype::F64, f64::from_le_bytes)
    }

    pub fn i32(&self, name: &str) -> Vec<i32> {
        self.read(name, Dtype::I32, i32::from_le_bytes)
    }

    pub fn i16(&self, name: &str) -> Vec<i16> {
        self.read(name, Dtype::I16, i16::from_le_bytes)
    }

    pub fn u8(&self, name: &str) -> Vec<u8> {
        self.read(name, Dtype::U8, u8::from_le_bytes)
    }
}
