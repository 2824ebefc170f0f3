// Element-wise activations; the words are those of `Activation` in kernels/src/activations.rs.
const ACTIVATION_RELU: u32 = 1u;
const ACTIVATION_GELU: u32 = 2u;
const ACTIVATION_GELU_TANH: u32 = 3u;
const ACTIVATION_SILU: u32 = 4u;
const ACTIVATION_MISH: u32 = 5u;
const ACTIVATION_SIGMOID: u32 = 6u;
const ACTIVATION_TANH: u32 = 7u;

// Error function: 1 - e^p with a polynomial p fitted to ln erfc on [0, 4]; absolute error under 2e-7
// beside that of the driver's exp.
fn erf(x: f32) -> f32 {
    let t = min(abs(x), 4.0);
    var p = -3.1441796e-5;
    p = fma(p, t, 3.0881385e-4);
    p = fma(p, t, -1.0324343e-3);
    p = fma(p, t, -5.3688765e-4);
    p = fma(p, t, 1.9583926e-2);
    p = fma(p, t, -1.029196e-1);
    p = fma(p, t, -6.3659775e-1);
    p = fma(p, t, -1.1283803);
    let magnitude = 1.0 - exp(p * t);
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
