//! Gated linear units.

use crate::addressing::{distinct_count, require_positive};
use crate::rows::Rows;
use crate::{
    Activation, Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `out[r, c] = activation(x[r, c]) * x[r, gate_offset + c]` for `rows` rows of `width` outputs (Dauphin
/// et al. 2017; GEGLU and SwiGLU as in Shazeer 2020). NaN in either factor stays NaN.
///
/// A row of x holds the activated part first and the gate `gate_offset` elements after its start.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct GatedActivation {
    /// Rows.
    pub rows: u32,
    /// Elements of a row of out.
    pub width: u32,
    /// First element of x.
    pub x_offset: u32,
    /// Elements between rows of x.
    pub x_row_stride: u32,
    /// Elements from the first activated element of a row to its first gate.
    pub gate_offset: u32,
    /// First element of out.
    pub out_offset: u32,
    /// Elements between rows of out.
    pub out_row_stride: u32,
    /// Which function.
    pub activation: Activation,
}

impl GatedActivation {
    /// Contiguous `[rows, 2 * width]`, the first half of each row activated and the second its gate, to
    /// contiguous `[rows, width]`.
    pub fn halves(rows: u32, width: u32, activation: Activation) -> Self {
        Self {
            rows,
            width,
            x_offset: 0,
            x_row_stride: width.saturating_mul(2),
            gate_offset: width,
            out_offset: 0,
            out_row_stride: width,
            activation,
        }
    }

    fn view(&self, offset: u32, row_stride: u32) -> Rows {
        Rows {
            offset,
            batch: 1,
            batch_stride: 0,
            rows: self.rows,
            row_stride,
            width: self.width,
        }
    }

    fn x(&self) -> Rows {
        self.view(self.x_offset, self.x_row_stride)
    }

    fn out(&self) -> Rows {
        self.view(self.out_offset, self.out_row_stride)
    }
}

impl Kernel for GatedActivation {
    const NAME: &'static str = "gated_activation";
    const SHADER: &'static str = include_str!("../../shaders/gated_activation.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("out")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(Self::NAME, &[("rows", self.rows), ("width", self.width)])?;
        let names = ("out_row_stride", "out_offset");
        self.out().check(Self::NAME, names)?;
        self.activation.check(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let gated = self.x().reach().saturating_add(self.gate_offset as usize);
        vec![gated, self.out().reach()]
    }

    fn cost(&self) -> Cost {
        let outputs = u64::from(self.rows).saturating_mul(u64::from(self.width));
        // The two parts of a row share what of them overlaps.
        let columns = u64::from(self.width) + u64::from(self.gate_offset.min(self.width));
        let read = distinct_count(&[(self.rows, self.x_row_stride)]).saturating_mul(columns);
        Cost {
            flops: outputs.saturating_mul(self.activation.flops() + 1),
            bytes: read.saturating_add(outputs).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&[self.rows, self.width]), 256),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let out = operands.float_mut(1)?;
        let gates = &x[self.gate_offset as usize..];
        let rows = self.x();
        self.out().for_each(
            operands.parallel,
            out,
            #[inline(always)]
            |_, row, out| {
                self.activation
                    .gate_slice(rows.row(x, 0, row), rows.row(gates, 0, row), out);
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::GatedActivation;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Activation, Kernel, KernelError, View};

    fn reference(activation: Activation, x: f64) -> f64 {
        match activation.name() {
            "identity" => x,
            "relu" => x.max(0.0),
            "gelu" => 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2),
            "silu" => x / (1.0 + (-x).exp()),
            "sigmoid" => 1.0 / (1.0 + (-x).exp()),
            other => panic!("no reference for {other}"),
        }
    }

    #[test]
    fn matches_the_formula_in_any_layout() {
        let kinds = [
            Activation::IDENTITY,
            Activation::RELU,
            Activation::GELU,
            Activation::SILU,
            Activation::SIGMOID,
        ];
        for (rows, width) in [(1u32, 1u32), (3, 31), (7, 257), (200, 101)] {
            for activation in kinds {
                let kernel = GatedActivation {
                    x_offset: 2,
                    x_row_stride: 2 * width + 7,
                    gate_offset: width + 3,
                    out_offset: 1,
                    out_row_stride: width + 2,
                    ..GatedActivation::halves(rows, width, activation)
                };
                let extents = kernel.extents();
                let x: Vec<f32> = numbers(extents[0], 3).iter().map(|v| 4.0 * v).collect();
                let mut out = vec![9.0f32; extents[1]];
                run(kernel, vec![View::Float(&x), View::FloatMut(&mut out)]).unwrap();
                let mut expected = vec![9.0f64; out.len()];
                let w = width as usize;
                for r in 0..rows as usize {
                    for c in 0..w {
                        let at = 2 + r * (2 * w + 7) + c;
                        let (value, gate) = (f64::from(x[at]), f64::from(x[at + w + 3]));
                        expected[1 + r * (w + 2) + c] = reference(activation, value) * gate;
                    }
                }
                assert_close(&out, &expected, 3e-6, activation.name());
            }
        }
    }

    #[test]
    fn halves_are_contiguous() {
        let kernel = GatedActivation::halves(2, 3, Activation::RELU);
        assert_eq!(kernel.extents(), [12, 6]);
        let x = [
            1.0f32, -2.0, 3.0, 10.0, 20.0, 30.0, -1.0, 2.0, 0.5, 4.0, 5.0, 6.0,
        ];
        let mut out = [0.0f32; 6];
        run(kernel, vec![View::Float(&x), View::FloatMut(&mut out)]).unwrap();
        assert_eq!(out, [10.0, 0.0, 90.0, 0.0, 10.0, 3.0]);
    }

    #[test]
    fn nan_on_either_side_stays_nan() {
        for (_, activation) in Activation::ALL {
            let kernel = GatedActivation::halves(1, 2, *activation);
            let x = [f32::NAN, 1.0, 1.0, f32::NAN];
            let mut out = [0.0f32; 2];
            run(kernel, vec![View::Float(&x), View::FloatMut(&mut out)]).unwrap();
            assert!(out[0].is_nan() && out[1].is_nan(), "{}", activation.name());
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch() {
        let (rows, width) = (300u32, 77u32);
        let x = numbers((2 * rows * width) as usize, 5);
        let gated = |rows: u32, x: &[f32]| {
            let mut out = vec![0.0f32; x.len() / 2];
            let kernel = GatedActivation::halves(rows, width, Activation::GELU);
            run(kernel, vec![View::Float(x), View::FloatMut(&mut out)]).unwrap();
            out
        };
        let all = gated(rows, &x);
        let width = width as usize;
        for (x, out) in x.chunks(2 * width).zip(all.chunks(width)) {
            assert_eq!(gated(1, x), out);
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = GatedActivation::halves(3, 4, Activation::RELU);
        good.check().unwrap();
        assert_refuses(GatedActivation { rows: 0, ..good }, "rows");
        assert_refuses(GatedActivation { width: 0, ..good }, "width");
        let overlapping = GatedActivation {
            out_row_stride: 3,
            ..good
        };
        assert_refuses(overlapping, "out_row_stride");
        let unknown: Activation = bytemuck::cast(99u32);
        assert_refuses(GatedActivation::halves(1, 1, unknown), "activation");
        let far = GatedActivation {
            gate_offset: u32::MAX,
            x_row_stride: u32::MAX,
            ..good
        };
        assert_eq!(far.extents()[0], 3 * u32::MAX as usize + 4);
        let short = [0.0f32; 23];
        let mut out = [0.0f32; 12];
        let error = run(good, vec![View::Float(&short), View::FloatMut(&mut out)]).unwrap_err();
        assert!(matches!(error, KernelError::Operand { operand, .. } if operand == "x"));
        assert_eq!((good.cost().flops, good.cost().bytes), (24, 36 * 4));
    }
}
