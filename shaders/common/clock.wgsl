// Clocks that count turns in units of 2^-64, low word first, whole turns dropped: exact however long they run.

// A clock in turns from -1/2 to 1/2.
fn in_turns(clock: vec2<u32>) -> f32 {
    return f32(bitcast<i32>(clock.y)) * 2.3283064e-10;
}

// High word of the product of two words.
fn high_product(a: u32, b: u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let cross = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (cross & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (cross >> 16u) + (other >> 16u);
}
