// out[b, i, h, :] = sum_j softmax_j(scale * q[b, i, h, :] . k[b, j, g, :] + mask[b, i, j]) v[b, j, g, :]
//
// with g = h * kv_heads / heads. q and out [batch, q_rows, heads, head_dim], k and v
// [batch, k_rows, kv_heads, head_dim], each addressed by offset, batch and row stride, head h at
// h * head_dim; mask [batch or 1, q_rows, k_rows] if its flag is set. A key whose mask is -infinity
// takes no part; a row without keys is zero. The softmax is taken online over the keys in order, so
// no score matrix is stored; any head_dim up to 256.
//
// direct: one invocation makes one row of one head, 64 columns of it (longer heads take more
//         invocations, each with all scores); sums in registers, keys four at a time; no workgroup
//         memory. For drivers that emulate workgroup memory.
// tiled:  one workgroup of 256 makes 16 rows of one head, 16 invocations a row; 32 keys at a time,
//         staged 64 columns at a time: 16 x 65 of q, 32 x 65 of k or v, 16 x 33 scores, 14.6 KB.
//
// Numeric contract: f32, order of operations fixed by the row's own keys: the same bits in any batch.
// Relative error of scores as a product over head_dim, of exp as the device's.
//#import linear_index

struct Params {
    batch: u32,
    heads: u32,
    kv_heads: u32,
    q_rows: u32,
    k_rows: u32,
    head_dim: u32,
    q_offset: u32,
    q_batch_stride: u32,
    q_row_stride: u32,
    k_offset: u32,
    k_batch_stride: u32,
    k_row_stride: u32,
    v_offset: u32,
    v_batch_stride: u32,
    v_row_stride: u32,
    out_offset: u32,
    out_batch_stride: u32,
    out_row_stride: u32,
    mask_batch_stride: u32,
    flags: u32,
    scale: f32,
}

const MASK: u32 = 1u;
// Stands for minus infinity, which shader compilers may assume away.
const LOWEST: f32 = -3.0e38;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Score of a key from its dot product, LOWEST if it takes no part.
fn score(dot: f32, example: u32, row: u32, key: u32) -> f32 {
    if key >= p.k_rows {
        return LOWEST;
    }
    var value = p.scale * dot;
    if (p.flags & MASK) != 0u {
        let added = mask[example * p.mask_batch_stride + row * p.k_rows + key];
        value = select(value + added, LOWEST, added <= LOWEST);
    }
    return value;
}

// Weight of a score relative to the largest; NaN scores stay NaN.
fn weight(value: f32, largest: f32) -> f32 {
    return select(exp(value - largest), 0.0, value <= LOWEST);
}

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let segments = (p.head_dim + 63u) / 64u;
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.batch * p.heads * p.q_rows * segments {
        return;
    }
    let row = index % p.q_rows;
    let segment = (index / p.q_rows) % segments;
    let head = (index / (p.q_rows * segments)) % p.heads;
    let example = index / (p.q_rows * segments * p.heads);
    let first = segment * 64u;
    let columns = min(64u, p.head_dim - first);
    let kv_start = (head * p.kv_heads / p.heads) * p.head_dim;
    let q_start = p.q_offset + example * p.q_batch_stride + row * p.q_row_stride + head * p.head_dim;
    let k_start = p.k_offset + example * p.k_batch_stride + kv_start;
    let v_start = p.v_offset + example * p.v_batch_stride + kv_start + first;
    var sums = array<f32, 64>();
    var largest = LOWEST;
    var total = 0.0;
    for (var key = 0u; key < p.k_rows; key += 4u) {
        // Keys past the end repeat the last one, with weight zero.
        let keys = min(vec4<u32>(key) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.k_rows - 1u));
        let at_k = vec4<u32>(k_start) + keys * p.k_row_stride;
        var dots = vec4<f32>();
        for (var d = 0u; d < p.head_dim; d += 1u) {
            let line = vec4<f32>(k[at_k.x + d], k[at_k.y + d], k[at_k.z + d], k[at_k.w + d]);
            dots = fma(vec4<f32>(q[q_start + d]), line, dots);
        }
        let s0 = score(dots.x, example, row, key);
        let s1 = score(dots.y, example, row, key + 1u);
        let s2 = score(dots.z, example, row, key + 2u);
        let s3 = score(dots.w, example, row, key + 3u);
        let above = max(largest, max(max(s0, s1), max(s2, s3)));
        let shrink = weight(largest, above);
        largest = above;
        let w = vec4<f32>(weight(s0, above), weight(s1, above), weight(s2, above), weight(s3, above));
        total = total * shrink + (w.x + w.y + w.z + w.w);
        let at_v = vec4<u32>(v_start) + keys * p.v_row_stride;
        for (var d = 0u; d < columns; d += 1u) {
            var sum = sums[d] * shrink;
            sum = fma(w.x, v[at_v.x + d], sum);
            sum = fma(w.y, v[at_v.y + d], sum);
            sum = fma(w.z, v[at_v.z + d], sum);
            sums[d] = fma(w.w, v[at_v.w + d], sum);
        }
    }
    let start = p.out_offset + example * p.out_batch_stride + row * p.out_row_stride
        + head * p.head_dim + first;
    for (var d = 0u; d < columns; d += 1u) {
        out[start + d] = select(sums[d] / total, 0.0, total == 0.0);
    }
}

const ROWS: u32 = 16u;
const KEYS: u32 = 32u;
const SEGMENT: u32 = 64u;
const LINE: u32 = 65u; // one over a segment, so that equal columns fall into different banks
const SCORES: u32 = 33u;
var<workgroup> q_tile: array<f32, 1040>; // [ROWS, LINE]
var<workgroup> kv_tile: array<f32, 2080>; // [KEYS, LINE]
var<workgroup> scores: array<f32, 528>; // [ROWS, SCORES]

@compute @workgroup_size(256)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (p.q_rows + ROWS - 1u) / ROWS;
    let segments = (p.head_dim + SEGMENT - 1u) / SEGMENT;
    let index = workgroup.y * count.x + workgroup.x;
    if index >= tiles * p.heads * p.batch {
        return;
    }
    let first_row = (index % tiles) * ROWS;
    let head = (index / tiles) % p.heads;
    let example = index / (tiles * p.heads);
    let kv_start = (head * p.kv_heads / p.heads) * p.head_dim;
    let q_start = p.q_offset + example * p.q_batch_stride + head * p.head_dim;
    let k_start = p.k_offset + example * p.k_batch_stride + kv_start;
    let v_start = p.v_offset + example * p.v_batch_stride + kv_start;
    let row = local / 16u;
    let lane = local % 16u;
    let q_row = min(first_row + row, p.q_rows - 1u);
    // Columns segment * 64 + lane * 4 .. + 3 of the row.
    var sums = array<vec4<f32>, 4>();
    var largest = LOWEST;
    var total = 0.0;
    for (var first_key = 0u; first_key < p.k_rows; first_key += KEYS) {
        var dots = vec2<f32>();
        for (var segment = 0u; segment < segments; segment += 1u) {
            workgroupBarrier();
            for (var i = local; i < ROWS * SEGMENT; i += 256u) {
                let column = segment * SEGMENT + i % SEGMENT;
                let at_row = min(first_row + i / SEGMENT, p.q_rows - 1u);
                var value = 0.0;
                if column < p.head_dim {
                    value = q[q_start + at_row * p.q_row_stride + column];
                }
                q_tile[(i / SEGMENT) * LINE + i % SEGMENT] = value;
            }
            for (var i = local; i < KEYS * SEGMENT; i += 256u) {
                let column = segment * SEGMENT + i % SEGMENT;
                let key = min(first_key + i / SEGMENT, p.k_rows - 1u);
                var value = 0.0;
                if column < p.head_dim {
                    value = k[k_start + key * p.k_row_stride + column];
                }
                kv_tile[(i / SEGMENT) * LINE + i % SEGMENT] = value;
            }
            workgroupBarrier();
            let depth = min(SEGMENT, p.head_dim - segment * SEGMENT);
            for (var d = 0u; d < depth; d += 1u) {
                let line = vec2<f32>(kv_tile[lane * LINE + d], kv_tile[(lane + 16u) * LINE + d]);
                dots = fma(vec2<f32>(q_tile[row * LINE + d]), line, dots);
            }
        }
        let s0 = score(dots.x, example, q_row, first_key + lane);
        let s1 = score(dots.y, example, q_row, first_key + lane + 16u);
        scores[row * SCORES + lane] = s0;
        scores[row * SCORES + lane + 16u] = s1;
        workgroupBarrier();
        var above = largest;
        for (var key = 0u; key < KEYS; key += 1u) {
            above = max(above, scores[row * SCORES + key]);
        }
        let shrink = weight(largest, above);
        largest = above;
        workgroupBarrier();
        scores[row * SCORES + lane] = weight(s0, above);
        scores[row * SCORES + lane + 16u] = weight(s1, above);
        workgroupBarrier();
        total *= shrink;
        for (var key = 0u; key < KEYS; key += 1u) {
            total += scores[row * SCORES + key];
        }
        for (var segment = 0u; segment < segments; segment += 1u) {
            workgroupBarrier();
            for (var i = local; i < KEYS * SEGMENT; i += 256u) {
                let column = segment * SEGMENT + i % SEGMENT;
                let key = min(first_key + i / SEGMENT, p.k_rows - 1u);
                var value = 0.0;
                if column < p.head_dim {
                    value = v[v_start + key * p.v_row_stride + column];
                }
                kv_tile[(i / SEGMENT) * LINE + i % SEGMENT] = value;
            }
            workgroupBarrier();
            var sum = sums[segment] * shrink;
            for (var key = 0u; key < KEYS; key += 1u) {
                let at = key * LINE + lane * 4u;
                let line = vec4<f32>(kv_tile[at], kv_tile[at + 1u], kv_tile[at + 2u], kv_tile[at + 3u]);
                sum = fma(vec4<f32>(scores[row * SCORES + key]), line, sum);
            }
            sums[segment] = sum;
        }
    }
    if first_row + row >= p.q_rows {
        return;
    }
    let start = p.out_offset + example * p.out_batch_stride + q_row * p.out_row_stride
        + head * p.head_dim;
    for (var segment = 0u; segment < segments; segment += 1u) {
        let line = select(sums[segment] / total, vec4<f32>(), total == 0.0);
        for (var j = 0u; j < 4u; j += 1u) {
            let column = segment * SEGMENT + lane * 4u + j;
            if column < p.head_dim {
                out[start + column] = line[j];
            }
        }
    }
}
