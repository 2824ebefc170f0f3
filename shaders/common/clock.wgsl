//#import multiply_wide
// Clocks that count turns in units of 2^-64, low word first, whole turns dropped: exact however long they run.

// A clock in turns from -1/2 to 1/2.
fn in_turns(clock: vec2<u32>) -> f32 {
    return f32(bitcast<i32>(clock.y)) * 2.3283064e-10;
}

// n times an advance.
fn clock_times(advance: vec2<u32>, n: u32) -> vec2<u32> {
    let low = multiply_wide(advance.x, n);
    return vec2<u32>(low.x, low.y + advance.y * n);
}
