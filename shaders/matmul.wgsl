// C = residual + gate * activation(scale * A B + bias), for every matrix of a batch.
//
// A [batch, m, k], B [batch, k, n] or one matrix for all, C [batch, m, n], each addressed by offset and
// strides; bias [n]; see `MatMul` in kernels/src/matmul.rs for the meaning of every parameter.
//
// direct: one workgroup of 64 makes a tile of 64 rows by 64 columns, each invocation 8 x 8 in
//         registers; no workgroup memory. For drivers that emulate workgroup memory.
// tiled:  one workgroup of 256 makes a tile of 64 x 64, each invocation 4 x 4; slices of 16 along k of
//         A and B are staged in 2 x 64 x 16 x 4 bytes = 8 KiB of workgroup memory.
//
// Numeric contract: each element is one chain of f32 multiply-adds with k ascending, the same in both
// variants and for any batch; relative error at most 4e-7 sqrt(k) of the sum of magnitudes.
//#import activations

struct Params {
    batch: u32,
    m: u32,
    n: u32,
    k: u32,
    a_offset: u32,
    a_batch_stride: u32,
    a_row_stride: u32,
    a_column_stride: u32,
    b_offset: u32,
    b_batch_stride: u32,
    b_row_stride: u32,
    b_column_stride: u32,
    c_offset: u32,
    c_batch_stride: u32,
    c_row_stride: u32,
    residual_offset: u32,
    residual_batch_stride: u32,
    residual_row_stride: u32,
    gate_batch_stride: u32,
    gate_column_stride: u32,
    activation: u32,
    flags: u32,
    scale: f32,
}

const BIAS: u32 = 1u;
const RESIDUAL: u32 = 2u;
const GATE: u32 = 4u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> gate: array<f32>;
@group(0) @binding(5) var<storage, read_write> c: array<f32>;

// Rows of the tall matrix that a launch sees: the whole batch where B is shared, else one matrix.
fn row_count() -> u32 {
    return select(p.m, p.batch * p.m, p.b_batch_stride == 0u);
}

// (matrix, row in it) of a row of the tall matrix.
fn locate(row: u32, matrix: u32) -> vec2<u32> {
    if p.b_batch_stride == 0u {
        return vec2<u32>(row / p.m, row % p.m);
    }
    return vec2<u32>(matrix, row);
}

fn finish(sum: f32, place: vec2<u32>, column: u32) {
    var value = p.scale * sum;
    if (p.flags & BIAS) != 0u {
        value += bias[column];
    }
    value = activate(p.activation, value);
    if (p.flags & GATE) != 0u {
        value *= gate[place.x * p.gate_batch_stride + column * p.gate_column_stride];
    }
    if (p.flags & RESIDUAL) != 0u {
        value += residual[p.residual_offset + place.x * p.residual_batch_stride
            + place.y * p.residual_row_stride + column];
    }
    c[p.c_offset + place.x * p.c_batch_stride + place.y * p.c_row_stride + column] = value;
}

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = row_count();
    let first_row = workgroup.y * 64u + (local / 8u) * 8u;
    let first_column = workgroup.x * 64u + (local % 8u) * 8u;
    if first_row >= rows || first_column >= p.n {
        return;
    }
    // Rows and columns past the edge repeat the last one: loads stay in bounds, stores are skipped.
    var a_base: array<u32, 8>;
    for (var r = 0u; r < 8u; r += 1u) {
        let place = locate(min(first_row + r, rows - 1u), workgroup.z);
        a_base[r] = p.a_offset + place.x * p.a_batch_stride + place.y * p.a_row_stride;
    }
    let b_base = vec4<u32>(p.b_offset + workgroup.z * p.b_batch_stride);
    let last = vec4<u32>(p.n - 1u);
    let near = vec4<u32>(first_column) + vec4<u32>(0u, 1u, 2u, 3u);
    let left = b_base + min(near, last) * p.b_column_stride;
    let right = b_base + min(near + vec4<u32>(4u), last) * p.b_column_stride;
    var l0 = vec4<f32>();
    var r0 = vec4<f32>();
    var l1 = vec4<f32>();
    var r1 = vec4<f32>();
    var l2 = vec4<f32>();
    var r2 = vec4<f32>();
    var l3 = vec4<f32>();
    var r3 = vec4<f32>();
    var l4 = vec4<f32>();
    var r4 = vec4<f32>();
    var l5 = vec4<f32>();
    var r5 = vec4<f32>();
    var l6 = vec4<f32>();
    var r6 = vec4<f32>();
    var l7 = vec4<f32>();
    var r7 = vec4<f32>();
    for (var i = 0u; i < p.k; i += 1u) {
        let row = vec4<u32>(i * p.b_row_stride);
        let at = left + row;
        let to = right + row;
        let b_left = vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
        let b_right = vec4<f32>(b[to.x], b[to.y], b[to.z], b[to.w]);
        let along = i * p.a_column_stride;
        let a0 = vec4<f32>(a[a_base[0] + along]);
        l0 = fma(a0, b_left, l0);
        r0 = fma(a0, b_right, r0);
        let a1 = vec4<f32>(a[a_base[1] + along]);
        l1 = fma(a1, b_left, l1);
        r1 = fma(a1, b_right, r1);
        let a2 = vec4<f32>(a[a_base[2] + along]);
        l2 = fma(a2, b_left, l2);
        r2 = fma(a2, b_right, r2);
        let a3 = vec4<f32>(a[a_base[3] + along]);
        l3 = fma(a3, b_left, l3);
        r3 = fma(a3, b_right, r3);
        let a4 = vec4<f32>(a[a_base[4] + along]);
        l4 = fma(a4, b_left, l4);
        r4 = fma(a4, b_right, r4);
        let a5 = vec4<f32>(a[a_base[5] + along]);
        l5 = fma(a5, b_left, l5);
        r5 = fma(a5, b_right, r5);
        let a6 = vec4<f32>(a[a_base[6] + along]);
        l6 = fma(a6, b_left, l6);
        r6 = fma(a6, b_right, r6);
        let a7 = vec4<f32>(a[a_base[7] + along]);
        l7 = fma(a7, b_left, l7);
        r7 = fma(a7, b_right, r7);
    }
    let sums = array<vec4<f32>, 16>(l0, r0, l1, r1, l2, r2, l3, r3, l4, r4, l5, r5, l6, r6, l7, r7);
    for (var r = 0u; r < 8u; r += 1u) {
        if first_row + r < rows {
            let place = locate(first_row + r, workgroup.z);
            for (var j = 0u; j < 8u; j += 1u) {
                if first_column + j < p.n {
                    finish(sums[2u * r + j / 4u][j % 4u], place, first_column + j);
                }
            }
        }
    }
}

const TILE: u32 = 64u;
const SLICE: u32 = 16u;
var<workgroup> a_tile: array<f32, 1024>; // [SLICE, TILE]
var<workgroup> b_tile: array<f32, 1024>; // [SLICE, TILE]

@compute @workgroup_size(256)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = row_count();
    let tile_row = workgroup.y * TILE;
    let tile_column = workgroup.x * TILE;
    // Each invocation loads one row's four successive k of A, and one k's four columns of B.
    let load_row = local / 4u;
    let load_k = (local % 4u) * 4u;
    let place = locate(min(tile_row + load_row, rows - 1u), workgroup.z);
    let a_base = p.a_offset + place.x * p.a_batch_stride + place.y * p.a_row_stride;
    let load_b_k = local / 16u;
    let load_column = (local % 16u) * 4u;
    let b_base = p.b_offset + workgroup.z * p.b_batch_stride;
    let row = (local / 16u) * 4u;
    let column = (local % 16u) * 4u;
    var sums = array<vec4<f32>, 4>();
    for (var first = 0u; first < p.k; first += SLICE) {
        for (var j = 0u; j < 4u; j += 1u) {
            let k_a = first + load_k + j;
            var value = 0.0;
            if k_a < p.k {
                value = a[a_base + k_a * p.a_column_stride];
            }
            a_tile[(load_k + j) * TILE + load_row] = value;
            let k_b = first + load_b_k;
            let column_b = tile_column + load_column + j;
            value = 0.0;
            if k_b < p.k && column_b < p.n {
                value = b[b_base + k_b * p.b_row_stride + column_b * p.b_column_stride];
            }
            b_tile[load_b_k * TILE + load_column + j] = value;
        }
        workgroupBarrier();
        let depth = min(SLICE, p.k - first);
        for (var i = 0u; i < depth; i += 1u) {
            let at = i * TILE + column;
            let line = vec4<f32>(b_tile[at], b_tile[at + 1u], b_tile[at + 2u], b_tile[at + 3u]);
            let from_row = i * TILE + row;
            sums[0] = fma(vec4<f32>(a_tile[from_row]), line, sums[0]);
            sums[1] = fma(vec4<f32>(a_tile[from_row + 1u]), line, sums[1]);
            sums[2] = fma(vec4<f32>(a_tile[from_row + 2u]), line, sums[2]);
            sums[3] = fma(vec4<f32>(a_tile[from_row + 3u]), line, sums[3]);
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r += 1u) {
        let at_row = tile_row + row + r;
        if at_row < rows {
            let at_place = locate(at_row, workgroup.z);
            for (var j = 0u; j < 4u; j += 1u) {
                let at_column = tile_column + column + j;
                if at_column < p.n {
                    finish(sums[r][j], at_place, at_column);
                }
            }
        }
    }
}
