// Vector fields in closed form; `kernels/src/ode_ensemble/fields.rs` holds the same formulas, operation by
// operation, with their sources.
//
// A state is up to eight numbers. `field` is a constant wherever these functions are called, so that the
// choices vanish when they are inlined, and with them the numbers that a field does not have.
const LORENZ63 = 0u;
const ROSSLER = 1u;
const VAN_DER_POL = 2u;
const HENON_HEILES = 3u;
const DOUBLE_GYRE = 4u;
const OSCILLATOR = 5u;
const LORENZ96 = 6u;

struct State {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn dimension(field: u32) -> u32 {
    switch field {
        case LORENZ63, ROSSLER: {
            return 3u;
        }
        case HENON_HEILES: {
            return 4u;
        }
        case LORENZ96: {
            return 8u;
        }
        default: {
            return 2u;
        }
    }
}

fn parameter_count(field: u32) -> u32 {
    switch field {
        case LORENZ63, ROSSLER: {
            return 3u;
        }
        case HENON_HEILES: {
            return 0u;
        }
        case VAN_DER_POL, LORENZ96: {
            return 1u;
        }
        default: {
            return 2u;
        }
    }
}

// x + h k.
fn along(field: u32, h: f32, k: State, x: State) -> State {
    var moved = State(fma(k.a, vec4<f32>(h), x.a), x.b);
    if field == LORENZ96 {
        moved.b = fma(k.b, vec4<f32>(h), x.b);
    }
    return moved;
}

// (sin(pi a), cos(pi a)): the nearest integer n is taken off, Taylor's series of seven terms for the rest
// r in [-1/2, 1/2], both signs turned where n is odd.
fn sine_cosine(a: f32) -> vec2<f32> {
    let n = round(a);
    let r = a - n;
    // 0 where n is even, 1 or -1 where it is odd.
    let odd = fma(-round(n * 0.5), 2.0, n);
    let sign = fma(odd * odd, -2.0, 1.0);
    let square = r * r;
    var sine = 4.6630281e-4;
    sine = fma(sine, square, -7.370431e-3);
    sine = fma(sine, square, 8.2145887e-2);
    sine = fma(sine, square, -5.9926453e-1);
    sine = fma(sine, square, 2.5501641);
    sine = fma(sine, square, -5.1677128);
    sine = fma(sine, square, 3.1415927);
    var cosine = 1.9295743e-3;
    cosine = fma(cosine, square, -2.5806891e-2);
    cosine = fma(cosine, square, 2.3533063e-1);
    cosine = fma(cosine, square, -1.3352628);
    cosine = fma(cosine, square, 4.0587121);
    cosine = fma(cosine, square, -4.9348022);
    cosine = fma(cosine, square, 1.0);
    return vec2<f32>((sine * r) * sign, cosine * sign);
}

fn double_gyre_flow(x: f32, y: f32, q: vec4<f32>, clock: f32) -> vec4<f32> {
    let s = q.y * sine_cosine(clock + clock).x;
    // f = x (s x + (1 - 2 s)), df/dx = 2 s x + (1 - 2 s)
    let straight = fma(-2.0, s, 1.0);
    let bent = fma(s, x, straight);
    let slope = fma(s, x, bent);
    let of_f = sine_cosine(x * bent);
    let of_y = sine_cosine(y);
    let scale = 3.1415927 * q.x;
    return vec4<f32>(-((scale * of_f.x) * of_y.y), ((scale * of_f.y) * of_y.x) * slope, 0.0, 0.0);
}

// f(x; q, t), where `clock` is the time in turns of the ensemble's clock, reduced by whole turns.
fn derivative(field: u32, state: State, q: vec4<f32>, clock: f32) -> State {
    let x = state.a;
    var change = State(vec4<f32>(0.0), vec4<f32>(0.0));
    switch field {
        case LORENZ63: {
            change.a = vec4<f32>(
                q.x * (x.y - x.x),
                fma(x.x, q.y - x.z, -x.y),
                fma(x.x, x.y, -(q.z * x.z)),
                0.0,
            );
        }
        case ROSSLER: {
            change.a = vec4<f32>(-(x.y + x.z), fma(q.x, x.y, x.x), fma(x.z, x.x - q.z, q.y), 0.0);
        }
        case VAN_DER_POL: {
            let well = fma(-x.x, x.x, 1.0);
            change.a = vec4<f32>(x.y, fma(q.x * well, x.y, -x.x), 0.0, 0.0);
        }
        case HENON_HEILES: {
            let twice = x.x + x.x;
            change.a = vec4<f32>(
                x.z,
                x.w,
                -fma(twice, x.y, x.x),
                fma(x.y, x.y, -fma(x.x, x.x, x.y)),
            );
        }
        case DOUBLE_GYRE: {
            change.a = double_gyre_flow(x.x, x.y, q, clock);
        }
        case OSCILLATOR: {
            change.a = vec4<f32>(x.y, -fma(q.x, x.x, q.y * x.y), 0.0, 0.0);
        }
        default: {
            let y = state.b;
            let force = vec4<f32>(q.x);
            // The ring's neighbours one ahead, one behind and two behind.
            let ahead = State(vec4<f32>(x.yzw, y.x), vec4<f32>(y.yzw, x.x));
            let behind = State(vec4<f32>(y.w, x.xyz), vec4<f32>(x.w, y.xyz));
            let second = State(vec4<f32>(y.zw, x.xy), vec4<f32>(x.zw, y.xy));
            change.a = fma(ahead.a - second.a, behind.a, force - x);
            change.b = fma(ahead.b - second.b, behind.b, force - y);
        }
    }
    return change;
}
