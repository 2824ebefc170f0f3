// What the two copies share: element i of the pattern is read at source(i) and written at destination(i).
//#import linear_index

struct Params {
    shape_0: u32,
    shape_1: u32,
    shape_2: u32,
    shape_3: u32,
    src_offset: u32,
    src_stride_0: u32,
    src_stride_1: u32,
    src_stride_2: u32,
    src_stride_3: u32,
    src_step_stride: u32,
    dst_offset: u32,
    dst_stride_0: u32,
    dst_stride_1: u32,
    dst_stride_2: u32,
    dst_stride_3: u32,
    dst_step_stride: u32,
    step: u32,
}

var<immediate> p: Params;

fn pattern_size() -> u32 {
    return p.shape_0 * p.shape_1 * p.shape_2 * p.shape_3;
}

fn coordinates(index: u32) -> vec4<u32> {
    let row = index / p.shape_3;
    let plane = row / p.shape_2;
    return vec4<u32>(
        plane / p.shape_1,
        plane % p.shape_1,
        row % p.shape_2,
        index % p.shape_3,
    );
}

fn source(at: vec4<u32>) -> u32 {
    return p.src_offset + p.step * p.src_step_stride + at.x * p.src_stride_0
        + at.y * p.src_stride_1 + at.z * p.src_stride_2 + at.w * p.src_stride_3;
}

fn destination(at: vec4<u32>) -> u32 {
    return p.dst_offset + p.step * p.dst_step_stride + at.x * p.dst_stride_0
        + at.y * p.dst_stride_1 + at.z * p.dst_stride_2 + at.w * p.dst_stride_3;
}
