// Philox4x32-10, counter-based random bits (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011). Integer arithmetic only: the same bits on every device.

//#import multiply_wide

// Ten rounds over the counter under a two-word key.
fn philox4x32(counter_in: vec4<u32>, key_in: vec2<u32>) -> vec4<u32> {
    var counter = counter_in;
    var key = key_in;
    for (var round = 0u; round < 10u; round += 1u) {
        let first = multiply_wide(0xD2511F53u, counter.x);
        let second = multiply_wide(0xCD9E8D57u, counter.z);
        counter = vec4<u32>(
            second.y ^ counter.y ^ key.x,
            second.x,
            first.y ^ counter.w ^ key.y,
            first.x,
        );
        key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}
