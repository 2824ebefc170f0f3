//! Average pooling to a given size.

use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;
use std::ops::Range;

/// `[batch, height, width, channels]` to `[batch, out_height, out_width, channels]`, both contiguous:
/// every output pixel is the mean over its bin. Bin i of n over a length l is
/// `floor(i l / n) .. ceil((i + 1) l / n)`, as PyTorch's `nn.AdaptiveAvgPool2d`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct AdaptiveAveragePool {
    /// Examples.
    pub batch: u32,
    /// Rows of an input image.
    pub height: u32,
    /// Columns of an input image.
    pub width: u32,
    /// Numbers of a pixel.
    pub channels: u32,
    /// Rows of an output image.
    pub out_height: u32,
    /// Columns of an output image.
    pub out_width: u32,
}

/// Bin `index` of `count` over `length` elements.
fn bin(index: usize, length: u32, count: u32) -> Range<usize> {
    let (length, count) = (length as usize, count as usize);
    index * length / count..((index + 1) * length).div_ceil(count)
}

impl Kernel for AdaptiveAveragePool {
    const NAME: &'static str = "adaptive_average_pool";
    const SHADER: &'static str = include_str!("../../shaders/adaptive_average_pool.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::input("x"), Operand::output("out")];

    fn check(&self) -> Result<(), KernelError> {
        for (parameter, value) in [
            ("batch", self.batch),
            ("height", self.height),
            ("width", self.width),
            ("channels", self.channels),
            ("out_height", self.out_height),
            ("out_width", self.out_width),
        ] {
            if value == 0 {
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    "at least 1",
                    0,
                ));
            }
        }
        // The shader multiplies bin indices by lengths in 32 bits.
        for (parameter, length, count) in [
            ("height", self.height, self.out_height),
            ("width", self.width, self.out_width),
        ] {
            if (u64::from(count) + 1) * u64::from(length) > u64::from(u32::MAX) {
                let expected = format!("less than 2^32 / ({count} + 1)");
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    expected,
                    length,
                ));
            }
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        vec![
            element_count(&[self.batch, self.height, self.width, self.channels]),
            element_count(&[self.batch, self.out_height, self.out_width, self.channels]),
        ]
    }

    fn cost(&self) -> Cost {
        let covered = |length, count: u32| -> u64 {
            (0..count as usize)
                .map(|i| bin(i, length, count).len() as u64)
                .sum()
        };
        let pixels = covered(self.height, self.out_height)
            .saturating_mul(covered(self.width, self.out_width));
        let lines = element_count(&[self.batch, self.channels]) as u64;
        let elements: u64 = self.extents().iter().map(|e| *e as u64).sum();
        Cost {
            flops: pixels.saturating_mul(lines),
            bytes: elements.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let items = element_count(&[self.batch, self.out_height, self.out_width, self.channels]);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(items, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        let rows = u64::from(self.height / self.out_height.max(1)) + 2;
        let columns = u64::from(self.width / self.out_width.max(1)) + 2;
        rows.saturating_mul(columns + 2).saturating_add(1)
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let x = operands.float(0)?;
        let parallel = operands.parallel;
        let out = operands.float_mut(1)?;
        let (height, width) = (self.height as usize, self.width as usize);
        let (out_height, out_width) = (self.out_height as usize, self.out_width as usize);
        let channels = self.channels as usize;
        let count = element_count(&[self.batch, self.out_height, self.out_width, self.channels]);
        for_each_row(
            parallel,
            &mut out[..count],
            channels,
            #[inline(always)]
            |pixel, out| {
                let example = pixel / (out_width * out_height);
                let rows = bin(pixel / out_width % out_height, self.height, self.out_height);
                let columns = bin(pixel % out_width, self.width, self.out_width);
                let divisor = T::from_f64((rows.len() * columns.len()) as f64);
                out.fill(T::ZERO);
                for row in rows {
                    for column in columns.clone() {
                        let start = ((example * height + row) * width + column) * channels;
                        for (sum, value) in out.iter_mut().zip(&x[start..start + channels]) {
                            *sum += *value;
                        }
                    }
                }
                out.iter_mut().for_each(|sum| *sum /= divisor);
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyKernel, View};

    fn run(kernel: AdaptiveAveragePool, x: &[f64]) -> Vec<f64> {
        let mut out = vec![f64::NAN; kernel.extents()[1]];
        let views = vec![View::Float(x), View::FloatMut(&mut out)];
        let mut operands = Operands::new(
            AdaptiveAveragePool::NAME,
            AdaptiveAveragePool::OPERANDS,
            views,
            true,
        );
        AnyKernel::from(kernel).twin(&mut operands).unwrap();
        out
    }

    /// A pixel belongs to bin i if it overlaps the real interval [i l / n, (i + 1) l / n].
    #[test]
    fn matches_bins_by_overlap() {
        for (batch, height, width, channels, out_height, out_width) in [
            (1, 1, 1, 1, 1, 1),
            (2, 9, 7, 3, 4, 3),
            (3, 8, 8, 5, 4, 2),
            (2, 3, 2, 4, 7, 5),
            (4, 21, 79, 33, 5, 8),
        ] {
            let kernel = AdaptiveAveragePool {
                batch,
                height,
                width,
                channels,
                out_height,
                out_width,
            };
            let x: Vec<f64> = (0..kernel.extents()[0])
                .map(|i| (i * 37 % 101) as f64)
                .collect();
            let out = run(kernel, &x);
            let overlaps = |pixel: u32, i: u32, length: u32, n: u32| {
                pixel * n < (i + 1) * length && (pixel + 1) * n > i * length
            };
            let mut place = 0;
            for b in 0..batch {
                for i in 0..out_height {
                    for j in 0..out_width {
                        for c in 0..channels {
                            let (mut sum, mut count) = (0.0, 0.0);
                            for y in (0..height).filter(|y| overlaps(*y, i, height, out_height)) {
                                for z in (0..width).filter(|z| overlaps(*z, j, width, out_width)) {
                                    let at = ((b * height + y) * width + z) * channels + c;
                                    sum += x[at as usize];
                                    count += 1.0;
                                }
                            }
                            let error = (out[place] - sum / count).abs();
                            assert!(error < 1e-12, "{kernel:?} {place}: {error:e}");
                            place += 1;
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn refuses_bad_parameters() {
        let good = AdaptiveAveragePool {
            batch: 1,
            height: 2,
            width: 3,
            channels: 4,
            out_height: 5,
            out_width: 6,
        };
        assert!(good.check().is_ok());
        assert!(AdaptiveAveragePool { height: 0, ..good }.check().is_err());
        assert!(
            AdaptiveAveragePool {
                out_width: 0,
                ..good
            }
            .check()
            .is_err()
        );
        let wide = AdaptiveAveragePool {
            width: 1 << 31,
            ..good
        };
        assert!(wide.check().is_err());
    }
}
