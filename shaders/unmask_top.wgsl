// Commit the surest masked positions, then remask some committed ones (MaskGIT with remasking).
//
// tokens [batch, length] in place; prediction, confidence, remask_uniforms [batch, length]; schedule
// [steps, 2] = (count, remask scale), read at row `step`; locked [batch] prefix lengths;
// decision, remask_probability [batch, length] on request. See `UnmaskTop` in
// kernels/src/unmask_top.rs.
//
// A masked position is a candidate if it has a prediction and a confidence that is a number; it is
// committed if fewer than `count` candidates of its row are surer, ties going to the lower index.
// Then every committed position that is not locked is remasked if its uniform is below its remask
// probability: the scale, or the scale times (1 - confidence).
//
// One workgroup of 64 does a row; the candidates' order words lie in 4 KiB of workgroup memory.
// Exact up to the one rounded product.
//#import floats

struct Params {
    batch: u32,
    length: u32,
    mask_token: u32,
    step: u32,
    steps: u32,
    strategy: u32,
    flags: u32,
}

const STRATEGY_CONFIDENCE: u32 = 1u;
const REMASK: u32 = 1u;
const LOCKED: u32 = 2u;
const DECISION: u32 = 4u;
const REMASK_PROBABILITY: u32 = 8u;
const COMMITTED: u32 = 1u;
const REMASKED: u32 = 2u;
const NO_TOKEN: u32 = 0xffffffffu;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(1) var<storage, read_write> prediction: array<u32>;
@group(0) @binding(2) var<storage, read_write> confidence: array<f32>;
@group(0) @binding(3) var<storage, read_write> schedule: array<f32>;
@group(0) @binding(4) var<storage, read_write> remask_uniforms: array<f32>;
@group(0) @binding(5) var<storage, read_write> locked: array<u32>;
@group(0) @binding(6) var<storage, read_write> decision: array<u32>;
@group(0) @binding(7) var<storage, read_write> remask_probability: array<f32>;

var<workgroup> keys: array<u32, 1024>; // order word of a candidate's confidence, else 0

fn commits(position: u32, wanted: u32) -> bool {
    let own = keys[position];
    if own == 0u {
        return false;
    }
    var ahead = 0u;
    for (var i = 0u; i < p.length; i += 1u) {
        ahead += select(0u, 1u, keys[i] > own || (keys[i] == own && i < position));
    }
    return ahead < wanted;
}

fn probability(at: u32, scale: f32) -> f32 {
    if p.strategy != STRATEGY_CONFIDENCE {
        return scale;
    }
    let sure = confidence[at];
    if is_nan(sure) {
        return 0.0;
    }
    return scale * (1.0 - sure);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup.y * count.x + workgroup.x;
    if row >= p.batch {
        return;
    }
    let base = row * p.length;
    for (var i = local; i < p.length; i += 64u) {
        let at = base + i;
        let sure = confidence[at];
        let masked = tokens[at] == p.mask_token;
        let candidate = masked && prediction[at] != NO_TOKEN && !is_nan(sure);
        keys[i] = select(0u, order_key(sure), candidate);
    }
    workgroupBarrier();
    let wanted = u32(schedule[2u * p.step]);
    let scale = schedule[2u * p.step + 1u];
    var prefix = 0u;
    if (p.flags & LOCKED) != 0u {
        prefix = locked[row];
    }
    for (var i = local; i < p.length; i += 64u) {
        let at = base + i;
        var now = tokens[at];
        var what = 0u;
        if commits(i, wanted) {
            now = prediction[at];
            what = COMMITTED;
        }
        let unmasked = now;
        if (p.flags & REMASK) != 0u {
            let chance = probability(at, scale);
            if now != p.mask_token && i >= prefix && remask_uniforms[at] < chance {
                now = p.mask_token;
                what |= REMASKED;
            }
            if (p.flags & REMASK_PROBABILITY) != 0u {
                remask_probability[at] = chance;
            }
        }
        tokens[at] = now;
        if (p.flags & DECISION) != 0u {
            decision[at] = what | (unmasked << 8u);
        }
    }
}
