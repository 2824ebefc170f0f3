//! Execution on the CPU device: nodes in order, each through its twin.

use super::program::Program;
use super::{Constant, Graph, GraphError, Moment, Tensor};
use crate::device::{Device, DeviceError};
use attractor_kernels::{Access, Element, Operands, Scalar, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Constants in the precision of the device, and copies packed for twins that want them.
#[derive(Debug)]
pub(super) struct CpuConstants<T> {
    floats: Vec<Option<Arc<Vec<T>>>>,
    words: Vec<Option<Arc<Vec<u32>>>>,
    packed: BTreeMap<(usize, usize), Arc<Vec<T>>>,
}

impl<T: Scalar> CpuConstants<T> {
    pub fn pack(graph: &Graph) -> Self {
        let floats: Vec<Option<Arc<Vec<T>>>> = graph
            .tensors()
            .iter()
            .map(|tensor| match &tensor.constant {
                Some(Constant::Float(values)) => {
                    Some(Arc::new(values.iter().map(|&v| T::from_f32(v)).collect()))
                }
                Some(Constant::Double(values)) => {
                    Some(Arc::new(values.iter().map(|&v| T::from_f64(v)).collect()))
                }
                _ => None,
            })
            .collect();
        let words = graph
            .tensors()
            .iter()
            .map(|tensor| match &tensor.constant {
                Some(Constant::Word(values)) => Some(Arc::clone(values)),
                _ => None,
            })
            .collect();
        let mut packed = BTreeMap::new();
        // Nodes that take the same weights alike share a copy, which then stays in a cache between them.
        let mut copies: BTreeMap<usize, Vec<Arc<Vec<T>>>> = BTreeMap::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            for (operand, id) in node.operands.iter().enumerate() {
                let Some((id, data)) = id.and_then(|id| Some((id, floats[id.0].as_ref()?))) else {
                    continue;
                };
                if let Some(copy) = node.kernel.pack(operand, data) {
                    let known = copies.entry(id.0).or_default();
                    let same = known.iter().find(|known| ***known == copy).cloned();
                    let shared = same.unwrap_or_else(|| {
                        let copy = Arc::new(copy);
                        known.push(Arc::clone(&copy));
                        copy
                    });
                    packed.insert((index, operand), shared);
                }
            }
        }
        Self {
            floats,
            words,
            packed,
        }
    }
}

/// Working memory of one execution.
#[derive(Debug)]
pub(super) struct CpuArena<T> {
    pub floats: Vec<T>,
    pub words: Vec<u32>,
}

/// A range of an arena that an operand occupies.
#[derive(Debug, Clone, Copy)]
struct Range {
    operand: usize,
    offset: usize,
    length: usize,
    writable: bool,
}

impl<T: Scalar> CpuArena<T> {
    pub fn new(program: &Program, device: &Device) -> Result<Self, DeviceError> {
        let memory = &program.memory;
        let name = &device.info().name;
        Ok(Self {
            floats: zeros(T::ZERO, memory.float_elements, name)?,
            words: zeros(0, memory.word_elements, name)?,
        })
    }

    /// Runs one node.
    pub fn run(
        &mut self,
        program: &Program,
        constants: &CpuConstants<T>,
        index: usize,
        step: u32,
        moment: &Moment,
        parallel: bool,
    ) -> Result<(), GraphError> {
        let node = &program.graph.nodes()[index];
        let kernel = node
            .kernel
            .at_step(step)
            .with_seed(moment.seed, moment.first_example);
        let table = kernel.id().operands();
        let mut views: Vec<View<'_, T>> = table.iter().map(|_| View::Absent).collect();
        let mut float_ranges = Vec::with_capacity(8);
        let mut word_ranges = Vec::with_capacity(8);
        for (operand, (description, id)) in table.iter().zip(&node.operands).enumerate() {
            let Some(id) = *id else { continue };
            if let Some(values) = &constants.floats[id.0] {
                views[operand] = View::Float(values);
            } else if let Some(values) = &constants.words[id.0] {
                views[operand] = View::Word(values);
            } else if let Some(offset) = program.memory.offsets[id.0] {
                let range = Range {
                    operand,
                    offset,
                    length: program.graph.tensor(id).len(),
                    writable: description.access != Access::Read,
                };
                match description.element {
                    Element::Float => float_ranges.push(range),
                    Element::Word => word_ranges.push(range),
                }
            }
        }
        for (operand, part) in carve(&mut self.floats, float_ranges) {
            views[operand] = match part {
                Part::Shared(slice) => View::Float(slice),
                Part::Exclusive(slice) => View::FloatMut(slice),
            };
        }
        for (operand, part) in carve(&mut self.words, word_ranges) {
            views[operand] = match part {
                Part::Shared(slice) => View::Word(slice),
                Part::Exclusive(slice) => View::WordMut(slice),
            };
        }
        let packed = (0..table.len())
            .map(|operand| {
                constants
                    .packed
                    .get(&(index, operand))
                    .map(|copy| copy.as_slice())
            })
            .collect();
        let mut operands =
            Operands::new(kernel.id().name(), table, views, parallel).with_packed(packed);
        kernel
            .twin(&mut operands)
            .map_err(|source| GraphError::Node {
                node: node.label.clone(),
                source,
            })
    }

    /// Floats of a tensor.
    pub fn floats_of(&self, tensor: &Tensor, offset: usize) -> &[T] {
        self.floats
            .get(offset..offset.saturating_add(tensor.len()))
            .unwrap_or(&[])
    }
}

/// `count` zeros, or an error where there is no memory for them.
fn zeros<E: Clone>(zero: E, count: usize, device: &str) -> Result<Vec<E>, DeviceError> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|error| DeviceError::OutOfMemory {
            device: device.to_string(),
            what: format!("working memory of {count} elements"),
            message: error.to_string(),
        })?;
    values.resize(count, zero);
    Ok(values)
}

/// A piece of an arena.
enum Part<'a, E> {
    Shared(&'a [E]),
    Exclusive(&'a mut [E]),
}

/// Cuts the ranges out of an arena. Memory planning keeps the tensors of one node apart, except for
/// one tensor read through several operands, which then share a slice. A range that overlapped
/// another in any other way would be left out, and the twin would report the missing operand.
fn carve<E>(arena: &mut [E], mut ranges: Vec<Range>) -> Vec<(usize, Part<'_, E>)> {
    ranges.sort_by_key(|range| range.offset);
    let mut parts = Vec::with_capacity(ranges.len());
    let mut rest = arena;
    let mut consumed = 0;
    let mut ranges = ranges.into_iter().peekable();
    while let Some(range) = ranges.next() {
        let Some(skip) = range.offset.checked_sub(consumed) else {
            continue;
        };
        let Some((_, tail)) = std::mem::take(&mut rest).split_at_mut_checked(skip) else {
            break;
        };
        let Some((own, tail)) = tail.split_at_mut_checked(range.length) else {
            break;
        };
        rest = tail;
        consumed = range.offset + range.length;
        if range.writable {
            parts.push((range.operand, Part::Exclusive(own)));
            continue;
        }
        let shared: &[E] = own;
        parts.push((range.operand, Part::Shared(shared)));
        while let Some(same) = ranges.next_if(|r| r.offset == range.offset && !r.writable) {
            parts.push((same.operand, Part::Shared(&shared[..same.length])));
        }
    }
    parts
}
