//! Small networks: a flow along its solver, latent dynamics under recorded actions.
//!
//! Their goldens were computed before the weights were rounded to single precision, so that even double
//! precision agrees with them to that only.

use super::super::super::checks::{CaseError, Checks};
use super::case::{MapCase, engine};
use super::measured::{Begin, means, measure};
use crate::models::dynamics::LatentDynamics;
use crate::models::mlp::{LayerNames, Mlp, Nonlinearity};
use crate::samplers::flow::{Method, mlp_map};
use attractor_kernels::Activation;

/// The same first tangents, `[n, k]`, for every example.
fn repeated(tangents: &[f64], batch: usize) -> Vec<f64> {
    tangents.repeat(batch)
}

/// A flow network `W3 silu(W2 silu(W1 [x; t] + b1) + b2) + b3`, of any number of layers.
pub(super) fn check_flow(case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (n, steps) = (case.size("d")?, case.size("steps")?);
    let layers = (1..).take_while(|layer| case.has_tensor(&format!("W{layer}")));
    let layers = layers.count();
    let silu = Nonlinearity::Activation(Activation::SILU);
    let names: Vec<LayerNames> = (1..=layers)
        .map(|layer| {
            let last = layer == layers;
            let nonlinearity = if last { Nonlinearity::None } else { silu };
            let name = |letter: &str| case.see_tensor(&format!("{letter}{layer}"));
            LayerNames::plain(name("W"), name("b"), nonlinearity)
        })
        .collect();
    let mlp = Mlp::read(case.arrays(), &names).map_err(engine)?;
    let hidden = case.size("hidden")?;
    let (width, _) = case.tensor("b1")?;
    checks.equal("hidden", &width, &[hidden]);
    let (shape, tangents) = case.tensor("Q0")?;
    let (batch, state) = case.tensor("x0")?;
    let (&[rows, k], &[batch, width]) = (&shape[..], &batch[..]) else {
        return Err(engine(format!(
            "Q0 {shape:?}, x0 {batch:?}: expected matrices"
        )));
    };
    if rows != n || width != n || k == 0 {
        let reason = format!("Q0 {shape:?}, x0 [{batch}, {width}]: expected {n} rows and columns");
        return Err(engine(reason));
    }
    let begin = Begin {
        state,
        tangents: repeated(&tangents, batch),
        columns: k,
    };
    let double = case.is_double();
    for integrator in case.get("integrators")?.elements()? {
        let name = integrator.as_text()?;
        let method: Method = name.parse().map_err(CaseError::Unsupported)?;
        let map = mlp_map(&mlp, batch, method, steps).map_err(engine)?;
        let found = measure(&map, &begin, steps, false, case.device)?;
        let what = format!("x_end_{name}");
        let end = case.shaped(&what, &[batch, n])?;
        checks.close(&what, &found.end, &end, if double { 5e-7 } else { 5e-6 });
        let what = format!("logR_{name}");
        let logs = case.shaped(&what, &[batch, steps, k])?;
        checks.close(&what, &found.logs, &logs, if double { 5e-8 } else { 5e-6 });
    }
    Ok(())
}

/// Latent dynamics `SimNorm(A2 mish(A1 [z; a] + c1) + c2)`, of any number of layers.
pub(super) fn check_dynamics(case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let (latent, action) = (case.size("latent")?, case.size("action")?);
    let (steps, k) = (case.size("horizon")?, case.size("k")?);
    let group = case.size("simnorm_group")?;
    let layers = (1..).take_while(|layer| case.has_tensor(&format!("A{layer}")));
    let layers = layers.count();
    let names: Vec<LayerNames> = (1..=layers)
        .map(|layer| {
            let nonlinearity = match layer == layers {
                true => Nonlinearity::SimNorm { group },
                false => Nonlinearity::Activation(Activation::MISH),
            };
            let name = |letter: &str| case.see_tensor(&format!("{letter}{layer}"));
            LayerNames::plain(name("A"), name("c"), nonlinearity)
        })
        .collect();
    let mlp = Mlp::read(case.arrays(), &names).map_err(engine)?;
    let model = LatentDynamics::new(mlp).map_err(engine)?;
    checks.equal(
        "latent and action",
        &[model.latent(), model.action()],
        &[latent, action],
    );
    let (shape, state) = case.tensor("z0")?;
    let batch = shape.first().copied().unwrap_or(0);
    let actions = case.shaped("actions", &[batch, steps, action])?;
    let map = model.map(batch, steps, &actions).map_err(engine)?;
    let begin = Begin {
        state,
        tangents: repeated(&case.shaped("Q0", &[latent, k])?, batch),
        columns: k,
    };
    let found = measure(&map, &begin, steps, false, case.device)?;
    let double = case.is_double();
    let end = case.shaped("z_end", &[batch, latent])?;
    checks.close("z_end", &found.end, &end, if double { 1e-7 } else { 1e-6 });
    let logs = case.shaped("logR", &[batch, steps, k])?;
    // Weights rounded by 3e-8 move these logs by up to 1.5e-6 over a dozen contracting steps.
    let tolerance = if double { 5e-6 } else { 2e-5 };
    checks.close("logR", &found.logs, &logs, tolerance);
    let spectra = case.get("lyap")?.elements()?;
    checks.equal("spectra", &[spectra.len()], &[batch]);
    let measured = found.logs.chunks((steps * k).max(1));
    for (example, (spectrum, logs)) in spectra.iter().zip(measured).enumerate() {
        let expected = spectrum.elements()?;
        let expected: Result<Vec<f64>, CaseError> =
            expected.iter().map(|number| number.as_number()).collect();
        let what = format!("lyap of example {example}");
        checks.close(&what, &means(logs, k, 1.0)?, &expected?, tolerance);
    }
    Ok(())
}
