// Value of a candidate plan so far: value[r] = the lowest score of the states after the steps up to now,
// and after how many steps that was; lower scores are better.
//
// state [rows, width], length [rows / candidates] words with flag 1, goal [rows / candidates, width], value [rows], cut [rows, 2] words: the cut of the
// plan (this step if its state attains the minimum, else the first step that does, counted from 1) and
// that first step. Step 0 starts afresh; steps that reach the length of a row leave it alone. See `PlanTrack` in kernels/src/plan_track.rs. One invocation has
// one row; workgroups of 64, no workgroup memory.
//
// Numeric contract: f32 sums in order of the columns; a score that is NaN is above every number.
//#import linear_index
//#import floats

struct Params {
    rows: u32,
    candidates: u32,
    width: u32,
    score: u32,
    columns: u32,
    step: u32,
    flags: u32,
}

const SCORE_MANHATTAN: u32 = 0u;
const SCORE_NEGATIVE_SUM: u32 = 1u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> state: array<f32>;
@group(0) @binding(1) var<storage, read_write> goal: array<f32>;
@group(0) @binding(2) var<storage, read_write> value: array<f32>;
@group(0) @binding(3) var<storage, read_write> cut: array<u32>;
@group(0) @binding(4) var<storage, read_write> length: array<u32>;

fn score_of(row: u32) -> f32 {
    var sum = 0.0;
    var left = p.columns;
    while left != 0u {
        let column = countTrailingZeros(left);
        left &= left - 1u;
        let x = state[row * p.width + column];
        if p.score == SCORE_MANHATTAN {
            sum += abs(x - goal[(row / p.candidates) * p.width + column]);
        } else if p.score == SCORE_NEGATIVE_SUM {
            sum += x;
        } else {
            sum += x * x;
        }
    }
    if p.score == SCORE_MANHATTAN {
        return sum;
    }
    if p.score == SCORE_NEGATIVE_SUM {
        return -sum;
    }
    return sqrt(sum);
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
    if p.flags == 1u && p.step > 0u && length[row / p.candidates] <= p.step {
        return;
    }
    let score = score_of(row);
    let best = value[row];
    let worse_than_none = is_nan(score);
    let none_yet = is_nan(best);
    let lower = !worse_than_none && (none_yet || score < best);
    if p.step == 0u || lower {
        value[row] = score;
        cut[2u * row] = p.step + 1u;
        cut[2u * row + 1u] = p.step + 1u;
    } else if !worse_than_none && !none_yet && score == best {
        cut[2u * row] = p.step + 1u;
    } else {
        cut[2u * row] = cut[2u * row + 1u];
    }
}
