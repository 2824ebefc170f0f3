// Reductions over a row by 32 invocations; a workgroup of 128 has 4 rows. Element i belongs to lane
// i mod 32, and lanes l and l + 16, then l + 8, ... are combined: the same order for any batch, and that
// of the twin. 512 bytes of workgroup memory. All invocations of the workgroup must call together.
const LANES: u32 = 32u;
const ROWS_A_WORKGROUP: u32 = 4u;

var<workgroup> lane_values: array<f32, 128>;

fn sum_over_lanes(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    lane_values[local] = value;
    workgroupBarrier();
    for (var distance = LANES / 2u; distance > 0u; distance >>= 1u) {
        if local % LANES < distance {
            lane_values[local] += lane_values[local + distance];
        }
        workgroupBarrier();
    }
    return lane_values[local - local % LANES];
}

fn max_over_lanes(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    lane_values[local] = value;
    workgroupBarrier();
    for (var distance = LANES / 2u; distance > 0u; distance >>= 1u) {
        if local % LANES < distance {
            lane_values[local] = max(lane_values[local], lane_values[local + distance]);
        }
        workgroupBarrier();
    }
    return lane_values[local - local % LANES];
}
