//! Tangents of the kernels whose derivative depends on the values: each has a kernel that computes what
//! the tangents share once for all of them.

use super::emitter::{Emitter, Stepped};
use crate::graph::{GraphError, Node, TensorId};
use attractor_kernels::activation_tangent::ActivateTangent;
use attractor_kernels::attention::Attention;
use attractor_kernels::attention_tangent::AttentionTangent;
use attractor_kernels::control_step::ControlStep;
use attractor_kernels::control_step_tangent::ControlStepTangent;
use attractor_kernels::gated_activation_tangent::GatedActivationTangent;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::layer_norm_tangent::LayerNormTangent;
use attractor_kernels::reduce::Reduce;
use attractor_kernels::reduce_tangent::ReduceTangent;
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::rms_norm_tangent::RmsNormTangent;
use attractor_kernels::sim_norm_tangent::SimNormTangent;
use attractor_kernels::softmax_tangent::SoftmaxTangent;
use attractor_kernels::time_features::TimeFeatures;
use attractor_kernels::time_features_tangent::TimeFeaturesTangent;
use attractor_kernels::{Activation, AnyKernel};
use std::sync::Arc;

impl Emitter<'_> {
    /// The rules of the kernels with tangent kernels; all others are refused.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] naming the node and operand that cannot be differentiated.
    pub fn nonlinear(
        &mut self,
        node: &Node,
        targets: &[(usize, TensorId)],
    ) -> Result<(), GraphError> {
        let count = self.count;
        match node.kernel {
            AnyKernel::Activate(kernel) => self.one_to_one(node, |x, y| {
                ActivateTangent::new(kernel, count, x, y).into()
            }),
            AnyKernel::GatedActivation(kernel) => self.one_to_one(node, |x, y| {
                GatedActivationTangent::new(kernel, count, x, y).into()
            }),
            AnyKernel::SimNorm(kernel) => {
                self.one_to_one(node, |x, y| SimNormTangent::new(kernel, count, x, y).into())
            }
            AnyKernel::Softmax(kernel) => {
                self.one_to_one(node, |x, y| SoftmaxTangent::new(kernel, count, x, y).into())
            }
            AnyKernel::Attention(kernel) => self.attention(node, kernel),
            AnyKernel::ControlStep(kernel) => self.control_step(node, kernel),
            AnyKernel::LayerNorm(kernel) => {
                self.require_plain(node, kernel.activation)?;
                let modulated = kernel.flags & LayerNorm::MODULATION != 0;
                self.norm(node, modulated, |x, modulation, y| {
                    LayerNormTangent::new(kernel, count, x, modulation, y).into()
                })
            }
            AnyKernel::RmsNorm(kernel) => {
                self.require_plain(node, kernel.activation)?;
                let modulated = kernel.flags & RmsNorm::MODULATION != 0;
                self.norm(node, modulated, |x, modulation, y| {
                    RmsNormTangent::new(kernel, count, x, modulation, y).into()
                })
            }
            AnyKernel::TimeFeatures(kernel) => self.time_features(node, kernel),
            _ => {
                let output = targets.first().map_or(0, |(index, _)| *index);
                Err(self.refuse(node, output, "a kernel with a rule for tangents", "none"))
            }
        }
    }

    /// A kernel with one operand in and one out; `kernel` from the elements between their tangents.
    fn one_to_one(
        &mut self,
        node: &Node,
        kernel: impl Fn(u32, u32) -> AnyKernel,
    ) -> Result<(), GraphError> {
        let y = self.target(node, 1)?;
        if let Some(dx) = self.stepped(node, 0) {
            let x = self.values(node, 0)?;
            let operands = [x, dx, y].map(|operand| Some(operand.tensor));
            self.push(kernel(dx.step, y.step), &operands);
        }
        Ok(())
    }

    /// The rule of largest and smallest elements.
    ///
    /// # Errors
    /// [`GraphError::Tangent`] for a node without operands.
    pub fn extreme(&mut self, node: &Node, kernel: Reduce) -> Result<(), GraphError> {
        let count = self.count;
        self.one_to_one(node, |x, y| ReduceTangent::new(kernel, count, x, y).into())
    }

    fn time_features(&mut self, node: &Node, kernel: TimeFeatures) -> Result<(), GraphError> {
        let out = self.target(node, 3)?;
        let time = self.stepped(node, 0);
        let step_size = self
            .stepped(node, 1)
            .filter(|_| kernel.has(TimeFeatures::STAGE));
        if time.is_none() && step_size.is_none() {
            self.clear_output(node, 3);
            return Ok(());
        }
        let step = |operand: Option<Stepped>| operand.map_or(0, |operand| operand.step);
        let all =
            TimeFeaturesTangent::new(kernel, self.count, step(time), step(step_size), out.step);
        let tensor = |operand: Option<Stepped>| operand.map(|operand| operand.tensor);
        let mut operands = node.operands.clone();
        operands.truncate(3);
        operands.extend([tensor(time), tensor(step_size), Some(out.tensor)]);
        self.push(all, &operands);
        Ok(())
    }

    /// The rule of a control task's step, of which state, action or both have tangents.
    fn control_step(&mut self, node: &Node, kernel: ControlStep) -> Result<(), GraphError> {
        let next = self.target(node, 2)?;
        let moved = [0, 1].map(|index| self.stepped(node, index));
        if moved.iter().all(Option::is_none) {
            self.clear_output(node, 2);
            return Ok(());
        }
        let steps = moved.map(|operand| operand.map_or(0, |operand| operand.step));
        let all = ControlStepTangent::new(kernel, self.count, steps, next.step);
        let mut operands = node.operands.clone();
        operands.truncate(2);
        operands.extend(moved.map(|operand| operand.map(|operand| operand.tensor)));
        operands.push(Some(next.tensor));
        self.push(all, &operands);
        Ok(())
    }

    /// The rule of attention under a constant mask.
    fn attention(&mut self, node: &Node, kernel: Attention) -> Result<(), GraphError> {
        if kernel.has(Attention::MASK) {
            self.require_constant(node, &[3])?;
        }
        let out = self.target(node, 4)?;
        let moved = [0, 1, 2].map(|index| self.stepped(node, index));
        if moved.iter().all(Option::is_none) {
            self.clear_output(node, 4);
            return Ok(());
        }
        let steps = moved.map(|operand| operand.map(|operand| operand.step));
        let all = AttentionTangent::new(kernel, self.count, steps, out.step);
        let mut operands = node.operands.clone();
        operands.truncate(4);
        operands.extend(moved.map(|operand| operand.map(|operand| operand.tensor)));
        operands.push(Some(out.tensor));
        self.push(all, &operands);
        Ok(())
    }

    /// Activations join norms when a graph is compiled; tangents are taken before that.
    fn require_plain(&self, node: &Node, activation: Activation) -> Result<(), GraphError> {
        match activation == Activation::IDENTITY {
            true => Ok(()),
            false => Err(self.refuse(node, 5, "a norm without activation", activation.name())),
        }
    }

    /// The rule of a norm under constant weight and bias; `kernel` from the elements between the tangents
    /// of x, of scale and shift, and of y.
    fn norm(
        &mut self,
        node: &Node,
        modulated: bool,
        kernel: impl Fn(u32, [Option<u32>; 2], u32) -> AnyKernel,
    ) -> Result<(), GraphError> {
        self.require_constant(node, &[1, 2])?;
        let y = self.target(node, 5)?;
        let x = self.stepped(node, 0);
        let modulation = [3, 4].map(|index| self.stepped(node, index).filter(|_| modulated));
        if x.is_none() && modulation.iter().all(Option::is_none) {
            self.clear_output(node, 5);
            return Ok(());
        }
        // An input without tangents has a tangent of zero, one for all.
        let dx = match x {
            Some(dx) => dx,
            None => self.still(self.values(node, 0)?.tensor),
        };
        let steps = modulation.map(|operand| operand.map(|operand| operand.step));
        let mut operands = node.operands.clone();
        operands.truncate(4);
        operands.push(Some(dx.tensor));
        operands.extend(modulation.map(|operand| operand.map(|operand| operand.tensor)));
        operands.push(Some(y.tensor));
        self.push(kernel(dx.step, steps, y.step), &operands);
        Ok(())
    }

    /// Zeros of a tensor's size, which all tangents share.
    fn still(&mut self, id: TensorId) -> Stepped {
        let length = self.graph.tensor(id).len();
        let name = format!("{}.{}", self.label, self.graph.tensors().len());
        let tensor = self
            .graph
            .constant(name, &[length], Arc::new(vec![0.0; length]));
        Stepped { tensor, step: 0 }
    }
}
