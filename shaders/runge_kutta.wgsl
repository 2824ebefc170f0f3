// One line of a Runge-Kutta tableau: out[r, c] = base[r, c] + h_r sum_i (numerator_i / denominator_i) k[i, r, c]
//
// x, out [rows, width]; k [stages, rows, width] with stage_stride elements between stages; step_size
// [rows]. base is x under the flag X, else out itself; h_r is step_size[r] under PER_ROW, else 1 / steps.
// Stages of numerator 0 are not read.
//
// One invocation makes one number; workgroups of 64 in a folded one-dimensional grid; no workgroup memory.
//
// Numeric contract: i ascending, one multiply-add a stage and one with h: at most stages + 1 roundings
// beside those of the coefficients. An element depends on its own row alone.
//#import linear_index
//#import combination

struct Params {
    rows: u32,
    width: u32,
    stages: u32,
    stage_stride: u32,
    steps: u32,
    flags: u32,
    numerator_0: i32,
    numerator_1: i32,
    numerator_2: i32,
    numerator_3: i32,
    numerator_4: i32,
    numerator_5: i32,
    numerator_6: i32,
    denominator_0: i32,
    denominator_1: i32,
    denominator_2: i32,
    denominator_3: i32,
    denominator_4: i32,
    denominator_5: i32,
    denominator_6: i32,
}

const X: u32 = 1u;
const PER_ROW: u32 = 2u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> step_size: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.rows * p.width {
        return;
    }
    var h = 1.0 / f32(p.steps);
    if (p.flags & PER_ROW) != 0u {
        h = step_size[index / p.width];
    }
    var base = 0.0;
    if (p.flags & X) != 0u {
        base = x[index];
    } else {
        base = out[index];
    }
    out[index] = fma(h, combination(index), base);
}
