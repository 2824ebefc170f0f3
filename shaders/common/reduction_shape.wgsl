// What the reductions of x [outer, length, inner] to y [outer, inner] share.
//#import linear_index

fn is_nan(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}

// First element of the row that output `index` reduces; its elements are `inner` apart.
fn first_of_row(index: u32) -> u32 {
    return p.x_offset + (index / p.inner) * p.length * p.inner + index % p.inner;
}
