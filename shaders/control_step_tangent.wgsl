// dnext[j] = dF/dobs dobs[j] + dF/daction daction[j] for every tangent j of one time step of a control task;
// see control_step.wgsl, whose formulas run over dual numbers here, and `ControlStepTangent` in
// kernels/src/control_step_tangent.rs.
//
// obs and action as there; dobs, daction and dnext laid out like obs, action and next, a tangent stride
// apart; dobs or daction absent, with stride 0, where it is constant.
//
// One invocation takes one tangent of one row, rows fastest; workgroups of 64 in a folded one-dimensional
// grid; no workgroup memory.
//
// Numeric contract: f32; within 1e-5 of the largest number of the tangent before and after, where no joint is
// within 1e-6 of its limit. A tangent of a row depends on nothing but that row and itself.
//#import linear_index
//#import dual_numbers
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
    tangents: u32,
    obs_tangent_stride: u32,
    action_tangent_stride: u32,
    next_tangent_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> obs: array<f32>;
@group(0) @binding(1) var<storage, read_write> action: array<f32>;
@group(0) @binding(2) var<storage, read_write> dobs: array<f32>;
@group(0) @binding(3) var<storage, read_write> daction: array<f32>;
@group(0) @binding(4) var<storage, read_write> dnext: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    let row = index % p.rows;
    let tangent = index / p.rows;
    if tangent >= p.tangents {
        return;
    }
    let width = observation_width(p.system);
    let origin = p.obs_offset + row * p.obs_row_stride;
    var before = array<Number, 6>();
    for (var i = 0u; i < width; i += 1u) {
        before[i].x = obs[origin + i];
        if p.obs_tangent_stride != 0u {
            before[i].y = dobs[origin + i + tangent * p.obs_tangent_stride];
        }
    }
    let at = p.action_offset + row * p.action_row_stride;
    var drive = array<Number, 2>();
    for (var i = 0u; i < action_width(p.system); i += 1u) {
        drive[i].x = action[at + i];
        if p.action_tangent_stride != 0u {
            drive[i].y = daction[at + i + tangent * p.action_tangent_stride];
        }
    }
    // Fewer than 2^31 rows fit a buffer: a zero that the compiler does not see.
    var after = task_step(p.system, before, drive, p.rows >> 31u);
    let to = p.next_offset + row * p.next_row_stride + tangent * p.next_tangent_stride;
    for (var i = 0u; i < width; i += 1u) {
        dnext[to + i] = after[i].y;
    }
}
