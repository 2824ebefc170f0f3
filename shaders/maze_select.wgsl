// The best of scored plans, and the weights of the next round of the cross-entropy method.
//
// outcome [batch, candidates, 2] = (score, actions to keep); actions [batch, candidates, horizon];
// rows [batch, 8], of which the third word is the plan's length; best [batch, 3 + horizon] in place =
// (score, actions to keep, candidates without a score in any round, plan); weights
// [batch, horizon, actions] on request. See `MazeSelect` in kernels/src/maze_select.rs.
//
// The lowest score wins, the first of equals; at step 0 it becomes the best, later only if it is
// strictly lower. With elites the first so many in the order of (score, index) are counted:
// weight = per_elite * (elites that take the action at that time) + least.
//
// One workgroup of 64 does a row; 2 KiB of workgroup memory.
// Numeric contract: integers only, the same on every device.

struct Params {
    batch: u32,
    candidates: u32,
    horizon: u32,
    actions: u32,
    elites: u32,
    per_elite: u32,
    least: u32,
    step: u32,
}

const NOWHERE: u32 = 0xffffffffu;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> outcome: array<u32>;
@group(0) @binding(1) var<storage, read_write> actions: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> best: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<u32>;

var<workgroup> lowest: array<u32, 64>;
var<workgroup> where_: array<u32, 64>;
var<workgroup> lost: array<u32, 64>;
var<workgroup> chosen: array<u32, 256>;

// How many candidates of the row come before this one.
fn rank(first: u32, candidate: u32) -> u32 {
    let own = outcome[2u * (first + candidate)];
    var before = 0u;
    for (var other = 0u; other < p.candidates; other += 1u) {
        let score = outcome[2u * (first + other)];
        before += select(0u, 1u, score < own || (score == own && other < candidate));
    }
    return before;
}

fn refit(row: u32, first: u32, t: u32) {
    let place = (row * p.horizon + t) * p.actions;
    for (var a = 0u; a < p.actions; a += 1u) {
        weights[place + a] = p.least;
    }
    for (var e = 0u; e < p.elites; e += 1u) {
        let action = actions[(first + chosen[e]) * p.horizon + t];
        if action < p.actions {
            weights[place + action] += p.per_elite;
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup.y * count.x + workgroup.x;
    if row >= p.batch {
        return;
    }
    let first = row * p.candidates;
    var score = NOWHERE;
    var at = local;
    var without = 0u;
    for (var candidate = local; candidate < p.candidates; candidate += 64u) {
        let own = outcome[2u * (first + candidate)];
        without += select(0u, 1u, own == NOWHERE);
        if own < score {
            score = own;
            at = candidate;
        }
        if p.elites > 0u {
            let place = rank(first, candidate);
            if place < p.elites {
                chosen[place] = candidate;
            }
        }
    }
    lowest[local] = score;
    where_[local] = at;
    lost[local] = without;
    workgroupBarrier();
    for (var distance = 32u; distance > 0u; distance >>= 1u) {
        if local < distance {
            let other = local + distance;
            let lower = lowest[other] < lowest[local];
            if lower || (lowest[other] == lowest[local] && where_[other] < where_[local]) {
                lowest[local] = lowest[other];
                where_[local] = where_[other];
            }
            lost[local] += lost[other];
        }
        workgroupBarrier();
    }
    let winner = where_[0];
    let head = row * (p.horizon + 3u);
    let length = min(rows[row * 8u + 2u], p.horizon);
    let better = p.step == 0u || lowest[0] < best[head];
    // All have compared before the first overwrites what they compare with.
    storageBarrier();
    workgroupBarrier();
    for (var t = local; t < length; t += 64u) {
        if better && winner < p.candidates {
            best[head + 3u + t] = actions[(first + winner) * p.horizon + t];
        }
        if p.elites > 0u {
            refit(row, first, t);
        }
    }
    if local == 0u {
        if better {
            best[head] = lowest[0];
            best[head + 1u] = 0u;
            if winner < p.candidates {
                best[head + 1u] = outcome[2u * (first + winner) + 1u];
            }
        }
        best[head + 2u] = lost[0] + select(best[head + 2u], 0u, p.step == 0u);
    }
}
