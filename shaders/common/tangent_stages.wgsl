// One step of a map, or of a flow by a Runge-Kutta method, and its exact derivative.
//#import ode_jacobians
//#import classical_maps

const EULER = 0u;
const MIDPOINT = 1u;
const HEUN = 2u;

fn is_flow(system: u32) -> bool {
    return system < HENON;
}

// The next state, and the Jacobians at the stages on the way there; those of absent stages are zero.
struct Stages {
    next: vec4<f32>,
    j1: mat4x4<f32>,
    j2: mat4x4<f32>,
    j3: mat4x4<f32>,
    j4: mat4x4<f32>,
}

fn slope(system: u32, x: vec4<f32>, q: vec4<f32>, clock: f32) -> vec4<f32> {
    return derivative(system, State(x, vec4<f32>(0.0)), q, clock).a;
}

// `clock` at the start, in the middle and at the end of the step.
fn stages(
    system: u32,
    method: u32,
    h: f32,
    x: vec4<f32>,
    q: vec4<f32>,
    clock: vec3<f32>,
) -> Stages {
    let zero = vec4<f32>(0.0);
    let none = mat4x4<f32>(zero, zero, zero, zero);
    if !is_flow(system) {
        let made = mapped(system, x, q);
        return Stages(made.x, made.jacobian, none, none, none);
    }
    let k1 = slope(system, x, q, clock.x);
    var made = Stages(x, jacobian(system, x, q, clock.x), none, none, none);
    switch method {
        case EULER: {
            made.next = x + h * k1;
        }
        case MIDPOINT: {
            let at = x + (h * 0.5) * k1;
            made.j2 = jacobian(system, at, q, clock.y);
            made.next = x + h * slope(system, at, q, clock.y);
        }
        case HEUN: {
            let at = x + h * k1;
            made.j2 = jacobian(system, at, q, clock.z);
            made.next = x + (h * 0.5) * (k1 + slope(system, at, q, clock.z));
        }
        default: {
            let x2 = x + (h * 0.5) * k1;
            let k2 = slope(system, x2, q, clock.y);
            let x3 = x + (h * 0.5) * k2;
            let k3 = slope(system, x3, q, clock.y);
            let x4 = x + h * k3;
            let k4 = slope(system, x4, q, clock.z);
            made.j2 = jacobian(system, x2, q, clock.y);
            made.j3 = jacobian(system, x3, q, clock.y);
            made.j4 = jacobian(system, x4, q, clock.z);
            made.next = x + (h / 6.0) * (((k1 + 2.0 * k2) + 2.0 * k3) + k4);
        }
    }
    return made;
}

// A tangent after the same step.
fn moved(system: u32, method: u32, h: f32, made: Stages, w: vec4<f32>) -> vec4<f32> {
    let k1 = made.j1 * w;
    if !is_flow(system) {
        return k1;
    }
    switch method {
        case EULER: {
            return w + h * k1;
        }
        case MIDPOINT: {
            return w + h * (made.j2 * (w + (h * 0.5) * k1));
        }
        case HEUN: {
            return w + (h * 0.5) * (k1 + made.j2 * (w + h * k1));
        }
        default: {
            let k2 = made.j2 * (w + (h * 0.5) * k1);
            let k3 = made.j3 * (w + (h * 0.5) * k2);
            let k4 = made.j4 * (w + h * k3);
            return w + (h / 6.0) * (((k1 + 2.0 * k2) + 2.0 * k3) + k4);
        }
    }
}
