// Parameters and operands of the QR factorisation, and what its variants write beside Q.
//#import philox
//#import normals
//#import floats

struct Params {
    batch: u32,
    rows: u32,
    columns: u32,
    offset: u32,
    batch_stride: u32,
    row_stride: u32,
    column_stride: u32,
    log_offset: u32,
    log_step_stride: u32,
    every: u32,
    step: u32,
    first_example: u32,
    stream: u32,
    seed_low: u32,
    seed_high: u32,
    flags: u32,
}

const R: u32 = 1u;
const LOG: u32 = 2u;
const STATUS: u32 = 4u;
const NON_FINITE: u32 = 1u;
const TOLERANCE: f32 = 1e-6;
const LARGEST: f32 = 3.4028234e38;
const LOG_SHORTEST: f32 = -69.07755; // ln 1e-30

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> r: array<f32>;
@group(0) @binding(2) var<storage, read_write> log_r: array<f32>;
@group(0) @binding(3) var<storage, read_write> status: array<u32>;

fn is_due() -> bool {
    return p.step % p.every == p.every - 1u;
}

fn place(example: u32, i: u32, j: u32) -> u32 {
    return p.offset + example * p.batch_stride + i * p.row_stride + j * p.column_stride;
}

// Exponent of the power of two that a column is divided by, whose largest magnitude has these bits. A
// subnormal column counts as zero.
fn exponent_of(bits: u32) -> i32 {
    return clamp(i32(bits >> 23u) - 127, -126, 126);
}

fn power_of_two(exponent: i32) -> f32 {
    return bitcast<f32>(u32(clamp(exponent, -126, 127) + 127) << 23u);
}

// x 2^exponent, at most the largest number.
fn unscaled(x: f32, exponent: i32) -> f32 {
    let half = exponent / 2;
    let bits = bitcast<u32>(x * power_of_two(half) * power_of_two(exponent - half));
    let most = min(bits & 0x7fffffffu, bitcast<u32>(LARGEST));
    return bitcast<f32>(most | (bits & 0x80000000u));
}

// Number i of the random column in the place of column j.
fn random_normal(example: u32, i: u32, j: u32) -> f32 {
    let blocks = (p.rows + 3u) / 4u;
    let counter = vec4<u32>(j * blocks + i / 4u, p.step, p.first_example + example, p.stream);
    let bits = philox4x32(counter, vec2<u32>(p.seed_low, p.seed_high));
    let pair = select(bits.xy, bits.zw, i % 4u >= 2u);
    let values = normals(pair.x, pair.y);
    return select(values.x, values.y, i % 2u == 1u);
}

fn depends(square: f32, whole: f32) -> bool {
    return square <= TOLERANCE * TOLERANCE * whole;
}

fn report_element(example: u32, i: u32, j: u32, value: f32) {
    if (p.flags & R) != 0u {
        r[(example * p.columns + i) * p.columns + j] = value;
    }
}

// The diagonal's logarithm of column j, whose rest had this squared length after division by 2^exponent.
fn report_length(example: u32, j: u32, square: f32, exponent: i32, replaced: bool) {
    if (p.flags & LOG) != 0u {
        let start = p.log_offset + (p.step / p.every) * p.log_step_stride;
        var log_length = LOG_SHORTEST;
        if square >= 1.17549435e-38 {
            log_length = fma(f32(exponent), 0.693359375, 0.5 * logarithm(square));
            log_length = fma(f32(exponent), -2.12194440e-4, log_length);
        }
        if replaced {
            log_length = max(log_length, LOG_SHORTEST);
        }
        log_r[start + example * p.columns + j] = log_length;
    }
}

fn report_status(example: u32, replaced: u32, is_spoilt: bool) {
    if (p.flags & STATUS) != 0u {
        let count = status[2u * example];
        status[2u * example] = select(count + replaced, 0xffffffffu, count > 0xffffffffu - replaced);
        if is_spoilt {
            status[2u * example + 1u] |= NON_FINITE;
        }
    }
}

// What a matrix with an element that is not finite leaves: NaN, written by every width-th invocation.
fn spoil(example: u32, local: u32, width: u32) {
    let nothing = not_a_number();
    for (var i = local; i < p.rows; i += width) {
        for (var j = 0u; j < p.columns; j += 1u) {
            w[place(example, i, j)] = nothing;
        }
    }
    for (var i = local; i < p.columns; i += width) {
        for (var j = 0u; j < p.columns; j += 1u) {
            report_element(example, i, j, nothing);
        }
        if (p.flags & LOG) != 0u {
            let start = p.log_offset + (p.step / p.every) * p.log_step_stride;
            log_r[start + example * p.columns + i] = nothing;
        }
    }
}

// Sign of R_jj for a first element of a column's rest, and the reflection's scale, for a rest of a length.
fn sign_of(first: f32) -> f32 {
    return select(-1.0, 1.0, first < 0.0);
}

fn scale_of(length: f32, first: f32) -> f32 {
    let square = length * (length + abs(first));
    return select(0.0, 1.0 / square, square > 0.0);
}
