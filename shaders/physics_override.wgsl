// Confidence of moves into a hazard: confidence[b, l] = value where l < positions,
// prediction[b, l] < directions and hazards[b, prediction[b, l]] is set; others keep theirs.
//
// prediction, confidence [batch, length]; hazards [batch, directions]. One invocation an element,
// workgroups of 64, no workgroup memory. Exact.
//#import linear_index

struct Params {
    batch: u32,
    length: u32,
    positions: u32,
    directions: u32,
    value: f32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> prediction: array<u32>;
@group(0) @binding(1) var<storage, read_write> hazards: array<u32>;
@group(0) @binding(2) var<storage, read_write> confidence: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tested = min(p.positions, p.length);
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.batch * tested {
        return;
    }
    let row = index / tested;
    let at = row * p.length + index % tested;
    let move_to = prediction[at];
    if move_to < p.directions && hazards[row * p.directions + move_to] != 0u {
        confidence[at] = p.value;
    }
}
