// a + b and its rounding error, exactly (Knuth, TAOCP 2, 4.2.2, theorem B), as (sum, error).
//
// Drivers may simplify floating-point algebra, which turns the error into a plain zero: (a + b) - a
// becomes b. Bits combined with a zero that only the caller knows to be zero, a parameter's unused high
// bit say, stop them.
fn two_sum(a: f32, b: f32, zero: u32) -> vec2<f32> {
    let sum = bitcast<f32>(bitcast<u32>(a + b) ^ zero);
    let b_part = bitcast<f32>(bitcast<u32>(sum - a) ^ zero);
    return vec2<f32>(sum, (a - (sum - b_part)) + (b - b_part));
}
