//! Finite-time Lyapunov exponents over a grid of initial states in the plane (Shadden, Lekien, Marsden,
//! Physica D 212, 2005): ln of the largest singular value of the flow map's gradient, over the time.

use crate::device::Device;
use crate::models::classical::{ClassicalError, System};
use crate::samplers::ensemble::{EnsembleError, SpectrumRequest, spectrum};
use thiserror::Error;

/// What can go wrong with a field.
#[derive(Debug, Error)]
pub enum FieldError {
    /// A setting is out of range.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// Setting.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The system does not take a setting.
    #[error(transparent)]
    System(#[from] ClassicalError),
    /// The trajectories could not be integrated.
    #[error(transparent)]
    Ensemble(#[from] EnsembleError),
}

fn setting<T>(name: &'static str, expected: &str, found: impl ToString) -> Result<T, FieldError> {
    Err(FieldError::Setting {
        name,
        expected: expected.into(),
        found: found.to_string(),
    })
}

/// Equally spaced points of a rectangle, its edges among them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Left and right edge, lower and upper edge.
    pub domain: [f64; 4],
    /// Points across, at least 2.
    pub nx: usize,
    /// Points up, at least 2.
    pub ny: usize,
}

impl Grid {
    /// Points of one axis.
    fn axis([low, high]: [f64; 2], count: usize) -> Vec<f64> {
        let step = (high - low) / (count.max(2) - 1) as f64;
        let at = |i: usize| {
            if i + 1 == count {
                high
            } else {
                low + step * i as f64
            }
        };
        (0..count).map(at).collect()
    }

    /// Positions across.
    pub fn xs(&self) -> Vec<f64> {
        Self::axis([self.domain[0], self.domain[1]], self.nx)
    }

    /// Positions up.
    pub fn ys(&self) -> Vec<f64> {
        Self::axis([self.domain[2], self.domain[3]], self.ny)
    }

    /// All points `[ny, nx, 2]`, rows from the lower edge up.
    pub fn points(&self) -> Vec<f64> {
        let xs = self.xs();
        let rows = self.ys().into_iter();
        rows.flat_map(|y| xs.iter().flat_map(move |x| [*x, y]).collect::<Vec<_>>())
            .collect()
    }

    fn check(&self) -> Result<(), FieldError> {
        let [left, right, low, high] = self.domain;
        let ordered = left < right && low < high;
        if !ordered || !self.domain.iter().all(|edge| (*edge as f32).is_finite()) {
            let expected = "finite edges, left under right and lower under upper";
            return setting("domain", expected, format!("{:?}", self.domain));
        }
        for (name, count) in [("nx", self.nx), ("ny", self.ny)] {
            if count < 2 {
                return setting(name, "at least 2 points", count);
            }
        }
        let count = self.nx.saturating_mul(self.ny);
        if count > Self::MOST {
            return setting(
                "nx",
                &format!("at most {} points in all", Self::MOST),
                count,
            );
        }
        Ok(())
    }

    /// Most points of a grid.
    pub const MOST: usize = 1 << 26;
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct FieldRequest {
    /// A system of two numbers, with its step size.
    pub system: System,
    /// Initial states.
    pub grid: Grid,
    /// Time at the start.
    pub start: f64,
    /// Length of time; negative goes back, which only flows do. Iterations of a map.
    pub span: f64,
}

/// A field over a grid; values are `[ny, nx]`, rows from the lower edge up.
#[derive(Debug, Clone)]
pub struct FtleField {
    /// The grid.
    pub grid: Grid,
    /// Length of time, or iterations.
    pub span: f64,
    /// Steps of every trajectory.
    pub steps: u32,
    /// Where the points are after the time: first numbers
    pub flow_map_x: Vec<f64>,
    /// and second ones.
    pub flow_map_y: Vec<f64>,
    /// Exponents from tangents that are carried along (the variational equation, discrete-exact).
    pub variational: Vec<f64>,
    /// Exponents from differences of neighbours in the flow map, central ones inside and one-sided ones
    /// on the edges.
    pub differences: Vec<f64>,
    /// Trajectories that ran off to infinity; their exponents, and those by differences beside them, are
    /// NaN.
    pub invalid: usize,
}

/// Steps of size about `step` that make up `span`, and their exact size.
fn steps_of(system: &System, span: f64) -> Result<(u32, f64), FieldError> {
    let usual = system.step_time();
    let count = (span / usual).abs().round();
    if !span.is_finite() || span == 0.0 {
        return setting("span", "a finite time, not 0", span);
    }
    if !(1.0..=f64::from(u32::MAX)).contains(&count) {
        let expected = format!("1 to 2^32 - 1 steps of {usual}");
        return setting("span", &expected, format!("{span}: {count} of them"));
    }
    if !system.dynamics.is_flow() {
        return match count == span {
            true => Ok((count as u32, 1.0)),
            false => setting("span", "a whole number of iterations, above 0", span),
        };
    }
    Ok((count as u32, span / count))
}

/// Computes a field on a device: one trajectory with two tangents a point.
///
/// # Errors
/// [`FieldError`] for a system that is not of two numbers, settings out of range, or a device that failed.
pub fn ftle_field(device: &Device, request: &FieldRequest) -> Result<FtleField, FieldError> {
    let mut system = request.system.clone();
    if system.dimension() != 2 {
        let found = format!("{} of dimension {}", system.name(), system.dimension());
        return setting("system", "one of two numbers", found);
    }
    request.grid.check()?;
    let (steps, size) = steps_of(&system, request.span)?;
    if system.dynamics.is_flow() {
        system.set_step(size)?;
    }
    let run = spectrum(
        device,
        &SpectrumRequest {
            starts: request.grid.points(),
            transient: 0,
            reorthonormalise_every: 0,
            start_time: request.start,
            ..SpectrumRequest::new(&system, steps)
        },
    )?;
    let component = |values: &[f64], d: usize| -> Vec<f64> {
        values.iter().skip(d).step_by(2).copied().collect()
    };
    let valid: Vec<bool> = run.invalid.iter().map(Option::is_none).collect();
    let kept = |values: Vec<f64>| -> Vec<f64> {
        let pairs = values.into_iter().zip(&valid);
        pairs
            .map(|(value, valid)| if *valid { value } else { f64::NAN })
            .collect()
    };
    let (x, y) = (
        kept(component(&run.state, 0)),
        kept(component(&run.state, 1)),
    );
    let (first, second) = run.basis.split_at(run.basis.len() / 2);
    let columns = first.chunks_exact(2).zip(second.chunks_exact(2));
    let variational = columns.map(|(a, b)| exponent([a[0], b[0], a[1], b[1]], request.span));
    Ok(FtleField {
        grid: request.grid,
        span: request.span,
        steps,
        variational: kept(variational.collect()),
        differences: by_differences(&request.grid, &x, &y, request.span),
        flow_map_x: x,
        flow_map_y: y,
        invalid: run.invalid_count(),
    })
}

/// ln of the larger singular value of \[\[a, b\], \[c, d\]\], over the time.
fn exponent([a, b, c, d]: [f64; 4], span: f64) -> f64 {
    // Half the sum of the lengths that the conformal and the anticonformal part give.
    let largest = 0.5 * ((a + d).hypot(c - b) + (a - d).hypot(b + c));
    largest.ln() / span.abs()
}

/// Exponents by differences of a flow map `[ny, nx]` over a grid: central ones inside, one-sided ones on the
/// edges.
pub fn by_differences(grid: &Grid, x: &[f64], y: &[f64], span: f64) -> Vec<f64> {
    let (xs, ys) = (grid.xs(), grid.ys());
    let value = |values: &[f64], column: usize, row: usize| {
        let place = values.get(row * grid.nx + column);
        place.copied().unwrap_or(f64::NAN)
    };
    let ends = |at: usize, count: usize| (at.saturating_sub(1), (at + 1).min(count - 1));
    let distance = |axis: &[f64], (low, high): (usize, usize)| match (axis.get(low), axis.get(high))
    {
        (Some(low), Some(high)) => high - low,
        _ => f64::NAN,
    };
    let points = (0..grid.ny).flat_map(|row| (0..grid.nx).map(move |column| (column, row)));
    points
        .map(|(column, row)| {
            let across = ends(column, grid.nx);
            let up = ends(row, grid.ny);
            let (dx, dy) = (distance(&xs, across), distance(&ys, up));
            let by_x =
                |values: &[f64]| (value(values, across.1, row) - value(values, across.0, row)) / dx;
            let by_y =
                |values: &[f64]| (value(values, column, up.1) - value(values, column, up.0)) / dy;
            exponent([by_x(x), by_y(x), by_x(y), by_y(y)], span)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(system: &str, span: f64) -> FieldRequest {
        FieldRequest {
            system: System::parse(system).expect("a system"),
            grid: Grid {
                domain: [0.0, 2.0, 0.0, 1.0],
                nx: 9,
                ny: 5,
            },
            start: 0.0,
            span,
        }
    }

    #[test]
    fn the_largest_singular_value_of_known_matrices() {
        assert!((exponent([3.0, 0.0, 0.0, -0.5], 2.0) - 3.0_f64.ln() / 2.0).abs() < 1e-15);
        assert!((exponent([0.0, 0.25, 4.0, 0.0], -2.0) - 4.0_f64.ln() / 2.0).abs() < 1e-15);
        // A shear: sigma - 1 / sigma is its strength.
        let sigma = exponent([1.0, 2.0, 0.0, 1.0], 1.0).exp();
        assert!((sigma - 1.0 / sigma - 2.0).abs() < 1e-14);
    }

    /// A linear field has the same exponent everywhere, and differences are exact there.
    #[test]
    fn both_methods_agree_on_a_linear_field() {
        let mut request = request("oscillator", 3.0);
        request.system.set("stiffness", -1.0).expect("a parameter");
        request.system.set("damping", 0.0).expect("a parameter");
        let field = ftle_field(&Device::cpu_f64(), &request).expect("a field");
        for (found, other) in field.variational.iter().zip(&field.differences) {
            // x'' = x: symmetric, with eigenvalues 1 and -1.
            assert!((found - 1.0).abs() < 1e-8, "{found}");
            assert!((found - other).abs() < 1e-12, "{found} {other}");
        }
        request.span = -3.0;
        let back = ftle_field(&Device::cpu_f64(), &request).expect("a field");
        assert!((back.variational[7] - 1.0).abs() < 1e-8);
    }

    #[test]
    fn what_runs_away_is_counted() {
        let mut request = request("henon", 12.0);
        request.grid.domain = [-3.0, 3.0, -1.0, 1.0];
        let field = ftle_field(&Device::cpu(), &request).expect("a field");
        let nan = field.variational.iter().filter(|v| v.is_nan()).count();
        assert!(field.invalid > 0 && field.invalid < 45);
        assert_eq!(nan, field.invalid);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let refused = |request: FieldRequest, name: &str| {
            match ftle_field(&Device::cpu(), &request) {
                Err(FieldError::Setting { name: found, .. }) => assert_eq!(found, name),
                other => panic!("expected {name} to be refused, got {other:?}"),
            };
        };
        refused(request("lorenz63", 1.0), "system");
        for span in [0.0, f64::NAN, f64::INFINITY, 1e-9, 1e30] {
            refused(request("double_gyre", span), "span");
        }
        refused(request("henon", -3.0), "span");
        refused(request("henon", 2.5), "span");
        let grid = |nx, ny, domain| FieldRequest {
            grid: Grid { domain, nx, ny },
            ..request("double_gyre", 1.0)
        };
        refused(grid(1, 5, [0.0, 2.0, 0.0, 1.0]), "nx");
        refused(grid(5, 0, [0.0, 2.0, 0.0, 1.0]), "ny");
        refused(grid(1 << 20, 1 << 20, [0.0, 2.0, 0.0, 1.0]), "nx");
        refused(grid(5, 5, [2.0, 0.0, 0.0, 1.0]), "domain");
        refused(grid(5, 5, [0.0, f64::NAN, 0.0, 1.0]), "domain");
    }
}
