// sum[i] += x[x_offset + n x_step_stride + i], and the rounding error of that to compensation[i].
//
// x, sum and compensation [count]; n counts the steps of an orbit that are summed. See `CompensatedSum` in
// kernels/src/compensated_sum.rs. One invocation has one sum; workgroups of 64, no workgroup memory.
//
// Numeric contract: f32; sum + compensation is off by about 4e-15 of the sum of magnitudes for each step.
//#import linear_index
//#import two_sum
//#import floats

struct Params {
    count: u32,
    step: u32,
    from_step: u32,
    every: u32,
    x_offset: u32,
    x_step_stride: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
@group(0) @binding(2) var<storage, read_write> compensation: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_index(workgroup, count, local, 64u);
    if i >= p.count || p.step % p.every != p.every - 1u || p.step < p.from_step {
        return;
    }
    let at = p.x_offset + (p.step / p.every) * p.x_step_stride + i;
    // p.every is less than 2^31: a zero that the compiler does not see.
    let total = two_sum(sum[i], x[at], p.every & 0x80000000u);
    sum[i] = total.x;
    if is_finite(total.x) {
        compensation[i] += total.y;
    }
}
