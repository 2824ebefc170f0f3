// The tangents of out = operation(u, v) with u = alpha * a and v = beta * b over up to four dimensions:
// dout[j] = du + dv, du - dv, v du + u dv or (du - (u / v) dv) / v for every tangent j, with
// du = alpha * da[j] and dv = beta * db[j].
//
// dout [tangents, shape_0, shape_1, shape_2, shape_3], each tangent contiguous, a stride apart; a and b as
// in elementwise.wgsl, their tangents a stride apart or, with stride 0, absent. See `ElementwiseTangent` in
// kernels/src/elementwise_tangent.rs.
//
// One workgroup of 256 has 256 successive outputs, an invocation one each, with all tangents of it: the
// partial derivatives are computed once. No workgroup memory.
//
// Numeric contract: f32; relative error at most 1e-6 of the magnitudes of the two terms. A tangent's
// result does not depend on how many there are.
//#import linear_index

struct Params {
    shape_0: u32,
    shape_1: u32,
    shape_2: u32,
    shape_3: u32,
    a_offset: u32,
    a_stride_0: u32,
    a_stride_1: u32,
    a_stride_2: u32,
    a_stride_3: u32,
    b_offset: u32,
    b_stride_0: u32,
    b_stride_1: u32,
    b_stride_2: u32,
    b_stride_3: u32,
    out_offset: u32,
    operation: u32,
    alpha: f32,
    beta: f32,
    tangents: u32,
    a_tangent_stride: u32,
    b_tangent_stride: u32,
    out_tangent_stride: u32,
}

const SUBTRACT: u32 = 1u;
const MULTIPLY: u32 = 2u;
const DIVIDE: u32 = 3u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> da: array<f32>;
@group(0) @binding(3) var<storage, read_write> db: array<f32>;
@group(0) @binding(4) var<storage, read_write> dout: array<f32>;

// Partial derivatives by a and b.
fn slopes(left: f32, right: f32) -> vec2<f32> {
    switch p.operation {
        case SUBTRACT: {
            return vec2<f32>(p.alpha, -p.beta);
        }
        case MULTIPLY: {
            return p.alpha * p.beta * vec2<f32>(right, left);
        }
        case DIVIDE: {
            let divisor = p.beta * right;
            let quotient = p.alpha * left / divisor;
            return vec2<f32>(p.alpha / divisor, -(quotient / divisor * p.beta));
        }
        default: {
            return vec2<f32>(p.alpha, p.beta);
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 256u);
    if index >= p.shape_0 * p.shape_1 * p.shape_2 * p.shape_3 {
        return;
    }
    let i3 = index % p.shape_3;
    let row = index / p.shape_3;
    let i2 = row % p.shape_2;
    let plane = row / p.shape_2;
    let i1 = plane % p.shape_1;
    let i0 = plane / p.shape_1;
    var a_at = p.a_offset + i0 * p.a_stride_0 + i1 * p.a_stride_1
        + i2 * p.a_stride_2 + i3 * p.a_stride_3;
    var b_at = p.b_offset + i0 * p.b_stride_0 + i1 * p.b_stride_1
        + i2 * p.b_stride_2 + i3 * p.b_stride_3;
    var out_at = p.out_offset + index;
    let slope = slopes(a[a_at], b[b_at]);
    for (var j = 0u; j < p.tangents; j += 1u) {
        var value = 0.0;
        if p.a_tangent_stride != 0u {
            value = slope.x * da[a_at];
        }
        if p.b_tangent_stride != 0u {
            value = fma(slope.y, db[b_at], value);
        }
        dout[out_at] = value;
        a_at += p.a_tangent_stride;
        b_at += p.b_tangent_stride;
        out_at += p.out_tangent_stride;
    }
}
