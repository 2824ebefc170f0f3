// One token a row of logits, and how sure the model is of it.
//
// logits [rows, vocabulary]; columns from `limit` on do not take part. uniforms [rows, 2] = (high, low)
// with u = high + low in [0, 1), cut to 48 bits. token, confidence [rows]; probabilities
// [rows, vocabulary] on request. See `Categorical` in kernels/src/categorical.rs for the modes.
//
//   w_i = exp((logit_i - largest) / temperature), filtered by top_k, then by top_p;
//   token = first i with w_0 + ... + w_i > u (w_0 + ... + w_last).
//
// One invocation does a row; workgroups of 64; no workgroup memory. The cuts of top_k and top_p are
// found by bisection over the 32-bit order of the logits: at most 32 passes over the row each, without
// sorting and for any number of survivors.
//
// Numeric contract: weights are within 2 units in the last place of exp of the rounded argument. Their
// sums are 64-bit integers, at least 46 fractional bits below the largest weight and as many more as
// the vocabulary allows: exact, so equal weights give the same token on every device, and a
// token of probability 1e-9 is drawn at its rate. Probabilities: relative error at most
// 5e-7 + 1.3e-7 |ln p|, since the argument of exp is rounded twice.
//#import linear_index
//#import philox
//#import floats
//#import fixed_point

struct Params {
    rows: u32,
    vocabulary: u32,
    limit: u32,
    top_k: u32,
    temperature: f32,
    top_p: f32,
    mode: u32,
    flags: u32,
}

const MODE_GREEDY: u32 = 0u;
const MODE_SAMPLE_RAW: u32 = 2u;
const PROBABILITIES: u32 = 1u;
const NO_TOKEN: u32 = 0xffffffffu;
const NO_LOGIT: u32 = 0xff800000u; // -infinity
const COARSE: u32 = 46u; // fractional bits that 65,536 weights of 1 leave room for

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> uniforms: array<f32>;
@group(0) @binding(2) var<storage, read_write> token: array<u32>;
@group(0) @binding(3) var<storage, read_write> confidence: array<f32>;
@group(0) @binding(4) var<storage, read_write> probabilities: array<f32>;

// Largest logit of the row being worked on, and its order word.
var<private> base: u32;
var<private> largest: f32;
var<private> largest_key: u32;
var<private> temperature: f32;
// Kept are logits above the cut, and those equal to it while the mass before them is below `mass_cut`.
var<private> cut_key: u32;
var<private> mass_cut: vec2<u32>;

fn weight(column: u32) -> f32 {
    let x = logits[base + column];
    if bitcast<u32>(x) == NO_LOGIT {
        return 0.0;
    }
    return exponential((x - largest) / temperature);
}

// First column with the largest logit; NO_TOKEN if a logit is NaN or +infinity, or none is finite.
fn find_largest() -> u32 {
    var best = NO_TOKEN;
    largest_key = 0u;
    for (var i = 0u; i < p.limit; i += 1u) {
        let x = logits[base + i];
        if is_finite(x) {
            let key = order_key(x);
            if key > largest_key {
                best = i;
                largest = x;
                largest_key = key;
            }
        } else if bitcast<u32>(x) != NO_LOGIT {
            return NO_TOKEN;
        }
    }
    return best;
}

// Sum of the weights of logits whose order word is at least `key`.
fn mass_from(key: u32, scale: u32) -> vec2<u32> {
    var sum = vec2<u32>();
    for (var i = 0u; i < p.limit; i += 1u) {
        if order_key(logits[base + i]) >= key {
            sum = add64(sum, fixed64(weight(i), scale));
        }
    }
    return sum;
}

// Scale that leaves the sum of all weights just below 2^63.
fn fine_scale() -> u32 {
    return COARSE + countLeadingZeros(mass_from(0u, COARSE).y) - 1u;
}

// Order word of the k-th largest logit.
fn kth_largest(k: u32) -> u32 {
    var low = 0u;
    var high = largest_key;
    while low < high {
        let middle = low + (high - low + 1u) / 2u;
        var count = 0u;
        for (var i = 0u; i < p.limit; i += 1u) {
            count += select(0u, 1u, order_key(logits[base + i]) >= middle);
        }
        if count >= k {
            low = middle;
        } else {
            high = middle - 1u;
        }
    }
    return low;
}

// Smallest order word whose larger logits have less than `mass_cut` together, and their mass.
fn cut_by_mass(lowest: u32, scale: u32) -> vec2<u32> {
    var low = lowest;
    var high = largest_key;
    var above = vec2<u32>();
    while low < high {
        let middle = low + (high - low) / 2u;
        let mass = mass_from(middle + 1u, scale);
        if less64(mass, mass_cut) {
            high = middle;
            above = mass;
        } else {
            low = middle + 1u;
        }
    }
    cut_key = high;
    return above;
}

// u as a multiple of 2^-48, below one.
fn fraction(row: u32) -> vec2<u32> {
    let high = uniforms[2u * row];
    let most = vec2<u32>(0xffffffffu, 0xffffu);
    if high >= 1.0 {
        return most;
    }
    let sum = add64(fixed64(high, 48u), fixed64(uniforms[2u * row + 1u], 48u));
    return select(sum, most, sum.y > 0xffffu);
}

fn fail(row: u32) {
    token[row] = NO_TOKEN;
    confidence[row] = not_a_number();
    if (p.flags & PROBABILITIES) != 0u {
        for (var i = 0u; i < p.vocabulary; i += 1u) {
            probabilities[base + i] = not_a_number();
        }
    }
}

// Weight of a column after filtering; `tied` is the mass before the next logit equal to the cut.
fn kept(column: u32, scale: u32, tied: ptr<function, vec2<u32>>) -> f32 {
    let key = order_key(logits[base + column]);
    if key < cut_key {
        return 0.0;
    }
    let w = weight(column);
    if key == cut_key {
        let before = *tied;
        *tied = add64(before, fixed64(w, scale));
        return select(0.0, w, less64(before, mass_cut));
    }
    return w;
}

// Sets the cuts of top_k and top_p; returns the mass above the cut.
fn filter_row(scale: u32) -> vec2<u32> {
    cut_key = 0u;
    mass_cut = vec2<u32>(0xffffffffu);
    if p.mode == MODE_GREEDY {
        return vec2<u32>();
    }
    if p.top_k != 0u && p.top_k < p.limit {
        cut_key = kth_largest(p.top_k);
    }
    if p.top_p < 1.0 {
        mass_cut = scale64(mass_from(cut_key, scale), fixed64(p.top_p, 48u));
        if less64(mass_cut, vec2<u32>(1u, 0u)) {
            mass_cut.x = 1u;
        }
        return cut_by_mass(cut_key, scale);
    }
    return vec2<u32>();
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_index(workgroup, count, local, 64u);
    if row >= p.rows {
        return;
    }
    base = row * p.vocabulary;
    temperature = select(p.temperature, 1.0, p.mode == MODE_GREEDY);
    var chosen = find_largest();
    if chosen == NO_TOKEN {
        fail(row);
        return;
    }
    let scale = fine_scale();
    let above = filter_row(scale);
    var total = vec2<u32>();
    var tied = above;
    for (var i = 0u; i < p.limit; i += 1u) {
        total = add64(total, fixed64(kept(i, scale, &tied), scale));
    }
    let normaliser = float64(total, scale);
    var threshold = vec2<u32>();
    if p.mode != MODE_GREEDY {
        threshold = scale64(total, fraction(row));
        chosen = NO_TOKEN;
    }
    var running = vec2<u32>();
    var chosen_weight = 1.0;
    tied = above;
    for (var i = 0u; i < p.limit; i += 1u) {
        let w = kept(i, scale, &tied);
        running = add64(running, fixed64(w, scale));
        if chosen == NO_TOKEN && less64(threshold, running) {
            chosen = i;
            chosen_weight = w;
        }
        if (p.flags & PROBABILITIES) != 0u {
            probabilities[base + i] = w / normaliser;
        }
    }
    if (p.flags & PROBABILITIES) != 0u {
        for (var i = p.limit; i < p.vocabulary; i += 1u) {
            probabilities[base + i] = 0.0;
        }
    }
    token[row] = chosen;
    if p.mode == MODE_SAMPLE_RAW {
        temperature = 1.0;
        let raw_scale = fine_scale();
        confidence[row] = weight(chosen) / float64(mass_from(0u, raw_scale), raw_scale);
    } else {
        confidence[row] = chosen_weight / normaliser;
    }
}
