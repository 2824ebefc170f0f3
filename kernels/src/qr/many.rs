//! Many small matrices at once by reflections: every lane of the vector registers has one of its own.

use super::Qr;
use super::pieces::Piece;
use super::twin::{Factors, Outputs, Shape, power_of_two, report, spoil};
use crate::attention::transpose::{GROUP, transpose};
use crate::{Real, simd};

/// Matrices that go side by side.
pub(super) const WIDTH: usize = GROUP;

/// One number of each.
type Lane = [f64; WIDTH];

const ZERO: Lane = [0.0; WIDTH];

/// Matrices side by side, column after column, and what becomes of them.
struct Group {
    a: Vec<Lane>,
    r: Vec<Lane>,
    found: Vec<Lane>,
    exponents: Vec<[i32; WIDTH]>,
    replaced: [u32; WIDTH],
    finite: [bool; WIDTH],
}

#[inline(always)]
fn add_products(sum: &mut Lane, x: &Lane, y: &Lane) {
    for (sum, (x, y)) in sum.iter_mut().zip(x.iter().zip(y)) {
        *sum = x.mul_add(*y, *sum);
    }
}

#[inline(always)]
fn times(x: &Lane, y: &Lane) -> Lane {
    std::array::from_fn(|t| x[t] * y[t])
}

#[inline(always)]
fn squares(x: &[Lane]) -> Lane {
    let (mut even, mut odd) = (ZERO, ZERO);
    let mut pairs = x.chunks_exact(2);
    for pair in &mut pairs {
        add_products(&mut even, &pair[0], &pair[0]);
        add_products(&mut odd, &pair[1], &pair[1]);
    }
    for rest in pairs.remainder() {
        add_products(&mut even, rest, rest);
    }
    std::array::from_fn(|t| even[t] + odd[t])
}

/// Reflects `C` columns of `n` elements, of which those from `first` on matter, along v.
#[inline(always)]
fn reflect<const C: usize>(columns: &mut [Lane], n: usize, first: usize, v: &[Lane], scale: &Lane) {
    let length = v.len();
    let mut each = columns.chunks_exact_mut(n);
    // Slices as long as the loops, so that these need no bounds.
    let mut columns: [&mut [Lane]; C] = std::array::from_fn(|_| {
        let column = each.next().unwrap_or_default();
        &mut column[first..][..length]
    });
    let mut along = [ZERO; C];
    for i in 0..length {
        for (along, column) in along.iter_mut().zip(&columns) {
            add_products(along, &v[i], &column[i]);
        }
    }
    for along in &mut along {
        for (along, scale) in along.iter_mut().zip(scale) {
            *along *= -scale;
        }
    }
    for i in 0..length {
        for (along, column) in along.iter().zip(&mut columns) {
            add_products(&mut column[i], along, &v[i]);
        }
    }
}

#[inline(always)]
fn reflect_all(columns: &mut [Lane], n: usize, first: usize, v: &[Lane], scale: &Lane) {
    let mut fours = columns.chunks_exact_mut(4 * n);
    for four in &mut fours {
        reflect::<4>(four, n, first, v, scale);
    }
    let rest = fours.into_remainder();
    match rest.len() / n {
        1 => reflect::<1>(rest, n, first, v, scale),
        2 => reflect::<2>(rest, n, first, v, scale),
        3 => reflect::<3>(rest, n, first, v, scale),
        _ => {}
    }
}

/// Puts a random direction in the place of one lane's column `j`, of which the reflections of those before
/// leave the part that is orthogonal to them; gives the square of its length.
fn replace(
    lane: usize,
    (reflectors, column): (&[Lane], &mut [Lane]),
    scales: &[Lane],
    normals: impl FnOnce(&mut [f64]),
) -> f64 {
    let n = column.len();
    let mut own = vec![0.0; n];
    normals(&mut own);
    for (l, (v, scale)) in reflectors.chunks_exact(n).zip(scales).enumerate() {
        let pairs = own.iter().zip(v).skip(l);
        let along: f64 = pairs.map(|(x, v)| x * v[lane]).sum();
        for (x, v) in own.iter_mut().zip(v).skip(l) {
            *x -= along * scale[lane] * v[lane];
        }
    }
    for (place, value) in column.iter_mut().zip(&own) {
        place[lane] = *value;
    }
    let rest = own.iter().skip(scales.len());
    rest.map(|x| x * x).sum()
}

impl Group {
    fn new(shape: Shape) -> Self {
        let Shape { n, k, .. } = shape;
        Self {
            a: vec![ZERO; n * k],
            r: vec![ZERO; k * k],
            found: vec![ZERO; k],
            exponents: vec![[0; WIDTH]; k],
            replaced: [0; WIDTH],
            finite: [true; WIDTH],
        }
    }

    /// The algorithm of `householder::factor`, lane by lane. Lanes without a matrix hold unit vectors.
    #[inline(always)]
    fn factor(&mut self, shape: Shape, mut normals: impl FnMut(usize, usize, &mut [f64])) {
        let Shape { n, k, tolerance } = shape;
        let mut scales = [ZERO; 64];
        let mut signs = [ZERO; 64];
        for j in 0..k {
            let (reflectors, rest) = self.a.split_at_mut(j * n);
            let (column, later) = rest.split_at_mut(n);
            for l in 0..j {
                self.r[l * k + j] = times(&signs[l], &column[l]);
            }
            let whole = squares(&column[..j]);
            let mut square = squares(&column[j..]);
            let mut dependent = [false; WIDTH];
            for t in 0..WIDTH {
                self.found[j][t] = square[t].sqrt();
                dependent[t] = square[t] <= tolerance * tolerance * (whole[t] + square[t]);
                self.r[j * k + j][t] = if dependent[t] { 0.0 } else { self.found[j][t] };
            }
            if dependent.contains(&true) {
                for lane in (0..WIDTH).filter(|lane| dependent[*lane]) {
                    self.replaced[lane] += 1;
                    let parts = (&*reflectors, &mut *column);
                    square[lane] = replace(lane, parts, &scales[..j], |own| normals(lane, j, own));
                }
            }
            for t in 0..WIDTH {
                let (length, first) = (square[t].sqrt(), column[j][t]);
                let sign = if first < 0.0 { 1.0 } else { -1.0 };
                let product = length * (length + first.abs());
                signs[j][t] = sign;
                scales[j][t] = if product > 0.0 { 1.0 / product } else { 0.0 };
                column[j][t] = first - sign * length;
            }
            reflect_all(later, n, j, &column[j..], &scales[j]);
        }
        for j in (0..k).rev() {
            let (column, later) = self.a[j * n..].split_at_mut(n);
            for other in later.chunks_exact_mut(n) {
                other[j] = ZERO;
            }
            reflect_all(later, n, j, &column[j..], &scales[j]);
            let factor: Lane = std::array::from_fn(|t| -signs[j][t] * scales[j][t] * column[j][t]);
            for value in &mut column[j..] {
                *value = times(value, &factor);
            }
            for t in 0..WIDTH {
                column[j][t] += signs[j][t];
            }
            column[..j].fill(ZERO);
        }
    }

    /// Divides columns by the powers of two of their largest elements, lane by lane.
    #[inline(always)]
    fn scale(&mut self, n: usize, is_needed: bool) {
        self.finite = [true; WIDTH];
        for (column, exponents) in self.a.chunks_exact_mut(n).zip(&mut self.exponents) {
            let mut largest = [0u64; WIDTH];
            for value in column.iter() {
                for t in 0..WIDTH {
                    largest[t] = largest[t].max(value[t].to_bits() & (u64::MAX >> 1));
                }
            }
            let mut factor = ZERO;
            for t in 0..WIDTH {
                self.finite[t] &= largest[t] < 0x7ff0_0000_0000_0000;
                exponents[t] = ((largest[t] >> 52) as i32 - 1023).clamp(-1000, 1022);
                factor[t] = power_of_two(-exponents[t]);
            }
            if is_needed {
                for value in column {
                    *value = times(value, &factor);
                }
            } else {
                exponents.fill(0);
            }
        }
    }
}

/// The matrices of one task.
pub(super) fn task<T: Real>(
    qr: &Qr,
    (first, count): (usize, usize),
    piece: &mut Piece<'_, T>,
    outputs: &mut Outputs<'_, T>,
) {
    let shape = qr.shape::<T>();
    let mut group = Group::new(shape);
    let mut factors = Factors::new(shape.k);
    let mut lines = Lines::default();
    let is_whole = qr.column_stride == 1 && qr.row_stride == qr.columns;
    // Nothing but R is wanted, and columns are not scaled.
    let is_plain = outputs.log_r.is_empty() && outputs.status.is_empty() && size_of::<T>() == 4;
    for start in (0..count).step_by(WIDTH) {
        let lanes = WIDTH.min(count - start);
        simd(
            #[inline(always)]
            || {
                if !(is_whole && lines.gather(qr, piece, start, lanes, &mut group.a)) {
                    gather(qr, piece, start, lanes, &mut group.a);
                }
                group.scale(shape.n, size_of::<T>() == 8);
                group.replaced = [0; WIDTH];
                group.factor(shape, |lane, j, own| {
                    qr.normals(first + start + lane, j, own)
                });
                if !(is_whole && lines.scatter(qr, piece, start, lanes, &group)) {
                    scatter(qr, piece, start, lanes, &group);
                }
            },
        );
        if outputs.are_empty() {
            continue;
        }
        if is_plain {
            lines.factors(shape.k, &group, outputs.r, (start, lanes));
            continue;
        }
        for lane in 0..lanes {
            if !group.finite[lane] {
                spoil(shape, outputs, start + lane);
                continue;
            }
            group.of_lane(lane, &mut factors);
            report(&factors, shape, outputs, start + lane);
        }
    }
}

impl Group {
    #[inline(always)]
    fn of_lane(&self, lane: usize, factors: &mut Factors) {
        for (place, value) in factors.r.iter_mut().zip(&self.r) {
            *place = value[lane];
        }
        for (place, value) in factors.found.iter_mut().zip(&self.found) {
            *place = value[lane];
        }
        for (place, value) in factors.exponents.iter_mut().zip(&self.exponents) {
            *place = value[lane];
        }
        factors.replaced = self.replaced[lane];
    }
}

#[inline(always)]
fn gather<T: Real>(qr: &Qr, piece: &Piece<'_, T>, start: usize, lanes: usize, a: &mut [Lane]) {
    let (n, stride) = (qr.rows as usize, qr.row_stride as usize);
    for (j, column) in a.chunks_exact_mut(n).enumerate() {
        let source = piece.column(j);
        if lanes < WIDTH {
            column.fill(ZERO);
            column[j] = [1.0; WIDTH];
        }
        for lane in 0..lanes {
            let own = source.get((start + lane) * qr.batch_stride as usize..);
            let own = own.unwrap_or_default().iter().step_by(stride.max(1));
            for (place, value) in column.iter_mut().zip(own) {
                place[lane] = value.to_f64();
            }
        }
    }
}

#[inline(always)]
fn scatter<T: Real>(qr: &Qr, piece: &mut Piece<'_, T>, start: usize, lanes: usize, group: &Group) {
    let (n, stride) = (qr.rows as usize, qr.row_stride as usize);
    for (j, column) in group.a.chunks_exact(n).enumerate() {
        let target = piece.column_mut(j);
        for lane in 0..lanes {
            let own = target.get_mut((start + lane) * qr.batch_stride as usize..);
            let own = own.unwrap_or_default().iter_mut().step_by(stride.max(1));
            let is_finite = group.finite[lane];
            for (place, value) in own.zip(column) {
                *place = if is_finite {
                    T::from_f64(value[lane])
                } else {
                    T::NAN
                };
            }
        }
    }
}

/// Matrices of contiguous elements on their way into lanes and out of them.
#[derive(Default)]
struct Lines<T> {
    /// A line of lanes for every element.
    across: Vec<T>,
    /// A line of elements for every lane.
    along: Vec<T>,
}

impl<T: Real> Lines<T> {
    /// Room for lines of `count` elements; gives the length of a padded one.
    fn make_room(&mut self, count: usize) -> usize {
        let padded = count.next_multiple_of(GROUP);
        self.across.resize(padded * WIDTH, T::ZERO);
        self.along.resize(padded * WIDTH, T::ZERO);
        padded
    }

    /// Fills the lanes; false if the matrices do not lie as they should.
    #[inline(always)]
    fn gather(
        &mut self,
        qr: &Qr,
        piece: &Piece<'_, T>,
        start: usize,
        lanes: usize,
        a: &mut [Lane],
    ) -> bool {
        let (n, k, apart) = (
            qr.rows as usize,
            qr.columns as usize,
            qr.batch_stride as usize,
        );
        let source = piece.column(0).get(start * apart..).unwrap_or_default();
        if source.len() < (lanes - 1) * apart + n * k {
            return false;
        }
        self.make_room(n * k);
        transpose((source, apart), (&mut self.across, WIDTH), (lanes, n * k));
        for (element, line) in self.across.chunks_exact(WIDTH).take(n * k).enumerate() {
            let (i, j) = (element / k, element % k);
            for (place, value) in a[j * n + i].iter_mut().zip(line) {
                *place = value.to_f64();
            }
        }
        for (j, column) in a.chunks_exact_mut(n).enumerate() {
            column[j][lanes..].fill(1.0);
        }
        true
    }

    /// Writes the lanes back; false as for [`Lines::gather`].
    #[inline(always)]
    fn scatter(
        &mut self,
        qr: &Qr,
        piece: &mut Piece<'_, T>,
        start: usize,
        lanes: usize,
        group: &Group,
    ) -> bool {
        let (n, k, apart) = (
            qr.rows as usize,
            qr.columns as usize,
            qr.batch_stride as usize,
        );
        let target = piece.column_mut(0).get_mut(start * apart..);
        let target = target.unwrap_or_default();
        if target.len() < (lanes - 1) * apart + n * k {
            return false;
        }
        let padded = self.make_room(n * k);
        let lines = self.across.chunks_exact_mut(WIDTH).take(n * k);
        for (element, line) in lines.enumerate() {
            let (i, j) = (element / k, element % k);
            for (place, value) in line.iter_mut().zip(&group.a[j * n + i]) {
                *place = T::from_f64(*value);
            }
        }
        self.turn(n * k, padded);
        for lane in 0..lanes {
            let own = &mut target[lane * apart..][..n * k];
            match group.finite[lane] {
                true => own.copy_from_slice(&self.along[lane * padded..][..n * k]),
                false => own.fill(T::NAN),
            }
        }
        true
    }

    /// Lines of elements from lines of lanes.
    #[inline(always)]
    fn turn(&mut self, count: usize, padded: usize) {
        let source = (&self.across[..], WIDTH);
        transpose(source, (&mut self.along, padded), (count, WIDTH));
    }

    /// Writes R of the lanes, whose columns were not scaled.
    fn factors(&mut self, k: usize, group: &Group, r: &mut [T], (start, lanes): (usize, usize)) {
        let padded = self.make_room(k * k);
        simd(
            #[inline(always)]
            || {
                let largest = f64::from(f32::MAX);
                let lines = self.across.chunks_exact_mut(WIDTH).zip(&group.r);
                for (element, (line, values)) in lines.enumerate() {
                    let upper = element % k >= element / k;
                    for (place, value) in line.iter_mut().zip(values) {
                        let value = value.clamp(-largest, largest);
                        *place = T::from_f64(if upper { value } else { 0.0 });
                    }
                }
            },
        );
        self.turn(k * k, padded);
        let places = r.chunks_exact_mut(k * k).skip(start).take(lanes);
        for (lane, own) in places.enumerate() {
            match group.finite[lane] {
                true => own.copy_from_slice(&self.along[lane * padded..][..k * k]),
                false => own.fill(T::NAN),
            }
        }
    }
}
