//! Root-mean-square norm with optional affine and modulation stages.

use crate::Real;
use crate::lanes::lane_sum;
use crate::row_norm::row_norm;

row_norm! {
    /// `y = (x / sqrt(mean(x^2) + epsilon) * weight + bias) * (1 + scale) + shift` for every row of `x`,
    /// `[batch, rows, width]` (Zhang, Sennrich 2019; weight, bias and modulation as flagged).
    ///
    /// The result goes through `activation`, the identity if not set. Columns are contiguous; rows of x and y are addressed by offsets and strides in elements.
    RmsNorm, "rms_norm", "../../shaders/rms_norm.wgsl",
    // Square, add; multiply by the reciprocal root. A row: division, epsilon, root, reciprocal.
    cost: (4, 3), statistics: statistics
}

/// (0, 1 / sqrt(mean(x^2) + epsilon)).
#[inline(always)]
pub(crate) fn statistics<T: Real>(row: &[T], epsilon: T) -> (T, T) {
    let count = T::from_f64(row.len() as f64);
    let mean_square = lane_sum(row, |v| v * v) / count;
    (T::ZERO, T::ONE / (mean_square + epsilon).sqrt())
}

#[cfg(test)]
mod tests {
    use super::RmsNorm;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    #[test]
    fn matches_the_formula() {
        for (batch, rows, width) in [(1u32, 1u32, 1u32), (2, 3, 33), (3, 2, 127)] {
            let flags = RmsNorm::WEIGHT | RmsNorm::MODULATION;
            let kernel = RmsNorm {
                scale_batch_stride: rows * width,
                scale_row_stride: width,
                shift_step_stride: 7,
                ..RmsNorm::contiguous(batch, rows, width, 1e-6, flags)
            }
            .at_step(3);
            let extents = kernel.extents();
            let operand = |i: usize| numbers(extents[i], i as u64);
            let (x, weight, scale, shift) = (operand(0), operand(1), operand(3), operand(4));
            let mut y = vec![0.0f32; extents[5]];
            let views = vec![
                View::Float(&x),
                View::Float(&weight),
                View::Absent,
                View::Float(&scale),
                View::Float(&shift),
                View::FloatMut(&mut y),
            ];
            run(kernel, views).unwrap();
            let w = width as usize;
            let mut expected = Vec::new();
            for (index, row) in x.chunks(w).enumerate() {
                let squares: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
                let root = (squares / w as f64 + 1e-6).sqrt();
                let example = index / rows as usize;
                for (c, v) in row.iter().enumerate() {
                    let normed = f64::from(*v) / root * f64::from(weight[c]);
                    let factor = 1.0 + f64::from(scale[index * w + c]);
                    expected.push(normed * factor + f64::from(shift[21 + example * w + c]));
                }
            }
            assert_close(&y, &expected, 4e-6, "rms_norm");
        }
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let x = [0.0f32; 5];
        let mut y = [1.0f32; 5];
        let mut views: Vec<View<'_, f32>> = (0..6).map(|_| View::Absent).collect();
        views[0] = View::Float(&x);
        views[5] = View::FloatMut(&mut y);
        run(RmsNorm::contiguous(1, 1, 5, 1e-6, 0), views).unwrap();
        assert_eq!(y, [0.0; 5]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = RmsNorm::contiguous(2, 3, 4, 1e-6, 1);
        good.check().unwrap();
        assert_refuses(RmsNorm { width: 0, ..good }, "width");
        assert_refuses(
            RmsNorm {
                epsilon: f32::NAN,
                ..good
            },
            "epsilon",
        );
        assert_eq!(good.cost().flops, 24 * 4 + 6 * 4);
        assert_eq!(good.cost().bytes, (48 + 4) * 4);
    }
}
