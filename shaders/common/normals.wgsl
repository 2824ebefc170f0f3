//#import elementary

const INVERSE_24: f32 = 5.9604644775390625e-8; // 2^-24

// Two independent normals from two words (Box, Muller 1958); the radius takes a uniform of (0, 1].
fn normals(a: u32, b: u32) -> vec2<f32> {
    let radius = sqrt(max(0.0, -2.0 * logarithm(f32((a >> 8u) + 1u) * INVERSE_24)));
    return radius * turn(f32(b >> 8u) * INVERSE_24);
}
