// y = softmax(x) over every `group` successive elements of every row (SimNorm).
//
// x, y [rows, width], each addressed by offset and row stride with contiguous columns; width is a
// multiple of group. A group that is all negative infinity gives zeros; NaN or positive infinity makes
// its group NaN. y may be x. See `SimNorm` in kernels/src/sim_norm.rs.
//
// One workgroup of 64 has 64 groups, an invocation one each; no workgroup memory.
//
// Numeric contract: f32, sums in ascending order; relative error at most 4e-7 sqrt(group) + 1e-6
// (1 + range of the group), absolute error 1e-6.
//#import linear_index
//#import softmax_row

struct Params {
    rows: u32,
    width: u32,
    group: u32,
    x_offset: u32,
    x_row_stride: u32,
    y_offset: u32,
    y_row_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    let groups = p.width / p.group;
    let row = index / groups;
    if row >= p.rows {
        return;
    }
    let column = (index % groups) * p.group;
    let x_first = p.x_offset + row * p.x_row_stride + column;
    let y_first = p.y_offset + row * p.y_row_stride + column;
    var largest = x[x_first];
    for (var i = 1u; i < p.group; i += 1u) {
        largest = max(largest, x[x_first + i]);
    }
    let shift = shift_of(largest);
    var sum = 0.0;
    for (var i = 0u; i < p.group; i += 1u) {
        let power = exp(x[x_first + i] - shift);
        y[y_first + i] = power;
        sum += power;
    }
    let divisor = divisor_of(sum);
    for (var i = 0u; i < p.group; i += 1u) {
        y[y_first + i] /= divisor;
    }
}
