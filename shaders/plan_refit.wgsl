// How often the elites of every environment take each action at each step: counts[e, h, a].
//
// value [environments, candidates], sequences [horizon, environments, candidates] words, counts
// [environments, horizon, actions] words. Elites are the candidates of lowest value, the lowest number
// first among equal ones; NaN is above every number. See `PlanRefit` in kernels/src/plan_refit.rs. One
// workgroup of 64 has one environment: it ranks its candidates by counting those before each, then counts
// actions; 1 KiB of workgroup memory.
//
// Numeric contract: exact.
//#import linear_index
//#import floats

struct Params {
    environments: u32,
    candidates: u32,
    horizon: u32,
    actions: u32,
    elites: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> sequences: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

const LANES: u32 = 64u;
var<workgroup> elite: array<u32, 256>;

fn is_before(a: f32, a_index: u32, b: f32, b_index: u32) -> bool {
    let a_is_nan = is_nan(a);
    let b_is_nan = is_nan(b);
    let lower = !a_is_nan && (b_is_nan || a < b);
    let equal = (a_is_nan && b_is_nan) || (!a_is_nan && !b_is_nan && a == b);
    return lower || (equal && a_index < b_index);
}

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
    for (var i = local; i < p.candidates; i += LANES) {
        let own = value[first + i];
        var rank = 0u;
        for (var j = 0u; j < p.candidates; j += 1u) {
            rank += select(0u, 1u, is_before(value[first + j], j, own, i));
        }
        if rank < p.elites {
            elite[rank] = i;
        }
    }
    workgroupBarrier();
    let rows = p.environments * p.candidates;
    let cells = p.horizon * p.actions;
    for (var cell = local; cell < cells; cell += LANES) {
        let step = cell / p.actions;
        let action = cell % p.actions;
        var found = 0u;
        for (var e = 0u; e < p.elites; e += 1u) {
            let taken = sequences[step * rows + first + elite[e]];
            found += select(0u, 1u, taken == action);
        }
        counts[environment * cells + cell] = found;
    }
}
