// Controller of an embedded Runge-Kutta pair: each running row accepts or rejects the step it tried and
// chooses the next (Hairer, Norsett, Wanner, Solving ODEs I, II.4).
//
// x, candidate [rows, width]; k [stages, rows, width] with stage_stride elements between stages; time,
// step_size [rows]; status [rows, 4] words: accepted steps, rejected steps, state (0 running, 1 done,
// 2 failed), whether the last attempt was rejected. With
//   e_c = step_size sum_i (numerator_i / denominator_i) k[i, r, c],
//   err = sqrt(mean_c (e_c / (absolute_tolerance + relative_tolerance max(|x_c|, |candidate_c|)))^2):
// err <= 1 moves the row to candidate and its time on by the step, to end_time exactly if that closes the
// interval, and under FSAL copies the last stage to the first. The step is multiplied by
// clamp(safety err^(-1/5), smallest_factor, largest_factor), at most 1 right after a rejection; by
// smallest_factor where something is not finite, which rejects.
//
// One invocation has one row; workgroups of 64; no workgroup memory. Rows that do not run change nothing.
//
// Numeric contract: err is summed in order of c; its power comes from polynomials, within 1e-5 of exact.
//#import linear_index
//#import floats
//#import elementary
//#import combination

struct Params {
    rows: u32,
    width: u32,
    stages: u32,
    stage_stride: u32,
    flags: u32,
    relative_tolerance: f32,
    absolute_tolerance: f32,
    end_time: f32,
    minimum_step: f32,
    maximum_step: f32,
    safety: f32,
    smallest_factor: f32,
    largest_factor: f32,
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

const FSAL: u32 = 1u;
const RUNNING: u32 = 0u;
const DONE: u32 = 1u;
const FAILED: u32 = 2u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> candidate: array<f32>;
@group(0) @binding(2) var<storage, read_write> k: array<f32>;
@group(0) @binding(3) var<storage, read_write> time: array<f32>;
@group(0) @binding(4) var<storage, read_write> step_size: array<f32>;
@group(0) @binding(5) var<storage, read_write> status: array<u32>;

// err of a row, or -1 where anything is not finite.
fn error_norm(row: u32, h: f32) -> f32 {
    var sum = 0.0;
    var sound = true;
    for (var column = 0u; column < p.width; column += 1u) {
        let at = row * p.width + column;
        let next = candidate[at];
        let error = h * combination(at);
        sound = sound && is_finite(next) && is_finite(error);
        let size = max(abs(x[at]), abs(next));
        let ratio = error / fma(p.relative_tolerance, size, p.absolute_tolerance);
        sum = fma(ratio, ratio, sum);
    }
    let err = sqrt(sum / f32(p.width));
    return select(-1.0, err, sound && is_finite(err));
}

fn step_factor(err: f32) -> f32 {
    if err < 0.0 {
        return p.smallest_factor;
    }
    let power = exponential(-0.2 * logarithm(max(err, 1e-30)));
    return clamp(p.safety * power, p.smallest_factor, p.largest_factor);
}

fn accept_state(row: u32) {
    let last = (p.stages - 1u) * p.stage_stride;
    for (var column = 0u; column < p.width; column += 1u) {
        let at = row * p.width + column;
        x[at] = candidate[at];
        if (p.flags & FSAL) != 0u {
            k[at] = k[at + last];
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_index(workgroup, count, local, 64u);
    if row >= p.rows || status[4u * row + 2u] != RUNNING {
        return;
    }
    let h = step_size[row];
    var t = time[row];
    let err = error_norm(row, h);
    var factor = step_factor(err);
    let accepted = err >= 0.0 && err <= 1.0;
    if accepted {
        if status[4u * row + 3u] != 0u {
            factor = min(factor, 1.0);
        }
        accept_state(row);
        let closing = h >= p.end_time - t;
        t = select(t + h, p.end_time, closing);
        time[row] = t;
        status[4u * row] += 1u;
        if closing {
            status[4u * row + 2u] = DONE;
        }
    } else {
        status[4u * row + 1u] += 1u;
    }
    status[4u * row + 3u] = select(1u, 0u, accepted);

    let rest = p.end_time - t;
    let wanted = factor * h;
    var next = min(wanted, p.maximum_step);
    if !is_finite(wanted) {
        status[4u * row + 2u] = FAILED;
    } else if next >= 0.99 * rest {
        next = rest;
    } else if next < p.minimum_step {
        status[4u * row + 2u] = FAILED;
    }
    if status[4u * row + 2u] != RUNNING {
        next = 0.0;
    }
    step_size[row] = next;
}
