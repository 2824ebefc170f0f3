// Candidate action sequences of MPPI: the policy's own unchanged, the others drawn about a mean.
//
//   actions[e, n] = policy[e, n]                                            for n < policies,
//                   clip(mean[e] + deviation[e] * noise[e, n - policies], -1, 1)   otherwise.
//
// policy [environments, policies, length], noise [environments, candidates - policies, length],
// mean, deviation [environments, length], actions [environments, candidates, length]; all contiguous,
// length = horizon * action width. See `MppiSample` in kernels/src/mppi_sample.rs.
//
// One workgroup of 256 has 256 elements of actions, an invocation one each; no workgroup memory.
//
// Numeric contract: one fused multiply-add, then the clip; the policy's part is exact.
//#import linear_index

struct Params {
    environments: u32,
    candidates: u32,
    policies: u32,
    length: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> policy: array<f32>;
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;
@group(0) @binding(2) var<storage, read_write> deviation: array<f32>;
@group(0) @binding(3) var<storage, read_write> noise: array<f32>;
@group(0) @binding(4) var<storage, read_write> actions: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 256u);
    if index >= p.environments * p.candidates * p.length {
        return;
    }
    let column = index % p.length;
    let row = index / p.length;
    let candidate = row % p.candidates;
    let environment = row / p.candidates;
    if candidate < p.policies {
        actions[index] = policy[(environment * p.policies + candidate) * p.length + column];
        return;
    }
    let drawn = environment * (p.candidates - p.policies) + candidate - p.policies;
    let at = environment * p.length + column;
    let value = fma(deviation[at], noise[drawn * p.length + column], mean[at]);
    actions[index] = clamp(value, -1.0, 1.0);
}
