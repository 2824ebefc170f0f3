// out[b, i, j, o] = activation(bias[o]
//     + sum_{y, z, c} x[b, i stride_h + y - padding_h, j stride_w + z - padding_w, c] weight[o, y, z, c])
//
// x [batch, height, width, in_channels], weight [out_channels, kernel_h, kernel_w, in_channels], bias
// [out_channels] if its flag is set, out [batch, out_h, out_w, out_channels], contiguous; x is zero
// outside the image, out_h = (height + 2 padding_h - kernel_h) / stride_h + 1, out_w alike. Pixels are
// those of all output images in a row; k runs over y, z, c, c fastest, and is contiguous in a filter.
//
// direct: one invocation makes 8 pixels by 8 channels in registers; workgroups of 64 in a folded
//         one-dimensional grid; no workgroup memory. For drivers that emulate workgroup memory.
// tiled:  the product of the patches, never stored, with the filters: one workgroup of 256 makes a tile of
//         64 pixels by 64 channels, each invocation 4 x 4; slices of 16 along k of both are staged in
//         2 x 64 x 16 x 4 bytes = 8 KiB of workgroup memory.
//
// Numeric contract: each number is one chain of f32 multiply-adds with k ascending, padding included, the
// same in both variants and for any batch; relative error at most
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

// Rows and columns of an output image.
fn out_size() -> vec2<u32> {
    return vec2<u32>(
        (p.height + 2u * p.padding_h - p.kernel_h) / p.stride_h + 1u,
        (p.width + 2u * p.padding_w - p.kernel_w) / p.stride_w + 1u,
    );
}

fn finish(sum: f32, pixel: u32, channel: u32) {
    var value = sum;
    if (p.flags & BIAS) != 0u {
        value += bias[channel];
    }
    out[pixel * p.out_channels + channel] = activate(p.activation, value);
}

// Where the patches of four pixels begin. Rows above and columns left of the image wrap around to numbers
// beyond its size; so does `start`, the index in x, which is right again where the patch is inside.
struct Corners {
    top: vec4<u32>,
    left: vec4<u32>,
    start: vec4<u32>,
}

fn corners(pixels: vec4<u32>, size: vec2<u32>) -> Corners {
    let line = pixels / size.y;
    let top = (line % size.x) * p.stride_h - vec4<u32>(p.padding_h);
    let left = (pixels % size.y) * p.stride_w - vec4<u32>(p.padding_w);
    let start = (((line / size.x) * p.height + top) * p.width + left) * p.in_channels;
    return Corners(top, left, start);
}

// Which of four patches have tap (y, z) inside their image.
fn inside(at: Corners, y: u32, z: u32) -> vec4<bool> {
    return (at.top + vec4<u32>(y) < vec4<u32>(p.height)) & (at.left + vec4<u32>(z) < vec4<u32>(p.width));
}

fn four_of_x(at: vec4<u32>, is_inside: vec4<bool>) -> vec4<f32> {
    return select(vec4<f32>(), vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]), is_inside);
}

fn four_weights(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let size = out_size();
    let pixels = p.batch * size.x * size.y;
    let octets = (p.out_channels + 7u) / 8u;
    let index = linear_index(workgroup, count, local, 64u);
    let first_pixel = (index / octets) * 8u;
    let first_channel = (index % octets) * 8u;
    if first_pixel >= pixels {
        return;
    }
    // Pixels and channels past the end repeat the last one: loads stay in bounds, stores are skipped.
    let four = vec4<u32>(0u, 1u, 2u, 3u);
    let last_pixel = vec4<u32>(pixels - 1u);
    let low = corners(min(vec4<u32>(first_pixel) + four, last_pixel), size);
    let high = corners(min(vec4<u32>(first_pixel + 4u) + four, last_pixel), size);
    let patch_size = p.kernel_h * p.kernel_w * p.in_channels;
    let last_channel = vec4<u32>(p.out_channels - 1u);
    let filters_a = min(vec4<u32>(first_channel) + four, last_channel) * patch_size;
    let filters_b = min(vec4<u32>(first_channel + 4u) + four, last_channel) * patch_size;
    // Pixel r, channels 0 to 3 and 4 to 7: ar and br.
    var a0 = vec4<f32>();
    var b0 = vec4<f32>();
    var a1 = vec4<f32>();
    var b1 = vec4<f32>();
    var a2 = vec4<f32>();
    var b2 = vec4<f32>();
    var a3 = vec4<f32>();
    var b3 = vec4<f32>();
    var a4 = vec4<f32>();
    var b4 = vec4<f32>();
    var a5 = vec4<f32>();
    var b5 = vec4<f32>();
    var a6 = vec4<f32>();
    var b6 = vec4<f32>();
    var a7 = vec4<f32>();
    var b7 = vec4<f32>();
    for (var y = 0u; y < p.kernel_h; y += 1u) {
        for (var z = 0u; z < p.kernel_w; z += 1u) {
            let step = vec4<u32>((y * p.width + z) * p.in_channels);
            let low_inside = inside(low, y, z);
            let high_inside = inside(high, y, z);
            let low_at = select(vec4<u32>(), low.start + step, low_inside);
            let high_at = select(vec4<u32>(), high.start + step, high_inside);
            let tap = (y * p.kernel_w + z) * p.in_channels;
            for (var c = 0u; c < p.in_channels; c += 1u) {
                let wa = four_weights(filters_a + vec4<u32>(tap + c));
                let wb = four_weights(filters_b + vec4<u32>(tap + c));
                let v = four_of_x(low_at + vec4<u32>(c), low_inside);
                let w = four_of_x(high_at + vec4<u32>(c), high_inside);
                a0 = fma(vec4<f32>(v.x), wa, a0);
                b0 = fma(vec4<f32>(v.x), wb, b0);
                a1 = fma(vec4<f32>(v.y), wa, a1);
                b1 = fma(vec4<f32>(v.y), wb, b1);
                a2 = fma(vec4<f32>(v.z), wa, a2);
                b2 = fma(vec4<f32>(v.z), wb, b2);
                a3 = fma(vec4<f32>(v.w), wa, a3);
                b3 = fma(vec4<f32>(v.w), wb, b3);
                a4 = fma(vec4<f32>(w.x), wa, a4);
                b4 = fma(vec4<f32>(w.x), wb, b4);
                a5 = fma(vec4<f32>(w.y), wa, a5);
                b5 = fma(vec4<f32>(w.y), wb, b5);
                a6 = fma(vec4<f32>(w.z), wa, a6);
                b6 = fma(vec4<f32>(w.z), wb, b6);
                a7 = fma(vec4<f32>(w.w), wa, a7);
                b7 = fma(vec4<f32>(w.w), wb, b7);
            }
        }
    }
    let sums = array<vec4<f32>, 16>(
        a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5, a6, b6, a7, b7,
    );
    for (var r = 0u; r < 8u; r += 1u) {
        if first_pixel + r < pixels {
            for (var j = 0u; j < 8u; j += 1u) {
                if first_channel + j < p.out_channels {
                    finish(sums[2u * r + j / 4u][j % 4u], first_pixel + r, first_channel + j);
                }
            }
        }
    }
}

const TILE: u32 = 64u;
const SLICE: u32 = 16u;
var<workgroup> x_tile: array<f32, 1024>; // [SLICE, TILE]
var<workgroup> weight_tile: array<f32, 1024>; // [SLICE, TILE]

@compute @workgroup_size(256)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let size = out_size();
    let pixels = p.batch * size.x * size.y;
    let tiles = (p.out_channels + TILE - 1u) / TILE;
    let index = workgroup.y * count.x + workgroup.x;
    let first_pixel = (index / tiles) * TILE;
    let first_channel = (index % tiles) * TILE;
    if first_pixel >= pixels {
        return;
    }
    // Each invocation loads four successive k of one pixel's patch and of one filter.
    let load_line = local / 4u;
    let load_k = (local % 4u) * 4u;
    let at = corners(vec4<u32>(min(first_pixel + load_line, pixels - 1u)), size);
    let top = at.top.x;
    let left = at.left.x;
    let patch_size = p.kernel_h * p.kernel_w * p.in_channels;
    let filter_start = min(first_channel + load_line, p.out_channels - 1u) * patch_size;
    let row = (local / 16u) * 4u;
    let column = (local % 16u) * 4u;
    var sums = array<vec4<f32>, 4>();
    for (var first = 0u; first < patch_size; first += SLICE) {
        // k as (y, z, c), counted on from the first of the four.
        var k = first + load_k;
        var c = k % p.in_channels;
        var z = (k / p.in_channels) % p.kernel_w;
        var y = k / (p.in_channels * p.kernel_w);
        for (var j = 0u; j < 4u; j += 1u) {
            var value = 0.0;
            var factor = 0.0;
            if k < patch_size {
                factor = weight[filter_start + k];
                if top + y < p.height && left + z < p.width {
                    value = x[at.start.x + (y * p.width + z) * p.in_channels + c];
                }
            }
            x_tile[(load_k + j) * TILE + load_line] = value;
            weight_tile[(load_k + j) * TILE + load_line] = factor;
            k += 1u;
            c += 1u;
            if c == p.in_channels {
                c = 0u;
                z += 1u;
                if z == p.kernel_w {
                    z = 0u;
                    y += 1u;
                }
            }
        }
        workgroupBarrier();
        let depth = min(SLICE, patch_size - first);
        for (var i = 0u; i < depth; i += 1u) {
            let across = i * TILE + column;
            let line = vec4<f32>(
                weight_tile[across], weight_tile[across + 1u],
                weight_tile[across + 2u], weight_tile[across + 3u],
            );
            let down = i * TILE + row;
            sums[0] = fma(vec4<f32>(x_tile[down]), line, sums[0]);
            sums[1] = fma(vec4<f32>(x_tile[down + 1u]), line, sums[1]);
            sums[2] = fma(vec4<f32>(x_tile[down + 2u]), line, sums[2]);
            sums[3] = fma(vec4<f32>(x_tile[down + 3u]), line, sums[3]);
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < 4u; r += 1u) {
        let pixel = first_pixel + row + r;
        if pixel < pixels {
            for (var j = 0u; j < 4u; j += 1u) {
                let channel = first_channel + column + j;
                if channel < p.out_channels {
                    finish(sums[r][j], pixel, channel);
                }
            }
        }
    }
}
