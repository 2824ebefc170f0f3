//! Covariant Lyapunov vectors: the directions that grow with the single exponents, forward and backward.

use super::error::{LyapunovError, shape};
use super::logs::Logs;
use crate::analysis::matrices::{dot, singular_values_of};
use attractor_kernels::philox::philox4x32;
use std::ops::Range;

/// Tells these random numbers from all others of a seed.
const STREAM: u32 = 0x6c76_c0fa;

/// What a measured orbit leaves behind: `DF(x_t) Q_t = Q_{t+1} R_{t+1}` between successive QR events.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// `Q_0, ..., Q_T`, `[events + 1, rows, columns]`, orthonormal columns.
    pub bases: &'a [f64],
    /// `R_1, ..., R_T`, `[events, columns, columns]`, upper triangular.
    pub factors: &'a [f64],
    /// Numbers of the state.
    pub rows: usize,
    /// Tangents.
    pub columns: usize,
}

impl History<'_> {
    fn events(&self) -> usize {
        let square = self.columns.saturating_mul(self.columns);
        self.factors.len().checked_div(square).unwrap_or(0)
    }

    fn check(&self) -> Result<(), LyapunovError> {
        let (n, k) = (self.rows, self.columns);
        if k == 0 || n < k {
            let expected = "at least one column and as many rows";
            return Err(shape("bases", expected, format!("{n} x {k}")));
        }
        let events = self.events();
        if events == 0 || self.factors.len() != events * k * k {
            let expected = format!("matrices {k} x {k}, at least one");
            return Err(shape("factors R", expected, self.factors.len()));
        }
        let basis = n.saturating_mul(k);
        if self.bases.len() != basis.saturating_mul(events + 1) {
            let expected = format!("{} matrices {n} x {k}", events + 1);
            return Err(shape("bases", expected, self.bases.len()));
        }
        let places = [
            ("bases", self.bases, basis),
            ("factors R", self.factors, k * k),
        ];
        for (what, values, size) in places {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(LyapunovError::NotFinite {
                    what,
                    event: at / size,
                    column: at % k,
                });
            }
        }
        Ok(())
    }
}

/// Covariant vectors over a window of times.
#[derive(Debug, Clone, PartialEq)]
pub struct CovariantVectors {
    /// The first time, counted in events.
    pub start: usize,
    /// Numbers of the state.
    pub rows: usize,
    /// Vectors of a time.
    pub columns: usize,
    /// Unit vectors, `[times, rows, columns]`: column j grows with exponent j.
    pub vectors: Vec<f64>,
    /// Their coordinates in Q, `[times, columns, columns]`, upper triangular.
    pub coordinates: Vec<f64>,
    /// `ln |DF v|` of every vector of every time, `[times, columns]`: local exponents over the event after
    /// the time; those of the last time of the orbit, which no event follows, are NaN.
    pub growth: Vec<f64>,
}

/// Covariant vectors at the times of a window, among `0..=events`, by the backward recursion of Ginelli et
/// al., "Characterizing dynamics with covariant Lyapunov vectors", PRL 99, 2007: `C_t = R_{t+1}^-1
/// C_{t+1}` with unit columns, from a random upper triangular `C` at the end of the orbit; `V_t = Q_t C_t`.
///
/// The bases converge from the start of the orbit and the coordinates from its end: times near either are
/// not converged, and a window should leave both out.
///
/// # Errors
/// [`LyapunovError`] if shapes do not fit, a number is not finite, the window is empty or beyond the
/// orbit, or an R has no inverse, as after a tangent was replaced.
pub fn covariant_vectors(
    history: &History<'_>,
    window: Range<usize>,
    seed: u64,
) -> Result<CovariantVectors, LyapunovError> {
    history.check()?;
    let (n, k, events) = (history.rows, history.columns, history.events());
    if window.is_empty() || window.end > events + 1 {
        return Err(LyapunovError::Window {
            start: window.start,
            end: window.end,
            events: events + 1,
        });
    }
    let mut found = CovariantVectors {
        start: window.start,
        rows: n,
        columns: k,
        vectors: Vec::with_capacity(window.len() * n * k),
        coordinates: Vec::with_capacity(window.len() * k * k),
        growth: Vec::with_capacity(window.len() * k),
    };
    // Gathered from the last time backward, put in order at the end.
    let mut coordinates = Vec::new();
    let mut growth = Vec::new();
    let mut c = first_coordinates(k, seed);
    let mut grown = vec![f64::NAN; k];
    for time in (window.start..=events).rev() {
        if let Some(r) = history.factors.get(time * k * k..(time + 1) * k * k) {
            grown = step_back(r, &mut c, k).map_err(|column| LyapunovError::Singular {
                event: time,
                column,
            })?;
        }
        if window.contains(&time) {
            coordinates.push(c.clone());
            growth.push(grown.clone());
        }
    }
    let times = window.zip(coordinates.iter().rev().zip(growth.iter().rev()));
    for (time, (c, grown)) in times {
        let basis = history.bases.get(time * n * k..(time + 1) * n * k);
        for q in basis.unwrap_or_default().chunks(k) {
            found.vectors.extend((0..k).map(|j| {
                let column = c.iter().skip(j).step_by(k);
                q.iter().zip(column).map(|(q, c)| q * c).sum::<f64>()
            }));
        }
        found.coordinates.extend(c);
        found.growth.extend(grown);
    }
    Ok(found)
}

/// A random upper triangular matrix with unit columns, far from singular.
fn first_coordinates(k: usize, seed: u64) -> Vec<f64> {
    let key = [seed as u32, (seed >> 32) as u32];
    let mut c = vec![0.0; k * k];
    for (at, value) in c.iter_mut().enumerate() {
        let (row, column) = (at / k, at % k);
        let [word, ..] = philox4x32([at as u32, (at >> 32) as u32, 0, STREAM], key);
        *value = match row.cmp(&column) {
            std::cmp::Ordering::Less => f64::from(word) / 4_294_967_296.0 - 0.5,
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => 0.0,
        };
    }
    normalise(&mut c, k);
    c
}

/// Makes columns unit vectors; gives their lengths.
fn normalise(c: &mut [f64], k: usize) -> Vec<f64> {
    let length = |j: usize| {
        let column = || c.iter().skip(j).step_by(k);
        // Scaled, so that squares neither overflow nor vanish.
        let largest = column().fold(0.0_f64, |most, value| most.max(value.abs()));
        let squares = column().map(|value| (value / largest).powi(2));
        largest * squares.sum::<f64>().sqrt()
    };
    let lengths: Vec<f64> = (0..k).map(length).collect();
    for row in c.chunks_mut(k) {
        for (value, length) in row.iter_mut().zip(&lengths) {
            *value /= length;
        }
    }
    lengths
}

/// `C <- R^-1 C` with unit columns; gives the logs of what DF does to the lengths, or the first column
/// for which there is no inverse.
fn step_back(r: &[f64], c: &mut [f64], k: usize) -> Result<Vec<f64>, usize> {
    let entry = |row: usize, column: usize| r.get(row * k + column).copied().unwrap_or(0.0);
    for i in (0..k).rev() {
        let diagonal = entry(i, i);
        // Subnormal numbers have lost their digits.
        if !diagonal.is_normal() {
            return Err(i);
        }
        let (above, below) = c.split_at_mut((i + 1) * k);
        let Some(row) = above.get_mut(i * k..) else {
            continue;
        };
        for (offset, lower) in below.chunks(k).enumerate() {
            let factor = entry(i, i + 1 + offset);
            row.iter_mut()
                .zip(lower)
                .for_each(|(value, lower)| *value -= factor * lower);
        }
        row.iter_mut().for_each(|value| *value /= diagonal);
    }
    let lengths = normalise(c, k);
    match lengths.iter().position(|length| !length.is_normal()) {
        Some(column) => Err(column),
        None => Ok(lengths.iter().map(|length| -length.ln()).collect()),
    }
}

impl CovariantVectors {
    /// Times of the window.
    pub fn times(&self) -> usize {
        self.growth.len() / self.columns
    }

    /// Mean growth of every vector over the window's events: exponents per event. None for a window of the
    /// orbit's last time alone.
    pub fn exponents(&self) -> Option<Vec<f64>> {
        let followed = self.growth.chunks(self.columns);
        let followed = followed.filter(|row| row.iter().all(|value| value.is_finite()));
        let rows: Vec<&[f64]> = followed.collect();
        let time = rows.len() as f64;
        let logs = Logs::new(rows.concat(), self.columns, 1.0).ok()?;
        let sums = logs.sums(0..rows.len()).ok()?;
        Some(sums.into_iter().map(|sum| sum / time).collect())
    }

    /// Angles between the lines of all pairs of vectors, in radians from 0 to pi/2: `[times, pairs]` with
    /// pairs (0, 1), (0, 2), ..., (1, 2), ...
    pub fn angles(&self) -> Vec<f64> {
        let k = self.columns;
        let mut angles = Vec::with_capacity(self.times() * k * k.saturating_sub(1) / 2);
        for c in self.coordinates.chunks(k * k) {
            let column = |j: usize| c.iter().skip(j).step_by(k);
            for i in 0..k {
                for j in i + 1..k {
                    let dot: f64 = column(i).zip(column(j)).map(|(a, b)| a * b).sum();
                    // What is left of j beside i: small angles keep their digits.
                    let rest = column(i).zip(column(j)).map(|(a, b)| (b - dot * a).powi(2));
                    angles.push(rest.sum::<f64>().sqrt().atan2(dot.abs()));
                }
            }
        }
        angles
    }

    /// The smallest angle between a direction of the first `leading` vectors and one of the others, at
    /// every time, in radians: how far expanding and contracting directions are from touching. Touching
    /// others give 0.
    ///
    /// # Errors
    /// [`LyapunovError::Shape`] unless both sides have a vector.
    pub fn splitting_angles(&self, leading: usize) -> Result<Vec<f64>, LyapunovError> {
        let k = self.columns;
        if leading == 0 || leading >= k {
            let expected = format!("1 to {}", k.saturating_sub(1));
            return Err(shape("leading vectors", expected, leading));
        }
        let times = self.coordinates.chunks(k * k);
        Ok(times.map(|c| splitting_angle(c, k, leading)).collect())
    }
}

/// In coordinates the leading vectors span the first axes, so that the sine of the angle is the smallest
/// singular value of what an orthonormal basis of the others has in the remaining ones.
fn splitting_angle(c: &[f64], k: usize, leading: usize) -> f64 {
    let mut others: Vec<Vec<f64>> = Vec::new();
    for j in leading..k {
        let mut column: Vec<f64> = c.iter().skip(j).step_by(k).copied().collect();
        // Twice is enough (Kahan, Parlett).
        for _ in 0..2 {
            for other in &others {
                let along = dot(&column, other);
                subtract(&mut column, along, other);
            }
            let length = dot(&column, &column).sqrt();
            if length.is_nan() || length < f64::MIN_POSITIVE {
                return 0.0;
            }
            column.iter_mut().for_each(|value| *value /= length);
        }
        others.push(column);
    }
    let parts = others.iter().map(|column| column[leading..].to_vec());
    let sines = singular_values_of(parts.collect());
    sines.last().map_or(0.0, |sine| sine.min(1.0).asin())
}

fn subtract(a: &mut [f64], factor: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a -= factor * b);
}

#[cfg(test)]
mod tests;
