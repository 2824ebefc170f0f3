// One step of ReMDM's sampler (Wang, Schiff, Sahoo, Kuleshov, arXiv 2503.00307, algorithm 1): every
// masked position commits, and every committed one is masked again, by independent draws.
//
// tokens, psi [batch, length] in place; prediction, decode_probability [batch, length]; uniforms
// [batch, 2, length], those for unmasking before those for remasking; schedule [steps, 3] =
// (base, gain, sigma), read at row `step`; locked [batch] prefix lengths; trace [3, batch, length] =
// sigma, unmask probability, decision (0 none, 1 committed, 2 remasked) on request. See
// `RemaskBernoulli` in kernels/src/remask_bernoulli.rs.
//
//   sigma_l = sigma, or sigma softmax(-psi)_l over the committed, unlocked positions of finite psi and 0
//   elsewhere; 0 where locked
//   p_l = clamp(base + gain sigma_l, 0, 1)
//
// One workgroup of 64 does a row, with 256 bytes of workgroup memory. The softmax sums 64 interleaved
// partial sums, then halves of them: the order depends on the length alone. Relative error of sigma
// and p at most 1e-6; decisions are exact given those.
//#import floats

struct Params {
    batch: u32,
    length: u32,
    mask_token: u32,
    step: u32,
    steps: u32,
    strategy: u32,
    flags: u32,
}

const STRATEGY_CONFIDENCE: u32 = 1u;
const LOCKED: u32 = 1u;
const TRACE: u32 = 2u;
const NO_TOKEN: u32 = 0xffffffffu;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(1) var<storage, read_write> psi: array<f32>;
@group(0) @binding(2) var<storage, read_write> prediction: array<u32>;
@group(0) @binding(3) var<storage, read_write> decode_probability: array<f32>;
@group(0) @binding(4) var<storage, read_write> uniforms: array<f32>;
@group(0) @binding(5) var<storage, read_write> schedule: array<f32>;
@group(0) @binding(6) var<storage, read_write> locked: array<u32>;
@group(0) @binding(7) var<storage, read_write> trace: array<f32>;

var<workgroup> partial: array<f32, 64>;

// exp(-psi) of a position that shares in the softmax, else 0.
fn doubt(at: u32, free: bool) -> f32 {
    let stored = psi[at];
    if !free || tokens[at] == p.mask_token || !is_finite(stored) {
        return 0.0;
    }
    return exponential(-stored);
}

// A positive infinity that the compiler does not see as a constant.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
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
    let base = row * p.length;
    var prefix = 0u;
    if (p.flags & LOCKED) != 0u {
        prefix = locked[row];
    }
    var sum = 0.0;
    if p.strategy == STRATEGY_CONFIDENCE {
        for (var i = local; i < p.length; i += 64u) {
            sum += doubt(base + i, i >= prefix);
        }
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    let total = partial[0];
    let start = schedule[3u * p.step];
    let gain = schedule[3u * p.step + 1u];
    let strength = schedule[3u * p.step + 2u];
    for (var i = local; i < p.length; i += 64u) {
        let at = base + i;
        let free = i >= prefix;
        var sigma = select(0.0, strength, free);
        if p.strategy == STRATEGY_CONFIDENCE {
            let share = doubt(at, free);
            sigma = 0.0;
            if share > 0.0 {
                sigma = strength * (share / total);
            }
        }
        let unmask = clamp(fma(gain, sigma, start), 0.0, 1.0);
        let draw = 2u * base + i;
        var decision = 0.0;
        if free && tokens[at] == p.mask_token {
            let sure = decode_probability[at];
            let known = prediction[at] != NO_TOKEN && !is_nan(sure);
            if known && uniforms[draw] < unmask {
                tokens[at] = prediction[at];
                psi[at] = sure;
                decision = 1.0;
            }
        } else if free && uniforms[draw + p.length] < sigma {
            tokens[at] = p.mask_token;
            psi[at] = infinity();
            decision = 2.0;
        }
        if (p.flags & TRACE) != 0u {
            let plane = p.batch * p.length;
            trace[at] = sigma;
            trace[plane + at] = unmask;
            trace[2u * plane + at] = decision;
        }
    }
}
