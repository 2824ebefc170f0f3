//! What the kernels that take one sampling step on token sequences `[batch, length]` check and launch
//! alike.

use crate::{KernelError, Launch, element_count, linear_workgroups};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// How a remasking kernel turns the schedule's scale into a probability for each position, as a word
/// that shaders branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct RemaskStrategy(pub(crate) u32);

impl RemaskStrategy {
    /// The scale itself, for every position: the strategies `rescale`, `cap` and `loop`.
    pub const CONSTANT: Self = Self(0);
    /// More for positions that are less sure: the strategy `conf`.
    pub const CONFIDENCE: Self = Self(1);
}

/// Parameters that every such step has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SequenceStep {
    pub kernel: &'static str,
    pub batch: u32,
    pub length: u32,
    pub step: u32,
    pub steps: u32,
    pub strategy: RemaskStrategy,
    pub flags: u32,
}

impl SequenceStep {
    /// The error that `parameter` is not what it must be.
    pub fn refuse(
        &self,
        parameter: &'static str,
        expected: impl Into<String>,
        found: u32,
    ) -> Result<(), KernelError> {
        let kernel = self.kernel;
        Err(KernelError::parameter(
            kernel,
            parameter,
            expected.into(),
            found,
        ))
    }

    /// Checks the parameters, given the longest sequence, how many elements an operand has for each
    /// position at most, and all flags there are.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the first parameter out of range.
    pub fn check(&self, longest: u32, planes: u32, flags: u32) -> Result<(), KernelError> {
        if self.batch == 0 {
            return self.refuse("batch", "at least 1", 0);
        }
        if self.length == 0 || self.length > longest {
            return self.refuse("length", format!("1..={longest}"), self.length);
        }
        if element_count(&[planes, self.batch, self.length]) > u32::MAX as usize {
            let expected = format!("at most (2^32 - 1) / {planes} positions in all");
            return self.refuse("batch", expected, self.batch);
        }
        if self.steps == 0 || self.steps > 1 << 24 {
            return self.refuse("steps", "1..=2^24", self.steps);
        }
        if self.step >= self.steps {
            return self.refuse("step", format!("below steps = {}", self.steps), self.step);
        }
        if self.strategy.0 > RemaskStrategy::CONFIDENCE.0 {
            return self.refuse("strategy", "0 or 1", self.strategy.0);
        }
        if self.flags > flags {
            return self.refuse("flags", format!("0..={flags}"), self.flags);
        }
        Ok(())
    }

    /// One workgroup an example.
    pub fn launch(&self) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.batch as usize, 1),
        }
    }
}
