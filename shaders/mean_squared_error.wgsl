// loss = mean over an example's numbers of (prediction - target)^2, and the gradient by the prediction,
// 2 / count * (prediction - target) * cotangent.
//
// prediction and gradient [examples, count]; target [examples, count], or [count] for all examples; loss and
// cotangent [examples]. See `MeanSquaredError` in kernels/src/mean_squared_error.rs.
//
// One workgroup of 256 has one example: 256 interleaved parts, combined as a tree; 2 KiB of workgroup memory.
//
// Numeric contract: f32; the sum carries the rounding error of every addition along (Knuth's TwoSum):
// relative error of the loss and of each gradient at most 4e-7.
//#import linear_index
//#import two_sum

struct Params {
    examples: u32,
    count: u32,
    target_stride: u32,
    flags: u32,
}

const LOSS: u32 = 1u;
const GRADIENT: u32 = 2u;
const COTANGENT: u32 = 4u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> prediction: array<f32>;
@group(0) @binding(1) var<storage, read_write> goal: array<f32>;
@group(0) @binding(2) var<storage, read_write> cotangent: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;

const PARTS: u32 = 256u;
// (sum, gathered error) of every part.
var<workgroup> parts: array<vec2<f32>, 256>;

fn combine(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    // The flags are less than 8: a zero that the compiler does not see.
    let sum = two_sum(a.x, b.x, p.flags & 0x80000000u);
    return vec2<f32>(sum.x, a.y + b.y + sum.y);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let example = linear_index(workgroup, groups, 0u, 1u);
    if example >= p.examples {
        return;
    }
    let first = example * p.count;
    let first_target = example * p.target_stride;
    let factor = 2.0 / f32(p.count);
    var state = vec2<f32>();
    for (var i = local; i < p.count; i += PARTS) {
        let difference = prediction[first + i] - goal[first_target + i];
        if (p.flags & GRADIENT) != 0u {
            var slope = factor * difference;
            if (p.flags & COTANGENT) != 0u {
                slope *= cotangent[example];
            }
            gradient[first + i] = slope;
        }
        state = combine(state, vec2<f32>(difference * difference, 0.0));
    }
    if (p.flags & LOSS) == 0u {
        return;
    }
    parts[local] = state;
    workgroupBarrier();
    for (var distance = PARTS / 2u; distance > 0u; distance >>= 1u) {
        if local < distance {
            parts[local] = combine(parts[local], parts[local + distance]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        let total = parts[0];
        let error_is_finite = (bitcast<u32>(total.y) & 0x7f800000u) != 0x7f800000u;
        loss[example] = select(total.x, total.x + total.y, error_is_finite) / f32(p.count);
    }
}
