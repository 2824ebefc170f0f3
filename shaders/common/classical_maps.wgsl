// Textbook maps of the plane and the line; `kernels/src/tangent_ensemble/formulas.rs` holds the same with
// their sources. The second vector of `Mapped` and the matrix are columns of the Jacobian.
//#import elementary

const HENON = 16u;
const CAT = 17u;
const STANDARD_MAP = 18u;
const LOGISTIC = 19u;
const IKEDA = 20u;

struct Mapped {
    x: vec4<f32>,
    jacobian: mat4x4<f32>,
}

// x modulo `period` in [0, `period`).
fn wrapped(x: f32, period: f32) -> f32 {
    return fma(-floor(x / period), period, x);
}

fn plane(a: vec2<f32>, b: vec2<f32>) -> mat4x4<f32> {
    let zero = vec4<f32>(0.0);
    return mat4x4<f32>(vec4<f32>(a, 0.0, 0.0), vec4<f32>(b, 0.0, 0.0), zero, zero);
}

fn ikeda_map(x: vec2<f32>, u: f32) -> Mapped {
    let radius = 1.0 + (x.x * x.x + x.y * x.y);
    let turn = cosine_sine(0.4 - 6.0 / radius);
    let across = x.x * turn.x - x.y * turn.y;
    let up = x.x * turn.y + x.y * turn.x;
    let by = (12.0 / (radius * radius)) * x;
    return Mapped(
        vec4<f32>(1.0 + u * across, u * up, 0.0, 0.0),
        plane(
            u * vec2<f32>(turn.x - up * by.x, turn.y + across * by.x),
            u * vec2<f32>(-turn.y - up * by.y, turn.x + across * by.y),
        ),
    );
}

// The next state and the Jacobian at this one.
fn mapped(system: u32, x: vec4<f32>, q: vec4<f32>) -> Mapped {
    switch system {
        case HENON: {
            let slope = (-2.0 * q.x) * x.x;
            return Mapped(
                vec4<f32>((1.0 - q.x * (x.x * x.x)) + x.y, q.y * x.x, 0.0, 0.0),
                plane(vec2<f32>(slope, q.y), vec2<f32>(1.0, 0.0)),
            );
        }
        case CAT: {
            return Mapped(
                vec4<f32>(wrapped(2.0 * x.x + x.y, 1.0), wrapped(x.x + x.y, 1.0), 0.0, 0.0),
                plane(vec2<f32>(2.0, 1.0), vec2<f32>(1.0, 1.0)),
            );
        }
        case STANDARD_MAP: {
            const TURN = 6.2831855;
            let angle = cosine_sine(x.x);
            let kicked = x.y + q.x * angle.y;
            let kick = q.x * angle.x;
            return Mapped(
                vec4<f32>(wrapped(x.x + kicked, TURN), wrapped(kicked, TURN), 0.0, 0.0),
                plane(vec2<f32>(1.0 + kick, kick), vec2<f32>(1.0, 1.0)),
            );
        }
        case LOGISTIC: {
            return Mapped(
                vec4<f32>((q.x * x.x) * (1.0 - x.x), 0.0, 0.0, 0.0),
                plane(vec2<f32>(q.x * (1.0 - 2.0 * x.x), 0.0), vec2<f32>(0.0)),
            );
        }
        default: {
            return ikeda_map(x.xy, q.x);
        }
    }
}
