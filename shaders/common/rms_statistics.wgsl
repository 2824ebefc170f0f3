// (0, 1 / sqrt(mean(x^2) + epsilon)) of the row at x[first], width p.width: by one invocation in 4
// interleaved partial sums, or by 32 lanes.
//#import row_reduce

fn statistics_of_row(first: u32) -> vec2<f32> {
    let whole = p.width - p.width % 4u;
    var squares = vec4<f32>();
    for (var i = 0u; i < whole; i += 4u) {
        let at = first + i;
        let values = vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
        squares += values * values;
    }
    for (var i = whole; i < p.width; i += 1u) {
        squares.x += x[first + i] * x[first + i];
    }
    let mean_square = ((squares.x + squares.z) + (squares.y + squares.w)) / f32(p.width);
    return vec2<f32>(0.0, 1.0 / sqrt(mean_square + p.epsilon));
}

fn statistics_of_lanes(first: u32, lane: u32, local: u32) -> vec2<f32> {
    var squares = 0.0;
    for (var i = lane; i < p.width; i += LANES) {
        squares += x[first + i] * x[first + i];
    }
    let mean_square = sum_over_lanes(squares, local) / f32(p.width);
    return vec2<f32>(0.0, 1.0 / sqrt(mean_square + p.epsilon));
}
