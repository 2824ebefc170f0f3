//! One model: its configuration and weights, its tensors, and which of them have been compared.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use super::super::super::checks::{CaseError, Checks};
use super::super::super::folder::{Folder, Node, integers, numbers};
use crate::device::{Device, Precision};
use crate::formats::{ArrayData, ArrayMap, DType};
use crate::models::recursive::{PuzzleRows, RecursiveConfig, RecursiveSettings};
use crate::samplers::recursive::Reasoner;

/// Tensors that are given, and not what comes of them.
const GIVEN: [&str; 4] = ["inputs", "labels", "puzzle_identifiers", "Q0"];

/// Entries of the JSON that are given, or remarks on how the file was made.
const REMARKS: [&str; 11] = [
    "compare_only",
    "name",
    "arch",
    "config",
    "seed",
    "layer_gain",
    "B",
    "k",
    "steps",
    "logits_steps_stored",
    "note",
];

/// A case: a JSON file and the tensors beside it.
pub(super) struct Case<'a> {
    pub name: String,
    pub entry: Node<'a>,
    pub arrays: ArrayMap,
    pub device: &'a Device,
    /// Tensors, and entries of the JSON, that something compared.
    compared: RefCell<BTreeSet<String>>,
}

/// An error of the engine as the failure of a case.
pub(super) fn engine(error: impl Display) -> CaseError {
    CaseError::Engine(error.to_string())
}

impl<'a> Case<'a> {
    pub fn read(folder: &'a Folder, stem: &str, device: &'a Device) -> Result<Self, CaseError> {
        let entry = folder.index();
        Ok(Self {
            name: stem.to_owned(),
            arrays: folder.arrays(&format!("{stem}.safetensors"))?,
            entry,
            device,
            compared: RefCell::default(),
        })
    }

    /// The model on the device.
    pub fn reasoner(&self) -> Result<Reasoner, CaseError> {
        let mut weights = ArrayMap::new(self.arrays.file());
        for (name, array) in self.arrays.iter() {
            if let Some(name) = name.strip_prefix("weights.") {
                weights.insert(name, array.clone())?;
            }
        }
        let file = format!("{}.json", self.name);
        let text = self.entry.json().to_string();
        let settings = RecursiveSettings::parse(&file, &text).map_err(engine)?;
        let config: RecursiveConfig = settings.complete(&file, &weights).map_err(engine)?;
        Reasoner::new(config, &weights, PuzzleRows::Exact, self.device).map_err(engine)
    }

    /// Words of an integer input.
    pub fn words(&self, name: &str) -> Result<Vec<u32>, CaseError> {
        let (_, values) = integers(&self.arrays, name)?;
        let words = values.iter().map(|&value| u32::try_from(value));
        words.collect::<Result<_, _>>().map_err(|_| {
            CaseError::Engine(format!(
                "{name}: expected tokens, found a number below zero"
            ))
        })
    }

    /// Which puzzle each example is of; empty where the case does not tell.
    pub fn puzzles(&self) -> Result<Vec<u32>, CaseError> {
        match self.arrays.contains("puzzle_identifiers") {
            true => self.words("puzzle_identifiers"),
            false => Ok(Vec::new()),
        }
    }

    /// Level calls of an ACT step.
    pub fn updates(&self) -> Result<usize, CaseError> {
        let config = self.entry.get("config")?;
        let cycles = |key: &str| config.size(key);
        Ok(cycles("H_cycles")? * (cycles("L_cycles")? + 1))
    }

    /// ACT steps of the run.
    pub fn steps(&self) -> Result<usize, CaseError> {
        self.entry.size("steps")
    }

    /// Whether the device computes in double precision.
    pub fn is_double(&self) -> bool {
        self.device.precision() == Precision::F64
    }

    /// What a tensor that was stored in single precision is known to, beside its own size.
    pub fn stored_precision(&self, name: &str) -> f64 {
        match self.arrays.find(name).map(|array| array.dtype()) {
            Some(DType::F32) => f64::from(f32::EPSILON),
            _ => 0.0,
        }
    }

    /// Remembers that something compares a tensor, or an entry of the JSON.
    pub fn mark(&self, name: &str) {
        self.compared.borrow_mut().insert(name.to_owned());
    }

    /// A tensor of this shape, marked as compared: whoever reads it compares it. None where the case does
    /// not hold it.
    pub fn expected(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f64>>, CaseError> {
        if !self.arrays.contains(name) {
            return Ok(None);
        }
        let array = self.arrays.get(name)?;
        let (found, values) = match array.data() {
            ArrayData::Bool(flags) => {
                let values = flags.iter().map(|&flag| f64::from(u8::from(flag)));
                (array.shape().to_vec(), values.collect())
            }
            _ => numbers(&self.arrays, name)?,
        };
        self.mark(name);
        if found != shape {
            let reason = format!("{name}: expected shape {shape:?}, found {found:?}");
            return Err(CaseError::Engine(reason));
        }
        Ok(Some(values))
    }

    /// A size in the JSON against what the engine has, where it is there.
    pub fn compare_size(
        &self,
        key: &str,
        found: usize,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let Some(entry) = self.entry.find(key) else {
            return Ok(());
        };
        self.mark(key);
        checks.equal(key, &[found], &[entry.as_size()?]);
        Ok(())
    }

    /// Tensors and entries that nothing compared.
    pub fn left(&self) -> Vec<String> {
        let compared = self.compared.borrow();
        let given = |name: &str| name.starts_with("weights.") || GIVEN.contains(&name);
        let tensors = self.arrays.names().filter(|name| !given(name));
        // Measured errors of other programs are tolerances, and remarks on the file's own making.
        let error = |key: &str| key.contains("maxabs");
        let remark = |key: &str| REMARKS.contains(&key) || error(key);
        let entries = self.entry.entries().into_iter().map(|(key, _)| key);
        tensors
            .chain(entries.filter(|key| !remark(key)))
            .filter(|name| !compared.contains(*name))
            .map(str::to_owned)
            .collect()
    }
}
