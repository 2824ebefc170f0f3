// The action that MPPI takes: the first of an elite drawn by its score.
//
//   k = argmax_k score_k / exponential_k, the first among equals, which is the Gumbel-max choice
//       argmax_k (ln score_k - ln exponential_k) for draws of the unit exponential distribution;
//   action = clip(actions[elite_k, first step] + deviation[first step] * noise, -1, 1).
//
// score, exponential, elite (words) [environments, elites]; actions [environments, candidates, length];
// deviation [environments, length], noise [environments, width], both only with NOISE;
// action [environments, width]; chosen (words) [environments], the candidate. See `MppiChoose` in
// kernels/src/mppi_choose.rs.
//
// One workgroup of 64 has 64 environments, an invocation one each; no workgroup memory.
//
// Numeric contract: a quotient of 2.5 units in the last place decides; the action is one fused multiply-add.
//#import linear_index

struct Params {
    environments: u32,
    candidates: u32,
    elites: u32,
    length: u32,
    width: u32,
    flags: u32,
}

const NOISE: u32 = 1u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> score: array<f32>;
@group(0) @binding(1) var<storage, read_write> exponential: array<f32>;
@group(0) @binding(2) var<storage, read_write> elite: array<u32>;
@group(0) @binding(3) var<storage, read_write> actions: array<f32>;
@group(0) @binding(4) var<storage, read_write> deviation: array<f32>;
@group(0) @binding(5) var<storage, read_write> noise: array<f32>;
@group(0) @binding(6) var<storage, read_write> action: array<f32>;
@group(0) @binding(7) var<storage, read_write> chosen: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let environment = linear_index(workgroup, count, local, 64u);
    if environment >= p.environments {
        return;
    }
    let first = environment * p.elites;
    var best = 0u;
    var largest = score[first] / exponential[first];
    for (var k = 1u; k < p.elites; k += 1u) {
        let rate = score[first + k] / exponential[first + k];
        if rate > largest {
            best = k;
            largest = rate;
        }
    }
    let candidate = min(elite[first + best], p.candidates - 1u);
    chosen[environment] = candidate;
    let sequence = (environment * p.candidates + candidate) * p.length;
    for (var i = 0u; i < p.width; i += 1u) {
        var value = actions[sequence + i];
        if (p.flags & NOISE) != 0u {
            value = fma(deviation[environment * p.length + i], noise[environment * p.width + i], value);
        }
        action[environment * p.width + i] = clamp(value, -1.0, 1.0);
    }
}
