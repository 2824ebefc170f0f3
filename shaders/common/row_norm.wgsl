// What layer norm and RMS norm share: y = f(((x - centre) * factor * weight + bias) * (1 + scale) + shift), f an activation.
// The importing shader defines
//   statistics_of_row(first)                (centre, factor) of the row at x[first], by one invocation;
//   statistics_of_lanes(first, lane, local) the same by the 32 invocations of a row.
//#import linear_index
//#import row_reduce
//#import activations

struct Params {
    batch: u32,
    rows: u32,
    width: u32,
    x_offset: u32,
    x_batch_stride: u32,
    x_row_stride: u32,
    y_offset: u32,
    y_batch_stride: u32,
    y_row_stride: u32,
    scale_offset: u32,
    scale_batch_stride: u32,
    scale_row_stride: u32,
    scale_step_stride: u32,
    shift_offset: u32,
    shift_batch_stride: u32,
    shift_row_stride: u32,
    shift_step_stride: u32,
    step: u32,
    flags: u32,
    epsilon: f32,
    activation: u32,
}

const WEIGHT: u32 = 1u;
const BIAS: u32 = 2u;
const MODULATION: u32 = 4u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> shift: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

fn first_of_x(example: u32, row: u32) -> u32 {
    return p.x_offset + example * p.x_batch_stride + row * p.x_row_stride;
}

fn first_of_y(example: u32, row: u32) -> u32 {
    return p.y_offset + example * p.y_batch_stride + row * p.y_row_stride;
}

// First elements of the row's scale and shift.
fn first_of_modulation(example: u32, row: u32) -> vec2<u32> {
    return vec2<u32>(
        p.scale_offset + p.step * p.scale_step_stride + example * p.scale_batch_stride
            + row * p.scale_row_stride,
        p.shift_offset + p.step * p.shift_step_stride + example * p.shift_batch_stride
            + row * p.shift_row_stride,
    );
}

fn finish(normed: f32, modulation: vec2<u32>, column: u32) -> f32 {
    var value = normed;
    if (p.flags & WEIGHT) != 0u {
        value *= weight[column];
    }
    if (p.flags & BIAS) != 0u {
        value += bias[column];
    }
    if (p.flags & MODULATION) != 0u {
        value = value * (1.0 + scale[modulation.x + column]) + shift[modulation.y + column];
    }
    return activate(p.activation, value);
}

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.batch * p.rows {
        return;
    }
    let example = index / p.rows;
    let x_first = first_of_x(example, index % p.rows);
    let y_first = first_of_y(example, index % p.rows);
    let modulation = first_of_modulation(example, index % p.rows);
    let statistics = statistics_of_row(x_first);
    for (var i = 0u; i < p.width; i += 1u) {
        y[y_first + i] = finish((x[x_first + i] - statistics.x) * statistics.y, modulation, i);
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
    let is_row = index < p.batch * p.rows;
    // Lanes past the last row repeat it, so that all meet at the barriers, and store nothing.
    let row = min(index, p.batch * p.rows - 1u);
    let example = row / p.rows;
    let x_first = first_of_x(example, row % p.rows);
    let y_first = first_of_y(example, row % p.rows);
    let modulation = first_of_modulation(example, row % p.rows);
    let statistics = statistics_of_lanes(x_first, lane, local);
    if is_row {
        for (var i = lane; i < p.width; i += LANES) {
            y[y_first + i] = finish((x[x_first + i] - statistics.x) * statistics.y, modulation, i);
        }
    }
}
