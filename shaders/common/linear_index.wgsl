// Index of an invocation in a grid of one-dimensional workgroups that is folded into two dimensions.
fn linear_index(workgroup: vec3<u32>, count: vec3<u32>, local: u32, size: u32) -> u32 {
    return (workgroup.y * count.x + workgroup.x) * size + local;
}
