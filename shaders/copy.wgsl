// dst[...] = src[...] for floats over up to four dimensions, bit for bit.
//
// src and dst each have an offset, four strides and a stride along the steps of an orbit; elements of
// dst that the pattern leaves out keep their value. See `CopyFloats` in kernels/src/copy.rs.
//
// One workgroup of 256 has 256 elements of the pattern, an invocation one each; no workgroup memory.
//
// Numeric contract: exact.
//#import strided_copy

@group(0) @binding(0) var<storage, read_write> src: array<f32>;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 256u);
    if index >= pattern_size() {
        return;
    }
    let at = coordinates(index);
    dst[destination(at)] = src[source(at)];
}
