// Flow times of rows and the phases of their features, of a shader with parameters and operands as in
// time_features.wgsl, which says why times and phases are integers.
//#import multiply_wide

const STAGE: u32 = 1u;
const REVERSED: u32 = 2u;
const UNIT: u32 = 0x80000000u; // time 1

fn fixed_time(x: f32) -> u32 {
    return u32(round(clamp(x, 0.0, 1.0) * 2147483648.0));
}

// Time and its complement to one. The complement is not the difference of the rounded time: near the
// end the logarithm needs all of its bits. What t has below 2^-24 is taken off last, so that one less the
// rest is exact.
fn float_times(row: u32) -> vec2<f32> {
    let t = time[row];
    var moved = 0.0;
    var node = 0.0;
    if (p.flags & STAGE) != 0u {
        node = f32(p.numerator) / f32(p.denominator);
        moved = step_size[row];
    }
    let coarse = round(t * 16777216.0) * 5.9604644775390625e-8;
    let left = fma(-node, moved, 1.0 - coarse) - (t - coarse);
    let times = clamp(vec2<f32>(fma(node, moved, t), left), vec2<f32>(0.0), vec2<f32>(1.0));
    return select(times, times.yx, (p.flags & REVERSED) != 0u);
}

// Phase of one frequency, in units of 2^-32 turns.
fn phase_of(row: u32, index: u32) -> u32 {
    var t = fixed_time(time[row]);
    if (p.flags & STAGE) != 0u {
        // h n / d without overflow, for 0 <= n <= d < 2^15, rounded to nearest.
        let h = fixed_time(step_size[row]);
        let rest = (h % p.denominator) * p.numerator + p.denominator / 2u;
        let part = (h / p.denominator) * p.numerator + rest / p.denominator;
        t += min(part, UNIT - t);
    }
    if (p.flags & REVERSED) != 0u {
        t = UNIT - t;
    }
    // Bits 47 to 78 of t C: C has 48 bits after the point, t 31.
    let low = multiply_wide(t, frequencies[2u * index]);
    let high = multiply_wide(t, frequencies[2u * index + 1u]);
    let middle = low.y + high.x;
    let top = high.y + select(0u, 1u, middle < low.y);
    return (middle >> 15u) | (top << 17u);
}
