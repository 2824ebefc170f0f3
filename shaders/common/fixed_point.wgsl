// 64-bit unsigned fixed point as (low, high) words: sums are exact, so their order does not matter and
// every device gets the same bits from the same numbers.
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn less64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// floor(x 2^scale) for 0 <= x and a result below 2^64; 0 for negative numbers and NaN.
fn fixed64(x: f32, scale: u32) -> vec2<u32> {
    let bits = bitcast<u32>(x);
    if bits < 0x00800000u || bits > 0x7f800000u {
        return vec2<u32>();
    }
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    let shift = i32(bits >> 23u) + i32(scale) - 150;
    if shift >= 32 {
        return vec2<u32>(0u, mantissa << u32(shift - 32));
    }
    if shift > 0 {
        return vec2<u32>(mantissa << u32(shift), mantissa >> u32(32 - shift));
    }
    if shift > -24 {
        return vec2<u32>(mantissa >> u32(-shift), 0u);
    }
    return vec2<u32>();
}

// floor(a fraction / 2^48) for a fraction below 2^48.
fn scale64(a: vec2<u32>, fraction: vec2<u32>) -> vec2<u32> {
    let low = multiply_wide(a.x, fraction.x);
    let cross = multiply_wide(a.x, fraction.y);
    let other = multiply_wide(a.y, fraction.x);
    var middle = add64(vec2<u32>(low.y, 0u), vec2<u32>(cross.x, 0u));
    middle = add64(middle, vec2<u32>(other.x, 0u));
    var high = add64(multiply_wide(a.y, fraction.y), vec2<u32>(middle.y, 0u));
    high = add64(high, vec2<u32>(cross.y, 0u));
    high = add64(high, vec2<u32>(other.y, 0u));
    return vec2<u32>((middle.x >> 16u) | (high.x << 16u), (high.x >> 16u) | (high.y << 16u));
}

// a 2^-scale as the nearest few floats; scale at most 126.
fn float64(a: vec2<u32>, scale: u32) -> f32 {
    let unit = bitcast<f32>((127u - scale) << 23u);
    return fma(f32(a.y), 4294967296.0, f32(a.x)) * unit;
}
