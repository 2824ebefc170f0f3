//! Tangents of layer norm.

use crate::layer_norm::{LayerNorm, statistics};
use crate::row_norm_tangent::row_norm_tangent;

row_norm_tangent! {
    /// Tangents of [`LayerNorm`]: with `f = 1 / sqrt(variance + epsilon)`, `n = f (x - mean)` and
    /// `u = dx - mean(dx)`, `dn = f (u - n mean(n u))` and
    /// `dy = dn * weight * (1 + scale) + (n * weight + bias) * dscale + dshift`.
    ///
    /// Tangent j of an element of x, scale, shift or y lies `j` times the operand's tangent stride beyond
    /// where the norm has the element itself. Only the norm's inputs are read, never its output.
    LayerNormTangent of LayerNorm, "layer_norm_tangent", "../../shaders/layer_norm_tangent.wgsl",
    centred: true,
    // Mean: add. Variance: subtract, multiply, add. n: multiply by the factor.
    // A row: two divisions, epsilon, root, reciprocal.
    cost: (5, 5), statistics: statistics
}
