// Jacobians of the vector fields of at most four numbers, column after column: column j holds the
// derivatives by number j. `kernels/src/tangent_ensemble/formulas.rs` holds the same.
//#import ode_fields

fn double_gyre_jacobian(x: f32, y: f32, q: vec4<f32>, clock: f32) -> mat4x4<f32> {
    let s = q.y * sine_cosine(clock + clock).x;
    let straight = fma(-2.0, s, 1.0);
    let bent = fma(s, x, straight);
    let slope = fma(s, x, bent);
    let of_f = sine_cosine(x * bent);
    let of_y = sine_cosine(y);
    let scale = 3.1415927 * q.x;
    let square = 3.1415927 * scale;
    let stretch = ((square * of_f.y) * of_y.y) * slope;
    // d/dx of cos(pi f) df/dx: the second derivative of f is 2 s.
    let turn = (scale * of_f.y) * (s + s) - ((square * of_f.x) * slope) * slope;
    let zero = vec4<f32>(0.0);
    return mat4x4<f32>(
        vec4<f32>(-stretch, turn * of_y.x, 0.0, 0.0),
        vec4<f32>((square * of_f.x) * of_y.x, stretch, 0.0, 0.0),
        zero,
        zero,
    );
}

fn jacobian(field: u32, x: vec4<f32>, q: vec4<f32>, clock: f32) -> mat4x4<f32> {
    let zero = vec4<f32>(0.0);
    switch field {
        case LORENZ63: {
            return mat4x4<f32>(
                vec4<f32>(-q.x, q.y - x.z, x.y, 0.0),
                vec4<f32>(q.x, -1.0, x.x, 0.0),
                vec4<f32>(0.0, -x.x, -q.z, 0.0),
                zero,
            );
        }
        case ROSSLER: {
            return mat4x4<f32>(
                vec4<f32>(0.0, 1.0, x.z, 0.0),
                vec4<f32>(-1.0, q.x, 0.0, 0.0),
                vec4<f32>(-1.0, 0.0, x.x - q.z, 0.0),
                zero,
            );
        }
        case VAN_DER_POL: {
            let steep = fma(q.x * (x.x + x.x), x.y, 1.0);
            return mat4x4<f32>(
                vec4<f32>(0.0, -steep, 0.0, 0.0),
                vec4<f32>(1.0, q.x * fma(-x.x, x.x, 1.0), 0.0, 0.0),
                zero,
                zero,
            );
        }
        case HENON_HEILES: {
            let bend = -(x.x + x.x);
            let twice = x.y + x.y;
            return mat4x4<f32>(
                vec4<f32>(0.0, 0.0, -(1.0 + twice), bend),
                vec4<f32>(0.0, 0.0, bend, twice - 1.0),
                vec4<f32>(1.0, 0.0, 0.0, 0.0),
                vec4<f32>(0.0, 1.0, 0.0, 0.0),
            );
        }
        case DOUBLE_GYRE: {
            return double_gyre_jacobian(x.x, x.y, q, clock);
        }
        default: {
            return mat4x4<f32>(
                vec4<f32>(0.0, -q.x, 0.0, 0.0),
                vec4<f32>(1.0, -q.y, 0.0, 0.0),
                zero,
                zero,
            );
        }
    }
}
