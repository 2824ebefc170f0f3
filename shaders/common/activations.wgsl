// Element-wise activations; the words are those of `Activation` in kernels/src/activations.rs.
const ACTIVATION_RELU: u32 = 1u;
const ACTIVATION_GELU: u32 = 2u;
const ACTIVATION_GELU_TANH: u32 = 3u;
const ACTIVATION_SILU: u32 = 4u;
const ACTIVATION_MISH: u32 = 5u;
const ACTIVATION_SIGMOID: u32 = 6u;
const ACTIVATION_TANH: u32 = 7u;

// Error function: an odd polynomial below 0.93, 1 - e^(polynomial) above (coefficients of N. Juffa's
// minimax fits); absolute error under 2e-7 beside that of the driver's exp.
fn erf(x: f32) -> f32 {
    let t = min(abs(x), 4.0);
    let s = t * t;
    let high = fma(-1.7285347e-5, t, 3.831972e-4);
    let low = fma(-3.8839644e-3, t, 2.4254622e-2);
    var far = fma(high, s, low);
    far = fma(far, t, -1.0677788e-1);
    far = fma(far, t, -6.348467e-1);
    far = fma(far, t, -1.2871751e-1);
    far = 1.0 - exp(fma(far, t, -t));
    var near = -5.967617e-4;
    near = fma(near, s, 4.9911944e-3);
    near = fma(near, s, -2.6768135e-2);
    near = fma(near, s, 1.1281992e-1);
    near = fma(near, s, -3.7612534e-1);
    near = fma(near, s, 1.2837917e-1);
    near = fma(near, t, t);
    let magnitude = select(near, far, t > 0.9277344);
    return select(magnitude, -magnitude, x < 0.0);
}

// tanh without the overflow that some drivers have for large arguments.
fn tanh_safe(x: f32) -> f32 {
    let a = abs(x);
    let e = exp(-2.0 * a);
    let far = (1.0 - e) / (1.0 + e);
    let s = x * x;
    var p = 2.186949e-2;
    p = fma(p, s, -5.3968255e-2);
    p = fma(p, s, 1.3333334e-1);
    p = fma(p, s, -3.3333334e-1);
    let near = fma(a * s, p, a);
    let magnitude = select(far, near, a < 0.3);
    return select(magnitude, -magnitude, x < 0.0);
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

fn activate(kind: u32, x: f32) -> f32 {
    switch kind {
        case ACTIVATION_RELU: {
            return select(x, 0.0, x < 0.0);
        }
        case ACTIVATION_GELU: {
            return 0.5 * x * (1.0 + erf(x * 0.70710678));
        }
        case ACTIVATION_GELU_TANH: {
            return 0.5 * x * (1.0 + tanh_safe(0.7978845608 * (x + 0.044715 * x * x * x)));
        }
        case ACTIVATION_SILU: {
            return x * sigmoid(x);
        }
        case ACTIVATION_MISH: {
            let e = exp(min(x, 30.0));
            let n = e * (e + 2.0);
            return x * (n / (n + 2.0));
        }
        case ACTIVATION_SIGMOID: {
            return sigmoid(x);
        }
        case ACTIVATION_TANH: {
            return tanh_safe(x);
        }
        default: {
            return x;
        }
    }
}
