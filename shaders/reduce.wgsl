// y = sum, mean, max or min of x along its middle dimension.
//
// x [outer, length, inner], y [outer, inner], both contiguous. See `Reduce` in kernels/src/reduce.rs.
//
// direct: one workgroup of 64 has 64 outputs, an invocation one each; no workgroup memory.
// wide:   one workgroup of 256 has one output: 256 interleaved parts, combined as a tree; 2 KiB of
//         workgroup memory.
//
// Numeric contract: f32; sums carry the rounding error of every addition along (Neumaier, Knuth's
// TwoSum): error at most 2e-7 of the result plus 4e-15 length^2 of the sum of magnitudes.
// Extremes are exact, NaN if there is one among the elements.
//#import reduction_shape
//#import two_sum

struct Params {
    outer: u32,
    length: u32,
    inner: u32,
    x_offset: u32,
    y_offset: u32,
    operation: u32,
}

const MEAN: u32 = 1u;
const MAX: u32 = 2u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// A running result is (sum, gathered error) or (extreme, 0).
fn combine(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    if p.operation < MAX {
        let sum = two_sum(a.x, b.x, p.operation & 0x80000000u);
        return vec2<f32>(sum.x, a.y + b.y + sum.y);
    }
    let better = select((b.x < a.x), (b.x > a.x), p.operation == MAX);
    return select(a, b, (better || is_nan(b.x)) && !is_nan(a.x));
}

// Neutral for the row at x[first]: nothing added yet, or an extreme that is one of its elements.
fn start(first: u32) -> vec2<f32> {
    return vec2<f32>(select(x[first], 0.0, p.operation < MAX), 0.0);
}

fn finish(state: vec2<f32>) -> f32 {
    // An infinite sum has an undefined error; the sum itself is right.
    let error_is_finite = (bitcast<u32>(state.y) & 0x7f800000u) != 0x7f800000u;
    let total = select(state.x, state.x + state.y, error_is_finite);
    return select(total, total / f32(p.length), p.operation == MEAN);
}

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.outer * p.inner {
        return;
    }
    let first = first_of_row(index);
    var state = start(first);
    for (var i = 0u; i < p.length; i += 1u) {
        state = combine(state, vec2<f32>(x[first + i * p.inner], 0.0));
    }
    y[p.y_offset + index] = finish(state);
}

const PARTS: u32 = 256u;
var<workgroup> parts: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn wide(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, 0u, 1u);
    if index >= p.outer * p.inner {
        return;
    }
    let first = first_of_row(index);
    var state = start(first);
    for (var i = local; i < p.length; i += PARTS) {
        state = combine(state, vec2<f32>(x[first + i * p.inner], 0.0));
    }
    parts[local] = state;
    workgroupBarrier();
    for (var distance = PARTS / 2u; distance > 0u; distance >>= 1u) {
        if local < distance {
            parts[local] = combine(parts[local], parts[local + distance]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        y[p.y_offset + index] = finish(parts[0]);
    }
}
