// out[b, i, j, o] = activation(bias[o]
//     + sum_{y, z, c} x[b, i stride_h + y - padding_h, j stride_w + z - padding_w, c] weight[o, y, z, c])
//
// x [batch, height, width, in_channels], weight [out_channels, kernel_h, kernel_w, in_channels], bias
// [out_channels] if its flag is set, out [batch, out_h, out_w, out_channels], contiguous; x is zero
// outside the image, out_h = (height + 2 padding_h - kernel_h) / stride_h + 1, out_w alike.
//
// One invocation makes four channels of one pixel, in registers; workgroups of 64, in a folded
// one-dimensional grid; no workgroup memory.
//
// Numeric contract: each number is one chain of f32 multiply-adds by y, z, c; relative error at most
// 4e-7 sqrt(kernel_h kernel_w in_channels) of the sum of magnitudes.
//#import linear_index
//#import activations

struct Params {
    batch: u32,
    height: u32,
    width: u32,
    in_channels: u32,
    out_channels: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    padding_h: u32,
    padding_w: u32,
    activation: u32,
    flags: u32,
}

const BIAS: u32 = 1u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let out_h = (p.height + 2u * p.padding_h - p.kernel_h) / p.stride_h + 1u;
    let out_w = (p.width + 2u * p.padding_w - p.kernel_w) / p.stride_w + 1u;
    let quads = (p.out_channels + 3u) / 4u;
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.batch * out_h * out_w * quads {
        return;
    }
    let channel = (index % quads) * 4u;
    let pixel = index / quads;
    let j = pixel % out_w;
    let i = (pixel / out_w) % out_h;
    let example = pixel / (out_w * out_h);
    // Channels past the end repeat the last one: loads stay in bounds, stores are skipped.
    let channels = min(vec4<u32>(channel) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.out_channels - 1u));
    let filters = channels * (p.kernel_h * p.kernel_w * p.in_channels);
    var sums = vec4<f32>();
    for (var y = 0u; y < p.kernel_h; y += 1u) {
        // Rows above the image wrap around to numbers beyond its height.
        let row = i * p.stride_h + y - p.padding_h;
        if row >= p.height {
            continue;
        }
        for (var z = 0u; z < p.kernel_w; z += 1u) {
            let column = j * p.stride_w + z - p.padding_w;
            if column >= p.width {
                continue;
            }
            let at = ((example * p.height + row) * p.width + column) * p.in_channels;
            let tap = filters + vec4<u32>((y * p.kernel_w + z) * p.in_channels);
            for (var c = 0u; c < p.in_channels; c += 1u) {
                let line = vec4<f32>(
                    weight[tap.x + c], weight[tap.y + c], weight[tap.z + c], weight[tap.w + c],
                );
                sums = fma(vec4<f32>(x[at + c]), line, sums);
            }
        }
    }
    for (var n = 0u; n < 4u; n += 1u) {
        if channel + n < p.out_channels {
            var value = sums[n];
            if (p.flags & BIAS) != 0u {
                value += bias[channel + n];
            }
            out[pixel * p.out_channels + channel + n] = activate(p.activation, value);
        }
    }
}
