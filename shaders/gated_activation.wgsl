// out[r, c] = activation(x[r, c]) * x[r, gate_offset + c]
//
// rows rows of width outputs; a row of x holds the activated part first and its gate gate_offset
// elements after the row's start. Rows are addressed by offsets and strides, columns are contiguous. See
// `GatedActivation` in kernels/src/gated_activation.rs.
//
// One workgroup of 256 has 256 outputs, an invocation one each; no workgroup memory.
//
// Numeric contract: f32; the activation within 4e-6 of the exact function, absolute and relative, times
// the gate; NaN in either stays NaN.
//#import activations
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
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

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
    let at = p.x_offset + row * p.x_row_stride + column;
    let value = x[at];
    let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
    let activated = select(activate(p.activation, value), value, is_nan);
    out[p.out_offset + row * p.out_row_stride + column] = activated * x[at + p.gate_offset];
}
