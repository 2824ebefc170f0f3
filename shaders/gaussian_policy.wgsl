// action = tanh(mean + eps exp(log_std)),  log_std = log_std_min + log_std_dif / 2 (tanh(raw) + 1)
//
// x [rows, 2 actions] holds mean, then raw; eps [rows, actions] at eps_offset + step * eps_step_stride;
// mask [actions]; action [rows, actions]; x, eps and action addressed by offset and row stride; mean
// (squashed), log_std [rows, actions] and entropy [rows, 2] contiguous. Everything but x and action is
// there if its flag is set; without eps it is zero. See `GaussianPolicy` in kernels/src/gaussian_policy.rs.
//
// One workgroup of 64 has 64 rows, an invocation one each; no workgroup memory.
//
// Numeric contract: f32; action, mean and log_std within 4e-6 (1 + |eps| exp(log_std)) of the exact ones. An
// action near 1 loses the digits of 1 - action^2, and so does its entropy: within
// 1e-6 / (1 - action^2 + 1e-6) an action.
//#import linear_index
//#import activations
//#import elementary

struct Params {
    rows: u32,
    actions: u32,
    x_offset: u32,
    x_row_stride: u32,
    eps_offset: u32,
    eps_row_stride: u32,
    eps_step_stride: u32,
    action_offset: u32,
    action_row_stride: u32,
    step: u32,
    log_std_min: f32,
    log_std_dif: f32,
    flags: u32,
}

const SAMPLE: u32 = 1u;
const MASK: u32 = 2u;
const MEAN: u32 = 4u;
const LOG_STD: u32 = 8u;
const ENTROPY: u32 = 16u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> eps: array<f32>;
@group(0) @binding(2) var<storage, read_write> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> action: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> log_std: array<f32>;
@group(0) @binding(6) var<storage, read_write> entropy: array<f32>;

fn has(flag: u32) -> bool {
    return (p.flags & flag) != 0u;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_index(workgroup, count, local, 64u);
    if row >= p.rows {
        return;
    }
    let x_first = p.x_offset + row * p.x_row_stride;
    let eps_first = p.eps_offset + p.step * p.eps_step_stride + row * p.eps_row_stride;
    let action_first = p.action_offset + row * p.action_row_stride;
    var gaussian = 0.0;
    var squash = 0.0;
    var actions = 0.0;
    for (var i = 0u; i < p.actions; i += 1u) {
        var centre = x[x_first + i];
        let raw = x[x_first + p.actions + i];
        var spread = p.log_std_min + 0.5 * p.log_std_dif * (tanh_safe(raw) + 1.0);
        var noise = 0.0;
        if has(SAMPLE) {
            noise = eps[eps_first + i];
        }
        var share = 1.0;
        if has(MASK) {
            share = mask[i];
            centre *= share;
            spread *= share;
            noise *= share;
        }
        let squashed = tanh_safe(centre + noise * exp(spread));
        action[action_first + i] = squashed;
        if has(MEAN) {
            mean[row * p.actions + i] = tanh_safe(centre);
        }
        if has(LOG_STD) {
            log_std[row * p.actions + i] = spread;
        }
        actions += share;
        gaussian += -0.5 * noise * noise - spread - 0.91893853;
        squash += logarithm(max(1.0 - squashed * squashed, 0.0) + 1e-6);
    }
    if has(ENTROPY) {
        let probability = gaussian - squash;
        let scale = gaussian * actions / (probability + 1e-8);
        entropy[2u * row] = -probability;
        entropy[2u * row + 1u] = -probability * scale;
    }
}
