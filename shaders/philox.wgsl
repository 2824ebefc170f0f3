// Random numbers from Philox4x32-10: out[row, i] from key (seed_low, seed_high) and counter
// (block, step, first_example + row, stream), where block = i / 4 over the floats of one row.
//
// out [rows, length] for the uniform, normal and exponential kinds, [rows, length, 2] for the pair kind. One
// invocation makes the four floats of one block; workgroups of 64, no workgroup memory.
//
// Numeric contract: the uniform kinds are the same bits on every device. Normals are Box-Muller
// through the polynomials of common/elementary.wgsl, not the built-in log, sin and cos, whose error WGSL
// hardly bounds: within 1e-6 (1 + |x|) of the exact transform of the same bits. Exponentials are -ln u of
// 23 bits, within 1e-6 (1 + x).
//#import linear_index
//#import philox
//#import normals

struct Params {
    rows: u32,
    length: u32,
    first_example: u32,
    step: u32,
    stream: u32,
    seed_low: u32,
    seed_high: u32,
    kind: u32,
}

const KIND_UNIFORM_PAIR: u32 = 1u;
const KIND_NORMAL: u32 = 2u;
const KIND_EXPONENTIAL: u32 = 3u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> out: array<f32>;

const INVERSE_23: f32 = 1.1920928955078125e-7; // 2^-23
const INVERSE_48: f32 = 3.552713678800501e-15; // 2^-48

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let width = p.length * select(1u, 2u, p.kind == KIND_UNIFORM_PAIR);
    let blocks = (width - 1u) / 4u + 1u;
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.rows * blocks {
        return;
    }
    let row = index / blocks;
    let block = index % blocks;
    let counter = vec4<u32>(block, p.step, p.first_example + row, p.stream);
    let bits = philox4x32(counter, vec2<u32>(p.seed_low, p.seed_high));
    var values = vec4<f32>(bits >> vec4<u32>(8u)) * INVERSE_24;
    if p.kind == KIND_UNIFORM_PAIR {
        values.y = f32(bits.y >> 8u) * INVERSE_48;
        values.w = f32(bits.w >> 8u) * INVERSE_48;
    } else if p.kind == KIND_NORMAL {
        values = vec4<f32>(normals(bits.x, bits.y), normals(bits.z, bits.w));
    } else if p.kind == KIND_EXPONENTIAL {
        let uniforms = (vec4<f32>(bits >> vec4<u32>(9u)) + 0.5) * INVERSE_23;
        values = vec4<f32>(
            -logarithm(uniforms.x),
            -logarithm(uniforms.y),
            -logarithm(uniforms.z),
            -logarithm(uniforms.w),
        );
    }
    let first = row * width + block * 4u;
    let lanes = min(4u, width - block * 4u);
    for (var lane = 0u; lane < lanes; lane += 1u) {
        out[first + lane] = values[lane];
    }
}
