// Features of a flow time s, one row each: with half = width / 2 and w_i = 10000^(-i / max(half - 1, 1)),
// entry i is sin(1000 s w_i) and entry half + i is cos(1000 s w_i), i = 0..half - 1; then entry 0 becomes s
// and entry half becomes 0.25 (ln s - ln(1 - s)) with s clamped to [e, 1 - e], e = 2^-23.
//
// time [rows] and, under STAGE, step_size [rows]: s = time[r] + numerator / denominator step_size[r], held
// within [0, 1]; under REVERSED, s is one less that. features [rows, width]. frequencies [half, 2] words:
// round(1000 w_i / (2 pi) 2^48) as (low, high).
//
// One invocation makes one sine and its cosine; workgroups of 64 in a folded one-dimensional grid; no
// workgroup memory.
//
// Numeric contract: angles reach 1000, of which f32 would lose 3e-5. So times are integers in units of
// 2^-31, phases integers in units of 2^-32 turns, and only what is left within an eighth of a turn becomes
// a float: within 1e-6 of the exact value for all f32 times and step sizes, as long as the step ends
// within [0, 1]. A row depends on nothing but its own time.
//#import linear_index
//#import flow_time
//#import elementary

struct Params {
    rows: u32,
    width: u32,
    numerator: u32,
    denominator: u32,
    flags: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> time: array<f32>;
@group(0) @binding(1) var<storage, read_write> step_size: array<f32>;
@group(0) @binding(2) var<storage, read_write> frequencies: array<u32>;
@group(0) @binding(3) var<storage, read_write> features: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let half = p.width / 2u;
    let item = linear_index(workgroup, count, local, 64u);
    if item >= p.rows * half {
        return;
    }
    let row = item / half;
    let index = item % half;
    var pair = vec2<f32>();
    if index == 0u {
        let times = float_times(row);
        let e = 1.1920928955078125e-7; // 2^-23
        let held = clamp(times, vec2<f32>(e), vec2<f32>(1.0 - e));
        pair = vec2<f32>(times.x, 0.25 * (logarithm(held.x) - logarithm(held.y)));
    } else {
        pair = turn_of_word(phase_of(row, index)).yx;
    }
    let at = row * p.width + index;
    features[at] = pair.x;
    features[at + half] = pair.y;
}
