// The tangents of the features of flow times: the slopes of a row's features by its time s, times
// ds = dtime[j] + numerator / denominator dstep_size[j] for every tangent j, less that under REVERSED. With
// s and the frequencies w_i as in time_features.wgsl the slopes are w_i cos(w_i s) and -w_i sin(w_i s), but
// entry 0 has 1 and entry half 1 / (4 s (1 - s)), or 0 nearer to an end than 2^-23.
//
// time, step_size and frequencies as in time_features.wgsl; dtime and dstep_size [tangents, rows] a stride
// apart or, with stride 0, absent; dfeatures [tangents, rows, width] a stride apart. Outside [0, 1] by more
// than rounding s is held and every slope 0; where it is not finite they are NaN. See `TimeFeaturesTangent`
// in kernels/src/time_features_tangent.rs.
//
// One invocation makes the slopes of one sine and its cosine, once, for all tangents; workgroups of 64 in a
// folded one-dimensional grid; no workgroup memory.
//
// Numeric contract: f32; phases as in time_features.wgsl, so that slopes are within 1e-6 w_i, for the
// logit within 1e-6 of themselves. A row depends on nothing but its own time.
//#import linear_index
//#import flow_time
//#import elementary

struct Params {
    rows: u32,
    width: u32,
    numerator: u32,
    denominator: u32,
    flags: u32,
    tangents: u32,
    time_tangent_stride: u32,
    step_size_tangent_stride: u32,
    features_tangent_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> time: array<f32>;
@group(0) @binding(1) var<storage, read_write> step_size: array<f32>;
@group(0) @binding(2) var<storage, read_write> frequencies: array<u32>;
@group(0) @binding(3) var<storage, read_write> dtime: array<f32>;
@group(0) @binding(4) var<storage, read_write> dstep_size: array<f32>;
@group(0) @binding(5) var<storage, read_write> dfeatures: array<f32>;

// Slopes of entries index and half + index of a row whose time is within [0, 1].
fn slopes(row: u32, index: u32) -> vec2<f32> {
    if index == 0u {
        let times = float_times(row);
        let near = min(times.x, times.y) < 1.1920928955078125e-7; // 2^-23
        let held = select(times, vec2<f32>(0.5), near);
        return vec2<f32>(1.0, select(0.25 / (held.x * held.y), 0.0, near));
    }
    // Turns for a unit of time have 48 bits after the point.
    let low = f32(frequencies[2u * index]) * 3.5527136788005009e-15;
    let frequency = fma(f32(frequencies[2u * index + 1u]), 1.52587890625e-5, low) * 6.2831853072;
    let pair = turn_of_word(phase_of(row, index));
    return frequency * vec2<f32>(pair.x, -pair.y);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let half = p.width / 2u;
    let item = linear_index(workgroup, count, local, 64u);
    if item >= p.rows * half {
        return;
    }
    let row = item / half;
    let index = item % half;
    let node = f32(p.numerator) / f32(p.denominator);
    var s = time[row];
    if (p.flags & STAGE) != 0u {
        s = fma(node, step_size[row], s);
    }
    let bits = bitcast<u32>(s);
    let finite = (bits & 0x7f800000u) != 0x7f800000u;
    let rounding = 9.5367431640625e-7; // 2^-20
    var pair = vec2<f32>();
    if !finite {
        pair = vec2<f32>(bitcast<f32>(bits | 0x00400000u));
    } else if s >= -rounding && s <= 1.0 + rounding {
        pair = slopes(row, index);
    }
    if (p.flags & REVERSED) != 0u {
        pair = -pair;
    }
    var at = row * p.width + index;
    for (var j = 0u; j < p.tangents; j += 1u) {
        var ds = 0.0;
        if p.time_tangent_stride != 0u {
            ds = dtime[row + j * p.time_tangent_stride];
        }
        if p.step_size_tangent_stride != 0u {
            ds = fma(node, dstep_size[row + j * p.step_size_tangent_stride], ds);
        }
        dfeatures[at] = pair.x * ds;
        dfeatures[at + half] = pair.y * ds;
        at += p.features_tangent_stride;
    }
}
