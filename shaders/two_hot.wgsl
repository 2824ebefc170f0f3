// y = base + weight * alive * aggregate over members of symexp(sum of softmax(x) times the bins' values)
//
// x [members, rows, max(bins, 1)], addressed by offset and strides, the last dimension contiguous; base,
// alive, y [rows]. Bins are spaced evenly from low to high; 0 bins stand for the number itself, 1 for its
// symmetric logarithm. The aggregate is the mean or the least. base and alive are there if their flag is
// set. NaN among a row's logits gives NaN. See `TwoHot` in kernels/src/two_hot.rs.
//
// direct: one workgroup of 64 has 64 rows, an invocation one each; no workgroup memory. For drivers that
//         emulate workgroup memory.
// lanes:  one workgroup of 128 has 4 rows, 32 lanes each; 512 bytes of workgroup memory.
//
// Numeric contract: f32; sums run in ascending order by blocks of 128 (direct) or in 32 interleaved partial sums
// (lanes), an order that depends on the bins alone; the expectation is within 4e-7 sqrt(bins) of the range of bins,
// and the result within that times 1 + its magnitude.
//#import linear_index
//#import row_reduce
//#import softmax_row
//#import floats

struct Params {
    rows: u32,
    bins: u32,
    members: u32,
    x_offset: u32,
    x_member_stride: u32,
    x_row_stride: u32,
    y_offset: u32,
    low: f32,
    high: f32,
    weight: f32,
    flags: u32,
}

// Terms of a partial sum of `direct`: errors of one long sum would grow with its terms.
const BLOCK = 128u;

const BASE: u32 = 1u;
const ALIVE: u32 = 2u;
const LEAST: u32 = 4u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> base: array<f32>;
@group(0) @binding(2) var<storage, read_write> alive: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn symexp(s: f32) -> f32 {
    let magnitude = exp(abs(s)) - 1.0;
    return select(magnitude, -magnitude, s < 0.0);
}

fn bin_width() -> f32 {
    return (p.high - p.low) / f32(max(p.bins, 2u) - 1u);
}

// One more member; NaN is less than any number.
fn with_member(total: f32, value: f32, member: u32) -> f32 {
    if member == 0u {
        return value;
    }
    if (p.flags & LEAST) == 0u {
        return total + value;
    }
    if is_nan(total) || is_nan(value) {
        return not_a_number();
    }
    return min(total, value);
}

fn store(row: u32, total: f32) {
    var value = total;
    if (p.flags & LEAST) == 0u {
        value = total / f32(p.members);
    }
    var term = p.weight * value;
    if (p.flags & ALIVE) != 0u {
        term *= alive[row];
    }
    if (p.flags & BASE) != 0u {
        term = base[row] + term;
    }
    y[p.y_offset + row] = term;
}

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
    let width = bin_width();
    var total = 0.0;
    for (var member = 0u; member < p.members; member += 1u) {
        let first = p.x_offset + member * p.x_member_stride + row * p.x_row_stride;
        var value = x[first];
        if p.bins > 1u {
            var largest = value;
            for (var i = 1u; i < p.bins; i += 1u) {
                largest = max(largest, x[first + i]);
            }
            let shift = shift_of(largest);
            var sum = 0.0;
            var moment = 0.0;
            for (var block = 0u; block < p.bins; block += BLOCK) {
                var part = 0.0;
                var part_moment = 0.0;
                for (var i = block; i < min(block + BLOCK, p.bins); i += 1u) {
                    let power = exp(x[first + i] - shift);
                    part += power;
                    part_moment = fma(power, fma(f32(i), width, p.low), part_moment);
                }
                sum += part;
                moment += part_moment;
            }
            value = moment / divisor_of(sum);
        }
        if p.bins > 0u {
            value = symexp(value);
        }
        total = with_member(total, value, member);
    }
    store(row, total);
}

@compute @workgroup_size(128)
fn lanes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local / LANES, ROWS_A_WORKGROUP);
    let lane = local % LANES;
    // Rows past the last repeat it: all invocations meet at the barriers, and those rows are not stored.
    let row = min(index, p.rows - 1u);
    let width = bin_width();
    var total = 0.0;
    for (var member = 0u; member < p.members; member += 1u) {
        let first = p.x_offset + member * p.x_member_stride + row * p.x_row_stride;
        var value = x[first];
        if p.bins > 1u {
            var largest = value;
            for (var i = lane; i < p.bins; i += LANES) {
                largest = max(largest, x[first + i]);
            }
            let shift = shift_of(max_over_lanes(largest, local));
            var sum = 0.0;
            var moment = 0.0;
            for (var i = lane; i < p.bins; i += LANES) {
                let power = exp(x[first + i] - shift);
                sum += power;
                moment = fma(power, fma(f32(i), width, p.low), moment);
            }
            let divisor = divisor_of(sum_over_lanes(sum, local));
            value = sum_over_lanes(moment, local) / divisor;
        }
        if p.bins > 0u {
            value = symexp(value);
        }
        total = with_member(total, value, member);
    }
    if index < p.rows && lane == 0u {
        store(row, total);
    }
}
