// What the tangents of layer norm and RMS norm share: with n = (x - centre) * factor,
// dn = factor * (u - n * mean(n u)), u = dx less its mean if CENTRED, and
// dy = dn * weight * (1 + scale) + (n * weight + bias) * dscale + dshift.
// The importing shader defines CENTRED and the statistics of `row_norm.wgsl`.
//#import linear_index
//#import row_reduce

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
    tangents: u32,
    x_tangent_stride: u32,
    scale_tangent_stride: u32,
    shift_tangent_stride: u32,
    y_tangent_stride: u32,
}

const WEIGHT: u32 = 1u;
const BIAS: u32 = 2u;
const MODULATION: u32 = 4u;
const SCALE_TANGENT: u32 = 8u;
const SHIFT_TANGENT: u32 = 16u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<storage, read_write> dscale: array<f32>;
@group(0) @binding(6) var<storage, read_write> dshift: array<f32>;
@group(0) @binding(7) var<storage, read_write> dy: array<f32>;

// First elements of a row in x, y, scale and shift.
fn first_of(example: u32, row: u32) -> vec4<u32> {
    return vec4<u32>(
        p.x_offset + example * p.x_batch_stride + row * p.x_row_stride,
        p.y_offset + example * p.y_batch_stride + row * p.y_row_stride,
        p.scale_offset + p.step * p.scale_step_stride + example * p.scale_batch_stride
            + row * p.scale_row_stride,
        p.shift_offset + p.step * p.shift_step_stride + example * p.shift_batch_stride
            + row * p.shift_row_stride,
    );
}

// The same in dx, dy, dscale and dshift.
fn of_tangent(first: vec4<u32>, tangent: u32) -> vec4<u32> {
    return first + tangent * vec4<u32>(
        p.x_tangent_stride,
        p.y_tangent_stride,
        p.scale_tangent_stride,
        p.shift_tangent_stride,
    );
}

// dy of one column; `means` are those of dx and of n u.
fn finish(
    statistics: vec2<f32>,
    means: vec2<f32>,
    first: vec4<u32>,
    tangent: vec4<u32>,
    column: u32,
) -> f32 {
    let normed = (x[first.x + column] - statistics.x) * statistics.y;
    var value = statistics.y * ((dx[tangent.x + column] - means.x) - normed * means.y);
    var affine = normed;
    if (p.flags & WEIGHT) != 0u {
        value *= weight[column];
        affine *= weight[column];
    }
    if (p.flags & MODULATION) != 0u {
        value *= 1.0 + scale[first.z + column];
    }
    if (p.flags & SCALE_TANGENT) != 0u {
        if (p.flags & BIAS) != 0u {
            affine += bias[column];
        }
        value += affine * dscale[tangent.z + column];
    }
    if (p.flags & SHIFT_TANGENT) != 0u {
        value += dshift[tangent.w + column];
    }
    return value;
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
    let first = first_of(index / p.rows, index % p.rows);
    let statistics = statistics_of_row(first.x);
    let whole = p.width - p.width % 4u;
    for (var j = 0u; j < p.tangents; j += 1u) {
        let tangent = of_tangent(first, j);
        var means = vec2<f32>();
        if CENTRED {
            var sums = vec4<f32>();
            for (var i = 0u; i < whole; i += 4u) {
                let at = tangent.x + i;
                sums += vec4<f32>(dx[at], dx[at + 1u], dx[at + 2u], dx[at + 3u]);
            }
            for (var i = whole; i < p.width; i += 1u) {
                sums.x += dx[tangent.x + i];
            }
            means.x = ((sums.x + sums.z) + (sums.y + sums.w)) / f32(p.width);
        }
        var along = vec4<f32>();
        for (var i = 0u; i < whole; i += 4u) {
            let at = first.x + i;
            let to = tangent.x + i;
            let values = vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
            let moved = vec4<f32>(dx[to], dx[to + 1u], dx[to + 2u], dx[to + 3u]);
            along += (values - statistics.x) * statistics.y * (moved - means.x);
        }
        for (var i = whole; i < p.width; i += 1u) {
            let normed = (x[first.x + i] - statistics.x) * statistics.y;
            along.x += normed * (dx[tangent.x + i] - means.x);
        }
        means.y = ((along.x + along.z) + (along.y + along.w)) / f32(p.width);
        for (var i = 0u; i < p.width; i += 1u) {
            dy[tangent.y + i] = finish(statistics, means, first, tangent, i);
        }
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
    let first = first_of(row / p.rows, row % p.rows);
    let statistics = statistics_of_lanes(first.x, lane, local);
    for (var j = 0u; j < p.tangents; j += 1u) {
        let tangent = of_tangent(first, j);
        var means = vec2<f32>();
        if CENTRED {
            var sum = 0.0;
            for (var i = lane; i < p.width; i += LANES) {
                sum += dx[tangent.x + i];
            }
            means.x = sum_over_lanes(sum, local) / f32(p.width);
        }
        var along = 0.0;
        for (var i = lane; i < p.width; i += LANES) {
            let normed = (x[first.x + i] - statistics.x) * statistics.y;
            along += normed * (dx[tangent.x + i] - means.x);
        }
        means.y = sum_over_lanes(along, local) / f32(p.width);
        if is_row {
            for (var i = lane; i < p.width; i += LANES) {
                dy[tangent.y + i] = finish(statistics, means, first, tangent, i);
            }
        }
    }
}
