//! Layer norm with optional affine and modulation stages.

use crate::Real;
use crate::lanes::lane_sum;
use crate::row_norm::row_norm;

row_norm! {
    /// `y = ((x - mean) / sqrt(variance + epsilon) * weight + bias) * (1 + scale) + shift` for every row
    /// of `x`, `[batch, rows, width]` (Ba, Kiros, Hinton 2016; the modulation is adaptive layer norm as in
    /// Peebles, Xie 2023). The variance is biased and taken in a second pass about the mean.
    ///
    /// The result goes through `activation`, the identity if not set. Columns are contiguous; rows of x and y are addressed by offsets and strides in elements.
    LayerNorm, "layer_norm", "../../shaders/layer_norm.wgsl",
    // Mean: add. Variance: subtract, multiply, add. Result: multiply by the reciprocal root.
    // A row: two divisions, epsilon, root, reciprocal.
    cost: (5, 5), statistics: statistics
}

/// (mean, 1 / sqrt(variance + epsilon)).
#[inline(always)]
pub(crate) fn statistics<T: Real>(row: &[T], epsilon: T) -> (T, T) {
    let count = T::from_f64(row.len() as f64);
    let mean = lane_sum(row, |v| v) / count;
    let variance = lane_sum(row, |v| (v - mean) * (v - mean)) / count;
    (mean, T::ONE / (variance + epsilon).sqrt())
}

#[cfg(test)]
mod tests {
    use super::LayerNorm;
    use crate::test_support::{assert_close, assert_refuses, numbers, run, widen};
    use crate::{Activation, Kernel, KernelError, View};

    fn reference(x: &[f64], epsilon: f64) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        x.iter()
            .map(|v| (v - mean) / (variance + epsilon).sqrt())
            .collect()
    }

    #[test]
    fn matches_the_formula_with_every_stage() {
        for (batch, rows, width) in [(1, 1, 1), (2, 3, 31), (3, 5, 33), (2, 7, 257)] {
            let (b, r, w) = (batch as usize, rows as usize, width as usize);
            let kernel = LayerNorm {
                x_offset: 3,
                x_row_stride: width + 2,
                x_batch_stride: rows * (width + 2) + 1,
                y_offset: 1,
                y_row_stride: batch * width + 1,
                y_batch_stride: width,
                scale_offset: 2,
                scale_batch_stride: 2 * width,
                scale_step_stride: 5,
                shift_batch_stride: 0,
                shift_row_stride: width + 3,
                shift_step_stride: 1,
                ..LayerNorm::contiguous(batch, rows, width, 1e-5, 7)
            }
            .at_step(4);
            let extents = kernel.extents();
            let operand = |i: usize| numbers(extents[i], i as u64);
            let (x, weight, bias) = (operand(0), operand(1), operand(2));
            let (scale, shift) = (operand(3), operand(4));
            let mut y = vec![9.0f32; extents[5]];
            let views = vec![
                View::Float(&x),
                View::Float(&weight),
                View::Float(&bias),
                View::Float(&scale),
                View::Float(&shift),
                View::FloatMut(&mut y),
            ];
            run(kernel, views).unwrap();
            let mut expected = vec![9.0f64; extents[5]];
            for i in 0..b {
                for j in 0..r {
                    let start = 3 + i * (r * (w + 2) + 1) + j * (w + 2);
                    let row = reference(&widen(&x[start..start + w]), 1e-5);
                    for (c, v) in row.iter().enumerate() {
                        let affine = v * f64::from(weight[c]) + f64::from(bias[c]);
                        let s = f64::from(scale[2 + 4 * 5 + i * 2 * w + c]);
                        expected[1 + i * w + j * (b * w + 1) + c] =
                            affine * (1.0 + s) + f64::from(shift[4 + j * (w + 3) + c]);
                    }
                }
            }
            assert_close(&y, &expected, 8e-6, "layer_norm");
        }
    }

    #[test]
    fn an_activation_follows_the_last_stage() {
        for width in [1u32, 33, 384] {
            let flags = LayerNorm::WEIGHT | LayerNorm::BIAS;
            let plain = LayerNorm::contiguous(1, 3, width, 1e-5, flags);
            let activated = LayerNorm {
                activation: Activation::MISH,
                ..plain
            };
            let inputs = [3 * width, width, width].map(|count| numbers(count as usize, 8));
            let norm = |kernel| {
                let mut y = vec![0.0f32; 3 * width as usize];
                let mut views: Vec<View<'_, f32>> = (0..6).map(|_| View::Absent).collect();
                for (view, x) in views.iter_mut().zip(&inputs) {
                    *view = View::Float(x);
                }
                views[5] = View::FloatMut(&mut y);
                run(kernel, views).unwrap();
                y
            };
            let expected: Vec<f32> = norm(plain)
                .into_iter()
                .map(|v| Activation::MISH.apply(v))
                .collect();
            assert_eq!(norm(activated), expected);
        }
    }

    #[test]
    fn a_far_mean_does_not_cancel() {
        let x: Vec<f32> = numbers(64, 3).iter().map(|v| 1000.0 + v).collect();
        let mut y = vec![0.0f32; 64];
        let kernel = LayerNorm::contiguous(1, 1, 64, 1e-5, 0);
        let mut views: Vec<View<'_, f32>> = (0..6).map(|_| View::Absent).collect();
        views[0] = View::Float(&x);
        views[5] = View::FloatMut(&mut y);
        run(kernel, views).unwrap();
        // Inputs near 1000 carry an error of 3e-5 in the mean, against a deviation of about 0.6.
        assert_close(&y, &reference(&widen(&x), 1e-5), 2e-4, "far mean");
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch() {
        let (rows, width) = (600u32, 77u32);
        let x = numbers((rows * width) as usize, 5);
        let norm = |rows: u32, x: &[f32]| {
            let mut y = vec![0.0f32; x.len()];
            let mut views: Vec<View<'_, f32>> = (0..6).map(|_| View::Absent).collect();
            views[0] = View::Float(x);
            views[5] = View::FloatMut(&mut y);
            run(LayerNorm::contiguous(1, rows, width, 1e-5, 0), views).unwrap();
            y
        };
        let all = norm(rows, &x);
        for (x, y) in x.chunks(width as usize).zip(all.chunks(width as usize)) {
            assert_eq!(norm(1, x), y);
        }
    }

    #[test]
    fn bad_parameters_are_refused() {
        let good = LayerNorm::contiguous(2, 3, 4, 1e-5, 0);
        good.check().unwrap();
        assert_refuses(LayerNorm { batch: 0, ..good }, "batch");
        assert_refuses(LayerNorm { rows: 0, ..good }, "rows");
        assert_refuses(LayerNorm { width: 0, ..good }, "width");
        assert_refuses(LayerNorm { flags: 8, ..good }, "flags");
        assert_refuses(
            LayerNorm {
                y_row_stride: 3,
                ..good
            },
            "y_row_stride",
        );
        for epsilon in [-1.0, f32::NAN, f32::INFINITY] {
            assert_refuses(LayerNorm { epsilon, ..good }, "epsilon");
        }
        let far = LayerNorm {
            flags: 7,
            shift_step_stride: u32::MAX,
            ..good
        };
        assert_eq!(far.at_step(0).extents()[4], 8);
        assert!(far.at_step(u32::MAX).extents()[4] > u32::MAX as usize);
        assert_eq!(far.at_step(u32::MAX).extents()[3], 8);
        let x = [0.0f32; 23];
        let mut y = [0.0f32; 24];
        let mut views: Vec<View<'_, f32>> = (0..6).map(|_| View::Absent).collect();
        views[0] = View::Float(&x);
        views[5] = View::FloatMut(&mut y);
        let error = run(good, views).unwrap_err();
        assert!(matches!(error, KernelError::Operand { operand, .. } if operand == "x"));
    }

    #[test]
    fn cost_counts_every_operand_once() {
        let plain = LayerNorm::contiguous(2, 3, 4, 1e-5, 0).cost();
        assert_eq!((plain.flops, plain.bytes), (24 * 5 + 6 * 5, 2 * 24 * 4));
        let full = LayerNorm {
            shift_batch_stride: 0,
            ..LayerNorm::contiguous(2, 3, 4, 1e-5, 7)
        };
        let full = full.cost();
        assert_eq!(full.flops, 24 * 9 + 6 * 5 + 8);
        assert_eq!(full.bytes, (48 + 4 + 4 + 8 + 4) * 4);
        let by_row = LayerNorm {
            scale_batch_stride: 12,
            scale_row_stride: 4,
            shift_batch_stride: 0,
            shift_row_stride: 4,
            ..LayerNorm::contiguous(2, 3, 4, 1e-5, 7)
        };
        let by_row = by_row.cost();
        assert_eq!(by_row.flops, 24 * 9 + 6 * 5 + 24);
        assert_eq!(by_row.bytes, (48 + 4 + 4 + 24 + 12) * 4);
    }
}
