// y = index of the largest element of x along its middle dimension.
//
// x [outer, length, inner], y [outer, inner] as words, both contiguous. The lowest index of equal
// elements wins; NaN is larger than any number. See `ArgMax` in kernels/src/argmax.rs.
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
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

struct Candidate {
    value: f32,
    index: u32,
}

fn better(a: Candidate, b: Candidate) -> Candidate {
    let a_is_nan = is_nan(a.value);
    let b_is_nan = is_nan(b.value);
    let larger = (b_is_nan && !a_is_nan) || (!a_is_nan && b.value > a.value);
    let equal = (a_is_nan && b_is_nan) || (!a_is_nan && b.value == a.value);
    if larger || (equal && b.index < a.index) {
        return b;
    }
    return a;
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
    y[p.y_offset + index] = best.index;
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
    if local == 0u {
        y[p.y_offset + index] = parts[0].index;
    }
}
