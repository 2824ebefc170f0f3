// dy[j] = dx[j] at the first element that is the largest, or the smallest, of x along its middle dimension,
// for every tangent j.
//
// x [outer, length, inner], dx the same and dy [outer, inner] a tangent stride apart, each contiguous. Of
// equal elements the one of lowest index counts; NaN where the extreme is not finite. See `ReduceTangent`
// in kernels/src/reduce_tangent.rs.
//
// direct: one workgroup of 64 has 64 outputs, an invocation one each; no workgroup memory.
// wide:   one workgroup of 256 has one output: 256 interleaved parts, combined as a tree; 2 KiB of
//         workgroup memory.
//
// Numeric contract: exact.
//#import reduction_shape

struct Params {
    outer: u32,
    length: u32,
    inner: u32,
    x_offset: u32,
    y_offset: u32,
    operation: u32,
    tangents: u32,
    x_tangent_stride: u32,
    y_tangent_stride: u32,
}

const MAX: u32 = 2u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;

struct Candidate {
    value: f32,
    index: u32,
}

fn better(a: Candidate, b: Candidate) -> Candidate {
    let a_is_nan = is_nan(a.value);
    let b_is_nan = is_nan(b.value);
    let beyond = select((b.value < a.value), (b.value > a.value), p.operation == MAX);
    let wins = (b_is_nan && !a_is_nan) || (!a_is_nan && beyond);
    let equal = (a_is_nan && b_is_nan) || (!a_is_nan && b.value == a.value);
    if wins || (equal && b.index < a.index) {
        return b;
    }
    return a;
}

// The tangent of the extreme; NaN, made of its own bits, where that is not finite.
fn gathered(first: u32, best: Candidate, tangent: u32) -> f32 {
    let bits = bitcast<u32>(best.value);
    let finite = (bits & 0x7f800000u) != 0x7f800000u;
    let own = dx[first + best.index * p.inner + tangent * p.x_tangent_stride];
    return select(bitcast<f32>(bits | 0x00400000u), own, finite);
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
    var best = Candidate(x[first], 0u);
    for (var i = 1u; i < p.length; i += 1u) {
        best = better(best, Candidate(x[first + i * p.inner], i));
    }
    for (var j = 0u; j < p.tangents; j += 1u) {
        dy[p.y_offset + j * p.y_tangent_stride + index] = gathered(first, best, j);
    }
}

const PARTS: u32 = 256u;
var<workgroup> parts: array<Candidate, 256>;

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
    // Every part starts from the row's first element: one of index 0 cannot displace a better one.
    var best = Candidate(x[first], 0u);
    for (var i = local; i < p.length; i += PARTS) {
        best = better(best, Candidate(x[first + i * p.inner], i));
    }
    parts[local] = best;
    workgroupBarrier();
    for (var distance = PARTS / 2u; distance > 0u; distance >>= 1u) {
        if local < distance {
            parts[local] = better(parts[local], parts[local + distance]);
        }
        workgroupBarrier();
    }
    for (var j = local; j < p.tangents; j += PARTS) {
        dy[p.y_offset + j * p.y_tangent_stride + index] = gathered(first, parts[0], j);
    }
}
