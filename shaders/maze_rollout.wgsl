// Plans rolled through a finite map, scored on the way.
//
// table [tables, states, actions]: next state, or any number from `states` on for none;
// distance [states]: score of a state, lower is better; rows [batch, 8]: table, start, length of the
// plan, call, episode, stream, seed (low, high); weights [batch, horizon, actions], integers that a
// drawn action is chosen by; actions [batch, candidates, horizon], given or drawn here;
// outcome [batch, candidates, 2]: lowest score of the states s_1..s_L, and how many actions to keep:
// L if the last state has that score, else as far as the first that has. A candidate that leaves the
// table, or breaks its bounds, has the outcome (2^32 - 1, 0). See `MazeRollout` in
// kernels/src/maze_rollout.rs.
//
// One invocation does one candidate; workgroups of 64, no workgroup memory.
// Numeric contract: integers only, the same on every device.
//#import linear_index
//#import philox

struct Params {
    batch: u32,
    tables: u32,
    states: u32,
    actions: u32,
    candidates: u32,
    horizon: u32,
    step: u32,
    flags: u32,
}

const DRAW: u32 = 1u;
const WEIGHTED: u32 = 2u;
const NOWHERE: u32 = 0xffffffffu;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> table: array<u32>;
@group(0) @binding(1) var<storage, read_write> distance: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<u32>;
@group(0) @binding(4) var<storage, read_write> actions: array<u32>;
@group(0) @binding(5) var<storage, read_write> outcome: array<u32>;

// The action that random bits choose at time t of a row.
fn choose(row: u32, t: u32, bits: u32) -> u32 {
    if (p.flags & WEIGHTED) == 0u || p.step == 0u {
        return multiply_wide(bits, p.actions).y;
    }
    let first = (row * p.horizon + t) * p.actions;
    var total = 0u;
    for (var a = 0u; a < p.actions; a += 1u) {
        total += weights[first + a];
    }
    let mark = multiply_wide(bits, total).y;
    var passed = 0u;
    for (var a = 0u; a + 1u < p.actions; a += 1u) {
        passed += weights[first + a];
        if mark < passed {
            return a;
        }
    }
    return p.actions - 1u;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.batch * p.candidates {
        return;
    }
    let row = index / p.candidates;
    let candidate = index % p.candidates;
    let head = row * 8u;
    let which = rows[head];
    let length = rows[head + 2u];
    outcome[2u * index] = NOWHERE;
    outcome[2u * index + 1u] = 0u;
    if which >= p.tables || length > p.horizon {
        return;
    }
    let blocks = (p.horizon + 3u) / 4u;
    let key = vec2<u32>(rows[head + 6u], rows[head + 7u]);
    let base = index * p.horizon;
    var state = rows[head + 1u];
    var bits = vec4<u32>(0u);
    var lowest = NOWHERE;
    var at = 0u;
    var last = NOWHERE;
    var left = state >= p.states;
    for (var t = 0u; t < length; t += 1u) {
        var action = 0u;
        if (p.flags & DRAW) != 0u {
            if t % 4u == 0u {
                let block = candidate * blocks + t / 4u;
                let counter = vec4<u32>(block, rows[head + 3u] + p.step, rows[head + 4u], rows[head + 5u]);
                bits = philox4x32(counter, key);
            }
            action = choose(row, t, bits[t % 4u]);
            actions[base + t] = action;
        } else {
            action = actions[base + t];
        }
        left = left || action >= p.actions;
        if !left {
            state = table[(which * p.states + state) * p.actions + action];
            left = state >= p.states;
        }
        if !left {
            last = distance[state];
            if last < lowest {
                lowest = last;
                at = t + 1u;
            }
        }
    }
    if !left && length > 0u {
        outcome[2u * index] = lowest;
        outcome[2u * index + 1u] = select(at, length, last == lowest);
    }
}
