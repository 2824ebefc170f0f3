//! Strided copies of floats and of words, one slot of a history at each step of an orbit.

use crate::addressing::{Grid, distinct, distinct_count, reach, require_positive};
use crate::{
    Access, Capabilities, Cost, Element, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, for_each_row, linear_workgroups,
};

/// Defines a copy kernel: floats and words have the same parameters and the same loops.
macro_rules! copy_kernel {
    (
        $(#[$doc:meta])* $name:ident, $kernel:literal, $shader:literal, $element:expr,
        $input:ident, $output:ident
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable, serde::Serialize)]
        #[repr(C)]
        pub struct $name {
            /// Outermost dimension.
            pub shape_0: u32,
            /// Second dimension.
            pub shape_1: u32,
            /// Third dimension.
            pub shape_2: u32,
            /// Innermost dimension.
            pub shape_3: u32,
            /// First element of src at step 0.
            pub src_offset: u32,
            /// Elements of src between successive indices of dimension 0; 0 repeats.
            pub src_stride_0: u32,
            /// The same for dimension 1.
            pub src_stride_1: u32,
            /// The same for dimension 2.
            pub src_stride_2: u32,
            /// The same for dimension 3.
            pub src_stride_3: u32,
            /// Elements of src between successive steps.
            pub src_step_stride: u32,
            /// First element of dst at step 0.
            pub dst_offset: u32,
            /// Elements of dst between successive indices of dimension 0.
            pub dst_stride_0: u32,
            /// The same for dimension 1.
            pub dst_stride_1: u32,
            /// The same for dimension 2.
            pub dst_stride_2: u32,
            /// The same for dimension 3.
            pub dst_stride_3: u32,
            /// Elements of dst between successive steps.
            pub dst_step_stride: u32,
            /// Step of the orbit; set by [`Kernel::at_step`].
            pub step: u32,
        }

        impl $name {
            /// The first `count` elements, contiguous, the same at every step.
            pub fn contiguous(count: u32) -> Self {
                Self::strided([1, 1, 1, count], [0, 0, 0, 1], [0, 0, 0, 1])
            }

            /// A copy with given strides, the same at every step.
            pub fn strided(shape: [u32; 4], src_strides: [u32; 4], dst_strides: [u32; 4]) -> Self {
                let [src_stride_0, src_stride_1, src_stride_2, src_stride_3] = src_strides;
                let [dst_stride_0, dst_stride_1, dst_stride_2, dst_stride_3] = dst_strides;
                let [shape_0, shape_1, shape_2, shape_3] = shape;
                Self {
                    shape_0,
                    shape_1,
                    shape_2,
                    shape_3,
                    src_offset: 0,
                    src_stride_0,
                    src_stride_1,
                    src_stride_2,
                    src_stride_3,
                    src_step_stride: 0,
                    dst_offset: 0,
                    dst_stride_0,
                    dst_stride_1,
                    dst_stride_2,
                    dst_stride_3,
                    dst_step_stride: 0,
                    step: 0,
                }
            }

            fn pattern(&self) -> Pattern {
                let start = |offset: u32, step_stride: u32| {
                    let moved = (self.step as usize).saturating_mul(step_stride as usize);
                    moved.saturating_add(offset as usize)
                };
                Pattern {
                    shape: [self.shape_0, self.shape_1, self.shape_2, self.shape_3],
                    src_start: start(self.src_offset, self.src_step_stride),
                    src_strides: [
                        self.src_stride_0,
                        self.src_stride_1,
                        self.src_stride_2,
                        self.src_stride_3,
                    ],
                    dst_start: start(self.dst_offset, self.dst_step_stride),
                    dst_strides: [
                        self.dst_stride_0,
                        self.dst_stride_1,
                        self.dst_stride_2,
                        self.dst_stride_3,
                    ],
                }
            }
        }

        impl Kernel for $name {
            const NAME: &'static str = $kernel;
            const SHADER: &'static str = include_str!($shader);
            const OPERANDS: &'static [Operand] = &[
                Operand::new("src", $element, Access::Read),
                Operand::new("dst", $element, Access::Write),
            ];

            fn check(&self) -> Result<(), KernelError> {
                self.pattern().check(Self::NAME)
            }

            fn extents(&self) -> Vec<usize> {
                self.pattern().extents()
            }

            fn cost(&self) -> Cost {
                self.pattern().cost()
            }

            fn launch(&self, _capabilities: &Capabilities) -> Launch {
                Launch {
                    entry_point: "main",
                    workgroups: linear_workgroups(element_count(&self.pattern().shape), 256),
                }
            }

            fn at_step(&self, step: u32) -> Self {
                Self { step, ..*self }
            }

            fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
                let src = operands.$input(0)?;
                let dst = operands.$output(1)?;
                self.pattern().copy(src, dst, operands.parallel);
                Ok(())
            }
        }
    };
}

copy_kernel! {
    /// `dst[...] = src[...]` over up to four dimensions, bit for bit.
    ///
    /// Both sides have an offset, four strides and a stride along the steps of an orbit: at step n the
    /// addresses move by n times that stride. That is how an orbit records a state into a slot of a
    /// history, or picks the draws of a step from a table. Elements of dst that the pattern leaves out
    /// keep their value.
    CopyFloats, "copy", "../../shaders/copy.wgsl", Element::Float, float, float_mut
}

copy_kernel! {
    /// [`CopyFloats`] for words.
    CopyWords, "copy_words", "../../shaders/copy_words.wgsl", Element::Word, words, words_mut
}

/// Where a copy reads and writes at its step.
#[derive(Debug, Clone)]
struct Pattern {
    shape: [u32; 4],
    src_start: usize,
    src_strides: [u32; 4],
    dst_start: usize,
    dst_strides: [u32; 4],
}

/// Elements of a one-dimensional copy that are one piece of work.
const BLOCK: usize = 4096;

impl Pattern {
    fn dimensions(&self, strides: &[u32; 4]) -> [(u32, u32); 4] {
        std::array::from_fn(|d| (self.shape[d], strides[d]))
    }

    fn check(&self, kernel: &'static str) -> Result<(), KernelError> {
        let [s0, s1, s2, s3] = self.shape;
        require_positive(
            kernel,
            &[
                ("shape_0", s0),
                ("shape_1", s1),
                ("shape_2", s2),
                ("shape_3", s3),
            ],
        )?;
        if distinct(&self.dimensions(&self.dst_strides)) {
            return Ok(());
        }
        Err(KernelError::parameter(
            kernel,
            "dst_stride_0",
            "strides of dst that write no element twice",
            format!("{:?} over shape {:?}", self.dst_strides, self.shape),
        ))
    }

    fn extents(&self) -> Vec<usize> {
        vec![
            reach(self.src_start, &self.dimensions(&self.src_strides)),
            reach(self.dst_start, &self.dimensions(&self.dst_strides)),
        ]
    }

    fn cost(&self) -> Cost {
        let read = distinct_count(&self.dimensions(&self.src_strides));
        let written = element_count(&self.shape) as u64;
        Cost {
            flops: 0,
            bytes: read.saturating_add(written).saturating_mul(4),
        }
    }

    /// Dimensions in order of falling dst stride, merged where both sides allow: the outermost then cuts
    /// dst into pieces that can be written apart.
    fn grid(&self) -> Grid<2> {
        let mut order = [0, 1, 2, 3];
        order.sort_by_key(|&d| std::cmp::Reverse(self.dst_strides[d]));
        let sorted = |values: [u32; 4]| order.map(|d: usize| values[d]);
        Grid::coalesced(
            sorted(self.shape),
            [sorted(self.src_strides), sorted(self.dst_strides)],
        )
    }

    fn copy<E: Copy + Send + Sync>(&self, src: &[E], dst: &mut [E], parallel: bool) {
        let grid = self.grid();
        let [s, d] = grid.strides;
        let src = &src[self.src_start..];
        let end = reach(self.dst_start, &self.dimensions(&self.dst_strides));
        let dst = &mut dst[self.dst_start..end];
        let Some(outer) = (0..3).find(|&i| grid.shape[i] > 1) else {
            for_each_row(parallel, dst, BLOCK * d[3].max(1), |block, piece| {
                let first = block * BLOCK;
                let count = BLOCK.min(grid.shape[3] - first);
                copy_run(&src[first * s[3]..], s[3], piece, d[3], count);
            });
            return;
        };
        // Dimensions between the outermost and the innermost; absent ones count one.
        let middle = |i: usize| if i > outer { grid.shape[i] } else { 1 };
        for_each_row(parallel, dst, d[outer], |index, piece| {
            let src = &src[index * s[outer]..];
            for i in 0..middle(1) {
                for j in 0..middle(2) {
                    let src = &src[i * s[1] + j * s[2]..];
                    let dst = &mut piece[i * d[1] + j * d[2]..];
                    copy_run(src, s[3], dst, d[3], grid.shape[3]);
                }
            }
        });
    }
}

#[inline(always)]
fn copy_run<E: Copy>(src: &[E], src_step: usize, dst: &mut [E], dst_step: usize, count: usize) {
    if src_step == 1 && (dst_step == 1 || count == 1) {
        dst[..count].copy_from_slice(&src[..count]);
        return;
    }
    for i in 0..count {
        dst[i * dst_step] = src[i * src_step];
    }
}

#[cfg(test)]
mod tests {
    use super::{CopyFloats, CopyWords};
    use crate::test_support::{assert_refuses, run};
    use crate::{Kernel, View};

    /// Every index, one at a time.
    fn reference(k: &CopyWords, src: &[u32], dst: &mut [u32]) {
        let step = k.step as usize;
        for a in 0..k.shape_0 as usize {
            for b in 0..k.shape_1 as usize {
                for c in 0..k.shape_2 as usize {
                    for d in 0..k.shape_3 as usize {
                        let from = k.src_offset as usize
                            + a * k.src_stride_0 as usize
                            + b * k.src_stride_1 as usize
                            + c * k.src_stride_2 as usize
                            + d * k.src_stride_3 as usize
                            + step * k.src_step_stride as usize;
                        let to = k.dst_offset as usize
                            + a * k.dst_stride_0 as usize
                            + b * k.dst_stride_1 as usize
                            + c * k.dst_stride_2 as usize
                            + d * k.dst_stride_3 as usize
                            + step * k.dst_step_stride as usize;
                        dst[to] = src[from];
                    }
                }
            }
        }
    }

    #[test]
    fn matches_one_element_at_a_time() {
        let cases = [
            ([1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]),
            ([1, 1, 1, 20_011], [0, 0, 0, 1], [0, 0, 0, 1]),
            ([1, 1, 1, 9001], [0, 0, 0, 2], [0, 0, 0, 3]),
            ([2, 3, 5, 7], [105, 35, 7, 1], [200, 50, 8, 1]),
            ([2, 3, 5, 7], [1, 2, 6, 30], [105, 35, 7, 1]),
            ([2, 3, 5, 7], [105, 35, 7, 1], [1, 2, 6, 30]),
            ([4, 1, 9, 6], [0, 0, 6, 1], [54, 0, 6, 1]),
            ([1, 170, 1, 130], [0, 0, 0, 1], [0, 131, 0, 1]),
        ];
        for (shape, src_strides, dst_strides) in cases {
            for step in [0, 3] {
                let kernel = CopyWords {
                    src_offset: 2,
                    dst_offset: 5,
                    src_step_stride: 11,
                    dst_step_stride: 400,
                    ..CopyWords::strided(shape, src_strides, dst_strides)
                }
                .at_step(step);
                let extents = kernel.extents();
                let src: Vec<u32> = (0..extents[0] as u32).map(|i| i ^ 0x7fa0_0000).collect();
                let mut expected = vec![1u32; extents[1]];
                reference(&kernel, &src, &mut expected);
                let mut dst = vec![1u32; extents[1]];
                let views: Vec<View<'_, f32>> = vec![View::Word(&src), View::WordMut(&mut dst)];
                run(kernel, views).unwrap();
                assert_eq!(dst, expected, "{shape:?} {src_strides:?} {dst_strides:?}");
                // Floats go through the same loops; signalling NaN patterns must survive.
                let as_floats: Vec<f32> = src.iter().map(|w| f32::from_bits(*w)).collect();
                let mut floats = vec![f32::from_bits(1); extents[1]];
                let kernel: CopyFloats = bytemuck::cast(kernel);
                let views = vec![View::Float(&as_floats), View::FloatMut(&mut floats)];
                run(kernel, views).unwrap();
                let bits: Vec<u32> = floats.iter().map(|v| v.to_bits()).collect();
                assert_eq!(bits, expected);
            }
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = CopyFloats::strided([2, 3, 1, 4], [0, 4, 0, 1], [12, 4, 0, 1]);
        good.check().unwrap();
        assert_eq!((good.cost().flops, good.cost().bytes), (0, (12 + 24) * 4));
        assert_refuses(CopyFloats { shape_1: 0, ..good }, "shape_1");
        assert_refuses(
            CopyFloats {
                dst_stride_0: 4,
                ..good
            },
            "dst_stride_0",
        );
        let far = CopyFloats {
            dst_step_stride: u32::MAX,
            ..good
        };
        assert_eq!(far.at_step(0).extents()[1], 24);
        assert!(far.at_step(u32::MAX).extents()[1] > u32::MAX as usize);
    }
}
