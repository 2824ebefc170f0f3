// out = operation(alpha * a, beta * b) over up to four dimensions.
//
// out [shape_0, shape_1, shape_2, shape_3], contiguous; a and b each with an offset and four strides, 0
// along a dimension that they are broadcast over. See `Elementwise` in kernels/src/elementwise.rs.
//
// One workgroup of 256 has 256 successive outputs, an invocation one each; no workgroup memory.
//
// Numeric contract: f32, each step rounded or contracted into one multiply-add: relative error at most
// 3e-7 of |alpha a| + |beta b| for sums and differences, of the result for products and quotients.
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
}

const SUBTRACT: u32 = 1u;
const MULTIPLY: u32 = 2u;
const DIVIDE: u32 = 3u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

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
    let left = p.alpha * a[p.a_offset + i0 * p.a_stride_0 + i1 * p.a_stride_1
        + i2 * p.a_stride_2 + i3 * p.a_stride_3];
    let right = p.beta * b[p.b_offset + i0 * p.b_stride_0 + i1 * p.b_stride_1
        + i2 * p.b_stride_2 + i3 * p.b_stride_3];
    var value = left + right;
    if p.operation == SUBTRACT {
        value = left - right;
    } else if p.operation == MULTIPLY {
        value = left * right;
    } else if p.operation == DIVIDE {
        value = left / right;
    }
    out[p.out_offset + index] = value;
}
