//! Tangents of what moves a state along: Runge-Kutta sums, ensembles of trajectories, running sums.

use super::emitter::{Emitter, Stepped};
use crate::graph::{GraphError, Node, TensorId, TensorKind};
use attractor_kernels::compensated_sum::CompensatedSum;
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::element_count;
use attractor_kernels::ode_ensemble::OdeEnsemble;
use attractor_kernels::runge_kutta::RungeKutta;
use attractor_kernels::tangent_ensemble::TangentEnsemble;
use std::sync::Arc;

impl Emitter<'_> {
    /// The rule of an ensemble of trajectories under steps of a fixed size, parameters constant: as many
    /// tangents in one node as a state has numbers.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for step control, a field without tangents, parameters that have some, and a
    /// history of which they are asked for.
    pub fn ode_ensemble(&mut self, node: &Node, kernel: OdeEnsemble) -> Result<(), GraphError> {
        self.require_constant(node, &[1, 3])?;
        if self.stepped(node, 2).is_some() {
            let expected = "no history to be differentiated";
            return Err(self.refuse(node, 2, expected, "a history with tangents"));
        }
        let home = self.target(node, 0)?;
        let state = self.values(node, 0)?.tensor;
        let parameters = node.operands.get(1).copied().flatten();
        let length = home.step as usize;
        let dimension = kernel.field.dimension();
        let mut first = 0;
        while first < self.count {
            let count = dimension.min(self.count - first);
            let Some(all) = TangentEnsemble::of_ode(&kernel, count) else {
                let found = format!("{} by {}", kernel.field.name(), kernel.method.name());
                let expected = "a field and method with tangents";
                return Err(self.refuse(node, 0, expected, &found));
            };
            let all = TangentEnsemble {
                tangent_stride: home.step,
                ..all
            };
            let status = self.cleared_words(element_count(&[3, kernel.trajectories]));
            let whole = count == self.count;
            let own = match whole {
                true => home.tensor,
                false => self.scratch(&[count as usize, length]),
            };
            let elements = count.saturating_mul(home.step);
            let [offset] = Self::nth(first, [home]);
            if !whole {
                let taken = CopyFloats {
                    src_offset: offset,
                    ..CopyFloats::contiguous(elements)
                };
                self.push(taken, &[Some(home.tensor), Some(own)]);
            }
            let operands = [
                Some(state),
                parameters,
                Some(own),
                None,
                None,
                None,
                Some(status),
            ];
            self.push(all, &operands);
            if !whole {
                let returned = CopyFloats {
                    dst_offset: offset,
                    ..CopyFloats::contiguous(elements)
                };
                self.push(returned, &[Some(own), Some(home.tensor)]);
            }
            first += count;
        }
        Ok(())
    }

    /// Words that are zero.
    fn cleared_words(&mut self, count: usize) -> TensorId {
        let name = format!("{}.{}", self.label, self.graph.tensors().len());
        let zero = self.graph.constant_words(name, &[1], Arc::new(vec![0]));
        let name = format!("{}.{}", self.label, self.graph.tensors().len());
        let words = self.graph.word(name, &[count], TensorKind::Intermediate);
        let size = crate::graph::layers::size(count);
        let all = CopyWords::strided([1, 1, 1, size], [0; 4], [0, 0, 0, 1]);
        self.push(all, &[Some(zero), Some(words)]);
        words
    }

    /// The rule of sums over steps: the same sums.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for summands that lie in another place every few steps.
    pub fn compensated_sum(
        &mut self,
        node: &Node,
        kernel: CompensatedSum,
    ) -> Result<(), GraphError> {
        let Some(x) = self.stepped(node, 0) else {
            return Ok(());
        };
        if kernel.every != 1 && kernel.x_step_stride != 0 {
            let expected = "summands at every step, or always in one place";
            return Err(self.refuse(node, 0, expected, "a history with gaps"));
        }
        let count = kernel.count as usize;
        let homes = [self.target(node, 1)?, self.target(node, 2)?];
        let near = x.step == kernel.count && kernel.x_offset == 0 && kernel.x_step_stride == 0;
        let summands = if near {
            x
        } else {
            let taken = self.scratch_tangents(count)?;
            let placed = CopyFloats {
                src_offset: kernel.x_offset,
                src_step_stride: kernel.x_step_stride,
                ..CopyFloats::contiguous(1)
            };
            self.copy(placed, &[(kernel.count, [1, 1])], x, taken);
            taken
        };
        let own = [self.packed(homes[0], count)?, self.packed(homes[1], count)?];
        let all = CompensatedSum {
            count: self.times(kernel.count),
            x_offset: 0,
            x_step_stride: 0,
            ..kernel
        };
        let operands = [summands, own[0], own[1]].map(|operand| Some(operand.tensor));
        self.push(all, &operands);
        self.settle(own[0], homes[0], count);
        self.settle(own[1], homes[1], count);
        Ok(())
    }

    /// The rule of Runge-Kutta sums, linear in base and stages; stages are gathered so that those of all
    /// tangents lie side by side.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for step sizes with tangents.
    pub fn runge_kutta(&mut self, node: &Node, kernel: RungeKutta) -> Result<(), GraphError> {
        let home = self.target(node, 3)?;
        if kernel.has(RungeKutta::PER_ROW) {
            self.require_constant(node, &[2])?;
        }
        let rows = element_count(&[kernel.rows, kernel.width]);
        let base = self.stepped(node, 0).filter(|_| kernel.has(RungeKutta::X));
        let Some(stages) = self.stepped(node, 1) else {
            match base {
                Some(base) => self.transfer(base, home, rows),
                None if kernel.has(RungeKutta::X) => self.clear_output(node, 3),
                None => {}
            }
            return Ok(());
        };
        let stages = self.gathered_stages(&kernel, stages)?;
        let step_sizes = match kernel.has(RungeKutta::PER_ROW) {
            true => Some(self.repeated_step_sizes(node, &kernel)?),
            false => None,
        };
        let out = self.staging(home, rows)?;
        let mut all = RungeKutta {
            rows: self.times(kernel.rows),
            stage_stride: self.times(kernel.rows).saturating_mul(kernel.width),
            ..kernel
        };
        let mut base_tensor = None;
        match base {
            Some(base) => base_tensor = Some(self.packed(base, rows)?.tensor),
            None if kernel.has(RungeKutta::X) => {
                self.clear_output(node, 3);
                all = all.in_place();
            }
            None => {}
        }
        if base_tensor.is_none() && out.tensor != home.tensor {
            self.transfer(home, out, rows);
        }
        let operands = [base_tensor, Some(stages), step_sizes, Some(out.tensor)];
        self.push(all, &operands);
        self.settle(out, home, rows);
        Ok(())
    }

    /// Stages as `[stages, tangents, rows, width]`.
    fn gathered_stages(
        &mut self,
        kernel: &RungeKutta,
        stages: Stepped,
    ) -> Result<TensorId, GraphError> {
        let rows = kernel.rows.saturating_mul(kernel.width);
        if kernel.stages == 1 && stages.step == rows {
            return Ok(stages.tensor);
        }
        let length = element_count(&[kernel.stages, kernel.rows, kernel.width]);
        let gathered = self.scratch_tangents(length)?.tensor;
        let from = [0, kernel.stage_stride, stages.step, 1];
        let to = [0, self.times(rows), rows, 1];
        let shape = [1, kernel.stages, self.count, rows];
        let all = CopyFloats::strided(shape, from, to);
        self.push(all, &[Some(stages.tensor), Some(gathered)]);
        Ok(gathered)
    }

    fn repeated_step_sizes(
        &mut self,
        node: &Node,
        kernel: &RungeKutta,
    ) -> Result<TensorId, GraphError> {
        let own = self.values(node, 2)?;
        let repeated = self.scratch_tangents(kernel.rows as usize)?;
        self.transfer(own, repeated, kernel.rows as usize);
        Ok(repeated.tensor)
    }
}
