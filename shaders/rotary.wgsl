// Rotary position embedding, in place: (a, b) -> (a cos - b sin, a sin + b cos).
//
// x [batch, rows, heads, head_dim], addressed by offset and strides, heads of a row contiguous; cosine and
// sine [positions, head_dim / 2], of which row r of an example takes row first_position + r. Pair j of a
// head is elements (2j, 2j + 1) or (j, j + head_dim / 2). See `Rotary` in kernels/src/rotary.rs.
//
// One workgroup of 256 has 256 pairs, an invocation one each; no workgroup memory.
//
// Numeric contract: f32; within 4e-7 of (|a| + |b|) times the larger of |cos| and |sin|.
//#import linear_index

struct Params {
    batch: u32,
    rows: u32,
    heads: u32,
    head_dim: u32,
    x_offset: u32,
    x_batch_stride: u32,
    x_row_stride: u32,
    first_position: u32,
    pairs: u32,
}

const HALVES: u32 = 1u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> cosine: array<f32>;
@group(0) @binding(2) var<storage, read_write> sine: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let half = p.head_dim / 2u;
    let index = linear_index(workgroup, count, local, 256u);
    if index >= p.batch * p.rows * p.heads * half {
        return;
    }
    let pair = index % half;
    let head = index / half % p.heads;
    let row = index / (half * p.heads) % p.rows;
    let example = index / (half * p.heads * p.rows);
    let start = p.x_offset + example * p.x_batch_stride + row * p.x_row_stride + head * p.head_dim;
    let first = start + select(2u * pair, pair, p.pairs == HALVES);
    let second = first + select(1u, half, p.pairs == HALVES);
    let angle = (p.first_position + row) * half + pair;
    let a = x[first];
    let b = x[second];
    x[first] = a * cosine[angle] - b * sine[angle];
    x[second] = a * sine[angle] + b * cosine[angle];
}
