// next = F(obs, action): one time step of a control task (cart-pole, reacher or acrobot) in closed form, as
// MuJoCo integrates it. See `ControlStep` in kernels/src/control_step.rs, and common/control_tasks.wgsl for
// the formulas.
//
// obs, next [rows, n], n = 5, 6, 6; action [rows, m], m = 1, 2, 1; each addressed by offset and row stride
// with contiguous columns. An observed direction counts by its angle, as by atan2.
//
// One invocation takes one row; workgroups of 64 in a folded one-dimensional grid; no workgroup memory.
//
// Numeric contract: f32; a step is within 1e-6 (1 + the largest number of the row, velocities included) of
// that in double precision where no joint is within 1e-6 of its limit. A row depends on nothing but itself.
//#import linear_index
//#import plain_numbers
//#import control_tasks

struct Params {
    system: u32,
    rows: u32,
    obs_offset: u32,
    obs_row_stride: u32,
    action_offset: u32,
    action_row_stride: u32,
    next_offset: u32,
    next_row_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> obs: array<f32>;
@group(0) @binding(1) var<storage, read_write> action: array<f32>;
@group(0) @binding(2) var<storage, read_write> next: array<f32>;

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
    let width = observation_width(p.system);
    let origin = p.obs_offset + row * p.obs_row_stride;
    var before = array<Number, 6>();
    for (var i = 0u; i < width; i += 1u) {
        before[i] = obs[origin + i];
    }
    let at = p.action_offset + row * p.action_row_stride;
    var drive = array<Number, 2>();
    for (var i = 0u; i < action_width(p.system); i += 1u) {
        drive[i] = action[at + i];
    }
    // Fewer than 2^31 rows fit a buffer: a zero that the compiler does not see.
    var after = task_step(p.system, before, drive, p.rows >> 31u);
    let to = p.next_offset + row * p.next_row_stride;
    for (var i = 0u; i < width; i += 1u) {
        next[to + i] = after[i];
    }
}
