// dy[j] = scale * activation'(scale * x) * dx[j] for every tangent j, over count contiguous elements; see
// `ActivateTangent` in kernels/src/activation_tangent.rs.
//
// x [count]; dx, dy [tangents, count], tangents a stride apart. One workgroup of 256 has 256 elements, an
// invocation one each, with all tangents of it: the slope is computed once. No workgroup memory.
//
// Numeric contract: f32; the slope within 4e-6 of the exact one, absolute and relative; NaN where x is
// not finite. A tangent's result does not depend on how many there are.
//#import activation_slopes
//#import linear_index

struct Params {
    count: u32,
    x_offset: u32,
    y_offset: u32,
    activation: u32,
    scale: f32,
    tangents: u32,
    x_tangent_stride: u32,
    y_tangent_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 256u);
    if index >= p.count {
        return;
    }
    var x_at = p.x_offset + index;
    var y_at = p.y_offset + index;
    let slope = p.scale * activation_slope(p.activation, p.scale * x[x_at]);
    for (var j = 0u; j < p.tangents; j += 1u) {
        dy[y_at] = slope * dx[x_at];
        x_at += p.x_tangent_stride;
        y_at += p.y_tangent_stride;
    }
}
