// The numbers of common/control_tasks.wgsl: dual ones, a value and its tangent beside it, so that
// f(a + b e) = f(a) + f'(a) b e. plain_numbers.wgsl has the same functions. Sums of them, and products with
// plain numbers, are those of vectors.
//#import elementary

alias Number = vec2<f32>;

fn constant(c: f32) -> Number {
    return vec2<f32>(c, 0.0);
}

fn value(a: Number) -> f32 {
    return a.x;
}

// The bits of its value combined with a zero that the compiler does not see, so that it stays a number of its
// own.
fn hidden(a: Number, zero: u32) -> Number {
    return vec2<f32>(bitcast<f32>(bitcast<u32>(a.x) ^ zero), a.y);
}

fn times(a: Number, b: Number) -> Number {
    return vec2<f32>(a.x * b.x, a.y * b.x + a.x * b.y);
}

fn over(a: Number, b: Number) -> Number {
    let quotient = a.x / b.x;
    return vec2<f32>(quotient, (a.y - quotient * b.y) / b.x);
}

fn root(a: Number) -> Number {
    let found = sqrt(a.x);
    return vec2<f32>(found, a.y / (found + found));
}

// (cosine, sine) of a in radians.
fn direction_of(a: Number) -> array<Number, 2> {
    let pair = cosine_sine(a.x);
    return array<Number, 2>(vec2<f32>(pair.x, -(a.y * pair.y)), vec2<f32>(pair.y, a.y * pair.x));
}
