//! Which elements of an operand a node writes.

use super::layers::size;
use attractor_kernels::runge_kutta::RungeKutta;
use attractor_kernels::{Access, AnyKernel, element_count};

/// Elements `offset + step * step_stride + sum_d index_d * stride_d` of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Region {
    pub offset: u32,
    pub step_stride: u32,
    /// (count, stride) of every dimension, outermost first.
    pub dimensions: Vec<(u32, u32)>,
}

impl Region {
    /// The same at every step.
    pub fn new(offset: u32, dimensions: &[(u32, u32)]) -> Self {
        Self {
            offset,
            step_stride: 0,
            dimensions: dimensions.to_vec(),
        }
    }

    fn run(offset: u32, count: usize) -> Self {
        Self::new(offset, &[(size(count), 1)])
    }

    /// Elements.
    pub fn len(&self) -> usize {
        let counts: Vec<u32> = self.dimensions.iter().map(|(count, _)| *count).collect();
        element_count(&counts)
    }

    /// Elements at step 0, in order.
    pub fn elements(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|position| {
            let mut rest = position;
            let mut element = self.offset as usize;
            for &(count, stride) in self.dimensions.iter().rev() {
                let count = (count as usize).max(1);
                element = element.saturating_add((rest % count).saturating_mul(stride as usize));
                rest /= count;
            }
            element
        })
    }

    /// Whether no element surely comes twice: each dimension steps over all that those of smaller stride
    /// reach.
    pub fn is_distinct(&self) -> bool {
        let mut used: Vec<_> = self
            .dimensions
            .iter()
            .filter(|(count, _)| *count > 1)
            .collect();
        used.sort_by_key(|(_, stride)| *stride);
        let mut span = 1u64;
        used.into_iter().all(|&(count, stride)| {
            let apart = u64::from(stride) >= span;
            span = span.saturating_add(u64::from(count - 1).saturating_mul(u64::from(stride)));
            apart
        })
    }
}

/// Whether a node writes its operand number `operand` without reading it.
pub(super) fn overwrites(kernel: &AnyKernel, operand: usize) -> bool {
    let access = kernel.id().operands().get(operand).map(|o| o.access);
    match (kernel, access) {
        (_, Some(Access::Write)) => true,
        // With a base of its own the sum does not read its output.
        (AnyKernel::RungeKutta(k), Some(Access::ReadWrite)) => k.has(RungeKutta::X),
        _ => false,
    }
}

/// What a node writes of its operand number `operand`, whatever the values; none where that depends on
/// them, or is not known.
pub(super) fn written(kernel: &AnyKernel, operand: usize) -> Option<Region> {
    let whole = || {
        let extent = kernel.extents().get(operand).copied();
        extent.map(|count| Region::run(0, count))
    };
    let rows = |offset, batch, rows, width| Region::new(offset, &[batch, rows, (width, 1)]);
    let outputs = kernel.id().operands();
    if outputs.get(operand)?.access == Access::Read {
        return None;
    }
    Some(match kernel {
        AnyKernel::Activate(k) => Region::run(k.y_offset, k.count as usize),
        AnyKernel::AdaptiveAveragePool(_)
        | AnyKernel::ArgMax(_)
        | AnyKernel::Conv2d(_)
        | AnyKernel::MeanSquaredError(_)
        | AnyKernel::Philox(_)
        | AnyKernel::RooflineCopy(_)
        | AnyKernel::RooflineFma(_)
        | AnyKernel::RungeKutta(_)
        | AnyKernel::TimeFeatures(_) => whole()?,
        AnyKernel::Attention(k) => rows(
            k.out_offset,
            (k.batch, k.out_batch_stride),
            (k.q_rows, k.out_row_stride),
            k.heads.saturating_mul(k.head_dim),
        ),
        AnyKernel::ControlStep(k) => rows(
            k.next_offset,
            (1, 0),
            (k.rows, k.next_row_stride),
            k.system.observation(),
        ),
        AnyKernel::CopyFloats(k) => Region {
            step_stride: k.dst_step_stride,
            ..Region::new(
                k.dst_offset,
                &[
                    (k.shape_0, k.dst_stride_0),
                    (k.shape_1, k.dst_stride_1),
                    (k.shape_2, k.dst_stride_2),
                    (k.shape_3, k.dst_stride_3),
                ],
            )
        },
        AnyKernel::Elementwise(k) => Region::run(
            k.out_offset,
            element_count(&[k.shape_0, k.shape_1, k.shape_2, k.shape_3]),
        ),
        AnyKernel::Embedding(k) => rows(
            k.out_offset,
            (k.batch, k.out_batch_stride),
            (k.rows, k.out_row_stride),
            k.width,
        ),
        AnyKernel::GatedActivation(k) => {
            rows(k.out_offset, (1, 0), (k.rows, k.out_row_stride), k.width)
        }
        AnyKernel::LayerNorm(k) => rows(
            k.y_offset,
            (k.batch, k.y_batch_stride),
            (k.rows, k.y_row_stride),
            k.width,
        ),
        AnyKernel::RmsNorm(k) => rows(
            k.y_offset,
            (k.batch, k.y_batch_stride),
            (k.rows, k.y_row_stride),
            k.width,
        ),
        AnyKernel::MatMul(k) => rows(
            k.c_offset,
            (k.batch, k.c_batch_stride),
            (k.m, k.c_row_stride),
            k.n,
        ),
        AnyKernel::Reduce(k) => Region::run(k.y_offset, element_count(&[k.outer, k.inner])),
        AnyKernel::Rotary(k) => rows(
            k.x_offset,
            (k.batch, k.x_batch_stride),
            (k.rows, k.x_row_stride),
            k.heads.saturating_mul(k.head_dim),
        ),
        AnyKernel::SimNorm(k) => rows(k.y_offset, (1, 0), (k.rows, k.y_row_stride), k.width),
        AnyKernel::Softmax(k) => rows(k.y_offset, (1, 0), (k.rows, k.y_row_stride), k.width),
        _ => return None,
    })
}
