// y = softmax(x / temperature) over rows: exp((x - max) / temperature) over its sum.
//
// x, y [rows, width], each addressed by offset and row stride with contiguous columns. A row that is all
// negative infinity gives zeros; NaN or positive infinity in a row makes all of it NaN. y may be x. See
// `Softmax` in kernels/src/softmax.rs.
//
// direct: one workgroup of 64 has 64 rows, an invocation one each; no workgroup memory. For drivers that
//         emulate workgroup memory.
// lanes:  one workgroup of 128 has 4 rows, 32 lanes each; 512 bytes of workgroup memory.
//
// Numeric contract: f32; the sum runs in ascending order (direct) or in 32 interleaved partial sums
// (lanes), an order that depends on the width alone; relative error at most 4e-7 sqrt(width) + 1e-6
// (1 + range of the row / temperature), absolute error 1e-6.
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
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

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
    let x_first = p.x_offset + row * p.x_row_stride;
    let y_first = p.y_offset + row * p.y_row_stride;
    var largest = x[x_first];
    for (var i = 1u; i < p.width; i += 1u) {
        largest = max(largest, x[x_first + i]);
    }
    let shift = shift_of(largest);
    var sum = 0.0;
    for (var i = 0u; i < p.width; i += 1u) {
        let power = exp((x[x_first + i] - shift) / p.temperature);
        y[y_first + i] = power;
        sum += power;
    }
    let divisor = divisor_of(sum);
    for (var i = 0u; i < p.width; i += 1u) {
        y[y_first + i] /= divisor;
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
    let x_first = p.x_offset + row * p.x_row_stride;
    let y_first = p.y_offset + row * p.y_row_stride;
    var largest = x[x_first];
    for (var i = lane; i < width; i += LANES) {
        largest = max(largest, x[x_first + i]);
    }
    let shift = shift_of(max_over_lanes(largest, local));
    var sum = 0.0;
    for (var i = lane; i < width; i += LANES) {
        let power = exp((x[x_first + i] - shift) / p.temperature);
        y[y_first + i] = power;
        sum += power;
    }
    let divisor = divisor_of(sum_over_lanes(sum, local));
    for (var i = lane; i < width; i += LANES) {
        y[y_first + i] /= divisor;
    }
}
