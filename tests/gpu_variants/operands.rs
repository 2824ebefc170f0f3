//! What the kernels are given.

use crate::common::{Array, values};
use attractor_kernels::{Access, AnyKernel, Element, KernelId};

/// Tangents that lean a little from the axes, far from linear dependence.
fn leaning(kernel: &AnyKernel, mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value *= 0.2);
    if let AnyKernel::TangentEnsemble(kernel) = kernel {
        for (i, j) in
            (0..kernel.trajectories).flat_map(|i| (0..kernel.tangents).map(move |j| (i, j)))
        {
            let axis = j * kernel.component_stride + i * kernel.example_stride;
            values[(axis + j * kernel.tangent_stride) as usize] += 1.0;
        }
    }
    values
}

/// Operands as long as the kernel asks for: floats in `[0, 1)`, words below 7, nines where it only writes.
pub fn operands(kernel: &AnyKernel) -> Vec<Array> {
    let table = kernel.id().operands().iter();
    let is_ensemble = [KernelId::OdeEnsemble, KernelId::TangentEnsemble].contains(&kernel.id());
    let given = table.zip(kernel.extents()).enumerate();
    let mut given: Vec<Array> = given
        .map(|(salt, (operand, count))| {
            let unit = values(count, salt as u64).into_iter();
            let unit = unit.map(|v| 0.5 * v + 0.5);
            match (operand.element, operand.access) {
                _ if count == 0 => Array::Absent,
                // So far from zero that no system loses a direction.
                (Element::Float, _) if operand.name == "parameters" && is_ensemble => {
                    Array::Float(unit.map(|v| 0.5 + 0.5 * v).collect())
                }
                (Element::Float, _) if operand.name == "tangent" && is_ensemble => {
                    Array::Float(leaning(kernel, unit.collect()))
                }
                // Where a run under step control must begin.
                (Element::Float, _) if operand.name == "control" => Array::Float(vec![0.0; count]),
                (Element::Word, _) if is_ensemble => Array::Word(vec![0; count]),
                (Element::Float, Access::Write) => Array::Float(vec![9.0; count]),
                (Element::Word, Access::Write) => Array::Word(vec![9; count]),
                (Element::Float, _) => Array::Float(unit.collect()),
                (Element::Word, _) => Array::Word(unit.map(|v| (v * 7.0) as u32).collect()),
            }
        })
        .collect();
    if let (AnyKernel::Qr(qr), Some(Array::Float(w))) = (kernel, given.first_mut()) {
        // So heavy on the diagonal that rounding turns no column by much more than itself.
        for b in 0..qr.batch {
            for i in 0..qr.columns {
                let at = qr.offset + b * qr.batch_stride + i * (qr.row_stride + qr.column_stride);
                w[at as usize] += 40.0;
            }
        }
    }
    given
}
