// The sampling distribution of MPPI from the best of its candidates.
//
// Elites are the largest values, the lower index first among equals, in descending order. With v their
// values, score_k = w_k / sum w for w_k = exp(temperature (v_k - v_0)); with s the sum of the scores,
//   mean = sum_k score_k a_k / (s + 1e-9),
//   deviation = clip(sqrt(sum_k score_k (a_k - mean)^2 / (s + 1e-9)), least, most).
//
// value [environments, candidates] is put right in place: NaN becomes 0, an infinity the largest finite number
// of its sign. actions [environments, candidates, length]; mean, deviation [environments, length];
// elite (words), score [environments, elites]. See `MppiUpdate` in kernels/src/mppi_update.rs.
//
// One workgroup of 256 does an environment; no workgroup memory. A candidate's place is the number of
// candidates before it, counted by one invocation: no sort, and the same places whatever the device.
//
// Numeric contract: places are exact; scores are within 4e-7 (1 + temperature (v_0 - v_k)) relative; sums go in
// order of the elites.
//#import floats

struct Params {
    environments: u32,
    candidates: u32,
    elites: u32,
    length: u32,
    temperature: f32,
    least: f32,
    most: f32,
}

const THREADS: u32 = 256u;
const LARGEST: u32 = 0x7f7fffffu;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> actions: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> deviation: array<f32>;
@group(0) @binding(4) var<storage, read_write> elite: array<u32>;
@group(0) @binding(5) var<storage, read_write> score: array<f32>;

fn put_right(x: f32) -> f32 {
    if is_nan(x) {
        return 0.0;
    }
    if is_finite(x) {
        return x;
    }
    return bitcast<f32>((bitcast<u32>(x) & 0x80000000u) | LARGEST);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let environment = workgroup.y * count.x + workgroup.x;
    if environment >= p.environments {
        return;
    }
    let first = environment * p.candidates;
    for (var i = local; i < p.candidates; i += THREADS) {
        value[first + i] = put_right(value[first + i]);
    }
    storageBarrier();
    workgroupBarrier();
    let best = environment * p.elites;
    for (var i = local; i < p.candidates; i += THREADS) {
        let own = order_key(value[first + i]);
        var place = 0u;
        for (var j = 0u; j < p.candidates; j += 1u) {
            let other = order_key(value[first + j]);
            place += select(0u, 1u, other > own || (other == own && j < i));
        }
        if place < p.elites {
            elite[best + place] = i;
        }
    }
    storageBarrier();
    workgroupBarrier();
    let top = value[first + elite[best]];
    var total = 0.0;
    for (var k = 0u; k < p.elites; k += 1u) {
        total += exponential(p.temperature * (value[first + elite[best + k]] - top));
    }
    for (var k = local; k < p.elites; k += THREADS) {
        score[best + k] = exponential(p.temperature * (value[first + elite[best + k]] - top)) / total;
    }
    storageBarrier();
    workgroupBarrier();
    var scores = 1e-9;
    for (var k = 0u; k < p.elites; k += 1u) {
        scores += score[best + k];
    }
    for (var l = local; l < p.length; l += THREADS) {
        var sum = 0.0;
        for (var k = 0u; k < p.elites; k += 1u) {
            sum += score[best + k] * actions[(first + elite[best + k]) * p.length + l];
        }
        let centre = sum / scores;
        var squares = 0.0;
        for (var k = 0u; k < p.elites; k += 1u) {
            let away = actions[(first + elite[best + k]) * p.length + l] - centre;
            squares += score[best + k] * (away * away);
        }
        mean[environment * p.length + l] = centre;
        deviation[environment * p.length + l] = clamp(sqrt(squares / scores), p.least, p.most);
    }
}
