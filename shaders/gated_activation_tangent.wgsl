// dout[j] = activation'(a) g da[j] + activation(a) dg[j] for every tangent j, where a = x[r, c] and
// g = x[r, gate_offset + c].
//
// rows rows of width outputs, laid out as in gated_activation.wgsl; tangents of x and out a stride apart.
// See `GatedActivationTangent` in kernels/src/gated_activation_tangent.rs.
//
// One workgroup of 256 has 256 outputs, an invocation one each, with all tangents of it: both partial
// derivatives are computed once. No workgroup memory.
//
// Numeric contract: f32; activation and slope within 4e-6 of the exact ones, absolute and relative; NaN
// where a is not finite. A tangent's result does not depend on how many there are.
//#import activation_slopes
//#import linear_index

struct Params {
    rows: u32,
    width: u32,
    x_offset: u32,
    x_row_stride: u32,
    gate_offset: u32,
    out_offset: u32,
    out_row_stride: u32,
    activation: u32,
    tangents: u32,
    x_tangent_stride: u32,
    out_tangent_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dout: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 256u);
    if index >= p.rows * p.width {
        return;
    }
    let row = index / p.width;
    let column = index % p.width;
    var x_at = p.x_offset + row * p.x_row_stride + column;
    var out_at = p.out_offset + row * p.out_row_stride + column;
    let value = activate(p.activation, x[x_at]);
    let slope = activation_slope(p.activation, x[x_at]) * x[x_at + p.gate_offset];
    for (var j = 0u; j < p.tangents; j += 1u) {
        dout[out_at] = fma(slope, dx[x_at], value * dx[x_at + p.gate_offset]);
        x_at += p.x_tangent_stride;
        out_at += p.out_tangent_stride;
    }
}
