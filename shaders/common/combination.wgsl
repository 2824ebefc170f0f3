// sum_i (numerator_i / denominator_i) k[place + i stage_stride] over up to seven stages, i ascending: one
// chain of multiply-adds. Stages of numerator 0 are not read: they may hold anything, NaN included.
//
// The importing shader declares `k` and, in its parameters `p`, stage_stride, numerator_0..numerator_6
// and denominator_0..denominator_6.
fn combination_term(sum: f32, numerator: i32, denominator: i32, place: u32) -> f32 {
    if numerator == 0 {
        return sum;
    }
    return fma(f32(numerator) / f32(denominator), k[place], sum);
}

fn combination(place: u32) -> f32 {
    let stride = p.stage_stride;
    var sum = combination_term(0.0, p.numerator_0, p.denominator_0, place);
    sum = combination_term(sum, p.numerator_1, p.denominator_1, place + stride);
    sum = combination_term(sum, p.numerator_2, p.denominator_2, place + 2u * stride);
    sum = combination_term(sum, p.numerator_3, p.denominator_3, place + 3u * stride);
    sum = combination_term(sum, p.numerator_4, p.denominator_4, place + 4u * stride);
    sum = combination_term(sum, p.numerator_5, p.denominator_5, place + 5u * stride);
    return combination_term(sum, p.numerator_6, p.denominator_6, place + 6u * stride);
}
