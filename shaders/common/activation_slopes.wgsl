// Derivatives of the activations of activations.wgsl; formulas and words as in
// kernels/src/activation_slopes.rs.
//#import activations

// 4 e / (1 + e)^2 with e = exp(-2 |x|): the square of the hyperbolic secant.
fn sech_squared(x: f32) -> f32 {
    let e = exp(-2.0 * abs(x));
    let whole = 1.0 + e;
    return 4.0 * e / (whole * whole);
}

fn slope_of_finite(kind: u32, x: f32) -> f32 {
    // Beyond 40 every slope is its limit; powers of the argument stay finite within.
    let near = clamp(x, -40.0, 40.0);
    switch kind {
        case ACTIVATION_RELU: {
            return select(0.0, 1.0, x > 0.0);
        }
        case ACTIVATION_GELU: {
            let density = 0.3989422804 * exp(-0.5 * near * near);
            return fma(near, density, 0.5 * (1.0 + erf(x * 0.70710678)));
        }
        case ACTIVATION_GELU_TANH: {
            let square = near * near;
            let inner = 0.7978845608 * near * (1.0 + 0.044715 * square);
            let inner_slope = 0.7978845608 * (1.0 + 0.134145 * square);
            let bend = 0.5 * near * sech_squared(inner) * inner_slope;
            return 0.5 * (1.0 + tanh_safe(inner)) + bend;
        }
        case ACTIVATION_SILU: {
            let e = exp(-abs(near));
            let part = 1.0 / (1.0 + e);
            return fma(near, e * part * part, select(part, e * part, x < 0.0));
        }
        case ACTIVATION_MISH: {
            let held = min(near, 30.0);
            let e = exp(held);
            let n = e * (e + 2.0);
            let part = 1.0 / (n + 2.0);
            let share = n * part;
            return share + held * (2.0 * part) * (1.0 + share) * (e / (1.0 + e));
        }
        case ACTIVATION_SIGMOID: {
            let e = exp(-abs(x));
            let part = 1.0 / (1.0 + e);
            return e * part * part;
        }
        case ACTIVATION_TANH: {
            return sech_squared(x);
        }
        default: {
            return 1.0;
        }
    }
}

// Derivative at x; NaN where x is not finite.
fn activation_slope(kind: u32, x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let finite = (bits & 0x7f800000u) != 0x7f800000u;
    return select(bitcast<f32>(bits | 0x00400000u), slope_of_finite(kind, x), finite);
}
