//! Finite-time fields of flows in the plane: flow map, exponents from tangents and from differences.

use super::super::super::checks::{CaseError, Checks};
use super::case::{MapCase, engine};
use super::classical::system;
use crate::analysis::ftle_field::{FieldRequest, FtleField, Grid, by_differences, ftle_field};
use crate::device::Device;

/// Growth of an error over the whole time beyond which single precision says nothing of a point.
const MOST_GROWTH: f64 = 300.0;

/// Tolerances of one precision: what an error is at first, and what exponents have beside it.
struct Precision {
    at: &'static str,
    rounding: f64,
    exponent: f64,
    most_growth: f64,
}

/// The stored field.
struct Golden {
    x: Vec<f64>,
    y: Vec<f64>,
    variational: Option<Vec<f64>>,
    differences: Option<Vec<f64>>,
}

pub(super) fn check(case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let request = request(case)?;
    let shape = [request.grid.ny, request.grid.nx];
    let optional = |name: &str| case.has_tensor(name).then(|| case.shaped(name, &shape));
    let golden = Golden {
        x: case.shaped("flowmap_x", &shape)?,
        y: case.shaped("flowmap_y", &shape)?,
        variational: optional("ftle_variational").transpose()?,
        differences: optional("ftle_grid_fd").transpose()?,
    };
    let exact = ftle_field(&Device::cpu_f64(), &request).map_err(engine)?;
    let double = Precision {
        at: "",
        rounding: 1e-12,
        exponent: 1e-9,
        most_growth: f64::INFINITY,
    };
    compare(&double, &golden, &exact, &exact, checks);
    if let Some(expected) = &golden.differences {
        // Of the stored flow map, whatever the engine's own.
        let found = by_differences(&request.grid, &golden.x, &golden.y, request.span);
        checks.close("ftle_grid_fd of the flow map", &found, expected, 1e-10);
    }
    if let (Some(node), Some(values)) = (case.find("max_var"), &golden.variational) {
        let largest = values.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        checks.close("max_var", &[largest], &[node.as_number()?], 1e-12);
    }
    if !case.is_double() {
        let found = ftle_field(case.device, &request).map_err(engine)?;
        let single = Precision {
            at: " on the device",
            rounding: 1e-5,
            exponent: 2e-5,
            most_growth: MOST_GROWTH,
        };
        compare(&single, &golden, &exact, &found, checks);
    }
    Ok(())
}

fn request(case: &MapCase<'_>) -> Result<FieldRequest, CaseError> {
    let system = system(case)?;
    let domain = match case.has_key("domain") {
        true => case.list("domain")?,
        false => system.domain().unwrap_or_default().to_vec(),
    };
    let domain = <[f64; 4]>::try_from(domain.as_slice()).map_err(|_| {
        engine(format!(
            "domain: expected 4 numbers, found {}",
            domain.len()
        ))
    })?;
    let start = case.find("t0").map(|node| node.as_number()).transpose()?;
    Ok(FieldRequest {
        system,
        grid: Grid {
            domain,
            nx: case.size("nx")?,
            ny: case.size("ny")?,
        },
        start: start.unwrap_or(0.0),
        span: case.number("T")?,
    })
}

/// Compares point by point, an error counting as much less as the flow makes it grow.
fn compare(
    precision: &Precision,
    golden: &Golden,
    exact: &FtleField,
    found: &FtleField,
    checks: &mut Checks,
) {
    let span = exact.span.abs();
    let growth: Vec<f64> = exact.variational.iter().map(|e| (e * span).exp()).collect();
    let scaled = |values: &[f64], size: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let pairs = values.iter().zip(&growth);
        let comparable = pairs.filter(|(_, growth)| **growth <= precision.most_growth);
        comparable
            .map(|(value, growth)| value / size(*growth))
            .collect()
    };
    let mut close =
        |name: &str, found: &[f64], expected: &[f64], size: &dyn Fn(f64) -> f64, tolerance| {
            let what = format!("{name}{}", precision.at);
            checks.close(
                &what,
                &scaled(found, size),
                &scaled(expected, size),
                tolerance,
            );
        };
    let position = |growth: f64| 1.0 + growth;
    close(
        "flowmap_x",
        &found.flow_map_x,
        &golden.x,
        &position,
        precision.rounding,
    );
    close(
        "flowmap_y",
        &found.flow_map_y,
        &golden.y,
        &position,
        precision.rounding,
    );
    // An error of a position is one of the gradient there, once more times the growth at most; over the time.
    let share = precision.rounding / precision.exponent / span;
    let exponent = |growth: f64| 1.0 + share * growth * growth.min(1e3);
    if let Some(expected) = &golden.variational {
        close(
            "ftle_variational",
            &found.variational,
            expected,
            &exponent,
            precision.exponent,
        );
    }
    if let Some(expected) = &golden.differences {
        close(
            "ftle_grid_fd",
            &found.differences,
            expected,
            &exponent,
            precision.exponent,
        );
    }
}
