// One step of each Runge-Kutta method; `kernels/src/ode_ensemble/methods.rs` holds the same formulas,
// operation by operation, with their sources.
//#import ode_fields

const EULER = 0u;
const MIDPOINT = 1u;
const HEUN = 2u;

// A step of Euler's, the midpoint, Heun's or the classic method; `clock` at its start, middle and end.
fn classic_step(
    field: u32,
    method: u32,
    h: f32,
    x: State,
    q: vec4<f32>,
    clock: vec3<f32>,
) -> State {
    let k1 = derivative(field, x, q, clock.x);
    switch method {
        case EULER: {
            return along(field, h, k1, x);
        }
        case MIDPOINT: {
            let k2 = derivative(field, along(field, h * 0.5, k1, x), q, clock.y);
            return along(field, h, k2, x);
        }
        case HEUN: {
            let k2 = derivative(field, along(field, h, k1, x), q, clock.z);
            return along(field, h * 0.5, State(k1.a + k2.a, k1.b + k2.b), x);
        }
        default: {
            let k2 = derivative(field, along(field, h * 0.5, k1, x), q, clock.y);
            var sum = along(field, 2.0, k2, k1);
            let k3 = derivative(field, along(field, h * 0.5, k2, x), q, clock.y);
            sum = along(field, 2.0, k3, sum);
            let k4 = derivative(field, along(field, h, k3, x), q, clock.z);
            return along(field, h / 6.0, State(sum.a + k4.a, sum.b + k4.b), x);
        }
    }
}

struct Attempt {
    // State at the end, derivative there, estimate of the error over the step size.
    x: State,
    k: State,
    error: State,
}

fn scaled(weight: f32, k: State) -> State {
    return State(k.a * weight, k.b * weight);
}

// A step of Dormand and Prince from x with derivative k1; `places` is the clock at 1/5, 3/10, 4/5 and 8/9
// of the step, `end` at its end.
fn dormand_prince_step(
    field: u32,
    h: f32,
    x: State,
    k1: State,
    q: vec4<f32>,
    places: vec4<f32>,
    end: f32,
) -> Attempt {
    var sum = scaled(1.0 / 5.0, k1);
    let k2 = derivative(field, along(field, h, sum, x), q, places.x);

    sum = scaled(3.0 / 40.0, k1);
    sum = along(field, 9.0 / 40.0, k2, sum);
    let k3 = derivative(field, along(field, h, sum, x), q, places.y);

    sum = scaled(44.0 / 45.0, k1);
    sum = along(field, -56.0 / 15.0, k2, sum);
    sum = along(field, 32.0 / 9.0, k3, sum);
    let k4 = derivative(field, along(field, h, sum, x), q, places.z);

    sum = scaled(19372.0 / 6561.0, k1);
    sum = along(field, -25360.0 / 2187.0, k2, sum);
    sum = along(field, 64448.0 / 6561.0, k3, sum);
    sum = along(field, -212.0 / 729.0, k4, sum);
    let k5 = derivative(field, along(field, h, sum, x), q, places.w);

    sum = scaled(9017.0 / 3168.0, k1);
    sum = along(field, -355.0 / 33.0, k2, sum);
    sum = along(field, 46732.0 / 5247.0, k3, sum);
    sum = along(field, 49.0 / 176.0, k4, sum);
    sum = along(field, -5103.0 / 18656.0, k5, sum);
    let k6 = derivative(field, along(field, h, sum, x), q, end);

    sum = scaled(35.0 / 384.0, k1);
    sum = along(field, 500.0 / 1113.0, k3, sum);
    sum = along(field, 125.0 / 192.0, k4, sum);
    sum = along(field, -2187.0 / 6784.0, k5, sum);
    sum = along(field, 11.0 / 84.0, k6, sum);
    let next = along(field, h, sum, x);
    let k7 = derivative(field, next, q, end);

    var error = scaled(71.0 / 57600.0, k1);
    error = along(field, -71.0 / 16695.0, k3, error);
    error = along(field, 71.0 / 1920.0, k4, error);
    error = along(field, -17253.0 / 339200.0, k5, error);
    error = along(field, 22.0 / 525.0, k6, error);
    error = along(field, -1.0 / 40.0, k7, error);
    return Attempt(next, k7, error);
}

// x^(-1/5) for x in [2^-15, 2^15): scaled by powers of 32 into [1, 32), a parabola, three rounds of
// Newton's iteration.
fn inverse_fifth_root(argument: f32) -> f32 {
    var x = argument;
    var scale = 1.0;
    if x < 1.0 {
        x *= 32.0;
        scale *= 2.0;
    }
    if x < 1.0 {
        x *= 32.0;
        scale *= 2.0;
    }
    if x < 1.0 {
        x *= 32.0;
        scale *= 2.0;
    }
    if x >= 32.0 {
        x *= 1.0 / 32.0;
        scale *= 0.5;
    }
    if x >= 32.0 {
        x *= 1.0 / 32.0;
        scale *= 0.5;
    }
    var y = fma(fma(7.96121e-4, x, -3.845775e-2), x, 0.9561672);
    y *= newton_factor(x, y);
    y *= newton_factor(x, y);
    y *= newton_factor(x, y);
    return y * scale;
}

fn newton_factor(x: f32, y: f32) -> f32 {
    let square = y * y;
    let fifth = (square * square) * y;
    return fma(-x, fifth * 0.2, 1.2);
}
