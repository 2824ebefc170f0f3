//! The kernel of a norm's tangent, written once for both norms.

/// Defines the tangent of a norm: its parameter block, which both norms have alike, and its kernel.
macro_rules! row_norm_tangent {
    (
        $(#[$doc:meta])* $name:ident of $primal:ident, $kernel:literal, $shader:literal,
        centred: $centred:literal, cost: ($row:literal, $element:literal), statistics: $statistics:path
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable, serde::Serialize)]
        #[repr(C)]
        pub struct $name {
            /// Examples.
            pub batch: u32,
            /// Rows of an example.
            pub rows: u32,
            /// Elements of a row.
            pub width: u32,
            /// First element of x.
            pub x_offset: u32,
            /// Elements between examples of x.
            pub x_batch_stride: u32,
            /// Elements between rows of x.
            pub x_row_stride: u32,
            /// First element of y.
            pub y_offset: u32,
            /// Elements between examples of y.
            pub y_batch_stride: u32,
            /// Elements between rows of y.
            pub y_row_stride: u32,
            /// First element of the modulation's scale at step 0.
            pub scale_offset: u32,
            /// Elements between the scales of successive examples; 0 shares one vector.
            pub scale_batch_stride: u32,
            /// Elements between the scales of successive rows of an example; 0 shares one vector.
            pub scale_row_stride: u32,
            /// Elements between the scales of successive steps of an orbit.
            pub scale_step_stride: u32,
            /// First element of the modulation's shift at step 0.
            pub shift_offset: u32,
            /// Elements between the shifts of successive examples; 0 shares one vector.
            pub shift_batch_stride: u32,
            /// Elements between the shifts of successive rows of an example; 0 shares one vector.
            pub shift_row_stride: u32,
            /// Elements between the shifts of successive steps of an orbit.
            pub shift_step_stride: u32,
            /// Step of the orbit; set by [`Kernel::at_step`](crate::Kernel::at_step).
            pub step: u32,
            #[doc = concat!(
                "Bit set of [`", stringify!($name), "::WEIGHT`], [`", stringify!($name),
                "::BIAS`], [`", stringify!($name), "::MODULATION`], [`", stringify!($name),
                "::SCALE_TANGENT`], [`", stringify!($name), "::SHIFT_TANGENT`]."
            )]
            pub flags: u32,
            /// Added to the mean square under the root.
            pub epsilon: f32,
            /// Tangents.
            pub tangents: u32,
            /// Elements between tangents of x.
            pub x_tangent_stride: u32,
            /// Elements between tangents of the scale.
            pub scale_tangent_stride: u32,
            /// Elements between tangents of the shift.
            pub shift_tangent_stride: u32,
            /// Elements between tangents of y.
            pub y_tangent_stride: u32,
        }

        impl $name {
            /// Flag: there is a weight, `[width]`.
            pub const WEIGHT: u32 = $crate::row_norm::WEIGHT;
            /// Flag: there is a bias, `[width]`.
            pub const BIAS: u32 = $crate::row_norm::BIAS;
            /// Flag: there are a scale and a shift.
            pub const MODULATION: u32 = $crate::row_norm::MODULATION;
            /// Flag: the scale has tangents.
            pub const SCALE_TANGENT: u32 = $crate::row_norm_tangent::SCALE_TANGENT;
            /// Flag: the shift has tangents.
            pub const SHIFT_TANGENT: u32 = $crate::row_norm_tangent::SHIFT_TANGENT;

            /// The tangents of a norm. `x` and `y` are the elements between one tangent and the next of
            /// its input and output, `scale` and `shift` those of its modulation, `None` for one that
            /// is constant.
            pub fn new(
                primal: $primal,
                tangents: u32,
                x: u32,
                [scale, shift]: [Option<u32>; 2],
                y: u32,
            ) -> Self {
                let flag = |stride: Option<u32>, flag| stride.map_or(0, |_| flag);
                Self {
                    batch: primal.batch,
                    rows: primal.rows,
                    width: primal.width,
                    x_offset: primal.x_offset,
                    x_batch_stride: primal.x_batch_stride,
                    x_row_stride: primal.x_row_stride,
                    y_offset: primal.y_offset,
                    y_batch_stride: primal.y_batch_stride,
                    y_row_stride: primal.y_row_stride,
                    scale_offset: primal.scale_offset,
                    scale_batch_stride: primal.scale_batch_stride,
                    scale_row_stride: primal.scale_row_stride,
                    scale_step_stride: primal.scale_step_stride,
                    shift_offset: primal.shift_offset,
                    shift_batch_stride: primal.shift_batch_stride,
                    shift_row_stride: primal.shift_row_stride,
                    shift_step_stride: primal.shift_step_stride,
                    step: primal.step,
                    flags: primal.flags
                        | flag(scale, Self::SCALE_TANGENT)
                        | flag(shift, Self::SHIFT_TANGENT),
                    epsilon: primal.epsilon,
                    tangents,
                    x_tangent_stride: x,
                    scale_tangent_stride: scale.unwrap_or(0),
                    shift_tangent_stride: shift.unwrap_or(0),
                    y_tangent_stride: y,
                }
            }

            /// The norm that this is the tangent of.
            pub fn primal(&self) -> $primal {
                $primal {
                    batch: self.batch,
                    rows: self.rows,
                    width: self.width,
                    x_offset: self.x_offset,
                    x_batch_stride: self.x_batch_stride,
                    x_row_stride: self.x_row_stride,
                    y_offset: self.y_offset,
                    y_batch_stride: self.y_batch_stride,
                    y_row_stride: self.y_row_stride,
                    scale_offset: self.scale_offset,
                    scale_batch_stride: self.scale_batch_stride,
                    scale_row_stride: self.scale_row_stride,
                    scale_step_stride: self.scale_step_stride,
                    shift_offset: self.shift_offset,
                    shift_batch_stride: self.shift_batch_stride,
                    shift_row_stride: self.shift_row_stride,
                    shift_step_stride: self.shift_step_stride,
                    step: self.step,
                    flags: self.flags & 7,
                    epsilon: self.epsilon,
                    activation: $crate::Activation::IDENTITY,
                }
            }

            fn norm(&self) -> $crate::row_norm_tangent::RowNormTangent {
                $crate::row_norm_tangent::RowNormTangent {
                    primal: $crate::row_norm::RowNorm {
                        kernel: $kernel,
                        ..self.primal().norm()
                    },
                    flags: self.flags,
                    tangents: self.tangents,
                    x_stride: self.x_tangent_stride,
                    scale_stride: self.scale_tangent_stride,
                    shift_stride: self.shift_tangent_stride,
                    y_stride: self.y_tangent_stride,
                    centred: $centred,
                }
            }
        }

        impl $crate::Kernel for $name {
            const NAME: &'static str = $kernel;
            const SHADER: &'static str = include_str!($shader);
            const ENTRY_POINTS: &'static [&'static str] = $crate::lanes::ROW_ENTRY_POINTS;
            const OPERANDS: &'static [$crate::Operand] = $crate::row_norm_tangent::OPERANDS;

            fn check(&self) -> Result<(), $crate::KernelError> {
                self.norm().check()
            }

            fn extents(&self) -> Vec<usize> {
                self.norm().extents()
            }

            fn cost(&self) -> $crate::Cost {
                self.norm().cost($row, $element)
            }

            fn launch(&self, capabilities: &$crate::Capabilities) -> $crate::Launch {
                let rows = $crate::element_count(&[self.batch, self.rows]);
                $crate::lanes::row_launch(rows, capabilities)
            }

            fn at_step(&self, step: u32) -> Self {
                Self { step, ..*self }
            }

            fn software_iterations(&self) -> u64 {
                // The statistics and the two means go four elements at a time.
                let width = u64::from(self.width);
                (width / 2 + 16)
                    .saturating_add(u64::from(self.tangents).saturating_mul(3 * width / 2 + 16))
            }

            fn twin<T: $crate::Real>(
                &self,
                operands: &mut $crate::Operands<'_, T>,
            ) -> Result<(), $crate::KernelError> {
                self.norm().apply(
                    operands,
                    #[inline(always)]
                    |row, epsilon| $statistics(row, epsilon),
                )
            }
        }
    };
}
pub(crate) use row_norm_tangent;
