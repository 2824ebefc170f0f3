// W = Q R for many matrices [rows, columns]: Q takes the place of W, R is upper triangular with no negative
// number on its diagonal. See `Qr` in kernels/src/qr.rs for operands and replaced columns.
//
// Householder's reflections: columns are divided by powers of two near their largest elements; then for
// every column j the reflection that leaves (|R_jj|, 0, ...) of its rest is applied to the columns behind;
// then the unit vectors go through the reflections backwards, which gives Q.
//
// tiny:      one workgroup of 64 has 64 matrices of at most 64 numbers, an invocation one each; no
//            workgroup memory.
// compact:   one workgroup of 64 has one matrix of at most 2,816 numbers, in workgroup memory.
// streaming: one workgroup of 256 has one matrix, which stays in storage.
// Workgroup memory: 16,128 bytes. Row i belongs to invocation i modulo the workgroup's size, which alone
// touches it; what all must know goes through reductions.
//
// Numeric contract: f32. Sums of an invocation add eight products at a time, pairwise, those of a workgroup
// form a tree: an order that depends on the shape alone. Q is orthonormal within 5e-6, Q R is W within 1e-6 of
// the lengths of its columns, and |R_jj| is off by as little.
//#import linear_index
//#import qr_outputs

// ---- one invocation, one matrix

var<private> own: array<f32, 64>;

fn own_dot(x: u32, y: u32, first: u32) -> f32 {
    var sum = 0.0;
    for (var i = first; i < p.rows; i += 1u) {
        sum = fma(own[x * p.rows + i], own[y * p.rows + i], sum);
    }
    return sum;
}

fn own_reflect(y: u32, v: u32, scale: f32) {
    let along = own_dot(v, y, v) * scale;
    for (var i = v; i < p.rows; i += 1u) {
        own[y * p.rows + i] = fma(-along, own[v * p.rows + i], own[y * p.rows + i]);
    }
}

@compute @workgroup_size(64)
fn tiny(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let example = linear_index(workgroup, count, local, 64u);
    if example >= p.batch || !is_due() {
        return;
    }
    let n = p.rows;
    var exponents: array<i32, 64>;
    var scales: array<f32, 64>;
    var signs: array<f32, 64>;
    var largest_of_all = 0u;
    for (var j = 0u; j < p.columns; j += 1u) {
        var largest = 0u;
        for (var i = 0u; i < n; i += 1u) {
            let value = w[place(example, i, j)];
            own[j * n + i] = value;
            largest = max(largest, bitcast<u32>(value) & 0x7fffffffu);
        }
        exponents[j] = exponent_of(largest);
        largest_of_all = max(largest_of_all, largest);
        let factor = power_of_two(-exponents[j]);
        for (var i = 0u; i < n; i += 1u) {
            own[j * n + i] *= factor;
        }
    }
    if largest_of_all >= 0x7f800000u {
        spoil(example, 0u, 1u);
        report_status(example, 0u, true);
        return;
    }
    var replaced = 0u;
    for (var j = 0u; j < p.columns; j += 1u) {
        for (var l = 0u; l < j; l += 1u) {
            report_element(example, l, j, unscaled(signs[l] * own[j * n + l], exponents[j]));
            report_element(example, j, l, 0.0);
        }
        var square = own_dot(j, j, j);
        let is_dependent = depends(square, own_dot(j, j, 0u));
        let length = select(sqrt(square), 0.0, is_dependent);
        report_element(example, j, j, unscaled(length, exponents[j]));
        report_length(example, j, square, exponents[j], is_dependent);
        if is_dependent {
            replaced += 1u;
            for (var i = 0u; i < n; i += 1u) {
                own[j * n + i] = random_normal(example, i, j);
            }
            for (var l = 0u; l < j; l += 1u) {
                own_reflect(j, l, scales[l]);
            }
            square = own_dot(j, j, j);
        }
        let first = own[j * n + j];
        signs[j] = sign_of(first);
        scales[j] = scale_of(sqrt(square), first);
        own[j * n + j] = first - signs[j] * sqrt(square);
        for (var l = j + 1u; l < p.columns; l += 1u) {
            own_reflect(l, j, scales[j]);
        }
    }
    for (var left = p.columns; left > 0u; left -= 1u) {
        let j = left - 1u;
        for (var l = left; l < p.columns; l += 1u) {
            own[l * n + j] = 0.0;
            own_reflect(l, j, scales[j]);
        }
        let factor = -signs[j] * scales[j] * own[j * n + j];
        for (var i = j; i < n; i += 1u) {
            own[j * n + i] *= factor;
        }
        own[j * n + j] += signs[j];
        for (var i = 0u; i < j; i += 1u) {
            own[j * n + i] = 0.0;
        }
    }
    for (var j = 0u; j < p.columns; j += 1u) {
        for (var i = 0u; i < n; i += 1u) {
            w[place(example, i, j)] = own[j * n + i];
        }
    }
    report_status(example, replaced, false);
}

// ---- one workgroup, one matrix

var<workgroup> resident: array<f32, 2816>;
var<workgroup> partial: array<vec4<f32>, 256>;
var<workgroup> exponents: array<i32, 64>;
var<workgroup> scales: array<f32, 64>;
var<workgroup> signs: array<f32, 64>;

var<private> example: u32;
var<private> lane: u32;
var<private> width: u32;
var<private> is_resident: bool;
// Columns from here on are left alone.
var<private> bound: u32;

fn element(i: u32, j: u32) -> f32 {
    if is_resident {
        return resident[j * p.rows + i];
    }
    return w[place(example, i, j)];
}

fn set_element(i: u32, j: u32, value: f32) {
    if is_resident {
        resident[j * p.rows + i] = value;
    } else {
        w[place(example, i, j)] = value;
    }
}

// First row of this invocation that is not before `row`, for rows before the workgroup's size.
fn own_row(row: u32) -> u32 {
    return select(lane, lane + width, lane < row);
}

// Sum over the workgroup; every invocation gets it.
fn total(value: vec4<f32>) -> vec4<f32> {
    workgroupBarrier();
    partial[lane] = value;
    workgroupBarrier();
    for (var distance = width / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            partial[lane] += partial[lane + distance];
        }
        workgroupBarrier();
    }
    return partial[0];
}

fn largest_of(value: u32) -> u32 {
    workgroupBarrier();
    partial[lane].x = bitcast<f32>(value);
    workgroupBarrier();
    for (var distance = width / 2u; distance > 0u; distance >>= 1u) {
        if lane < distance {
            let most = max(bitcast<u32>(partial[lane].x), bitcast<u32>(partial[lane + distance].x));
            partial[lane].x = bitcast<f32>(most);
        }
        workgroupBarrier();
    }
    return bitcast<u32>(partial[0].x);
}

// Element (row, j), which belongs to one invocation, for all.
fn shared_element(row: u32, j: u32) -> f32 {
    workgroupBarrier();
    if lane == row % width {
        partial[0].x = element(row, j);
    }
    workgroupBarrier();
    return partial[0].x;
}

// Products of row i of column v with columns l to l + 3; zero past the last row and column.
fn products(i: u32, v: u32, l: u32) -> vec4<f32> {
    if i >= p.rows {
        return vec4<f32>();
    }
    var values = vec4<f32>(element(i, l), 0.0, 0.0, 0.0);
    if l + 1u < bound {
        values.y = element(i, l + 1u);
    }
    if l + 2u < bound {
        values.z = element(i, l + 2u);
    }
    if l + 3u < bound {
        values.w = element(i, l + 3u);
    }
    return element(i, v) * values;
}

fn dots(v: u32, l: u32, row: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var i = own_row(row); i < p.rows; i += 8u * width) {
        let a = products(i, v, l) + products(i + width, v, l);
        let b = products(i + 2u * width, v, l) + products(i + 3u * width, v, l);
        let c = products(i + 4u * width, v, l) + products(i + 5u * width, v, l);
        let d = products(i + 6u * width, v, l) + products(i + 7u * width, v, l);
        sum += (a + b) + (c + d);
    }
    return total(sum);
}

fn subtract(i: u32, v: u32, l: u32, along: vec4<f32>) {
    if i >= p.rows {
        return;
    }
    let value = element(i, v);
    set_element(i, l, fma(-along.x, value, element(i, l)));
    if l + 1u < bound {
        set_element(i, l + 1u, fma(-along.y, value, element(i, l + 1u)));
    }
    if l + 2u < bound {
        set_element(i, l + 2u, fma(-along.z, value, element(i, l + 2u)));
    }
    if l + 3u < bound {
        set_element(i, l + 3u, fma(-along.w, value, element(i, l + 3u)));
    }
}

// Reflects columns l to l + 3 along column v.
fn reflect_columns(v: u32, l: u32) {
    let along = dots(v, l, v) * scales[v];
    for (var i = own_row(v); i < p.rows; i += 8u * width) {
        subtract(i, v, l, along);
        subtract(i + width, v, l, along);
        subtract(i + 2u * width, v, l, along);
        subtract(i + 3u * width, v, l, along);
        subtract(i + 4u * width, v, l, along);
        subtract(i + 5u * width, v, l, along);
        subtract(i + 6u * width, v, l, along);
        subtract(i + 7u * width, v, l, along);
    }
}

fn magnitude(i: u32, j: u32) -> u32 {
    if i >= p.rows {
        return 0u;
    }
    return bitcast<u32>(element(i, j)) & 0x7fffffffu;
}

fn largest_in(j: u32) -> u32 {
    var largest = 0u;
    for (var i = lane; i < p.rows; i += 8u * width) {
        let a = max(magnitude(i, j), magnitude(i + width, j));
        let b = max(magnitude(i + 2u * width, j), magnitude(i + 3u * width, j));
        let c = max(magnitude(i + 4u * width, j), magnitude(i + 5u * width, j));
        let d = max(magnitude(i + 6u * width, j), magnitude(i + 7u * width, j));
        largest = max(largest, max(max(a, b), max(c, d)));
    }
    return largest_of(largest);
}

fn multiply(i: u32, j: u32, factor: f32) {
    if i < p.rows {
        set_element(i, j, factor * element(i, j));
    }
}

fn multiply_rows(row: u32, j: u32, factor: f32) {
    for (var i = own_row(row); i < p.rows; i += 8u * width) {
        multiply(i, j, factor);
        multiply(i + width, j, factor);
        multiply(i + 2u * width, j, factor);
        multiply(i + 3u * width, j, factor);
        multiply(i + 4u * width, j, factor);
        multiply(i + 5u * width, j, factor);
        multiply(i + 6u * width, j, factor);
        multiply(i + 7u * width, j, factor);
    }
}

fn randomise(i: u32, j: u32) {
    if i < p.rows {
        set_element(i, j, random_normal(example, i, j));
    }
}

// Puts a random column, made orthogonal to those before, in the place of column j.
fn replace_column(j: u32) {
    for (var i = lane; i < p.rows; i += 4u * width) {
        randomise(i, j);
        randomise(i + width, j);
        randomise(i + 2u * width, j);
        randomise(i + 3u * width, j);
    }
    bound = j + 1u;
    for (var l = 0u; l < j; l += 1u) {
        reflect_columns(l, j);
    }
    bound = p.columns;
}

// Divides all columns by powers of two; false if an element is not finite.
fn scale_columns() -> bool {
    var largest_of_all = 0u;
    for (var j = 0u; j < p.columns; j += 1u) {
        let largest = largest_in(j);
        largest_of_all = max(largest_of_all, largest);
        let exponent = exponent_of(largest);
        if lane == 0u {
            exponents[j] = exponent;
        }
        if largest < 0x7f800000u {
            multiply_rows(0u, j, power_of_two(-exponent));
        }
    }
    return largest_of_all < 0x7f800000u;
}

// R and the reflections, in the lower part of the columns; gives the number of columns replaced.
fn triangularise() -> u32 {
    var replaced = 0u;
    for (var j = 0u; j < p.columns; j += 1u) {
        bound = j + 1u;
        var square = dots(j, j, j).x;
        let whole = dots(j, j, 0u).x;
        bound = p.columns;
        let is_dependent = depends(square, whole);
        let exponent = exponents[j];
        if lane < j {
            report_element(example, lane, j, unscaled(signs[lane] * element(lane, j), exponent));
            report_element(example, j, lane, 0.0);
        }
        if lane == j {
            let length = select(sqrt(square), 0.0, is_dependent);
            report_element(example, j, j, unscaled(length, exponent));
            report_length(example, j, square, exponent, is_dependent);
        }
        if is_dependent {
            replaced += 1u;
            replace_column(j);
            bound = j + 1u;
            square = dots(j, j, j).x;
            bound = p.columns;
        }
        let first = shared_element(j, j);
        let length = sqrt(square);
        let sign = sign_of(first);
        if lane == 0u {
            signs[j] = sign;
            scales[j] = scale_of(length, first);
        }
        if lane == j {
            set_element(j, j, first - sign * length);
        }
        for (var l = j + 1u; l < p.columns; l += 4u) {
            reflect_columns(j, l);
        }
    }
    return replaced;
}

// Q from the reflections, in their place.
fn accumulate() {
    for (var left = p.columns; left > 0u; left -= 1u) {
        let j = left - 1u;
        for (var l = left; l < p.columns; l += 4u) {
            if lane == j {
                for (var c = l; c < min(l + 4u, p.columns); c += 1u) {
                    set_element(j, c, 0.0);
                }
            }
            reflect_columns(j, l);
        }
        let factor = -signs[j] * scales[j] * shared_element(j, j);
        multiply_rows(j, j, factor);
        if lane == j {
            set_element(j, j, element(j, j) + signs[j]);
        }
        if lane < j {
            set_element(lane, j, 0.0);
        }
    }
}

// False if the matrix is not finite, for which all is written then.
fn factor_with_workgroup() -> bool {
    bound = p.columns;
    if !scale_columns() {
        spoil(example, lane, width);
        if lane == 0u {
            report_status(example, 0u, true);
        }
        return false;
    }
    let replaced = triangularise();
    accumulate();
    if lane == 0u {
        report_status(example, replaced, false);
    }
    return true;
}

// Row and column of an element for which neighbours lie beside each other in storage.
fn position(e: u32) -> vec2<u32> {
    if p.column_stride < p.row_stride {
        return vec2<u32>(e / p.columns, e % p.columns);
    }
    return vec2<u32>(e % p.rows, e / p.rows);
}

@compute @workgroup_size(64)
fn compact(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    example = linear_index(workgroup, count, 0u, 1u);
    if example >= p.batch || !is_due() {
        return;
    }
    lane = local;
    width = 64u;
    is_resident = true;
    let elements = p.rows * p.columns;
    for (var e = local; e < elements; e += 64u) {
        let at = position(e);
        set_element(at.x, at.y, w[place(example, at.x, at.y)]);
    }
    workgroupBarrier();
    let is_finite_matrix = factor_with_workgroup();
    workgroupBarrier();
    if !is_finite_matrix {
        return;
    }
    for (var e = local; e < elements; e += 64u) {
        let at = position(e);
        w[place(example, at.x, at.y)] = element(at.x, at.y);
    }
}

@compute @workgroup_size(256)
fn streaming(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    example = linear_index(workgroup, count, 0u, 1u);
    if example >= p.batch || !is_due() {
        return;
    }
    lane = local;
    width = 256u;
    is_resident = false;
    let is_finite_matrix = factor_with_workgroup();
}
