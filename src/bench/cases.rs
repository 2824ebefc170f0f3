//! What each kernel is measured on: the shapes that the shipped planner gives it with eight examples,
//! and larger ones that keep a GPU busy.

mod control;
mod exponents;
mod mazes;
mod network;
mod planning;
mod plans;
mod pointwise_tangents;
mod sampling;
mod solvers;
mod tangents;
mod training;
mod world_models;

use super::Array;
use super::array::{mixed, unit};
use attractor_kernels::activation::Activate;
use attractor_kernels::argmax::ArgMax;
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::reduce::{Reduce, Reduction};
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::roofline_copy::RooflineCopy;
use attractor_kernels::roofline_fma::RooflineFma;
use attractor_kernels::rotary::{Rotary, RotaryPairs};
use attractor_kernels::sim_norm::SimNorm;
use attractor_kernels::softmax::Softmax;
use attractor_kernels::{Access, Activation, AnyKernel, Element, KernelId};

/// How an operand is filled.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// Numbers in [-1, 1) times a factor.
    Signed(f32),
    /// Numbers in [0, 1).
    Unit,
    /// Words below a bound.
    Below(u32),
    /// Half the words the mask token of this number, the rest tokens below it.
    HalfMasked(u32),
    /// For the sequences of [`Fill::HalfMasked`]: positive infinity where masked, else [0, 1).
    Psi(u32),
    /// Matrices of this many columns, row after row, and rows: numbers in [-1, 1), on the diagonal 6 more.
    Dominant(usize, usize),
    /// Exactly these numbers.
    Exactly(Vec<f32>),
    /// Exactly these words.
    Words(Vec<u32>),
}

impl Fill {
    fn word(&self, index: usize, salt: u64) -> u32 {
        match self {
            Self::Below(bound) => mixed(index, salt) % (*bound).max(1),
            Self::HalfMasked(mask) => held(index, *mask),
            Self::Words(words) => words.get(index).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn float(&self, index: usize, salt: u64) -> f32 {
        match self {
            Self::Signed(factor) => factor * (2.0 * unit(index, salt) - 1.0),
            Self::Dominant(columns, rows) => {
                let within = index % (columns * rows).max(1);
                let on_diagonal =
                    within.is_multiple_of((columns + 1).max(1)) && within < columns * columns;
                2.0 * unit(index, salt) - 1.0 + if on_diagonal { 6.0 } else { 0.0 }
            }
            Self::Psi(mask) if held(index, *mask) == *mask => f32::INFINITY,
            Self::Exactly(values) => values.get(index).copied().unwrap_or(0.0),
            _ => unit(index, salt),
        }
    }
}

/// Token of a half-masked sequence; the same wherever it is asked for.
fn held(index: usize, mask: u32) -> u32 {
    (mixed(index, 77) % (2 * mask).max(1)).min(mask)
}

/// How far results may lie from the double-precision twin's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Length K of the longest sum: floats may be off by `4e-7 sqrt(K)` of the largest result, plus 1e-6.
    pub terms: usize,
    /// Share of elements that may be off entirely: decisions on a threshold that rounding crosses.
    pub outliers: f64,
}

/// A kernel with parameters and contents to measure it on.
#[derive(Debug, Clone)]
pub struct Case {
    /// The shape in words.
    pub name: String,
    /// Kernel and parameters.
    pub kernel: AnyKernel,
    /// Contents of operands that are not filled with [-1, 1), or with words of 0.
    pub fills: Vec<(usize, Fill)>,
    /// Operands that are weights.
    pub constants: &'static [usize],
    /// What agreement is asked for.
    pub tolerance: Tolerance,
}

impl Case {
    fn new(name: impl Into<String>, terms: u32, kernel: impl Into<AnyKernel>) -> Self {
        Self {
            name: name.into(),
            kernel: kernel.into(),
            fills: Vec::new(),
            constants: &[],
            tolerance: Tolerance {
                terms: terms as usize,
                outliers: 0.0,
            },
        }
    }

    fn fill(mut self, operand: usize, fill: Fill) -> Self {
        self.fills.push((operand, fill));
        self
    }

    fn weights(mut self, operands: &'static [usize]) -> Self {
        self.constants = operands;
        self
    }

    /// One decision in ten thousand may fall on the other side of its threshold: far more than rounding
    /// can bring about, far fewer than a wrong kernel would.
    fn decides(mut self) -> Self {
        self.tolerance.outliers = 1e-4;
        self
    }

    /// Contents of every operand, in binding order. What a kernel only writes starts as zeros.
    pub fn operands(&self) -> Vec<Array> {
        let extents = self.kernel.extents();
        let table = self.kernel.id().operands();
        let one = |(index, (operand, &count)): (usize, (&attractor_kernels::Operand, &usize))| {
            let fill = self.fills.iter().find(|(i, _)| *i == index);
            let fill = fill.map_or(Fill::Signed(1.0), |(_, fill)| fill.clone());
            let salt = index as u64 + 1;
            match (operand.element, operand.access) {
                _ if count == 0 => Array::Absent,
                (Element::Float, Access::Write) => Array::Float(vec![0.0; count]),
                (Element::Word, Access::Write) => Array::Word(vec![0; count]),
                (Element::Float, _) => {
                    Array::Float((0..count).map(|i| fill.float(i, salt)).collect())
                }
                (Element::Word, _) => Array::Word((0..count).map(|i| fill.word(i, salt)).collect()),
            }
        };
        table.iter().zip(&extents).enumerate().map(one).collect()
    }
}

/// Actions of the planner's vocabulary, which is also its mask token.
const ACTIONS: u32 = 12;
/// Actions of a plan.
const LENGTH: u32 = 32;
/// Positions that the transformer sees: one local and eight global tokens, and the actions.
const POSITIONS: u32 = 41;
/// Width of the transformer.
const WIDTH: u32 = 128;
/// Examples of the planner's cases.
const EXAMPLES: u32 = 8;
/// Examples that keep a GPU busy.
const MANY: u32 = 1024;

/// The cases of a kernel: the planner's shapes, and with `large` also some that fill a GPU.
pub fn cases(id: KernelId, large: bool) -> Vec<Case> {
    let batches: &[u32] = if large {
        &[EXAMPLES, MANY]
    } else {
        &[EXAMPLES]
    };
    batches
        .iter()
        .flat_map(|&batch| of_batch(id, batch))
        .collect()
}

fn of_batch(id: KernelId, batch: u32) -> Vec<Case> {
    match id {
        KernelId::MatMul
        | KernelId::Attention
        | KernelId::Conv2d
        | KernelId::AdaptiveAveragePool
        | KernelId::Embedding => network::cases(id, batch),
        KernelId::Categorical
        | KernelId::Philox
        | KernelId::PhysicsOverride
        | KernelId::RemaskBernoulli
        | KernelId::UnmaskTop => sampling::cases(id, batch),
        KernelId::AdaptiveStep
        | KernelId::OdeEnsemble
        | KernelId::RungeKutta
        | KernelId::TangentEnsemble
        | KernelId::TimeFeatures => solvers::cases(id, batch),
        KernelId::MazeRollout | KernelId::MazeSelect => mazes::cases(id, batch),
        KernelId::Adam | KernelId::MeanSquaredError => training::cases(id, batch),
        KernelId::ControlStep | KernelId::ControlStepTangent => control::cases(id, batch),
        KernelId::CompensatedSum | KernelId::Qr => exponents::cases(id, batch),
        KernelId::PlanDraw | KernelId::PlanRefit | KernelId::PlanSelect | KernelId::PlanTrack => {
            plans::cases(id, batch)
        }
        KernelId::GaussianPolicy | KernelId::TwoHot | KernelId::TwoHotEncode => {
            world_models::cases(id, batch)
        }
        KernelId::MppiChoose
        | KernelId::MppiReturn
        | KernelId::MppiSample
        | KernelId::MppiUpdate => planning::cases(id, batch),
        KernelId::ActivateTangent
        | KernelId::ElementwiseTangent
        | KernelId::GatedActivationTangent
        | KernelId::ReduceTangent
        | KernelId::SimNormTangent
        | KernelId::SoftmaxTangent
        | KernelId::TimeFeaturesTangent => pointwise_tangents::cases(id, batch),
        KernelId::AttentionTangent | KernelId::LayerNormTangent | KernelId::RmsNormTangent => {
            tangents::cases(id, batch)
        }
        _ => arrays(id, batch),
    }
}

/// The kernels that work on rows or on plain arrays.
fn arrays(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = batch * POSITIONS;
    let count = rows * WIDTH;
    let shape = format!("{rows} rows of 128");
    let case = match id {
        KernelId::Activate => {
            let kernel = Activate::of(Activation::GELU, 4 * count);
            Case::new(format!("{} gelu", 4 * count), 1, kernel)
        }
        KernelId::ArgMax => {
            let kernel = ArgMax::middle(batch * LENGTH, 512, 1);
            Case::new(format!("{} rows of 512", batch * LENGTH), 1, kernel)
        }
        KernelId::CopyFloats => {
            let into = [POSITIONS * WIDTH, WIDTH, 1, 1];
            let from = [LENGTH * WIDTH, WIDTH, 1, 1];
            let kernel = CopyFloats::strided([batch, LENGTH, WIDTH, 1], from, into);
            Case::new(format!("{batch} examples, 32 of 41 rows of 128"), 1, kernel)
        }
        KernelId::CopyWords => {
            let kernel = CopyWords::contiguous(count);
            let case = Case::new(format!("{count} contiguous"), 1, kernel);
            case.fill(0, Fill::Below(u32::MAX))
        }
        KernelId::Elementwise => {
            let kernel = Elementwise::contiguous(Operation::ADD, count);
            Case::new(format!("{count} added"), 1, kernel)
        }
        KernelId::GatedActivation => {
            // The decoder of a flow policy: 32 draws a frame, 12 tokens each.
            let rows = 12 * batch * LENGTH;
            let kernel = GatedActivation::halves(rows, 2 * WIDTH, Activation::GELU);
            Case::new(format!("{rows} rows of 256, gelu"), 1, kernel)
        }
        KernelId::LayerNorm => {
            let flags = LayerNorm::WEIGHT | LayerNorm::BIAS;
            let kernel = LayerNorm::contiguous(batch, POSITIONS, WIDTH, 1e-5, flags);
            Case::new(shape, WIDTH, kernel).weights(&[1, 2])
        }
        KernelId::RmsNorm => {
            let kernel = RmsNorm::contiguous(batch, POSITIONS, WIDTH, 1e-5, RmsNorm::WEIGHT);
            Case::new(shape, WIDTH, kernel).weights(&[1])
        }
        KernelId::Reduce => {
            let kernel = Reduce::middle(Reduction::SUM, batch * LENGTH, 512, 1);
            Case::new(format!("{} rows of 512, sum", batch * LENGTH), 512, kernel)
        }
        KernelId::RooflineCopy => {
            let kernel = RooflineCopy { count: 4 * count };
            Case::new(format!("{} floats", 4 * count), 1, kernel)
        }
        KernelId::RooflineFma => {
            let kernel = RooflineFma::new(8 * batch * LENGTH, 256);
            Case::new(format!("{} chains of 256", 8 * batch * LENGTH), 256, kernel)
        }
        KernelId::Rotary => {
            let kernel = Rotary::fused(batch, POSITIONS, 4, 32, RotaryPairs::INTERLEAVED);
            let name = format!("{batch} examples, 41 rows, 4 heads of 32, fused");
            Case::new(name, 1, kernel).weights(&[1, 2])
        }
        KernelId::SimNorm => {
            let kernel = SimNorm::contiguous(batch * LENGTH, 512, 8);
            Case::new(
                format!("{} rows of 512, groups of 8", batch * LENGTH),
                8,
                kernel,
            )
        }
        KernelId::Softmax => {
            let kernel = Softmax::contiguous(4 * rows, POSITIONS);
            Case::new(format!("{} rows of 41", 4 * rows), POSITIONS, kernel)
        }
        // The other kernels are in the groups above; `every_kernel_has_a_case` holds this to account.
        _ => return Vec::new(),
    };
    vec![case]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_a_case_that_holds_together() {
        for &id in KernelId::ALL {
            let all = cases(id, true);
            assert!(!all.is_empty(), "{} is not measured", id.name());
            assert!(cases(id, false).len() <= all.len());
            for case in all {
                case.kernel.check().unwrap();
                assert_eq!(case.kernel.id(), id);
                assert_eq!(case.kernel.extents().len(), id.operands().len());
            }
        }
    }

    #[test]
    fn operands_are_as_long_as_the_kernel_asks() {
        for &id in KernelId::ALL {
            for case in cases(id, false) {
                let lengths: Vec<_> = case.operands().iter().map(Array::len).collect();
                assert_eq!(lengths, case.kernel.extents(), "{}", case.name);
            }
        }
    }
}
