// y = f(((x - mean) / sqrt(variance + epsilon) * weight + bias) * (1 + scale) + shift), f an activation
//
// x, y [batch, rows, width], each addressed by offset and strides with contiguous columns; weight and
// bias [width]; scale and shift one [width] vector a row, an example, a step of an orbit,
// or for all. Biased variance, in a second pass about the mean. See `LayerNorm` in kernels/src/layer_norm.rs.
//
// direct: one workgroup of 64 has 64 rows, an invocation one each; no workgroup memory. For drivers that
//         emulate workgroup memory.
// lanes:  one workgroup of 128 has 4 rows, 32 lanes each; 512 bytes of workgroup memory.
//
// Numeric contract: f32; sums in 4 (direct) or 32 (lanes) interleaved partial sums, an order that
// depends on the width alone; relative error at most 4e-7 sqrt(width) of max(|x|) / deviation.
//#import row_norm
//#import layer_statistics
