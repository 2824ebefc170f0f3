// Action sequences of candidate plans: sequences[h, e, c] = index of an action, drawn uniformly in round 0
// and by the elites' counts afterwards, from Philox4x32-10 under key (seed_low, seed_high) and counter
// (element / 4, call of e, number of e, stream), word element % 4, with
// element = (round * candidates + c) * horizon + h.
//
// identity [environments, 2] words: number and plan call of each environment; counts
// [environments, horizon, actions] words; sequences [horizon, environments, candidates] words. The weight
// of an action is the integer (65536 - smoothing) count actions + smoothing elites, whose sum over the
// actions is 65536 elites actions. See `PlanDraw` in kernels/src/plan_draw.rs. One invocation draws one
// action; workgroups of 64, no workgroup memory.
//
// Numeric contract: exact, the same words on every device.
//#import linear_index
//#import philox

struct Params {
    environments: u32,
    candidates: u32,
    horizon: u32,
    actions: u32,
    elites: u32,
    smoothing: u32,
    round: u32,
    stream: u32,
    seed_low: u32,
    seed_high: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> identity: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> sequences: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = p.environments * p.candidates;
    let index = linear_index(workgroup, count, local, 64u);
    if index >= rows * p.horizon {
        return;
    }
    let step = index / rows;
    let row = index % rows;
    let environment = row / p.candidates;
    let element = (p.round * p.candidates + row % p.candidates) * p.horizon + step;
    let counter = vec4<u32>(
        element / 4u,
        identity[2u * environment + 1u],
        identity[2u * environment],
        p.stream,
    );
    let bits = philox4x32(counter, vec2<u32>(p.seed_low, p.seed_high));
    let word = bits[element % 4u];
    if p.round == 0u || p.elites == 0u {
        sequences[index] = multiply_wide(word, p.actions).y;
        return;
    }
    let mark = multiply_wide(word, 65536u * p.elites * p.actions).y;
    let first = (environment * p.horizon + step) * p.actions;
    let slope = (65536u - p.smoothing) * p.actions;
    let floor_weight = p.smoothing * p.elites;
    var sum = 0u;
    var chosen = 0u;
    for (var a = 0u; a + 1u < p.actions; a += 1u) {
        sum += slope * counts[first + a] + floor_weight;
        chosen += select(0u, 1u, sum <= mark);
    }
    sequences[index] = chosen;
}
