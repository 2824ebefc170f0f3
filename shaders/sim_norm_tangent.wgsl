// dy[j] = p (dx[j] - sum(p dx[j])) for every tangent j over every `group` successive elements of every row,
// with p = softmax(x) of the group (SimNorm).
//
// x [rows, width], dx and dy the same a tangent stride apart, each addressed by offset and row stride with
// contiguous columns; width is a multiple of group. A group of x that is all negative infinity gives
// zeros; NaN or positive infinity makes its group NaN. See `SimNormTangent` in
// kernels/src/sim_norm_tangent.rs.
//
// One workgroup of 64 has 64 groups, an invocation one each; no workgroup memory. p is computed once: the
// last tangent of y holds it until that tangent's own turn.
//
// Numeric contract: f32, sums in ascending order: error of p as in sim_norm.wgsl, of dy that times the
// largest |dx| of the group. A tangent's result does not depend on how many there are.
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
    tangents: u32,
    x_tangent_stride: u32,
    y_tangent_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;

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
    var x_first = p.x_offset + row * p.x_row_stride + column;
    var y_first = p.y_offset + row * p.y_row_stride + column;
    let weights = y_first + (p.tangents - 1u) * p.y_tangent_stride;
    var largest = x[x_first];
    for (var i = 1u; i < p.group; i += 1u) {
        largest = max(largest, x[x_first + i]);
    }
    let shift = shift_of(largest);
    var sum = 0.0;
    for (var i = 0u; i < p.group; i += 1u) {
        let power = exp(x[x_first + i] - shift);
        dy[weights + i] = power;
        sum += power;
    }
    let divisor = divisor_of(sum);
    for (var i = 0u; i < p.group; i += 1u) {
        dy[weights + i] /= divisor;
    }
    for (var j = 0u; j < p.tangents; j += 1u) {
        var mean = 0.0;
        for (var i = 0u; i < p.group; i += 1u) {
            mean = fma(dy[weights + i], dx[x_first + i], mean);
        }
        for (var i = 0u; i < p.group; i += 1u) {
            dy[y_first + i] = dy[weights + i] * (dx[x_first + i] - mean);
        }
        x_first += p.x_tangent_stride;
        y_first += p.y_tangent_stride;
    }
}
