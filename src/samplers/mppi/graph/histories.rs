//! What a record keeps of every iteration.

use super::Builder;
use crate::graph::layers::size;
use crate::graph::{Phase, TensorId, TensorKind};
use attractor_kernels::copy::{CopyFloats, CopyWords};

impl Builder<'_> {
    /// A place for every iteration's values of a tensor, and the node that fills it.
    pub(super) fn history(&mut self, name: &str, of: TensorId) -> TensorId {
        let (shape, count) = self.shape_of_history(of);
        let name = format!("history.{name}");
        let out = self.graph.float(&name, &shape, TensorKind::Output);
        let copy = CopyFloats {
            dst_step_stride: count,
            ..CopyFloats::contiguous(count)
        };
        self.graph
            .push(Phase::Step, name, copy, &[Some(of), Some(out)]);
        out
    }

    pub(super) fn word_history(&mut self, name: &str, of: TensorId) -> TensorId {
        let (shape, count) = self.shape_of_history(of);
        let name = format!("history.{name}");
        let out = self.graph.word(&name, &shape, TensorKind::Output);
        let copy = CopyWords {
            dst_step_stride: count,
            ..CopyWords::contiguous(count)
        };
        self.graph
            .push(Phase::Step, name, copy, &[Some(of), Some(out)]);
        out
    }

    fn shape_of_history(&self, of: TensorId) -> (Vec<usize>, u32) {
        let tensor = self.graph.tensor(of);
        let shape = [&[self.settings.iterations], &tensor.shape[..]].concat();
        (shape, size(tensor.len()))
    }
}
