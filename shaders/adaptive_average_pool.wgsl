// out[b, i, j, c] = mean of x[b, y, x, c] over y in bin i of the height, x in bin j of the width
//
// x [batch, height, width, channels], out [batch, out_height, out_width, channels], contiguous. Bin i of
// n over length l is floor(i l / n) .. ceil((i + 1) l / n): bins may overlap, and none is empty.
//
// One invocation makes one number; workgroups of 64, in a folded one-dimensional grid; no workgroup
// memory.
//
// Numeric contract: f32 sum by rows, then columns, then one division; relative error at most
// 4e-7 sqrt(numbers in the bin) of the sum of magnitudes.
//#import linear_index

struct Params {
    batch: u32,
    height: u32,
    width: u32,
    channels: u32,
    out_height: u32,
    out_width: u32,
}

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.batch * p.out_height * p.out_width * p.channels {
        return;
    }
    let channel = index % p.channels;
    let pixel = index / p.channels;
    let j = pixel % p.out_width;
    let i = (pixel / p.out_width) % p.out_height;
    let example = pixel / (p.out_width * p.out_height);
    let top = i * p.height / p.out_height;
    let bottom = ((i + 1u) * p.height + p.out_height - 1u) / p.out_height;
    let left = j * p.width / p.out_width;
    let right = ((j + 1u) * p.width + p.out_width - 1u) / p.out_width;
    var sum = 0.0;
    for (var row = top; row < bottom; row += 1u) {
        for (var column = left; column < right; column += 1u) {
            sum += x[((example * p.height + row) * p.width + column) * p.channels + channel];
        }
    }
    out[index] = sum / f32((bottom - top) * (right - left));
}
