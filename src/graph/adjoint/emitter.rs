//! What the rules of all kernels emit nodes with.

use super::{Adjoint, refused};
use crate::graph::layers::size;
use crate::graph::region::Region;
use crate::graph::{Graph, GraphError, Node, Phase, TensorId, TensorKind};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::{AnyKernel, element_count};
use std::sync::Arc;

/// A graph with adjoints in the making.
#[derive(Debug)]
pub(super) struct Emitter {
    pub graph: Graph,
    adjoints: Vec<Option<TensorId>>,
    active: Vec<bool>,
    phase: Phase,
    zero: Option<TensorId>,
    one: Option<TensorId>,
    /// Of the nodes to come.
    pub label: String,
}

impl Emitter {
    pub fn new(graph: Graph, active: Vec<bool>, phase: Phase) -> Self {
        Self {
            adjoints: vec![None; graph.tensors().len()],
            graph,
            active,
            phase,
            zero: None,
            one: None,
            label: String::new(),
        }
    }

    pub fn finish(self) -> Adjoint {
        Adjoint {
            graph: self.graph,
            adjoints: self.adjoints,
        }
    }

    /// The adjoint of an operand that a node writes; none where it is zero.
    pub fn adjoint(&self, node: &Node, index: usize) -> Option<TensorId> {
        let id = node.operands.get(index).copied().flatten()?;
        self.adjoints.get(id.0).copied().flatten()
    }

    /// An operand that a node reads, if its adjoint is wanted.
    pub fn wanted(&self, node: &Node, index: usize) -> Option<TensorId> {
        let id = node.operands.get(index).copied().flatten()?;
        let active = self.active.get(id.0).copied().unwrap_or(false);
        active.then_some(id)
    }

    /// The error that an operand of a node is not what its rule can handle.
    pub fn refuse(&self, node: &Node, index: usize, expected: &str, found: &str) -> GraphError {
        let kernel = node.kernel.id();
        let operand = kernel.operands().get(index).map_or("none", |o| o.name);
        let tensor = node.operands.get(index).copied().flatten();
        let tensor = tensor.map_or("nothing", |id| self.graph.tensor(id).name.as_str());
        let what = format!(
            "node {} ({}), operand {operand} = {tensor}",
            node.label,
            kernel.name()
        );
        refused(&what, expected, found)
    }

    /// A tensor that is needed on the way.
    pub fn scratch(&mut self, shape: &[u32]) -> TensorId {
        let name = format!("{}.{}", self.label, self.graph.tensors().len());
        let shape: Vec<usize> = shape.iter().map(|count| *count as usize).collect();
        self.graph.float(name, &shape, TensorKind::Intermediate)
    }

    /// Appends a node.
    pub fn push(&mut self, kernel: impl Into<AnyKernel>, operands: &[Option<TensorId>]) {
        self.graph
            .push(self.phase, self.label.clone(), kernel, operands);
    }

    fn constant(&mut self, name: &str, value: f32) -> TensorId {
        let values = Arc::new(vec![value]);
        self.graph.constant(format!("adjoint.{name}"), &[1], values)
    }

    /// A one, for products with a factor alone.
    pub fn one(&mut self) -> TensorId {
        let one = self.one.unwrap_or_else(|| self.constant("one", 1.0));
        *self.one.insert(one)
    }

    fn zero(&mut self) -> TensorId {
        let zero = self.zero.unwrap_or_else(|| self.constant("zero", 0.0));
        *self.zero.insert(zero)
    }

    /// The elements of a region of a tensor, without gaps; the tensor itself where that is all of it.
    pub fn gathered(&mut self, tensor: TensorId, region: &Region) -> TensorId {
        if self.is_all(tensor, region) {
            return tensor;
        }
        let ([shape, strides], own) = (padded(region), contiguous(region));
        let out = self.scratch(&shape);
        let copy = CopyFloats {
            src_offset: region.offset,
            ..CopyFloats::strided(shape, strides, own)
        };
        self.push(copy, &[Some(tensor), Some(out)]);
        out
    }

    /// `factor` times contiguous numbers.
    pub fn scaled(&mut self, values: TensorId, count: u32, factor: f32) -> TensorId {
        if factor == 1.0 {
            return values;
        }
        let (one, out) = (self.one(), self.scratch(&[count]));
        let shape = [1, 1, 1, count];
        let kernel = Elementwise {
            alpha: factor,
            ..Elementwise::broadcast(Operation::MULTIPLY, shape, [0, 0, 0, 1], [0; 4])
        };
        self.push(kernel, &[Some(values), Some(one), Some(out)]);
        out
    }

    /// Whether a region is all of a tensor, in order.
    fn is_all(&self, tensor: TensorId, region: &Region) -> bool {
        let [shape, strides] = padded(region);
        let own = contiguous(region);
        let even = shape
            .iter()
            .zip(strides.iter().zip(own))
            .all(|(count, (stride, own))| *count == 1 || *stride == own);
        even && region.offset == 0 && region.len() == self.graph.tensor(tensor).len()
    }

    /// Adds contiguous `values` to the adjoint of an operand, of which a node reads `region`: a sum along
    /// each dimension that it is broadcast over.
    ///
    /// # Errors
    /// [`GraphError::Adjoint`] for a region that meets an element twice in any other way.
    pub fn contribute(
        &mut self,
        (node, index): (&Node, usize),
        region: Region,
        values: TensorId,
    ) -> Result<(), GraphError> {
        let Some(target) = self.wanted(node, index) else {
            return Ok(());
        };
        let (region, values) = self.summed(region, values);
        if !region.is_distinct() {
            let expected = "elements that are read once, or along a whole dimension";
            return Err(self.refuse(node, index, expected, "strides that overlap"));
        }
        if self.is_all(target, &region) {
            self.add(target, values);
            return Ok(());
        }
        let length = size(self.graph.tensor(target).len());
        let (zero, part) = (self.zero(), self.scratch(&[length]));
        let cleared = CopyFloats::strided([1, 1, 1, length], [0; 4], [0, 0, 0, 1]);
        self.push(cleared, &[Some(zero), Some(part)]);
        let [shape, strides] = padded(&region);
        let placed = CopyFloats {
            dst_offset: region.offset,
            ..CopyFloats::strided(shape, contiguous(&region), strides)
        };
        self.push(placed, &[Some(values), Some(part)]);
        self.add(target, part);
        Ok(())
    }

    /// Sums along the dimensions of stride 0.
    fn summed(&mut self, mut region: Region, mut values: TensorId) -> (Region, TensorId) {
        for place in 0..region.dimensions.len() {
            let counts: Vec<u32> = region.dimensions.iter().map(|(count, _)| *count).collect();
            let Some(dimension) = region.dimensions.get_mut(place) else {
                continue;
            };
            let (length, stride) = *dimension;
            if stride != 0 || length == 1 {
                continue;
            }
            dimension.0 = 1;
            let (outer, inner) = counts.split_at(place);
            let [outer, inner] =
                [outer, inner.get(1..).unwrap_or(&[])].map(|part| size(element_count(part)));
            let out = self.scratch(&[outer, inner]);
            let sum = Reduce::middle(Reduction::SUM, outer, length, inner);
            self.push(sum, &[Some(values), Some(out)]);
            values = out;
        }
        (region, values)
    }

    /// Adds a tensor of its layout to the adjoint of a tensor.
    pub fn add(&mut self, target: TensorId, values: TensorId) {
        let length = size(self.graph.tensor(target).len());
        let before = self.adjoints.get(target.0).copied().flatten();
        let sum = match before {
            None => values,
            Some(before) => {
                let out = self.scratch(&[length]);
                let kernel = Elementwise::contiguous(Operation::ADD, length);
                self.push(kernel, &[Some(before), Some(values), Some(out)]);
                out
            }
        };
        if let Some(place) = self.adjoints.get_mut(target.0) {
            *place = Some(sum);
        }
    }
}

/// Counts and strides as kernels take them.
fn padded(region: &Region) -> [[u32; 4]; 2] {
    let (mut shape, mut strides) = ([1; 4], [0; 4]);
    let places = shape.iter_mut().zip(&mut strides).rev();
    for ((count, stride), dimension) in places.zip(region.dimensions.iter().rev()) {
        (*count, *stride) = *dimension;
    }
    [shape, strides]
}

/// Strides of the region's elements without gaps.
fn contiguous(region: &Region) -> [u32; 4] {
    let [shape, _] = padded(region);
    let mut strides = [1u32; 4];
    for place in (0..3).rev() {
        strides[place] = strides[place + 1].saturating_mul(shape[place + 1]);
    }
    strides
}
