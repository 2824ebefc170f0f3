// Floating-point helpers that rest on bit patterns: a shader may be compiled as if NaN and infinity
// did not exist, and comparisons may flush subnormal numbers.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}

// A NaN that the compiler does not see as a constant.
fn not_a_number() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

// Word that orders as the number does; both zeros give the same word. 0 is never the word of a number.
fn order_key(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    if (bits << 1u) == 0u {
        return 0x80000000u;
    }
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// e^x for x at most 88: range reduction by ln 2 in two parts, then the polynomial of the Cephes library
// (Moshier, 1989), within 2 units in the last place; 0 below -87, minus infinity included.
fn exponential(x: f32) -> f32 {
    if !is_finite(x) || x < -87.0 {
        return 0.0;
    }
    let n = floor(x * 1.44269504 + 0.5);
    let r = fma(n, 2.12194440e-4, fma(n, -0.693359375, x));
    var y = 1.9875691e-4;
    y = fma(y, r, 1.3981999e-3);
    y = fma(y, r, 8.333452e-3);
    y = fma(y, r, 4.1665796e-2);
    y = fma(y, r, 1.6666665e-1);
    y = fma(y, r, 5.0000001e-1);
    y = fma(y, r * r, r + 1.0);
    return y * bitcast<f32>(u32(i32(n) + 127) << 23u);
}
