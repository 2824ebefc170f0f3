//! Two-dimensional convolution with bias and activation.

use crate::matmul::{MatMul, product};
use crate::rows::Rows;
use crate::{
    Activation, Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use serde::Serialize;

/// Cross-correlation, as PyTorch's `nn.Conv2d`, with channels last: `x` is
/// `[batch, height, width, in_channels]`, `weight` `[out_channels, kernel_h, kernel_w, in_channels]`, the
/// bias `[out_channels]`, `out` `[batch, out_h, out_w, out_channels]`, all contiguous, with
/// `out_h = (height + 2 padding_h - kernel_h) / stride_h + 1` and `out_w` alike. The image is zero
/// outside.
///
/// The twin lays the patches of some output pixels out as rows of a matrix and takes their product
/// with the filters.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct Conv2d {
    /// Examples.
    pub batch: u32,
    /// Rows of an input image.
    pub height: u32,
    /// Columns of an input image.
    pub width: u32,
    /// Numbers of an input pixel.
    pub in_channels: u32,
    /// Numbers of an output pixel.
    pub out_channels: u32,
    /// Rows of a filter.
    pub kernel_h: u32,
    /// Columns of a filter.
    pub kernel_w: u32,
    /// Input rows between output rows.
    pub stride_h: u32,
    /// Input columns between output columns.
    pub stride_w: u32,
    /// Zero rows above and below the image.
    pub padding_h: u32,
    /// Zero columns left and right of the image.
    pub padding_w: u32,
    /// Activation.
    pub activation: Activation,
    /// [`Conv2d::BIAS`] or 0.
    pub flags: u32,
}

/// Elements of the patch matrix that are kept at a time.
const SCRATCH: usize = 32 * 1024;

/// Rows of the product's register tile.
const UNIT: usize = 12;

/// Multiply-adds under which another thread is not worth waking.
const SERIAL_WORK: u64 = 1_000_000;

impl Conv2d {
    /// Flag: there is a bias.
    pub const BIAS: u32 = 1;

    /// Rows of an output image; the parameters must have passed [`Kernel::check`].
    pub fn out_h(&self) -> u32 {
        out_size(self.height, self.kernel_h, self.stride_h, self.padding_h)
    }

    /// Columns of an output image; the parameters must have passed [`Kernel::check`].
    pub fn out_w(&self) -> u32 {
        out_size(self.width, self.kernel_w, self.stride_w, self.padding_w)
    }

    /// Numbers of a patch.
    fn patch(&self) -> u32 {
        self.kernel_h
            .saturating_mul(self.kernel_w)
            .saturating_mul(self.in_channels)
    }

    /// The product of `rows` patches with the filters.
    fn product(&self, rows: u32) -> MatMul {
        MatMul {
            activation: self.activation,
            flags: if self.flags & Self::BIAS != 0 {
                MatMul::BIAS
            } else {
                0
            },
            ..MatMul::linear(rows, self.patch(), self.out_channels)
        }
    }

    /// Writes the patches of output pixels `first..` of an example, one a row; `image` is the example.
    fn lay_out<T: Real>(&self, image: &[T], first: usize, patches: &mut [T]) {
        let (width, out_w) = (self.width as usize, self.out_w() as usize);
        let channels = self.in_channels as usize;
        let line = self.kernel_w as usize * channels;
        let patch = self.patch() as usize;
        for (pixel, patch) in (first..).zip(patches.chunks_exact_mut(patch)) {
            // In padded coordinates; `left..right` are the filter's columns inside the image.
            let top = (pixel / out_w) * self.stride_h as usize;
            let start = (pixel % out_w) * self.stride_w as usize;
            let padding = self.padding_w as usize;
            let left = padding.saturating_sub(start).min(self.kernel_w as usize);
            let right = (width + padding)
                .saturating_sub(start)
                .clamp(left, self.kernel_w as usize);
            for (y, values) in patch.chunks_exact_mut(line).enumerate() {
                let row = (top + y).wrapping_sub(self.padding_h as usize);
                if row >= self.height as usize || left == right {
                    values.fill(T::ZERO);
                    continue;
                }
                let from = (row * width + start + left - padding) * channels;
                let count = (right - left) * channels;
                values[..left * channels].fill(T::ZERO);
                values[left * channels..right * channels]
                    .copy_from_slice(&image[from..from + count]);
                values[right * channels..].fill(T::ZERO);
            }
        }
    }

    /// Whether the image itself is the matrix of patches.
    fn is_pointwise(&self) -> bool {
        let taps = [self.kernel_h, self.kernel_w, self.stride_h, self.stride_w];
        taps == [1; 4] && self.padding_h == 0 && self.padding_w == 0
    }
}

fn out_size(length: u32, kernel: u32, stride: u32, padding: u32) -> u32 {
    let padded = u64::from(length) + 2 * u64::from(padding);
    let size = padded.saturating_sub(u64::from(kernel)) / u64::from(stride.max(1)) + 1;
    u32::try_from(size).unwrap_or(u32::MAX)
}

impl Kernel for Conv2d {
    const NAME: &'static str = "conv2d";
    const SHADER: &'static str = include_str!("../../shaders/conv2d.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = &["direct", "tiled"];
    const OPERANDS: &'static [Operand] = &[
        Operand::input("x"),
        Operand::input("weight"),
        Operand::input("bias").optional(),
        Operand::output("out"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        for (parameter, value) in [
            ("batch", self.batch),
            ("height", self.height),
            ("width", self.width),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("kernel_h", self.kernel_h),
            ("kernel_w", self.kernel_w),
            ("stride_h", self.stride_h),
            ("stride_w", self.stride_w),
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
        for (parameter, kernel, length, padding) in [
            ("kernel_h", self.kernel_h, self.height, self.padding_h),
            ("kernel_w", self.kernel_w, self.width, self.padding_w),
        ] {
            // The shader adds these in 32 bits, and tells rows above the image by wrap-around.
            let padded = u64::from(length) + 2 * u64::from(padding);
            if u64::from(kernel) > padded || padded > u64::from(u32::MAX / 2) {
                let expected = format!("at most the padded image's {padded}, itself below 2^31");
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    expected,
                    kernel,
                ));
            }
        }
        if self.flags > 1 {
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                "0..=1",
                self.flags,
            ));
        }
        self.activation.check(Self::NAME)
    }

    fn extents(&self) -> Vec<usize> {
        let with_bias = self.flags & Self::BIAS != 0;
        vec![
            element_count(&[self.batch, self.height, self.width, self.in_channels]),
            element_count(&[
                self.out_channels,
                self.kernel_h,
                self.kernel_w,
                self.in_channels,
            ]),
            if with_bias {
                self.out_channels as usize
            } else {
                0
            },
            element_count(&[self.batch, self.out_h(), self.out_w(), self.out_channels]),
        ]
    }

    fn cost(&self) -> Cost {
        let outputs =
            element_count(&[self.batch, self.out_h(), self.out_w(), self.out_channels]) as u64;
        let per_output = 2 * u64::from(self.patch())
            + self.activation.flops()
            + u64::from(self.flags & Self::BIAS != 0);
        let elements: u64 = self
            .extents()
            .iter()
            .fold(0, |sum, e| sum.saturating_add(*e as u64));
        Cost {
            flops: outputs.saturating_mul(per_output),
            bytes: elements.saturating_mul(4),
        }
    }

    fn launch(&self, capabilities: &Capabilities) -> Launch {
        let pixels = element_count(&[self.batch, self.out_h(), self.out_w()]);
        let tiles = |pixels_of: usize, channels_of: u32| {
            let across = self.out_channels.div_ceil(channels_of) as usize;
            pixels.div_ceil(pixels_of).saturating_mul(across)
        };
        // Software drivers emulate workgroup memory and barriers slowly; registers alone win there.
        if capabilities.software {
            return Launch {
                entry_point: "direct",
                workgroups: linear_workgroups(tiles(8, 8), 64),
            };
        }
        Launch {
            entry_point: "tiled",
            workgroups: linear_workgroups(tiles(64, 64), 1),
        }
    }

    fn software_iterations(&self) -> u64 {
        let taps = u64::from(self.kernel_h).saturating_mul(u64::from(self.kernel_w));
        taps.saturating_mul(u64::from(self.in_channels) + 2)
            .saturating_add(2 * u64::from(self.kernel_h) + 96)
    }

    fn pack<T: Real>(&self, operand: usize, data: &[T]) -> Option<Vec<T>> {
        let fits = operand == 1 && self.check().is_ok() && data.len() >= self.extents()[1];
        fits.then(|| product::pack_panels(&self.product(1), 0, data))
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let packed = operands.packed(1);
        let x = operands.float(0)?;
        let weight = operands.float(1)?;
        let bias = operands.float_or_empty(2)?;
        let parallel = operands.parallel && self.cost().flops / 2 > SERIAL_WORK;
        let out = operands.float_mut(3)?;
        let own;
        let panels = match packed {
            Some(panels) => panels,
            None => {
                own = product::pack_panels(&self.product(1), 0, weight);
                &own
            }
        };
        let pixels = self.out_h().saturating_mul(self.out_w());
        let rows = Rows {
            offset: 0,
            batch: self.batch,
            batch_stride: pixels.saturating_mul(self.out_channels),
            rows: pixels,
            row_stride: self.out_channels,
            width: self.out_channels,
        };
        let threads = if parallel {
            rayon::current_num_threads()
        } else {
            1
        };
        let near = (SCRATCH / self.patch() as usize / UNIT * UNIT).max(UNIT);
        let tasks = rows.split(out, rows.block(threads, UNIT).min(near));
        let image = element_count(&[self.height, self.width, self.in_channels]);
        let patch = self.patch() as usize;
        let run = |scratch: &mut Vec<T>, (example, first, out): (usize, usize, &mut [T])| {
            let count = out.len() / self.out_channels as usize;
            let image = &x[example * image..(example + 1) * image];
            let patches = if self.is_pointwise() {
                &image[first * patch..]
            } else {
                scratch.resize(count * patch, T::ZERO);
                self.lay_out(image, first, scratch);
                scratch
            };
            let inputs = product::Inputs {
                a: patches,
                b: weight,
                bias,
                residual: &[],
                gate: &[],
            };
            let kernel = self.product(count as u32);
            product::multiply(&kernel, &inputs, Some(panels), out, false);
        };
        if parallel {
            tasks.into_par_iter().for_each_init(Vec::new, run);
        } else {
            let mut scratch = Vec::new();
            tasks.into_iter().for_each(|task| run(&mut scratch, task));
        }
        Ok(())
    }
}
