// Trajectories of dx/dt = f(x; parameters, t): `steps` Runge-Kutta steps of a fixed size, or attempts of
// Dormand and Prince's pair under step control; see `OdeEnsemble` in kernels/src/ode_ensemble.rs.
//
// state [dimension, trajectories] in place; parameters [parameters] or [parameters, trajectories]; history
// [records, dimension, trajectories]; control [3, trajectories] and status [3, trajectories] in place.
//
// One workgroup of 64 has 64 trajectories, an invocation one each, from first step to last in registers;
// memory is touched at the start, at the end, and for records. There is one entry point a field, and
// another for Dormand and Prince's stages, which need more registers. No workgroup memory.
//
// Numeric contract: f32 with the multiply-adds that are written. A step rounds the state once. Cut into
// launches anywhere, a run gives the same bits.
//#import linear_index
//#import floats
//#import two_sum
//#import fixed_point
//#import clock
//#import ode_methods

struct Params {
    trajectories: u32,
    field: u32,
    method: u32,
    flags: u32,
    steps: u32,
    first_step: u32,
    total_steps: u32,
    record_every: u32,
    step_high: f32,
    step_low: f32,
    span_high: f32,
    span_low: f32,
    rate_high: f32,
    rate_low: f32,
    turns_high: u32,
    turns_low: u32,
    phase_high: u32,
    phase_low: u32,
    relative_tolerance: f32,
    absolute_tolerance: f32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> state: array<f32>;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read_write> history: array<f32>;
@group(0) @binding(3) var<storage, read_write> control: array<f32>;
@group(0) @binding(4) var<storage, read_write> status: array<u32>;

const EACH = 1u;
const DORMAND_PRINCE54 = 5u;
const RUNNING = 0u;
const DONE = 1u;
const EXHAUSTED = 2u;
const STALLED = 3u;
const REJECTED = 4u;

fn load_state(field: u32, index: u32) -> State {
    let n = p.trajectories;
    var x = State(vec4<f32>(0.0), vec4<f32>(0.0));
    x.a.x = state[index];
    x.a.y = state[n + index];
    if dimension(field) > 2u {
        x.a.z = state[2u * n + index];
    }
    if dimension(field) > 3u {
        x.a.w = state[3u * n + index];
    }
    if dimension(field) > 4u {
        x.b.x = state[4u * n + index];
        x.b.y = state[5u * n + index];
        x.b.z = state[6u * n + index];
        x.b.w = state[7u * n + index];
    }
    return x;
}

fn store_state(field: u32, index: u32, x: State) {
    let n = p.trajectories;
    state[index] = x.a.x;
    state[n + index] = x.a.y;
    if dimension(field) > 2u {
        state[2u * n + index] = x.a.z;
    }
    if dimension(field) > 3u {
        state[3u * n + index] = x.a.w;
    }
    if dimension(field) > 4u {
        state[4u * n + index] = x.b.x;
        state[5u * n + index] = x.b.y;
        state[6u * n + index] = x.b.z;
        state[7u * n + index] = x.b.w;
    }
}

fn record_state(field: u32, record: u32, index: u32, x: State) {
    let n = p.trajectories;
    let base = record * dimension(field) * n + index;
    history[base] = x.a.x;
    history[base + n] = x.a.y;
    if dimension(field) > 2u {
        history[base + 2u * n] = x.a.z;
    }
    if dimension(field) > 3u {
        history[base + 3u * n] = x.a.w;
    }
    if dimension(field) > 4u {
        history[base + 4u * n] = x.b.x;
        history[base + 5u * n] = x.b.y;
        history[base + 6u * n] = x.b.z;
        history[base + 7u * n] = x.b.w;
    }
}

fn load_parameters(field: u32, index: u32) -> vec4<f32> {
    let each = (p.flags & EACH) != 0u;
    let stride = select(1u, p.trajectories, each);
    let first = select(0u, index, each);
    let count = parameter_count(field);
    var q = vec4<f32>(0.0);
    if count > 0u {
        q.x = parameters[first];
    }
    if count > 1u {
        q.y = parameters[first + stride];
    }
    if count > 2u {
        q.z = parameters[first + 2u * stride];
    }
    return q;
}

// The clock at the start of step n.
fn clock_of(n: u32) -> vec2<u32> {
    let turns = clock_times(vec2<u32>(p.turns_low, p.turns_high), n);
    return add64(turns, vec2<u32>(p.phase_low, p.phase_high));
}

// Steps of this launch.
fn step_count() -> u32 {
    return min(p.steps, p.total_steps - min(p.first_step, p.total_steps));
}

// Steps until the next record; 0 where there is none.
fn until_record() -> u32 {
    if p.record_every == 0u {
        return 0u;
    }
    return p.record_every - p.first_step % p.record_every;
}

fn first_record() -> u32 {
    if p.record_every == 0u {
        return 0u;
    }
    return p.first_step / p.record_every;
}

fn integrate_classic(field: u32, index: u32) {
    let q = load_parameters(field, index);
    var x = load_state(field, index);
    let h = p.step_high;
    let turns = p.rate_high * h;
    let advance = vec2<u32>(p.turns_low, p.turns_high);
    var clock = clock_of(p.first_step);
    var record = first_record();
    var left = until_record();
    let count = step_count();
    for (var i = 0u; i < count; i += 1u) {
        let then = add64(clock, advance);
        let now = in_turns(clock);
        let at = vec3<f32>(now, fma(turns, 0.5, now), in_turns(then));
        x = classic_step(field, p.method, h, x, q, at);
        clock = then;
        if left == 1u {
            record_state(field, record, index, x);
            record += 1u;
            left = p.record_every + 1u;
        }
        left -= 1u;
    }
    store_state(field, index, x);
}

fn integrate_fifth_order(field: u32, index: u32) {
    let q = load_parameters(field, index);
    var x = load_state(field, index);
    let h = p.step_high;
    let turns = p.rate_high * h;
    let advance = vec2<u32>(p.turns_low, p.turns_high);
    var clock = clock_of(p.first_step);
    var record = first_record();
    var left = until_record();
    var k = derivative(field, x, q, in_turns(clock));
    let count = step_count();
    for (var i = 0u; i < count; i += 1u) {
        let then = add64(clock, advance);
        let parts = vec4<f32>(1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0);
        let places = fma(vec4<f32>(turns), parts, vec4<f32>(in_turns(clock)));
        let made = dormand_prince_step(field, h, x, k, q, places, in_turns(then));
        x = made.x;
        k = made.k;
        clock = then;
        if left == 1u {
            record_state(field, record, index, x);
            record += 1u;
            left = p.record_every + 1u;
        }
        left -= 1u;
    }
    store_state(field, index, x);
}

// The clock `time` after the start, reduced by whole turns.
fn clock_after(time: f32) -> f32 {
    let turns = time * p.rate_high;
    return in_turns(vec2<u32>(p.phase_low, p.phase_high)) + (turns - round(turns));
}

// Square of the error's share of what is tolerated.
fn squared_share(error: vec4<f32>, before: vec4<f32>, after: vec4<f32>) -> vec4<f32> {
    let largest = max(abs(before), abs(after));
    let tolerated = fma(
        vec4<f32>(p.relative_tolerance),
        largest,
        vec4<f32>(p.absolute_tolerance),
    );
    let share = error / tolerated;
    return share * share;
}

fn mean_square(field: u32, h: f32, made: Attempt, before: State) -> f32 {
    let a = squared_share(made.error.a * h, before.a, made.x.a);
    var sum = a.x + a.y;
    if dimension(field) > 2u {
        sum += a.z;
    }
    if dimension(field) > 3u {
        sum += a.w;
    }
    if dimension(field) > 4u {
        let b = squared_share(made.error.b * h, before.b, made.x.b);
        sum += (b.x + b.y) + (b.z + b.w);
    }
    return sum / f32(dimension(field));
}

fn integrate_controlled(field: u32, index: u32) {
    let n = p.trajectories;
    let q = load_parameters(field, index);
    // Zero to all but the compiler, which would simplify the compensated sum away.
    let zero = p.method >> 31u;
    var x = load_state(field, index);
    var time = vec2<f32>(control[index], control[n + index]);
    var step = control[2u * n + index];
    if step == 0.0 {
        step = p.step_high;
    }
    var accepted = status[index];
    var rejected = status[n + index];
    var verdict = status[2u * n + index];
    var k = derivative(field, x, q, clock_after(time.x));
    let count = step_count();
    for (var i = 0u; i < count; i += 1u) {
        if verdict != RUNNING && verdict != REJECTED {
            break;
        }
        let left = (p.span_high - time.x) - time.y;
        // A step that would leave less than a hundredth of itself goes to the end.
        let last = left <= step * 1.01;
        let h = select(step, left, last);
        var end = two_sum(time.x, h + time.y, zero);
        if last {
            end = vec2<f32>(p.span_high, 0.0);
        }
        let places = vec4<f32>(
            clock_after(fma(h, 1.0 / 5.0, time.x)),
            clock_after(fma(h, 3.0 / 10.0, time.x)),
            clock_after(fma(h, 4.0 / 5.0, time.x)),
            clock_after(fma(h, 8.0 / 9.0, time.x)),
        );
        let made = dormand_prince_step(field, h, x, k, q, places, clock_after(end.x));
        let mean = mean_square(field, h, made, x);
        // By bits, since a comparison with NaN may come out either way: NaN and infinity are too large.
        let good = is_finite(mean) && mean <= 1.0;
        var error = 4096.0;
        if is_finite(mean) {
            error = clamp(sqrt(mean), 1e-4, 4096.0);
        }
        let most = select(5.0, 1.0, verdict == REJECTED);
        step = h * min(max(inverse_fifth_root(error) * 0.9, 0.2), most);
        if good {
            x = made.x;
            k = made.k;
            time = end;
            accepted += 1u;
            verdict = select(RUNNING, DONE, last);
        } else {
            rejected += 1u;
            // A step that no longer moves the time cannot shrink to any purpose.
            verdict = select(REJECTED, STALLED, time.x + step <= time.x);
        }
        let going = verdict == RUNNING || verdict == REJECTED;
        if going && accepted + rejected >= p.total_steps {
            verdict = EXHAUSTED;
        }
    }
    store_state(field, index, x);
    control[index] = time.x;
    control[n + index] = time.y;
    control[2u * n + index] = step;
    status[index] = accepted;
    status[n + index] = rejected;
    status[2u * n + index] = verdict;
}

fn integrate_dormand_prince(field: u32, index: u32) {
    if p.method == DORMAND_PRINCE54 {
        integrate_controlled(field, index);
    } else {
        integrate_fifth_order(field, index);
    }
}

@compute @workgroup_size(64)
fn lorenz63(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_classic(LORENZ63, index);
    }
}

@compute @workgroup_size(64)
fn lorenz63_dormand_prince(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_dormand_prince(LORENZ63, index);
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
        integrate_classic(ROSSLER, index);
    }
}

@compute @workgroup_size(64)
fn rossler_dormand_prince(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_dormand_prince(ROSSLER, index);
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
        integrate_classic(VAN_DER_POL, index);
    }
}

@compute @workgroup_size(64)
fn van_der_pol_dormand_prince(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_dormand_prince(VAN_DER_POL, index);
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
        integrate_classic(HENON_HEILES, index);
    }
}

@compute @workgroup_size(64)
fn henon_heiles_dormand_prince(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_dormand_prince(HENON_HEILES, index);
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
        integrate_classic(DOUBLE_GYRE, index);
    }
}

@compute @workgroup_size(64)
fn double_gyre_dormand_prince(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_dormand_prince(DOUBLE_GYRE, index);
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
        integrate_classic(OSCILLATOR, index);
    }
}

@compute @workgroup_size(64)
fn oscillator_dormand_prince(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_dormand_prince(OSCILLATOR, index);
    }
}

@compute @workgroup_size(64)
fn lorenz96(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_classic(LORENZ96, index);
    }
}

@compute @workgroup_size(64)
fn lorenz96_dormand_prince(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index < p.trajectories {
        integrate_dormand_prince(LORENZ96, index);
    }
}
