// Logarithm, sine and cosine as polynomials: WGSL hardly bounds the error of the built-in ones.

// Natural logarithm of a positive normal number: mantissa in [sqrt(1/2), sqrt(2)), then the degree-8
// minimax polynomial of the Cephes library (Moshier, 1989); ln 2 is split in two.
fn logarithm(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    var exponent = i32(bits >> 23u) - 126;
    var m = bitcast<f32>((bits & 0x7fffffu) | 0x3f000000u);
    if m < 0.70710678 {
        exponent -= 1;
        m += m;
    }
    m -= 1.0;
    let z = m * m;
    var y = 7.0376836292e-2;
    y = fma(y, m, -1.1514610310e-1);
    y = fma(y, m, 1.1676998740e-1);
    y = fma(y, m, -1.2420140846e-1);
    y = fma(y, m, 1.4249322787e-1);
    y = fma(y, m, -1.6668057665e-1);
    y = fma(y, m, 2.0000714765e-1);
    y = fma(y, m, -2.4999993993e-1);
    y = fma(y, m, 3.3333331174e-1);
    let e = f32(exponent);
    y = fma(e, -2.12194440e-4, y * m * z);
    y = fma(z, -0.5, y);
    return fma(e, 0.693359375, m + y);
}

// (cos, sin) of quarter quarter-turns and an angle within an eighth of a turn; quarter modulo 4.
fn rotation(quarter: u32, angle: f32) -> vec2<f32> {
    let z = angle * angle;
    var s = fma(z, -1.9515295891e-4, 8.3321608736e-3);
    s = fma(s, z, -1.6666654611e-1);
    s = fma(s * z, angle, angle);
    var c = fma(z, 2.443315711809948e-5, -1.388731625493765e-3);
    c = fma(c, z, 4.166664568298827e-2);
    c = fma(c * z, z, fma(z, -0.5, 1.0));
    switch quarter & 3u {
        case 1u: {
            return vec2<f32>(-s, c);
        }
        case 2u: {
            return vec2<f32>(-c, -s);
        }
        case 3u: {
            return vec2<f32>(s, -c);
        }
        default: {
            return vec2<f32>(c, s);
        }
    }
}

// (cos, sin) of 2 pi u for u in [0, 1): the nearest quarter turn is taken off exactly.
fn turn(u: f32) -> vec2<f32> {
    let quarter = floor(fma(u, 4.0, 0.5));
    return rotation(u32(quarter), fma(quarter, -0.25, u) * 6.2831853072);
}

// The same of a phase in units of 2^-32 turns.
fn turn_of_word(phase: u32) -> vec2<f32> {
    let quarter = (phase + 0x20000000u) >> 30u;
    let rest = bitcast<i32>(phase - (quarter << 30u));
    return rotation(quarter, f32(rest) * 1.46291807926716e-9); // 2 pi 2^-32
}

// (cos, sin) of x radians, |x| below 6000: the nearest quarter turn is taken off in three parts, each
// short enough for an exact product (Cody, Waite 1980; the parts are those of the Cephes library).
fn cosine_sine(x: f32) -> vec2<f32> {
    let quarter = floor(fma(x, 0.6366197724, 0.5));
    let rest = fma(quarter, -7.54978995489e-8, fma(quarter, -4.837512969970703125e-4, fma(quarter, -1.5703125, x)));
    return rotation(bitcast<u32>(i32(quarter)), rest);
}
