//! Many small matrices at once by reflections: every lane of the vector registers has one of its own.

use super::Qr;
use super::factors::{Factors, Outputs, Shape, power_of_two, report, spoil};
use super::lines::Lines;
use super::pieces::Piece;
use crate::Real;
use crate::attention::transpose::GROUP;
use crate::packet::Packet;
use pulp::{Simd, WithSimd};

/// Matrices that are read and written side by side.
pub(super) const WIDTH: usize = GROUP;

/// One number of each of the matrices that are factored side by side: no more than [`WIDTH`] of them.
type Lane<S> = Packet<S, f64, 2>;

/// Matrices side by side, column after column, and what becomes of them.
struct Group<S: Simd> {
    simd: S,
    a: Vec<Lane<S>>,
    r: Vec<Lane<S>>,
    found: Vec<Lane<S>>,
    scales: Vec<Lane<S>>,
    signs: Vec<Lane<S>>,
    exponents: Vec<[i32; WIDTH]>,
    replaced: [u32; WIDTH],
    finite: [bool; WIDTH],
}

/// Sum of squares, even and odd elements apart; 0 of none.
#[inline(always)]
fn squares<S: Simd>(zero: Lane<S>, x: &[Lane<S>]) -> Lane<S> {
    let (mut even, mut odd) = (zero, zero);
    let (pairs, rest) = x.as_chunks::<2>();
    for [x, y] in pairs {
        even = x.mul_add(*x, even);
        odd = y.mul_add(*y, odd);
    }
    for x in rest {
        even = x.mul_add(*x, even);
    }
    even + odd
}

/// Reflects `C` columns, of `n` elements of which those from `first` on matter, along v.
#[inline(always)]
fn reflect<S: Simd, const C: usize>(
    columns: &mut [Lane<S>],
    (n, first): (usize, usize),
    v: &[Lane<S>],
    (zero, scale): (Lane<S>, Lane<S>),
) {
    let length = v.len();
    let mut each = columns.chunks_exact_mut(n);
    // Slices as long as the loops, so that these need no bounds.
    let parts: [&mut [Lane<S>]; C] = std::array::from_fn(
        #[inline(always)]
        |_| {
            let column = each.next().and_then(|column| column.get_mut(first..));
            column.unwrap_or_default()
        },
    );
    if parts.iter().any(|part| part.len() != length) {
        return;
    }
    let mut along = [zero; C];
    for i in 0..length {
        for c in 0..C {
            along[c] = v[i].mul_add(parts[c][i], along[c]);
        }
    }
    for along in &mut along {
        *along = -(*along * scale);
    }
    for i in 0..length {
        for c in 0..C {
            parts[c][i] = along[c].mul_add(v[i], parts[c][i]);
        }
    }
}

#[inline(always)]
fn reflect_all<S: Simd>(
    columns: &mut [Lane<S>],
    (n, first): (usize, usize),
    v: &[Lane<S>],
    with: (Lane<S>, Lane<S>),
) {
    let mut fours = columns.chunks_exact_mut(4 * n);
    for four in &mut fours {
        reflect::<S, 4>(four, (n, first), v, with);
    }
    let rest = fours.into_remainder();
    match rest.len() / n {
        1 => reflect::<S, 1>(rest, (n, first), v, with),
        2 => reflect::<S, 2>(rest, (n, first), v, with),
        3 => reflect::<S, 3>(rest, (n, first), v, with),
        _ => {}
    }
}

/// Puts a random direction in the place of one lane's column `j`, of which the reflections of those before
/// leave the part that is orthogonal to them; gives the square of its length.
#[inline(never)]
fn replace<S: Simd>(
    lane: usize,
    (reflectors, column): (&[Lane<S>], &mut [Lane<S>]),
    scales: &[Lane<S>],
    normals: impl FnOnce(&mut [f64]),
) -> f64 {
    let n = column.len();
    let mut own = vec![0.0; n];
    normals(&mut own);
    for (l, (v, scale)) in reflectors.chunks_exact(n).zip(scales).enumerate() {
        let v: Vec<f64> = v.iter().map(|v| v.lane(lane)).collect();
        let pairs = own.iter().zip(&v).skip(l);
        let along: f64 = pairs.map(|(x, v)| x * v).sum();
        let along = along * scale.lane(lane);
        for (x, v) in own.iter_mut().zip(&v).skip(l) {
            *x -= along * v;
        }
    }
    for (place, value) in column.iter_mut().zip(&own) {
        place.set_lane(lane, *value);
    }
    let rest = own.iter().skip(scales.len());
    rest.map(|x| x * x).sum()
}

impl<S: Simd> Group<S> {
    fn new(simd: S, Shape { n, k, .. }: Shape) -> Self {
        let zero = Lane::splat(simd, 0.0);
        Self {
            simd,
            a: vec![zero; n * k],
            r: vec![zero; k * k],
            found: vec![zero; k],
            scales: vec![zero; k],
            signs: vec![zero; k],
            exponents: vec![[0; WIDTH]; k],
            replaced: [0; WIDTH],
            finite: [true; WIDTH],
        }
    }

    /// Takes the lanes from `first` on, and divides columns by the powers of two of their largest elements
    /// where double precision could not hold their squares.
    #[inline(always)]
    fn load<T: Real>(&mut self, lines: &Lines<T>, first: usize, n: usize) {
        for (j, column) in self.a.chunks_exact_mut(n).enumerate() {
            for (place, line) in column.iter_mut().zip(lines.column(j)) {
                let mut wide = [0.0f64; WIDTH];
                for (wide, value) in wide.iter_mut().zip(&line[first..]) {
                    *wide = value.to_f64();
                }
                *place = Lane::read(self.simd, &wide);
            }
        }
        if size_of::<T>() == 4 {
            return;
        }
        for (column, exponents) in self.a.chunks_exact_mut(n).zip(&mut self.exponents) {
            let mut largest = Lane::splat(self.simd, 0.0);
            for value in column.iter() {
                largest = value.abs().max(largest);
            }
            let mut factors = [1.0f64; WIDTH];
            let found = largest.lanes();
            for ((factor, exponent), largest) in factors.iter_mut().zip(exponents).zip(&found) {
                *exponent = ((largest.to_bits() >> 52) as i32 - 1023).clamp(-1000, 1022);
                *factor = power_of_two(-*exponent);
            }
            let factor = Lane::read(self.simd, &factors);
            for value in column {
                *value = *value * factor;
            }
        }
    }

    /// The algorithm of `householder::factor`, lane by lane.
    #[inline(always)]
    fn factor(
        &mut self,
        Shape { n, k, tolerance }: Shape,
        mut normals: impl FnMut(usize, usize, &mut [f64]),
    ) {
        let [zero, one, bound] =
            [0.0, 1.0, tolerance * tolerance].map(|value| Lane::splat(self.simd, value));
        self.replaced = [0; WIDTH];
        // 0, or NaN where a length is not finite.
        let mut spoilt = zero;
        for j in 0..k {
            let (reflectors, rest) = self.a.split_at_mut(j * n);
            let (column, later) = rest.split_at_mut(n);
            for (l, (sign, value)) in self.signs.iter().zip(&column[..j]).enumerate() {
                self.r[l * k + j] = *sign * *value;
            }
            let mut square = squares(zero, &column[j..]);
            let whole = squares(zero, &column[..j]) + square;
            spoilt = whole.mul_add(zero, spoilt);
            let mut length = square.sqrt();
            self.found[j] = length;
            let dependent = square.where_at_most(bound * whole, one, zero);
            self.r[j * k + j] = length * (one - dependent);
            let mut flags = [0.0f64; WIDTH];
            dependent.write(&mut flags);
            if flags.contains(&1.0) {
                for lane in (0..WIDTH).filter(|lane| flags[*lane] == 1.0) {
                    self.replaced[lane] += 1;
                    let parts = (&*reflectors, &mut *column);
                    let own = |own: &mut [f64]| normals(lane, j, own);
                    square.set_lane(lane, replace(lane, parts, &self.scales[..j], own));
                }
                length = square.sqrt();
            }
            let first = column[j];
            let sign = zero.where_at_most(first, -one, one);
            let product = length.mul_add(first.abs(), square);
            let scale = product.where_at_most(zero, zero, one / product);
            column[j] = first - sign * length;
            self.signs[j] = sign;
            self.scales[j] = scale;
            reflect_all(later, (n, j), &column[j..], (zero, scale));
        }
        let mut sums = [0.0f64; WIDTH];
        spoilt.write(&mut sums);
        self.finite = sums.map(|sum| sum == 0.0);
        for j in (0..k).rev() {
            let (column, later) = self.a[j * n..].split_at_mut(n);
            reflect_all(later, (n, j), &column[j..], (zero, self.scales[j]));
            let factor = -(self.signs[j] * self.scales[j] * column[j]);
            for value in &mut column[j..] {
                *value = *value * factor;
            }
            column[j] = column[j] + self.signs[j];
            column[..j].fill(zero);
        }
    }

    /// Writes Q into the lanes from `first` on, and R where it is wanted plainly.
    #[inline(always)]
    fn store<T: Real>(&self, lines: &mut Lines<T>, first: usize, n: usize, factors: bool) {
        for (j, column) in self.a.chunks_exact(n).enumerate() {
            for (value, line) in column.iter().zip(lines.column_mut(j)) {
                rounded(*value, &mut line[first..]);
            }
        }
        let k = self.found.len();
        if factors {
            let largest = Lane::splat(self.simd, f64::from(f32::MAX));
            let triangle = self.r.iter().zip(lines.factors_mut()).enumerate();
            for (element, (value, line)) in triangle {
                if element % k >= element / k {
                    rounded(value.min(largest).max(-largest), &mut line[first..]);
                }
            }
        }
        let width = Lane::<S>::width();
        for lane in (0..width).filter(|lane| !self.finite[*lane]) {
            let at = first + lane;
            for j in 0..k {
                lines.column_mut(j).for_each(|line| line[at] = T::NAN);
            }
            if factors {
                let lines = lines.factors_mut().iter_mut();
                lines.for_each(|line| line[at] = T::NAN);
            }
        }
    }

    #[inline(always)]
    fn of_lane(&self, lane: usize, factors: &mut Factors) {
        for (place, value) in factors.r.iter_mut().zip(&self.r) {
            *place = value.lane(lane);
        }
        for (place, value) in factors.found.iter_mut().zip(&self.found) {
            *place = value.lane(lane);
        }
        for (place, value) in factors.exponents.iter_mut().zip(&self.exponents) {
            *place = value[lane];
        }
        factors.replaced = self.replaced[lane];
    }
}

/// Rounds as many lanes as there are to the numbers of a line.
#[inline(always)]
fn rounded<S: Simd, T: Real>(value: Lane<S>, line: &mut [T]) {
    let mut wide = [0.0f64; WIDTH];
    value.write(&mut wide);
    let width = Lane::<S>::width();
    for (place, value) in line.iter_mut().zip(&wide[..width]) {
        *place = T::from_f64(*value);
    }
}

/// Matrices `first..first + count`, those of one task.
pub(super) struct Many<'t, 'a, T> {
    pub qr: &'t Qr,
    pub first: usize,
    pub count: usize,
    pub piece: &'t mut Piece<'a, T>,
    pub outputs: &'t mut Outputs<'a, T>,
}

impl<T: Real> WithSimd for Many<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qr, outputs, .. } = self;
        let shape = qr.shape::<T>();
        let mut group = Group::new(simd, shape);
        let mut factors = Factors::new(shape.k);
        let mut lines = Lines::new(qr);
        let width = Lane::<S>::width();
        // Nothing but R is wanted, and columns are not scaled.
        let is_plain = outputs.log_r.is_empty() && outputs.status.is_empty() && size_of::<T>() == 4;
        let plainly = is_plain && !outputs.r.is_empty();
        for start in (0..self.count).step_by(WIDTH) {
            let lanes = WIDTH.min(self.count - start);
            lines.gather(self.piece, start, lanes);
            for slice in (0..lanes).step_by(width) {
                let number = start + slice;
                group.load(&lines, slice, shape.n);
                group.factor(shape, |lane, j, own| {
                    qr.normals(self.first + number + lane, j, own);
                });
                group.store(&mut lines, slice, shape.n, plainly);
                if is_plain {
                    continue;
                }
                for lane in 0..width.min(lanes - slice) {
                    if group.finite[lane] {
                        group.of_lane(lane, &mut factors);
                        report(&factors, shape, outputs, number + lane);
                    } else {
                        spoil(shape, outputs, number + lane);
                    }
                }
            }
            lines.scatter(self.piece, start, lanes);
            if plainly {
                lines.scatter_factors(outputs.r, start, lanes);
            }
        }
    }
}
