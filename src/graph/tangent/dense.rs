//! Tangents of the linear kernels: those whose tangents are the same kernel over a larger batch.

use super::emitter::Emitter;
use super::rules::Chain;
use crate::graph::layers::size;
use crate::graph::{GraphError, Node};
use attractor_kernels::activation::Activate;
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::embedding::Embedding;
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::roofline_copy::RooflineCopy;
use attractor_kernels::rotary::Rotary;
use attractor_kernels::{Activation, element_count};
use std::sync::Arc;

impl Emitter<'_> {
    /// A kernel over contiguous examples: one operand in, one out, others as they are.
    fn batched(
        &mut self,
        node: &Node,
        (input, output): (usize, usize),
        kernel: impl Into<attractor_kernels::AnyKernel>,
        left_out: &[usize],
    ) -> Result<(), GraphError> {
        let home = self.target(node, output)?;
        let Some(from) = self.stepped(node, input) else {
            return Ok(());
        };
        let extents = node.kernel.extents();
        let extent = |index: usize| extents.get(index).copied().unwrap_or(0);
        let from = self.packed(from, extent(input))?;
        let to = self.staging(home, extent(output))?;
        let mut operands = node.operands.clone();
        for (index, operand) in operands.iter_mut().enumerate() {
            if index == input {
                *operand = Some(from.tensor);
            } else if index == output {
                *operand = Some(to.tensor);
            } else if left_out.contains(&index) {
                *operand = None;
            }
        }
        self.push(kernel, &operands);
        self.settle(to, home, extent(output));
        Ok(())
    }

    /// The rule of average pooling.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] where a result on the way has too many elements.
    pub fn pool(&mut self, node: &Node, kernel: AdaptiveAveragePool) -> Result<(), GraphError> {
        let batch = self.times(kernel.batch);
        self.batched(node, (0, 1), AdaptiveAveragePool { batch, ..kernel }, &[])
    }

    /// The rule of the convolution with constant filters; an activation is taken apart first.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for filters or a bias with tangents.
    pub fn convolution(&mut self, node: &Node, kernel: Conv2d) -> Result<(), GraphError> {
        self.require_constant(node, &[1, 2])?;
        if kernel.activation == Activation::IDENTITY {
            let all = Conv2d {
                batch: self.times(kernel.batch),
                flags: 0,
                ..kernel
            };
            return self.batched(node, (0, 3), all, &[2]);
        }
        let own = self.graph.tensors().len();
        let count = node.kernel.extents().get(3).copied().unwrap_or(0);
        let plain = Conv2d {
            activation: Activation::IDENTITY,
            ..kernel
        };
        let mut chain = Chain::new(node, self.scratch(&[count]));
        chain.link("convolution", plain, node.operands.get(..3).unwrap_or(&[]));
        let activate = Activate::of(kernel.activation, size(count));
        chain.finish("activation", activate, &[]);
        self.differentiate_chain(own, &chain.links)
    }

    /// The rule of look-ups: the same look-up in the tables' tangents, one after the other.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] where a result on the way has too many elements.
    pub fn embedding(&mut self, node: &Node, kernel: Embedding) -> Result<(), GraphError> {
        let out = self.target(node, 5)?;
        let flagged = [(1, 0), (3, Embedding::TIME), (4, Embedding::POSITION)];
        let extents = node.kernel.extents();
        let mut flags = 0;
        let mut tables = Vec::with_capacity(3);
        for (index, flag) in flagged {
            let used = flag == 0 || kernel.has(flag);
            if let Some(table) = self.stepped(node, index).filter(|_| used) {
                flags |= flag;
                tables.push((index, table, extents.get(index).copied().unwrap_or(0)));
            }
        }
        if tables.is_empty() {
            self.clear_output(node, 5);
            return Ok(());
        }
        let mut operands = node.operands.clone();
        for (index, flag) in [
            (2, Embedding::TIME),
            (3, Embedding::TIME),
            (4, Embedding::POSITION),
        ] {
            if let Some(operand) = operands.get_mut(index).filter(|_| flags & flag == 0) {
                *operand = None;
            }
        }
        if !tables.iter().any(|(index, ..)| *index == 1) {
            let count = element_count(&[kernel.table_rows, kernel.width]);
            let name = format!("{}.{}", self.label, self.graph.tensors().len());
            let zeros = self
                .graph
                .constant(name, &[count], Arc::new(vec![0.0; count]));
            operands[1] = Some(zeros);
        }
        let out_tensor = out.tensor;
        for j in 0..self.count {
            for &(index, table, count) in &tables {
                let own = self.scratch(&[count]);
                let [from] = Self::nth(j, [table]);
                let placed = CopyFloats {
                    src_offset: from,
                    ..CopyFloats::contiguous(size(count))
                };
                self.push(placed, &[Some(table.tensor), Some(own)]);
                operands[index] = Some(own);
            }
            let [to] = Self::nth(j, [out]);
            operands[5] = Some(out_tensor);
            let one = Embedding {
                out_offset: kernel.out_offset.saturating_add(to),
                flags,
                ..kernel
            };
            self.push(one, &operands);
        }
        Ok(())
    }

    /// What is overwritten by a number has no tangent; the choice is repeated for every tangent.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] where a result on the way has too many elements.
    pub fn physics_override(
        &mut self,
        node: &Node,
        kernel: PhysicsOverride,
    ) -> Result<(), GraphError> {
        let home = self.target(node, 2)?;
        let count = element_count(&[kernel.batch, kernel.length]);
        let choices = self.repeated_words(node, 0, count)?;
        let hazards =
            self.repeated_words(node, 1, element_count(&[kernel.batch, kernel.directions]))?;
        let own = self.packed(home, count)?;
        let all = PhysicsOverride {
            batch: self.times(kernel.batch),
            value: 0.0,
            ..kernel
        };
        self.push(all, &[Some(choices), Some(hazards), Some(own.tensor)]);
        self.settle(own, home, count);
        Ok(())
    }

    pub fn repeated_words(
        &mut self,
        node: &Node,
        index: usize,
        count: usize,
    ) -> Result<crate::graph::TensorId, GraphError> {
        let src = self.values(node, index)?;
        self.require_room(&self.label, count)?;
        let name = format!("{}.{}", self.label, self.graph.tensors().len());
        let shape = [self.count as usize, count];
        let dst = self
            .graph
            .word(name, &shape, crate::graph::TensorKind::Intermediate);
        let strides = |outer| [0, 0, outer, 1];
        let all = CopyWords::strided(
            [1, 1, self.count, size(count)],
            strides(0),
            strides(size(count)),
        );
        self.push(all, &[Some(src.tensor), Some(dst)]);
        Ok(dst)
    }

    /// The rule of sums and means; extremes have a kernel of their own.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for a reduction without an output.
    pub fn reduce(&mut self, node: &Node, kernel: Reduce) -> Result<(), GraphError> {
        let out = self.target(node, 1)?;
        let Some(x) = self.stepped(node, 0) else {
            return Ok(());
        };
        if kernel.operation != Reduction::SUM && kernel.operation != Reduction::MEAN {
            return self.extreme(node, kernel);
        }
        let operands = [Some(x.tensor), Some(out.tensor)];
        let fills = |step: u32, counts: &[u32]| element_count(counts) == step as usize;
        if fills(x.step, &[kernel.outer, kernel.length, kernel.inner])
            && fills(out.step, &[kernel.outer, kernel.inner])
        {
            let outer = self.times(kernel.outer);
            self.push(Reduce { outer, ..kernel }, &operands);
            return Ok(());
        }
        for j in 0..self.count {
            let [from, to] = Self::nth(j, [x, out]);
            let one = Reduce {
                x_offset: kernel.x_offset.saturating_add(from),
                y_offset: kernel.y_offset.saturating_add(to),
                ..kernel
            };
            self.push(one, &operands);
        }
        Ok(())
    }

    /// The rule of the copy that rooflines are measured with.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for a copy without an output.
    pub fn roofline_copy(&mut self, node: &Node, kernel: RooflineCopy) -> Result<(), GraphError> {
        let dst = self.target(node, 1)?;
        if let Some(src) = self.stepped(node, 0) {
            self.transfer(src, dst, kernel.count as usize);
        }
        Ok(())
    }

    /// The rule of rotary embedding under constant tables: the same turn.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for tables with tangents.
    pub fn rotary(&mut self, node: &Node, kernel: Rotary) -> Result<(), GraphError> {
        self.require_constant(node, &[1, 2])?;
        let x = self.target(node, 0)?;
        let mut operands = node.operands.clone();
        operands[0] = Some(x.tensor);
        let fills = kernel.x_batch_stride.checked_mul(kernel.batch) == Some(x.step);
        if kernel.batch == 1 || fills {
            let all = Rotary {
                batch: self.times(kernel.batch),
                x_batch_stride: if kernel.batch == 1 {
                    x.step
                } else {
                    kernel.x_batch_stride
                },
                ..kernel
            };
            self.push(all, &operands);
            return Ok(());
        }
        for j in 0..self.count {
            let [offset] = Self::nth(j, [x]);
            let one = Rotary {
                x_offset: kernel.x_offset.saturating_add(offset),
                ..kernel
            };
            self.push(one, &operands);
        }
        Ok(())
    }
}
