// Modified Gram and Schmidt, every column projected twice, of up to four vectors of up to four numbers.
//#import floats

// Norms under it count as nothing.
const LEAST = 1e-30;
// Columns of which rounding has left less than this share of the longest are replaced.
const ROUNDING = 1e-6;

// Euclidean norm; squares neither overflow nor underflow.
fn norm_of(a: vec4<f32>) -> f32 {
    let size = abs(a);
    let largest = max(max(size.x, size.y), max(size.z, size.w));
    let scaled = a * (1.0 / max(largest, LEAST));
    let sum = (scaled.x * scaled.x + scaled.y * scaled.y) + (scaled.z * scaled.z + scaled.w * scaled.w);
    return largest * sqrt(sum);
}

fn inner(a: vec4<f32>, b: vec4<f32>) -> f32 {
    return (a.x * b.x + a.y * b.y) + (a.z * b.z + a.w * b.w);
}

// v without its parts along three vectors, one after the other; zero vectors take nothing.
fn projected(v: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    var left = v - inner(a, v) * a;
    left = left - inner(b, left) * b;
    return left - inner(c, left) * c;
}

// The unit vector orthogonal to the others that comes from the axis furthest from their span.
fn replacement(n: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    let left = vec4<f32>(1.0) - (a * a + b * b + c * c);
    var axis = vec4<f32>(1.0, 0.0, 0.0, 0.0);
    var best = left.x;
    if n > 1u && left.y > best {
        axis = vec4<f32>(0.0, 1.0, 0.0, 0.0);
        best = left.y;
    }
    if n > 2u && left.z > best {
        axis = vec4<f32>(0.0, 0.0, 1.0, 0.0);
        best = left.z;
    }
    if n > 3u && left.w > best {
        axis = vec4<f32>(0.0, 0.0, 0.0, 1.0);
    }
    let found = projected(projected(axis, a, b, c), a, b, c);
    return found * (1.0 / norm_of(found));
}

struct Column {
    q: vec4<f32>,
    diagonal: f32,
    replaced: u32,
}

fn orthonormal(
    n: u32,
    bound: f32,
    v: vec4<f32>,
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
) -> Column {
    let left = projected(projected(v, a, b, c), a, b, c);
    let length = norm_of(left);
    if is_finite(length) && length <= bound {
        return Column(replacement(n, a, b, c), length, 1u);
    }
    return Column(left * (1.0 / length), length, 0u);
}

// Up to four columns; absent ones are zero.
struct Basis {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// The orthonormal columns, R's diagonal (1 for absent columns), and how many columns were replaced.
struct Orthonormalised {
    w: Basis,
    diagonal: vec4<f32>,
    replaced: u32,
}

// The first k columns of `n` numbers.
fn orthonormalised(n: u32, k: u32, w: Basis) -> Orthonormalised {
    let nothing = vec4<f32>(0.0);
    let longest = max(max(norm_of(w.a), norm_of(w.b)), max(norm_of(w.c), norm_of(w.d)));
    let bound = max(longest * ROUNDING, LEAST);
    var made = Orthonormalised(w, vec4<f32>(1.0), 0u);
    let first = orthonormal(n, bound, w.a, nothing, nothing, nothing);
    made.w.a = first.q;
    made.diagonal.x = first.diagonal;
    made.replaced += first.replaced;
    if k > 1u {
        let second = orthonormal(n, bound, w.b, made.w.a, nothing, nothing);
        made.w.b = second.q;
        made.diagonal.y = second.diagonal;
        made.replaced += second.replaced;
    }
    if k > 2u {
        let third = orthonormal(n, bound, w.c, made.w.a, made.w.b, nothing);
        made.w.c = third.q;
        made.diagonal.z = third.diagonal;
        made.replaced += third.replaced;
    }
    if k > 3u {
        let fourth = orthonormal(n, bound, w.d, made.w.a, made.w.b, made.w.c);
        made.w.d = fourth.q;
        made.diagonal.w = fourth.diagonal;
        made.replaced += fourth.replaced;
    }
    return made;
}

fn all_finite(x: vec4<f32>) -> bool {
    return is_finite(x.x) && is_finite(x.y) && is_finite(x.z) && is_finite(x.w);
}
