// dout[t, b, i, h, :] = sum_j dp_j v[b, j, g, :] + p_j dv[t, b, j, g, :], where
// p_j = softmax_j(scale * q[b, i, h, :] . k[b, j, g, :] + mask[b, i, j]), dp_j = p_j (ds_j - sum_i p_i ds_i)
// and ds_j = scale * (dq[t, b, i, h, :] . k[b, j, g, :] + q[b, i, h, :] . dk[t, b, j, g, :]).
//
// with g = h * kv_heads / heads. q, k, v, out and mask as in attention.wgsl; tangent t of an operand lies
// t tangent strides further on, and each of dq, dk and dv may be left out by its flag. The softmax is
// taken online over the keys in order: with weights w_j relative to the largest score so far, the sums
// of w, w v, w ds and (w ds) v + w dv make the result
// (sum((w ds) v + w dv) - sum(w ds) sum(w v) / sum(w)) / sum(w), and no score matrix is stored.
//
// direct: one invocation makes one row of one head of one tangent, 64 columns of it (longer heads take
//         more invocations, each with all scores); sums in registers, keys four at a time; no workgroup
//         memory. For drivers that emulate workgroup memory.
// tiled:  one workgroup of 256 makes 16 rows of one head, 16 invocations a row, 64 columns of them, for
//         four tangents, whose weights are computed once; 32 keys at a time, staged 64 columns at a
//         time: 16 x 65 of q or dq (then 16 x 33 of w ds), 32 x 65 of k, dk, v or dv, 16 x 33 weights,
//         14.6 KB.
//
// Numeric contract: f32, order of operations fixed by the row's own keys: the same bits in any batch, and
// among any tangents. Relative error of scores as a product over head_dim, of exp as the device's.
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
    tangents: u32,
    q_tangent_stride: u32,
    k_tangent_stride: u32,
    v_tangent_stride: u32,
    out_tangent_stride: u32,
}

const MASK: u32 = 1u;
const Q_TANGENT: u32 = 2u;
const K_TANGENT: u32 = 4u;
const V_TANGENT: u32 = 8u;
// Stands for minus infinity, which shader compilers may assume away.
const LOWEST: f32 = -3.0e38;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> dq: array<f32>;
@group(0) @binding(5) var<storage, read_write> dk: array<f32>;
@group(0) @binding(6) var<storage, read_write> dv: array<f32>;
@group(0) @binding(7) var<storage, read_write> dout: array<f32>;

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
    let of_a_tangent = p.batch * p.heads * p.q_rows * segments;
    if index >= of_a_tangent * p.tangents {
        return;
    }
    let tangent = index / of_a_tangent;
    let row = index % p.q_rows;
    let segment = (index / p.q_rows) % segments;
    let head = (index / (p.q_rows * segments)) % p.heads;
    let example = (index / (p.q_rows * segments * p.heads)) % p.batch;
    let first = segment * 64u;
    let columns = min(64u, p.head_dim - first);
    let kv_start = (head * p.kv_heads / p.heads) * p.head_dim;
    let q_start = p.q_offset + example * p.q_batch_stride + row * p.q_row_stride + head * p.head_dim;
    let k_start = p.k_offset + example * p.k_batch_stride + kv_start;
    let v_start = p.v_offset + example * p.v_batch_stride + kv_start + first;
    let dq_start = q_start + tangent * p.q_tangent_stride;
    let dk_shift = tangent * p.k_tangent_stride;
    let dv_shift = tangent * p.v_tangent_stride;
    let has_q = (p.flags & Q_TANGENT) != 0u;
    let has_k = (p.flags & K_TANGENT) != 0u;
    let has_v = (p.flags & V_TANGENT) != 0u;
    var sums = array<f32, 64>();
    var moved = array<f32, 64>();
    var largest = LOWEST;
    var total = 0.0;
    var along = 0.0;
    for (var key = 0u; key < p.k_rows; key += 4u) {
        // Keys past the end repeat the last one, with weight zero.
        let keys = min(vec4<u32>(key) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.k_rows - 1u));
        let at_k = vec4<u32>(k_start) + keys * p.k_row_stride;
        var dots = vec4<f32>();
        var ddots = vec4<f32>();
        for (var d = 0u; d < p.head_dim; d += 1u) {
            let line = vec4<f32>(k[at_k.x + d], k[at_k.y + d], k[at_k.z + d], k[at_k.w + d]);
            let query = q[q_start + d];
            dots = fma(vec4<f32>(query), line, dots);
            if has_q {
                ddots = fma(vec4<f32>(dq[dq_start + d]), line, ddots);
            }
            if has_k {
                let at = at_k + vec4<u32>(dk_shift + d);
                let dline = vec4<f32>(dk[at.x], dk[at.y], dk[at.z], dk[at.w]);
                ddots = fma(vec4<f32>(query), dline, ddots);
            }
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
        let dw = w * (p.scale * ddots);
        along = along * shrink + (dw.x + dw.y + dw.z + dw.w);
        let at_v = vec4<u32>(v_start) + keys * p.v_row_stride;
        for (var d = 0u; d < columns; d += 1u) {
            let line = vec4<f32>(v[at_v.x + d], v[at_v.y + d], v[at_v.z + d], v[at_v.w + d]);
            var sum = sums[d] * shrink;
            sum = fma(w.x, line.x, sum);
            sum = fma(w.y, line.y, sum);
            sum = fma(w.z, line.z, sum);
            sums[d] = fma(w.w, line.w, sum);
            sum = moved[d] * shrink;
            sum = fma(dw.x, line.x, sum);
            sum = fma(dw.y, line.y, sum);
            sum = fma(dw.z, line.z, sum);
            sum = fma(dw.w, line.w, sum);
            if has_v {
                let at = at_v + vec4<u32>(dv_shift + d);
                sum = fma(w.x, dv[at.x], sum);
                sum = fma(w.y, dv[at.y], sum);
                sum = fma(w.z, dv[at.z], sum);
                sum = fma(w.w, dv[at.w], sum);
            }
            moved[d] = sum;
        }
    }
    let start = p.out_offset + example * p.out_batch_stride + row * p.out_row_stride
        + head * p.head_dim + first + tangent * p.out_tangent_stride;
    let mean = along / total;
    for (var d = 0u; d < columns; d += 1u) {
        dout[start + d] = select((moved[d] - mean * sums[d]) / total, 0.0, total == 0.0);
    }
}

const ROWS: u32 = 16u;
const KEYS: u32 = 32u;
const SEGMENT: u32 = 64u;
const LINE: u32 = 65u; // one over a segment, so that equal columns fall into different banks
const SCORES: u32 = 33u;
const TANGENTS: u32 = 4u;
// A part of q or dq [ROWS, LINE]; between products, w ds [ROWS, SCORES].
var<workgroup> q_tile: array<f32, 1040>;
// A part of k, dk, v or dv [KEYS, LINE].
var<workgroup> kv_tile: array<f32, 2080>;
var<workgroup> weights: array<f32, 528>; // [ROWS, SCORES]

// What a workgroup works on.
struct Place {
    first_row: u32,
    first_key: u32,
    q_start: u32,
    k_start: u32,
    v_start: u32,
    local: u32,
}

// Stages columns of rows from element `start` on; `moved` takes them from dq.
fn stage_q(place: Place, start: u32, segment: u32, moved: bool) {
    for (var i = place.local; i < ROWS * SEGMENT; i += 256u) {
        let column = segment * SEGMENT + i % SEGMENT;
        let at = start + min(place.first_row + i / SEGMENT, p.q_rows - 1u) * p.q_row_stride + column;
        var value = 0.0;
        if column < p.head_dim {
            if moved {
                value = dq[at];
            } else {
                value = q[at];
            }
        }
        q_tile[(i / SEGMENT) * LINE + i % SEGMENT] = value;
    }
}

// The same of keys; `moved` takes them from dk.
fn stage_k(place: Place, start: u32, segment: u32, moved: bool) {
    for (var i = place.local; i < KEYS * SEGMENT; i += 256u) {
        let column = segment * SEGMENT + i % SEGMENT;
        let at = start + min(place.first_key + i / SEGMENT, p.k_rows - 1u) * p.k_row_stride + column;
        var value = 0.0;
        if column < p.head_dim {
            if moved {
                value = dk[at];
            } else {
                value = k[at];
            }
        }
        kv_tile[(i / SEGMENT) * LINE + i % SEGMENT] = value;
    }
}

// The same of values; `moved` takes them from dv.
fn stage_v(place: Place, start: u32, segment: u32, moved: bool) {
    for (var i = place.local; i < KEYS * SEGMENT; i += 256u) {
        let column = segment * SEGMENT + i % SEGMENT;
        let at = start + min(place.first_key + i / SEGMENT, p.k_rows - 1u) * p.v_row_stride + column;
        var value = 0.0;
        if column < p.head_dim {
            if moved {
                value = dv[at];
            } else {
                value = v[at];
            }
        }
        kv_tile[(i / SEGMENT) * LINE + i % SEGMENT] = value;
    }
}

// Dot products of an invocation's row with keys `lane` and `lane + 16`, added to `dots`.
fn add_dots(
    place: Place,
    starts: vec2<u32>,
    moved_q: bool,
    moved_k: bool,
    dots: vec2<f32>,
) -> vec2<f32> {
    let row = place.local / 16u;
    let lane = place.local % 16u;
    var sums = dots;
    for (var segment = 0u; segment * SEGMENT < p.head_dim; segment += 1u) {
        workgroupBarrier();
        stage_q(place, starts.x, segment, moved_q);
        stage_k(place, starts.y, segment, moved_k);
        workgroupBarrier();
        let depth = min(SEGMENT, p.head_dim - segment * SEGMENT);
        for (var d = 0u; d < depth; d += 1u) {
            let line = vec2<f32>(kv_tile[lane * LINE + d], kv_tile[(lane + 16u) * LINE + d]);
            sums = fma(vec2<f32>(q_tile[row * LINE + d]), line, sums);
        }
    }
    return sums;
}

// Four columns of the staged values of a key.
fn value_line(key: u32, lane: u32) -> vec4<f32> {
    let at = key * LINE + lane * 4u;
    return vec4<f32>(kv_tile[at], kv_tile[at + 1u], kv_tile[at + 2u], kv_tile[at + 3u]);
}

@compute @workgroup_size(256)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (p.q_rows + ROWS - 1u) / ROWS;
    let segments = (p.head_dim + SEGMENT - 1u) / SEGMENT;
    let parts = (p.tangents + TANGENTS - 1u) / TANGENTS;
    let index = workgroup.y * count.x + workgroup.x;
    if index >= tiles * segments * p.heads * p.batch * parts {
        return;
    }
    let head = (index / (tiles * segments)) % p.heads;
    let example = (index / (tiles * segments * p.heads)) % p.batch;
    let segment = (index / tiles) % segments;
    let first_tangent = index / (tiles * segments * p.heads * p.batch) * TANGENTS;
    let present = min(TANGENTS, p.tangents - first_tangent);
    let kv_start = (head * p.kv_heads / p.heads) * p.head_dim;
    var place: Place;
    place.local = local;
    place.first_row = (index % tiles) * ROWS;
    place.q_start = p.q_offset + example * p.q_batch_stride + head * p.head_dim;
    place.k_start = p.k_offset + example * p.k_batch_stride + kv_start;
    place.v_start = p.v_offset + example * p.v_batch_stride + kv_start;
    let row = local / 16u;
    let lane = local % 16u;
    let q_row = min(place.first_row + row, p.q_rows - 1u);
    let moves = (p.flags & (Q_TANGENT | K_TANGENT)) != 0u;
    // Columns segment * 64 + lane * 4 .. + 3 of the row.
    var sums = vec4<f32>();
    var moved = array<vec4<f32>, 4>();
    var along = array<f32, 4>();
    var largest = LOWEST;
    var total = 0.0;
    for (var first_key = 0u; first_key < p.k_rows; first_key += KEYS) {
        place.first_key = first_key;
        let dots = add_dots(place, vec2<u32>(place.q_start, place.k_start), false, false, vec2<f32>());
        let s0 = score(dots.x, example, q_row, first_key + lane);
        let s1 = score(dots.y, example, q_row, first_key + lane + 16u);
        weights[row * SCORES + lane] = s0;
        weights[row * SCORES + lane + 16u] = s1;
        workgroupBarrier();
        var above = largest;
        for (var key = 0u; key < KEYS; key += 1u) {
            above = max(above, weights[row * SCORES + key]);
        }
        let shrink = weight(largest, above);
        largest = above;
        let w = vec2<f32>(weight(s0, above), weight(s1, above));
        workgroupBarrier();
        weights[row * SCORES + lane] = w.x;
        weights[row * SCORES + lane + 16u] = w.y;
        stage_v(place, place.v_start, segment, false);
        workgroupBarrier();
        total *= shrink;
        sums *= shrink;
        for (var key = 0u; key < KEYS; key += 1u) {
            let own = weights[row * SCORES + key];
            total += own;
            sums = fma(vec4<f32>(own), value_line(key, lane), sums);
        }
        for (var t = 0u; t < TANGENTS; t += 1u) {
            if t >= present {
                break;
            }
            let tangent = first_tangent + t;
            var sum = moved[t] * shrink;
            if moves {
                var ddots = vec2<f32>();
                let dq_start = place.q_start + tangent * p.q_tangent_stride;
                let dk_start = place.k_start + tangent * p.k_tangent_stride;
                if (p.flags & Q_TANGENT) != 0u {
                    ddots = add_dots(place, vec2<u32>(dq_start, place.k_start), true, false, ddots);
                }
                if (p.flags & K_TANGENT) != 0u {
                    ddots = add_dots(place, vec2<u32>(place.q_start, dk_start), false, true, ddots);
                }
                workgroupBarrier();
                q_tile[row * SCORES + lane] = w.x * (p.scale * ddots.x);
                q_tile[row * SCORES + lane + 16u] = w.y * (p.scale * ddots.y);
                stage_v(place, place.v_start, segment, false);
                workgroupBarrier();
                var share = along[t] * shrink;
                for (var key = 0u; key < KEYS; key += 1u) {
                    let own = q_tile[row * SCORES + key];
                    share += own;
                    sum = fma(vec4<f32>(own), value_line(key, lane), sum);
                }
                along[t] = share;
            }
            if (p.flags & V_TANGENT) != 0u {
                workgroupBarrier();
                stage_v(place, place.v_start + tangent * p.v_tangent_stride, segment, true);
                workgroupBarrier();
                for (var key = 0u; key < KEYS; key += 1u) {
                    let own = weights[row * SCORES + key];
                    sum = fma(vec4<f32>(own), value_line(key, lane), sum);
                }
            }
            moved[t] = sum;
        }
    }
    if place.first_row + row >= p.q_rows {
        return;
    }
    let start = p.out_offset + example * p.out_batch_stride + q_row * p.out_row_stride
        + head * p.head_dim;
    for (var t = 0u; t < present; t += 1u) {
        let line = (moved[t] - along[t] / total * sums) / total;
        let value = select(line, vec4<f32>(), total == 0.0);
        for (var j = 0u; j < 4u; j += 1u) {
            let column = segment * SEGMENT + lane * 4u + j;
            if column < p.head_dim {
                dout[start + (first_tangent + t) * p.out_tangent_stride + column] = value[j];
            }
        }
    }
}
