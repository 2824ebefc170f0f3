// The two exceptions of a softmax.

// What to subtract from a row: negative infinities alone are exponentiated as they are, for their
// difference would be NaN.
fn shift_of(largest: f32) -> f32 {
    return select(largest, 0.0, bitcast<u32>(largest) == 0xff800000u);
}

// What to divide by: only a row of nothing but negative infinities sums to zero.
fn divisor_of(sum: f32) -> f32 {
    return select(sum, 1.0, sum == 0.0);
}
