//! One entry: its JSON, its tensors, and which of both have been looked at.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use super::super::super::checks::CaseError;
use super::super::super::folder::{Node, numbers};
use crate::device::{Device, Precision};
use crate::formats::ArrayMap;

/// An error of the engine as the failure of a case.
pub(super) fn engine(error: impl Display) -> CaseError {
    CaseError::Engine(error.to_string())
}

/// An entry of a maps file. Reading a key or a tensor marks it as looked at; what never was is listed by
/// [`MapCase::left`].
pub(super) struct MapCase<'a> {
    pub name: &'a str,
    pub device: &'a Device,
    entry: Node<'a>,
    arrays: &'a ArrayMap,
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> MapCase<'a> {
    pub fn new(name: &'a str, entry: Node<'a>, arrays: &'a ArrayMap, device: &'a Device) -> Self {
        Self {
            name,
            device,
            entry,
            arrays,
            seen: RefCell::default(),
        }
    }

    /// Whether the device computes in double precision.
    pub fn is_double(&self) -> bool {
        self.device.precision() == Precision::F64
    }

    pub fn has_key(&self, key: &str) -> bool {
        self.entry.find(key).is_some()
    }

    pub fn has_tensor(&self, name: &str) -> bool {
        self.arrays.contains(&self.full(name))
    }

    /// The one tensor whose name starts so.
    pub fn tensor_starting_with(&self, start: &str) -> Result<String, CaseError> {
        let prefix = self.full("");
        let own = self
            .arrays
            .names()
            .filter_map(|name| name.strip_prefix(&prefix));
        let mut found = own.filter(|name| name.starts_with(start));
        match (found.next(), found.next()) {
            (Some(name), None) => Ok(name.to_owned()),
            (None, _) => Err(engine(format!(
                "{prefix}{start}...: expected a tensor, found none"
            ))),
            (Some(a), Some(b)) => Err(engine(format!(
                "expected one {start}..., found {a} and {b}"
            ))),
        }
    }

    fn full(&self, tensor: &str) -> String {
        format!("{}.{tensor}", self.name)
    }

    fn see(&self, what: String) {
        self.seen.borrow_mut().insert(what);
    }

    /// A key that may be absent.
    pub fn find(&self, key: &str) -> Option<Node<'a>> {
        let node = self.entry.find(key)?;
        self.see(key.to_owned());
        Some(node)
    }

    pub fn get(&self, key: &str) -> Result<Node<'a>, CaseError> {
        let node = self.entry.get(key)?;
        self.see(key.to_owned());
        Ok(node)
    }

    pub fn number(&self, key: &str) -> Result<f64, CaseError> {
        self.get(key)?.as_number()
    }

    pub fn size(&self, key: &str) -> Result<usize, CaseError> {
        self.get(key)?.as_size()
    }

    /// A list of numbers of the JSON.
    pub fn list(&self, key: &str) -> Result<Vec<f64>, CaseError> {
        let elements = self.get(key)?.elements()?;
        elements.iter().map(Node::as_number).collect()
    }

    /// Shape and numbers of a tensor, named without the entry's name.
    pub fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f64>), CaseError> {
        let full = self.full(name);
        let found = numbers(self.arrays, &full)?;
        self.see(full);
        Ok(found)
    }

    /// The same in a shape that must fit.
    pub fn shaped(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, CaseError> {
        let (found, values) = self.tensor(name)?;
        if found != shape {
            let full = self.full(name);
            return Err(engine(format!(
                "{full}: expected {shape:?}, found {found:?}"
            )));
        }
        Ok(values)
    }

    /// All tensors of the file, under their full names.
    pub fn arrays(&self) -> &'a ArrayMap {
        self.arrays
    }

    /// The full name of a tensor that is read elsewhere, marked as looked at.
    pub fn see_tensor(&self, name: &str) -> String {
        let full = self.full(name);
        self.see(full.clone());
        full
    }

    /// Numbers and tensors that nothing has looked at; notes in words count as read.
    pub fn left(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        let keys = self.entry.entries().into_iter();
        let keys = keys
            .filter(|(_, node)| !node.json().is_string() && !node.json().is_null())
            .map(|(key, _)| key.to_owned());
        let prefix = self.full("");
        let tensors = self.arrays.names();
        let tensors = tensors
            .filter(|name| name.starts_with(&prefix))
            .map(str::to_owned);
        keys.chain(tensors)
            .filter(|name| !seen.contains(name))
            .collect()
    }
}
