// y = activation(scale * x) over count contiguous elements; see `Activate` in kernels/src/activation.rs.
//
// One workgroup of 256 has 256 elements, an invocation one each; no workgroup memory.
//
// Numeric contract: f32; within 4e-6 of the exact function, absolute and relative; NaN stays NaN.
//#import activations
//#import linear_index

struct Params {
    count: u32,
    x_offset: u32,
    y_offset: u32,
    activation: u32,
    scale: f32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

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
    let value = x[p.x_offset + index];
    let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
    y[p.y_offset + index] = select(activate(p.activation, p.scale * value), value, is_nan);
}
