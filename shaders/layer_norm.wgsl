// y = ((x - mean) / sqrt(variance + epsilon) * weight + bias) * (1 + scale) + shift
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

fn statistics_of_row(first: u32) -> vec2<f32> {
    let whole = p.width - p.width % 4u;
    var sums = vec4<f32>();
    for (var i = 0u; i < whole; i += 4u) {
        let at = first + i;
        sums += vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    }
    for (var i = whole; i < p.width; i += 1u) {
        sums.x += x[first + i];
    }
    let mean = ((sums.x + sums.z) + (sums.y + sums.w)) / f32(p.width);
    var squares = vec4<f32>();
    for (var i = 0u; i < whole; i += 4u) {
        let at = first + i;
        let centred = vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]) - vec4<f32>(mean);
        squares += centred * centred;
    }
    for (var i = whole; i < p.width; i += 1u) {
        let centred = x[first + i] - mean;
        squares.x += centred * centred;
    }
    let variance = ((squares.x + squares.z) + (squares.y + squares.w)) / f32(p.width);
    return vec2<f32>(mean, 1.0 / sqrt(variance + p.epsilon));
}

fn statistics_of_lanes(first: u32, lane: u32, local: u32) -> vec2<f32> {
    var sum = 0.0;
    for (var i = lane; i < p.width; i += LANES) {
        sum += x[first + i];
    }
    let mean = sum_over_lanes(sum, local) / f32(p.width);
    var squares = 0.0;
    for (var i = lane; i < p.width; i += LANES) {
        let centred = x[first + i] - mean;
        squares += centred * centred;
    }
    let variance = sum_over_lanes(squares, local) / f32(p.width);
    return vec2<f32>(mean, 1.0 / sqrt(variance + p.epsilon));
}
