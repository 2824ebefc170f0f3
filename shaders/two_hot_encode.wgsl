// y[r, :] = a weight of 1 split linearly between the two bins that symlog(x[r]) lies between
//
// x [rows], y [rows, max(bins, 1)], contiguous from their offsets on. symlog(x) = sign(x) ln(1 + |x|) is
// kept between low and high, the values of the first and last bin. 0 bins: y = x; 1 bin: y = symlog(x).
// NaN makes its row NaN. See `TwoHotEncode` in kernels/src/two_hot_encode.rs.
//
// One invocation makes one number; workgroups of 64, in a folded one-dimensional grid; no workgroup memory.
//
// Numeric contract: f32; a weight is within 4e-7 bins + 1e-6 / (width of a bin) of the exact one.
//#import linear_index
//#import elementary
//#import floats

struct Params {
    rows: u32,
    bins: u32,
    x_offset: u32,
    y_offset: u32,
    low: f32,
    high: f32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn symlog(value: f32) -> f32 {
    let magnitude = logarithm(1.0 + abs(value));
    return select(magnitude, -magnitude, value < 0.0);
}

fn weight_of(value: f32, column: u32) -> f32 {
    let width = (p.high - p.low) / f32(p.bins - 1u);
    let place = (clamp(symlog(value), p.low, p.high) - p.low) / width;
    let first = min(u32(max(floor(place), 0.0)), p.bins - 1u);
    let share = place - f32(first);
    if column == first {
        return 1.0 - share;
    }
    return select(0.0, share, column == (first + 1u) % p.bins);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    let width = max(p.bins, 1u);
    if index >= p.rows * width {
        return;
    }
    let value = x[p.x_offset + index / width];
    var out = value;
    if p.bins == 1u && !is_nan(value) {
        out = symlog(value);
    } else if p.bins > 1u && !is_nan(value) {
        out = weight_of(value, index % width);
    }
    y[p.y_offset + index] = out;
}
