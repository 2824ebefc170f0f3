// (mean, 1 / sqrt(variance + epsilon)) of the row at x[first], width p.width, the variance biased and in a
// second pass about the mean: by one invocation in 4 interleaved partial sums, or by 32 lanes.
//#import row_reduce

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
