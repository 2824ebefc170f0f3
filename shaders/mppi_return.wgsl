// Values of MPPI's candidates: discounted rewards along the way and two members of the ensemble at its end.
//
//   value[i] = sum_t discount^t alive_t reward[t, i] + discount^horizon alive_horizon (q[a, i] + q[b, i]) / 2,
//   alive_0 = 1, alive_{t+1} = alive_t [termination[t, i] <= 0]   (a probability of at most one half).
//
// reward [horizon, rows]; termination logits [horizon, rows] after each step, on request;
// q [members, rows]; pairs [steps, 2] words, of which row `step` holds (a, b); value [rows].
// See `MppiReturn` in kernels/src/mppi_return.rs.
//
// One workgroup of 64 has 64 rows, an invocation one each; no workgroup memory.
//
// Numeric contract: f32, terms in ascending order of t; relative error at most 4e-7 sqrt(horizon + 2) of the
// sum of magnitudes. A pair beyond the members gives NaN.
//#import linear_index
//#import floats

struct Params {
    rows: u32,
    horizon: u32,
    members: u32,
    step: u32,
    discount: f32,
    flags: u32,
}

const TERMINATION: u32 = 1u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> reward: array<f32>;
@group(0) @binding(1) var<storage, read_write> termination: array<f32>;
@group(0) @binding(2) var<storage, read_write> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> pairs: array<u32>;
@group(0) @binding(4) var<storage, read_write> value: array<f32>;

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
    var sum = 0.0;
    var factor = 1.0;
    var alive = 1.0;
    for (var t = 0u; t < p.horizon; t += 1u) {
        sum += factor * alive * reward[t * p.rows + row];
        factor *= p.discount;
        if (p.flags & TERMINATION) != 0u && termination[t * p.rows + row] > 0.0 {
            alive = 0.0;
        }
    }
    let a = pairs[2u * p.step];
    let b = pairs[2u * p.step + 1u];
    if a >= p.members || b >= p.members {
        value[row] = not_a_number();
        return;
    }
    value[row] = sum + factor * alive * (0.5 * (q[a * p.rows + row] + q[b * p.rows + row]));
}
