//! What the rules of all kernels emit nodes with.

use super::refused;
use super::strides::{Dimension, coalesced, four, split};
use crate::graph::layers::size;
use crate::graph::region::{Region, written};
use crate::graph::{Graph, GraphError, Node, Phase, TensorId, TensorKind};
use attractor_kernels::AnyKernel;
use attractor_kernels::copy::CopyFloats;
use std::sync::Arc;

/// An operand that takes part in all tangents of a node: a tensor of tangents, or a tensor of values, which
/// all tangents share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stepped {
    pub tensor: TensorId,
    /// Elements from one tangent to the next; 0 for values.
    pub step: u32,
}

/// Collects the nodes that move the tangents of one node.
#[derive(Debug)]
pub(super) struct Emitter<'a> {
    pub graph: &'a mut Graph,
    pub tangents: &'a mut Vec<Option<TensorId>>,
    /// Tangent vectors.
    pub count: u32,
    pub zero: &'a mut Option<TensorId>,
    pub nodes: Vec<Node>,
    pub phase: Phase,
    pub label: String,
}

impl Emitter<'_> {
    /// Tangents of a tensor.
    pub fn tangent(&self, id: TensorId) -> Option<TensorId> {
        self.tangents.get(id.0).copied().flatten()
    }

    /// Names the tangents of a tensor.
    pub fn set(&mut self, id: TensorId, tangent: TensorId) {
        let places = self.tangents.len().max(id.0 + 1);
        self.tangents.resize(places, None);
        self.tangents[id.0] = Some(tangent);
    }

    /// Elements of a tensor; none has more than 32 bits count, which the tangents' room was checked for.
    pub fn length(&self, id: TensorId) -> u32 {
        size(self.graph.tensor(id).len())
    }

    /// The tangents of operand `index`, if it has any.
    pub fn stepped(&self, node: &Node, index: usize) -> Option<Stepped> {
        let id = node.operands.get(index).copied().flatten()?;
        let tensor = self.tangent(id)?;
        let step = self.length(id);
        Some(Stepped { tensor, step })
    }

    /// The values of operand `index`.
    pub fn values(&self, node: &Node, index: usize) -> Result<Stepped, GraphError> {
        match node.operands.get(index).copied().flatten() {
            Some(tensor) => Ok(Stepped { tensor, step: 0 }),
            None => Err(self.refuse(node, index, "an operand", "nothing")),
        }
    }

    /// The tangents of an output; what has none is not asked for.
    pub fn target(&self, node: &Node, index: usize) -> Result<Stepped, GraphError> {
        let missing = || self.refuse(node, index, "an output with tangents", "none");
        self.stepped(node, index).ok_or_else(missing)
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

    /// Refuses tangents in the named operands, which the rule takes for constant.
    pub fn require_constant(&self, node: &Node, operands: &[usize]) -> Result<(), GraphError> {
        match operands
            .iter()
            .find(|index| self.stepped(node, **index).is_some())
        {
            Some(&index) => Err(self.refuse(node, index, "values without tangents", "tangents")),
            None => Ok(()),
        }
    }

    /// Refuses more elements than 32 bits address.
    pub fn require_room(&self, name: &str, length: usize) -> Result<(), GraphError> {
        let all = length.saturating_mul(self.count as usize);
        if u32::try_from(all).is_ok() {
            return Ok(());
        }
        let found = format!("{} times {length} elements", self.count);
        Err(refused(
            &format!("tensor {name}"),
            "less than 2^32 elements",
            &found,
        ))
    }

    /// A tensor of values that is needed on the way.
    pub fn scratch(&mut self, shape: &[usize]) -> TensorId {
        let name = format!("{}.{}", self.label, self.graph.tensors().len());
        self.graph.float(name, shape, TensorKind::Intermediate)
    }

    /// Tangents of `length` elements each that are needed on the way.
    pub fn scratch_tangents(&mut self, length: usize) -> Result<Stepped, GraphError> {
        self.require_room(&self.label, length)?;
        let tensor = self.scratch(&[self.count as usize, length]);
        let step = size(length);
        Ok(Stepped { tensor, step })
    }

    /// Appends a node.
    pub fn push(&mut self, kernel: impl Into<AnyKernel>, operands: &[Option<TensorId>]) {
        self.nodes.push(Node {
            label: self.label.clone(),
            kernel: kernel.into(),
            operands: operands.to_vec(),
            phase: self.phase,
        });
    }

    /// Offsets of tangent `j` in operands.
    pub fn nth<const N: usize>(j: u32, operands: [Stepped; N]) -> [u32; N] {
        operands.map(|operand| operand.step.saturating_mul(j))
    }

    /// A strided copy for every tangent; offsets and steps of an orbit as `kernel` has them, dimensions
    /// (count, [stride in src, stride in dst]).
    pub fn copy(
        &mut self,
        kernel: CopyFloats,
        dimensions: &[Dimension<2>],
        src: Stepped,
        dst: Stepped,
    ) {
        let operands = [Some(src.tensor), Some(dst.tensor)];
        let placed = |(shape, [from, to]): ([u32; 4], [[u32; 4]; 2])| CopyFloats {
            src_offset: kernel.src_offset,
            src_step_stride: kernel.src_step_stride,
            dst_offset: kernel.dst_offset,
            dst_step_stride: kernel.dst_step_stride,
            ..CopyFloats::strided(shape, from, to)
        };
        if let Some(all) = four((self.count, [src.step, dst.step]), dimensions) {
            self.push(placed(split(all)), &operands);
            return;
        }
        let own = coalesced(dimensions);
        for j in 0..self.count {
            let [from, to] = Self::nth(j, [src, dst]);
            // Kernels have four dimensions at most, so that one tangent alone always fits.
            if let Some(all) = four((1, [0, 0]), &own) {
                let one = placed(split(all));
                let one = CopyFloats {
                    src_offset: one.src_offset.saturating_add(from),
                    dst_offset: one.dst_offset.saturating_add(to),
                    ..one
                };
                self.push(one, &operands);
            }
        }
    }

    /// Zeros in a region of all tangents of a tensor.
    pub fn clear(&mut self, id: TensorId, region: &Region) {
        let Some(tangent) = self.tangent(id) else {
            return;
        };
        let graph = &mut *self.graph;
        let zero = *self
            .zero
            .get_or_insert_with(|| graph.constant("tangent.zero", &[1], Arc::new(vec![0.0])));
        let src = Stepped {
            tensor: zero,
            step: 0,
        };
        let dst = Stepped {
            tensor: tangent,
            step: self.length(id),
        };
        let dimensions: Vec<Dimension<2>> = region
            .dimensions
            .iter()
            .map(|&(count, stride)| (count, [0, stride]))
            .collect();
        let kernel = CopyFloats {
            dst_offset: region.offset,
            dst_step_stride: region.step_stride,
            ..CopyFloats::contiguous(1)
        };
        self.copy(kernel, &dimensions, src, dst);
    }

    /// Zeros where a node writes its operand `index`.
    pub fn clear_output(&mut self, node: &Node, index: usize) {
        let id = node.operands.get(index).copied().flatten();
        if let Some((id, region)) = id.zip(written(&node.kernel, index)) {
            self.clear(id, &region);
        }
    }

    /// The first `count` elements of every tangent without gaps between the tangents.
    pub fn packed(&mut self, from: Stepped, count: usize) -> Result<Stepped, GraphError> {
        if from.step as usize == count {
            return Ok(from);
        }
        let to = self.scratch_tangents(count)?;
        self.transfer(from, to, count);
        Ok(to)
    }

    /// Copies the first `count` elements of every tangent.
    pub fn transfer(&mut self, from: Stepped, to: Stepped, count: usize) {
        let kernel = CopyFloats::contiguous(1);
        self.copy(kernel, &[(size(count), [1, 1])], from, to);
    }

    /// Tangents without gaps for a kernel to write, to be brought home by [`Emitter::settle`].
    pub fn staging(&mut self, home: Stepped, count: usize) -> Result<Stepped, GraphError> {
        if home.step as usize == count {
            return Ok(home);
        }
        self.scratch_tangents(count)
    }

    /// Brings home what a kernel has written to [`Emitter::staging`].
    pub fn settle(&mut self, staged: Stepped, home: Stepped, count: usize) {
        if staged.tensor != home.tensor {
            self.transfer(staged, home, count);
        }
    }

    /// A count times the number of tangents.
    pub fn times(&self, count: u32) -> u32 {
        count.saturating_mul(self.count)
    }
}
