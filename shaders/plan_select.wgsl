// The best plan of every environment: best[e] = (number, cut, actions) of the candidate of lowest value,
// the lowest number of equal ones; NaN is above every number. After round 0 a candidate must be strictly
// lower than the best so far to take its place.
//
// value [environments, candidates], cut [environments, candidates, 2] words, sequences
// [horizon, environments, candidates] words, best_value [environments] and best
// [environments, 2 + horizon] words in place. See `PlanSelect` in kernels/src/plan_select.rs. One
// workgroup of 64 has one environment: interleaved parts, combined as a tree; 512 bytes of workgroup memory.
//
// Numeric contract: exact.
//#import linear_index
//#import floats

struct Params {
    environments: u32,
    candidates: u32,
    horizon: u32,
    round: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> cut: array<u32>;
@group(0) @binding(2) var<storage, read_write> sequences: array<u32>;
@group(0) @binding(3) var<storage, read_write> best_value: array<f32>;
@group(0) @binding(4) var<storage, read_write> best: array<u32>;

struct Candidate {
    value: f32,
    index: u32,
}

fn is_lower(a: f32, b: f32) -> bool {
    return !is_nan(a) && (is_nan(b) || a < b);
}

fn better(a: Candidate, b: Candidate) -> Candidate {
    if is_lower(b.value, a.value) {
        return b;
    }
    let equal = !is_lower(a.value, b.value);
    if equal && b.index < a.index {
        return b;
    }
    return a;
}

const PARTS: u32 = 64u;
var<workgroup> parts: array<Candidate, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let environment = linear_index(workgroup, count, 0u, 1u);
    if environment >= p.environments {
        return;
    }
    let first = environment * p.candidates;
    // Every part starts from the first candidate: it cannot displace a better one.
    var own = Candidate(value[first], 0u);
    for (var i = local; i < p.candidates; i += PARTS) {
        own = better(own, Candidate(value[first + i], i));
    }
    parts[local] = own;
    workgroupBarrier();
    for (var distance = PARTS / 2u; distance > 0u; distance >>= 1u) {
        if local < distance {
            parts[local] = better(parts[local], parts[local + distance]);
        }
        workgroupBarrier();
    }
    let winner = parts[0];
    let takes = p.round == 0u || is_lower(winner.value, best_value[environment]);
    storageBarrier();
    if !takes {
        return;
    }
    let row = environment * (p.horizon + 2u);
    let rows = p.environments * p.candidates;
    for (var step = local; step < p.horizon; step += PARTS) {
        best[row + 2u + step] = sequences[step * rows + first + winner.index];
    }
    if local == 0u {
        best_value[environment] = winner.value;
        best[row] = p.round * p.candidates + winner.index;
        best[row + 1u] = cut[2u * (first + winner.index)];
    }
}
