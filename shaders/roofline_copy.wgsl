// dst[i] = src[i], four elements at a time; see `RooflineCopy` in kernels/src/roofline_copy.rs.
//
// One workgroup of 256 has 1024 elements, an invocation four each; no workgroup memory.
//
// Numeric contract: exact.
//#import linear_index

struct Params {
    count: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> src: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 256u);
    if index < p.count / 4u {
        dst[index] = src[index];
    }
}
