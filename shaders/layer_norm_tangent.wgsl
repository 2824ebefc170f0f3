// dn = f (u - n mean(n u)) with f = 1 / sqrt(variance + epsilon), n = f (x - mean), u = dx - mean(dx)
// dy = dn * weight * (1 + scale) + (n * weight + bias) * dscale + dshift
//
// x, dx, dy [batch, rows, width] and scale, dscale, dshift as the norm has them; tangent j of an operand
// lies j tangent strides further on. The statistics of a row are taken once for all tangents. See
// `LayerNormTangent` in kernels/src/layer_norm_tangent.rs.
//
// direct: one workgroup of 64 has 64 rows, an invocation one each; no workgroup memory. For drivers that
//         emulate workgroup memory.
// lanes:  one workgroup of 128 has 4 rows, 32 lanes each; 512 bytes of workgroup memory.
//
// Numeric contract: f32; sums in 4 (direct) or 32 (lanes) interleaved partial sums, an order that
// depends on the width alone; relative error at most 4e-7 sqrt(width) of max(|x|) / deviation.
//#import row_norm_tangent
//#import layer_statistics

const CENTRED: bool = true;
