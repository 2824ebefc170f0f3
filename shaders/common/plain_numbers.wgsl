// The numbers of common/control_tasks.wgsl: plain ones. dual_numbers.wgsl has the same functions.
//#import elementary

alias Number = f32;

fn constant(c: f32) -> Number {
    return c;
}

fn value(a: Number) -> f32 {
    return a;
}

// Its bits combined with a zero that the compiler does not see, so that it stays a number of its own.
fn hidden(a: Number, zero: u32) -> Number {
    return bitcast<f32>(bitcast<u32>(a) ^ zero);
}

fn times(a: Number, b: Number) -> Number {
    return a * b;
}

fn over(a: Number, b: Number) -> Number {
    return a / b;
}

fn root(a: Number) -> Number {
    return sqrt(a);
}

// (cosine, sine) of a in radians.
fn direction_of(a: Number) -> array<Number, 2> {
    let pair = cosine_sine(a);
    return array<Number, 2>(pair.x, pair.y);
}
