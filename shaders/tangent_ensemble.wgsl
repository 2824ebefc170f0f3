// Trajectories of small maps and flows with tangent vectors, x <- F(x), W <- DF(x) W, and W = Q R after every
// `reorthonormalise_every`-th step with the logarithms of R's diagonal summed; see `TangentEnsemble` in
// kernels/src/tangent_ensemble.rs.
//
// state and tangent at `trajectory example_stride + component component_stride` (+ `j tangent_stride`);
// parameters [parameters] or [parameters, trajectories]; sums [4, tangents, trajectories]; log_history
// [records, tangents, trajectories]; state_history [records, dimension, trajectories]; status [3, trajectories].
//
// One workgroup of 64 has 64 trajectories, an invocation one each, from first step to last in registers;
// memory is touched at the start, at the end, for sums and for records. There is one entry point a system. No
// workgroup memory.
//
// Numeric contract: f32; a step rounds a handful of times, sums of logarithms are compensated. Cut into
// launches anywhere, a run gives the same bits.
//#import linear_index
//#import floats
//#import two_sum
//#import fixed_point
//#import clock
//#import orthonormal_columns
//#import tangent_stages
//#import tangent_memory

struct Params {
    trajectories: u32,
    system: u32,
    method: u32,
    tangents: u32,
    flags: u32,
    steps: u32,
    first_step: u32,
    total_steps: u32,
    transient: u32,
    reorthonormalise_every: u32,
    discarded: u32,
    record_every: u32,
    state_every: u32,
    example_stride: u32,
    component_stride: u32,
    tangent_stride: u32,
    step: f32,
    step_bits_high: u32,
    step_bits_low: u32,
    turns: f32,
    turns_high: u32,
    turns_low: u32,
    phase_high: u32,
    phase_low: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> state: array<f32>;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read_write> tangent: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> log_history: array<f32>;
@group(0) @binding(5) var<storage, read_write> state_history: array<f32>;
@group(0) @binding(6) var<storage, read_write> status: array<u32>;

const EACH = 1u;
const KEEP_STATE = 2u;

fn size_of(system: u32) -> u32 {
    if system == LOGISTIC {
        return 1u;
    }
    // Textbook maps have two numbers, as fields that are not named there.
    return dimension(system);
}

fn parameters_of(system: u32) -> u32 {
    switch system {
        case HENON: {
            return 2u;
        }
        case CAT: {
            return 0u;
        }
        case STANDARD_MAP, LOGISTIC, IKEDA: {
            return 1u;
        }
        default: {
            return parameter_count(system);
        }
    }
}

// Sums of logarithms and what rounding has left out of them, of one trajectory.
struct Sums {
    total: vec4<f32>,
    total_rest: vec4<f32>,
    record: vec4<f32>,
    record_rest: vec4<f32>,
}

fn logarithms(diagonal: vec4<f32>) -> vec4<f32> {
    let positive = max(diagonal, vec4<f32>(LEAST));
    return vec4<f32>(
        logarithm(positive.x),
        logarithm(positive.y),
        logarithm(positive.z),
        logarithm(positive.w),
    );
}

fn with_logs(before: Sums, logs: vec4<f32>, zero: u32) -> Sums {
    let a = two_sum(before.total.x, logs.x, zero);
    let b = two_sum(before.total.y, logs.y, zero);
    let c = two_sum(before.total.z, logs.z, zero);
    let d = two_sum(before.total.w, logs.w, zero);
    let e = two_sum(before.record.x, logs.x, zero);
    let f = two_sum(before.record.y, logs.y, zero);
    let g = two_sum(before.record.z, logs.z, zero);
    let h = two_sum(before.record.w, logs.w, zero);
    return Sums(
        vec4<f32>(a.x, b.x, c.x, d.x),
        before.total_rest + vec4<f32>(a.y, b.y, c.y, d.y),
        vec4<f32>(e.x, f.x, g.x, h.x),
        before.record_rest + vec4<f32>(e.y, f.y, g.y, h.y),
    );
}

// Orthonormalisations that are summed in the first `steps` steps.
fn summed(steps: u32) -> u32 {
    if p.reorthonormalise_every == 0u || steps <= p.transient {
        return 0u;
    }
    let all = (steps - p.transient) / p.reorthonormalise_every;
    return all - min(all, p.discarded);
}

// Half the turns of a step: half of it all, and half a turn more where an odd number of whole turns was
// dropped.
fn half_turns() -> vec2<u32> {
    let whole = round(p.turns - f32(p.turns_high) * 2.3283064e-10);
    let odd = whole - 2.0 * floor(whole * 0.5) >= 1.0;
    let high = (p.turns_high >> 1u) + select(0u, 0x80000000u, odd);
    return vec2<u32>((p.turns_low >> 1u) | (p.turns_high << 31u), high);
}

fn all_moved(system: u32, made: Stages, w: Basis) -> Basis {
    var next = w;
    next.a = moved(system, p.method, p.step, made, w.a);
    if p.tangents > 1u {
        next.b = moved(system, p.method, p.step, made, w.b);
    }
    if p.tangents > 2u {
        next.c = moved(system, p.method, p.step, made, w.c);
    }
    if p.tangents > 3u {
        next.d = moved(system, p.method, p.step, made, w.d);
    }
    return next;
}

fn propagate(system: u32, index: u32) {
    let n = size_of(system);
    let base = index * p.example_stride;
    let q = load_parameters(system, index);
    var x = load_state(system, base);
    var w = load_basis(system, base);
    let summing = p.reorthonormalise_every > 0u;
    let nothing = vec4<f32>(0.0);
    var ledger = Sums(nothing, nothing, nothing, nothing);
    if summing {
        ledger = Sums(
            load_sums(0u, index),
            load_sums(1u, index),
            load_sums(2u, index),
            load_sums(3u, index),
        );
    }
    // Zero to all but the compiler, which would simplify the compensated sums away.
    let zero = p.flags >> 31u;
    var replaced = status[index];
    var bad = status[p.trajectories + index];
    var met = status[2u * p.trajectories + index];
    let advance = vec2<u32>(p.turns_low, p.turns_high);
    let half = half_turns();
    var clock = add64(clock_times(advance, p.first_step), vec2<u32>(p.phase_low, p.phase_high));
    var saved = x.x;
    let count = min(p.steps, p.total_steps - min(p.first_step, p.total_steps));
    for (var i = 0u; i < count; i += 1u) {
        let step = p.first_step + i;
        let done = step + 1u;
        let then = add64(clock, advance);
        let middle = add64(clock, half);
        let moments = vec3<f32>(in_turns(clock), in_turns(middle), in_turns(then));
        let made = stages(system, p.method, p.step, x, q, moments);
        clock = then;
        x = made.next;
        if bad == 0u && !all_finite(x) {
            bad = done;
        }
        if n == 1u {
            if met == 0u && bad == 0u && x.x == saved {
                met = done;
            }
            // Brent's search for cycles.
            if ((i + 1u) & i) == 0u {
                saved = x.x;
            }
        }
        if p.tangents > 0u && step >= p.transient {
            w = all_moved(system, made, w);
            if summing && (done - p.transient) % p.reorthonormalise_every == 0u {
                let found = orthonormalised(n, p.tangents, w);
                w = found.w;
                replaced += found.replaced;
                if bad == 0u && !all_finite(found.diagonal) {
                    bad = done;
                }
                let counted = summed(done);
                if counted > 0u {
                    if bad == 0u {
                        ledger = with_logs(ledger, logarithms(found.diagonal), zero);
                    }
                    if p.record_every > 0u && counted % p.record_every == 0u {
                        let record = counted / p.record_every - 1u;
                        record_logs(record, index, ledger.record + ledger.record_rest);
                        ledger.record = nothing;
                        ledger.record_rest = nothing;
                    }
                }
            }
        }
        if p.state_every > 0u && done % p.state_every == 0u {
            record_state(system, done / p.state_every - 1u, index, x);
        }
    }
    if (p.flags & KEEP_STATE) == 0u {
        store_state(system, base, x);
    }
    store_basis(system, base, w);
    if summing {
        store_sums(0u, index, ledger.total);
        store_sums(1u, index, ledger.total_rest);
        store_sums(2u, index, ledger.record);
        store_sums(3u, index, ledger.record_rest);
    }
    status[index] = replaced;
    status[p.trajectories + index] = bad;
    status[2u * p.trajectories + index] = met;
}

@compute @workgroup_size(64)
fn lorenz63(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(LORENZ63, index);
    }
}

@compute @workgroup_size(64)
fn rossler(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(ROSSLER, index);
    }
}

@compute @workgroup_size(64)
fn van_der_pol(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(VAN_DER_POL, index);
    }
}

@compute @workgroup_size(64)
fn henon_heiles(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(HENON_HEILES, index);
    }
}

@compute @workgroup_size(64)
fn double_gyre(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(DOUBLE_GYRE, index);
    }
}

@compute @workgroup_size(64)
fn oscillator(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(OSCILLATOR, index);
    }
}

@compute @workgroup_size(64)
fn henon(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(HENON, index);
    }
}

@compute @workgroup_size(64)
fn cat(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(CAT, index);
    }
}

@compute @workgroup_size(64)
fn standard_map(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(STANDARD_MAP, index);
    }
}

@compute @workgroup_size(64)
fn logistic(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(LOGISTIC, index);
    }
}

@compute @workgroup_size(64)
fn ikeda(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        propagate(IKEDA, index);
    }
}
