//! Tangents of the root-mean-square norm.

use crate::rms_norm::{RmsNorm, statistics};
use crate::row_norm_tangent::row_norm_tangent;

row_norm_tangent! {
    /// Tangents of [`RmsNorm`]: with `f = 1 / sqrt(mean(x^2) + epsilon)` and `n = f x`,
    /// `dn = f (dx - n mean(n dx))` and
    /// `dy = dn * weight * (1 + scale) + (n * weight + bias) * dscale + dshift`.
    ///
    /// Tangent j of an element of x, scale, shift or y lies `j` times the operand's tangent stride beyond
    /// where the norm has the element itself. Only the norm's inputs are read, never its output.
    RmsNormTangent of RmsNorm, "rms_norm_tangent", "../../shaders/rms_norm_tangent.wgsl",
    centred: false,
    // n: square, add, multiply by the factor. A row: division, epsilon, root, reciprocal.
    cost: (4, 3), statistics: statistics
}
