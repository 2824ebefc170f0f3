// One step of Adam over count parameters:
//   m += share1 (g - m);  v = beta2 v + share2 g g;
//   w = keep w - step_size m / (sqrt(v) / root_correction + epsilon).
//
// gradient, weight, m and v [count]. See `Adam` in kernels/src/adam.rs for the coefficients; this shader
// takes the first f32 of each and leaves the rests. One workgroup of 256 has 256 parameters, an invocation one
// each; no workgroup memory.
//
// Numeric contract: f32, each step rounded or contracted into one multiply-add; relative error of the step at
// most 1e-6.
//#import linear_index

struct Params {
    count: u32,
    step: u32,
    learning_rate: f32,
    learning_rate_rest: f32,
    beta1: f32,
    beta1_rest: f32,
    beta2: f32,
    beta2_rest: f32,
    epsilon: f32,
    epsilon_rest: f32,
    keep: f32,
    keep_rest: f32,
    share1: f32,
    share1_rest: f32,
    share2: f32,
    share2_rest: f32,
    step_size: f32,
    step_size_rest: f32,
    root_correction: f32,
    root_correction_rest: f32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_index(workgroup, count, local, 256u);
    if i >= p.count {
        return;
    }
    let g = gradient[i];
    let first = m[i] + p.share1 * (g - m[i]);
    let second = p.beta2 * v[i] + p.share2 * g * g;
    m[i] = first;
    v[i] = second;
    let divisor = sqrt(second) / p.root_correction + p.epsilon;
    weight[i] = p.keep * weight[i] - p.step_size * first / divisor;
}
