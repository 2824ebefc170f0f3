// dy[j] = p (dx[j] - sum(p dx[j])) / temperature for every tangent j over rows, with
// p = softmax(x / temperature).
//
// x [rows, width], dx and dy the same a tangent stride apart, each addressed by offset and row stride with
// contiguous columns. A row of x that is all negative infinity gives zeros; NaN or positive infinity in a
// row makes all of it NaN. See `SoftmaxTangent` in kernels/src/softmax_tangent.rs.
//
// direct: one workgroup of 64 has 64 rows, an invocation one each; no workgroup memory. For drivers that
//         emulate workgroup memory.
// lanes:  one workgroup of 128 has 4 rows, 32 lanes each; 512 bytes of workgroup memory.
// p is computed once: the row of the last tangent of y holds it until that tangent's own turn. What an
// invocation stores there only it reads.
//
// Numeric contract: f32; sums in ascending order (direct) or in 32 interleaved partial sums (lanes), an
// order that depends on the width alone: error of p as in softmax.wgsl, of dy that times the largest
// |dx| / temperature of the row. A tangent's result does not depend on how many there are.
//#import linear_index
//#import row_reduce
//#import softmax_row

struct Params {
    rows: u32,
    width: u32,
    x_offset: u32,
    x_row_stride: u32,
    y_offset: u32,
    y_row_stride: u32,
    temperature: f32,
    tangents: u32,
    x_tangent_stride: u32,
    y_tangent_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_index(workgroup, count, local, 64u);
    if row >= p.rows {
        return;
    }
    var x_first = p.x_offset + row * p.x_row_stride;
    var y_first = p.y_offset + row * p.y_row_stride;
    let weights = y_first + (p.tangents - 1u) * p.y_tangent_stride;
    var largest = x[x_first];
    for (var i = 1u; i < p.width; i += 1u) {
        largest = max(largest, x[x_first + i]);
    }
    let shift = shift_of(largest);
    var sum = 0.0;
    for (var i = 0u; i < p.width; i += 1u) {
        let power = exp((x[x_first + i] - shift) / p.temperature);
        dy[weights + i] = power;
        sum += power;
    }
    let divisor = divisor_of(sum);
    for (var i = 0u; i < p.width; i += 1u) {
        dy[weights + i] /= divisor;
    }
    for (var j = 0u; j < p.tangents; j += 1u) {
        var mean = 0.0;
        for (var i = 0u; i < p.width; i += 1u) {
            mean = fma(dy[weights + i], dx[x_first + i], mean);
        }
        for (var i = 0u; i < p.width; i += 1u) {
            dy[y_first + i] = dy[weights + i] * (dx[x_first + i] - mean) / p.temperature;
        }
        x_first += p.x_tangent_stride;
        y_first += p.y_tangent_stride;
    }
}

@compute @workgroup_size(128)
fn lanes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local / LANES, ROWS_A_WORKGROUP);
    let lane = local % LANES;
    // Lanes past the last row or the last column meet the others at the barriers, and store nothing.
    let width = select(0u, p.width, index < p.rows);
    let row = min(index, p.rows - 1u);
    var x_first = p.x_offset + row * p.x_row_stride;
    var y_first = p.y_offset + row * p.y_row_stride;
    let weights = y_first + (p.tangents - 1u) * p.y_tangent_stride;
    var largest = x[x_first];
    for (var i = lane; i < width; i += LANES) {
        largest = max(largest, x[x_first + i]);
    }
    let shift = shift_of(max_over_lanes(largest, local));
    var sum = 0.0;
    for (var i = lane; i < width; i += LANES) {
        let power = exp((x[x_first + i] - shift) / p.temperature);
        dy[weights + i] = power;
        sum += power;
    }
    let divisor = divisor_of(sum_over_lanes(sum, local));
    for (var i = lane; i < width; i += LANES) {
        dy[weights + i] /= divisor;
    }
    for (var j = 0u; j < p.tangents; j += 1u) {
        var part = 0.0;
        for (var i = lane; i < width; i += LANES) {
            part = fma(dy[weights + i], dx[x_first + i], part);
        }
        let mean = sum_over_lanes(part, local);
        for (var i = lane; i < width; i += LANES) {
            dy[y_first + i] = dy[weights + i] * (dx[x_first + i] - mean) / p.temperature;
        }
        x_first += p.x_tangent_stride;
        y_first += p.y_tangent_stride;
    }
}
