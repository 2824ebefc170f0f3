// y[i] = sum of 64 values, each after `iterations` times v <- multiplier v + addend, from
// v = ((64 i + j) mod 1024) / 1024; see `RooflineFma` in kernels/src/roofline_fma.rs.
//
// One workgroup of 64 has 64 outputs, an invocation one each: 16 vectors of four in registers, no memory
// traffic but the result; no workgroup memory.
//
// Numeric contract: f32 fused multiply-adds; relative error at most 1.2e-7 / (1 - |multiplier|).
//#import linear_index

struct Params {
    count: u32,
    iterations: u32,
    multiplier: f32,
    addend: f32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

fn start(invocation: u32, vector: u32) -> vec4<f32> {
    let first = invocation * 64u + vector * 4u;
    let values = (vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u)) % vec4<u32>(1024u);
    return vec4<f32>(values) / 1024.0;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.count {
        return;
    }
    let m = vec4<f32>(p.multiplier);
    let a = vec4<f32>(p.addend);
    var v0 = start(index, 0u);
    var v1 = start(index, 1u);
    var v2 = start(index, 2u);
    var v3 = start(index, 3u);
    var v4 = start(index, 4u);
    var v5 = start(index, 5u);
    var v6 = start(index, 6u);
    var v7 = start(index, 7u);
    var v8 = start(index, 8u);
    var v9 = start(index, 9u);
    var v10 = start(index, 10u);
    var v11 = start(index, 11u);
    var v12 = start(index, 12u);
    var v13 = start(index, 13u);
    var v14 = start(index, 14u);
    var v15 = start(index, 15u);
    for (var i = 0u; i < p.iterations; i += 1u) {
        v0 = fma(v0, m, a);
        v1 = fma(v1, m, a);
        v2 = fma(v2, m, a);
        v3 = fma(v3, m, a);
        v4 = fma(v4, m, a);
        v5 = fma(v5, m, a);
        v6 = fma(v6, m, a);
        v7 = fma(v7, m, a);
        v8 = fma(v8, m, a);
        v9 = fma(v9, m, a);
        v10 = fma(v10, m, a);
        v11 = fma(v11, m, a);
        v12 = fma(v12, m, a);
        v13 = fma(v13, m, a);
        v14 = fma(v14, m, a);
        v15 = fma(v15, m, a);
    }
    // By halves, as the twin does.
    let s0 = ((v0 + v8) + (v4 + v12)) + ((v2 + v10) + (v6 + v14));
    let s1 = ((v1 + v9) + (v5 + v13)) + ((v3 + v11) + (v7 + v15));
    let sum = s0 + s1;
    y[index] = (sum.x + sum.y) + (sum.z + sum.w);
}
