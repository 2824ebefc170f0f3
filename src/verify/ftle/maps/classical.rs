//! Textbook maps and flows: logarithms of single steps, long averages, sum rules.
//!
//! A chaotic orbit hangs on every rounding. In double precision the engine does the arithmetic of the
//! formulas in their usual order, and so does whoever writes a plain program. Where the stored logarithms
//! show that both did, they must agree closely, and elsewhere as far as the growth of errors allows; long
//! averages as two finite runs do, and their sum as the determinant says. A device of single precision does
//! single steps from the states of the orbit in double precision, and the long average.

use super::super::super::checks::{CaseError, Checks};
use super::case::{MapCase, engine};
use crate::device::Device;
use crate::models::classical::{Motion, System};
use crate::samplers::ensemble::{SpectrumRequest, SpectrumResult, spectrum};
use attractor_kernels::ode_ensemble::OdeMethod;
use attractor_kernels::tangent_ensemble::DynamicalSystem;

/// Logarithms and averages of the same orbit in double precision.
const SAME: f64 = 1e-9;
/// Logarithms of single steps in single precision, of well-conditioned columns.
const SINGLE: f64 = 2e-5;
/// The share of the longest column that rounding to single precision may take from another.
const ROUNDED: f64 = 2e-6;

/// What a case asks for.
struct Asked {
    system: System,
    k: usize,
    transient: u32,
    steps: u32,
    start: Vec<f64>,
    x0: Vec<f64>,
    /// `[k, dimension]`.
    basis: Vec<f64>,
}

fn count(case: &MapCase<'_>, keys: &[&str]) -> Result<Option<u32>, CaseError> {
    for key in keys {
        if let Some(node) = case.find(key) {
            let size = u32::try_from(node.as_size()?);
            return size.map(Some).map_err(|_| node.wrong("a count of steps"));
        }
    }
    Ok(None)
}

/// The system that an entry or its name tells: the longest name that is part of it.
pub(super) fn system(case: &MapCase<'_>) -> Result<System, CaseError> {
    let told = ["system", "map", "flow"]
        .iter()
        .find_map(|key| case.find(key));
    let told = told.as_ref().map(|node| node.as_text()).transpose()?;
    let plain = |name: &str| -> String {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        letters.collect::<String>().to_ascii_lowercase()
    };
    let whole = plain(told.unwrap_or(case.name));
    let names = System::names().into_iter();
    let named = names.filter(|name| whole.contains(&plain(name)));
    let Some(name) = named.max_by_key(|name| name.len()) else {
        return Err(CaseError::Unsupported(format!("no system in {whole:?}")));
    };
    let mut system = System::parse(name).map_err(engine)?;
    for (name, _) in system.parameters().to_vec() {
        let initial = &name[..1];
        let spellings = match name {
            "amplitude" | "epsilon" => vec![name, initial, "A", "eps"],
            _ => vec![name],
        };
        let spellings = spellings.into_iter().filter(|known| {
            // A and eps are each of one parameter.
            !(name == "epsilon" && *known == "A" || name == "amplitude" && *known == "eps")
        });
        for spelling in spellings {
            // The small letter k counts tangents.
            let small = (spelling != "k").then(|| spelling.to_owned());
            let keys = small.into_iter().chain([spelling.to_uppercase()]);
            if let Some(node) = keys.into_iter().find_map(|key| case.find(&key)) {
                system.set(name, node.as_number()?).map_err(engine)?;
                break;
            }
        }
    }
    if let Some(h) = case.find("h") {
        system.set_step(h.as_number()?).map_err(engine)?;
    }
    if let (Some(text), Motion::Flow { method, .. }) = (case.find("integrator"), &mut system.motion)
    {
        let text = text.as_text()?.to_ascii_lowercase();
        let known = [
            ("rk4", OdeMethod::RK4),
            ("heun", OdeMethod::HEUN),
            ("midpoint", OdeMethod::MIDPOINT),
            ("euler", OdeMethod::EULER),
        ];
        let named = known.iter().find(|(name, _)| text.contains(name));
        let (_, found) =
            named.ok_or_else(|| CaseError::Unsupported(format!("unknown integrator: {text}")))?;
        *method = *found;
    }
    Ok(system)
}

fn asked(case: &MapCase<'_>) -> Result<Asked, CaseError> {
    let system = system(case)?;
    let dimension = system.dimension();
    let x0 = case.shaped("x0", &[dimension])?;
    let k = match case.find("k") {
        Some(k) => k.as_size()?,
        None => dimension,
    };
    if k == 0 || k > dimension {
        return Err(engine(format!("k: expected 1 to {dimension}, found {k}")));
    }
    let start = match (case.has_tensor("x_start"), case.has_key("start")) {
        (true, _) => case.shaped("x_start", &[dimension])?,
        (false, true) => case.list("start")?,
        (false, false) => x0.clone(),
    };
    if start.len() != dimension {
        let found = start.len();
        return Err(engine(format!(
            "start: expected {dimension} numbers, found {found}"
        )));
    }
    let basis = match case.has_tensor("Q0") {
        false => (0..k * dimension)
            .map(|at| f64::from(u8::from(at / dimension == at % dimension)))
            .collect(),
        true => {
            let rows = case.shaped("Q0", &[dimension, k])?;
            let places = (0..k).flat_map(|j| (0..dimension).map(move |d| d * k + j));
            places.filter_map(|at| rows.get(at).copied()).collect()
        }
    };
    Ok(Asked {
        k,
        transient: count(case, &["transient", "transient_steps"])?.unwrap_or(0),
        steps: count(case, &["steps"])?.unwrap_or(0),
        start,
        x0,
        basis,
        system,
    })
}

/// The orbit of the stored logarithms, step after step, in double precision.
struct Orbit {
    /// States before every step `[steps, dimension]`.
    states: Vec<f64>,
    /// Tangents before every step, `[k, steps, dimension]`.
    bases: Vec<f64>,
    /// `[steps, k]`.
    logs: Vec<f64>,
}

fn orbit(asked: &Asked, steps: usize) -> Result<Orbit, CaseError> {
    let (k, dimension) = (asked.k, asked.system.dimension());
    let device = Device::cpu_f64();
    let (mut x, mut basis) = (asked.x0.clone(), asked.basis.clone());
    let (mut states, mut logs) = (Vec::new(), Vec::new());
    let mut columns = vec![Vec::new(); k];
    for _ in 0..steps {
        states.extend_from_slice(&x);
        for (column, own) in columns.iter_mut().zip(basis.chunks(dimension)) {
            column.extend_from_slice(own);
        }
        let request = SpectrumRequest {
            starts: x,
            basis: Some(basis),
            tangents: k,
            transient: 0,
            ..SpectrumRequest::new(&asked.system, 1)
        };
        let made = spectrum(&device, &request).map_err(engine)?;
        logs.extend(made.sums);
        (x, basis) = (made.state, made.basis);
    }
    Ok(Orbit {
        states,
        bases: columns.concat(),
        logs,
    })
}

/// A long run from the start.
fn average(device: &Device, asked: &Asked) -> Result<SpectrumResult, CaseError> {
    let request = SpectrumRequest {
        starts: asked.start.clone(),
        basis: Some(asked.basis.clone()),
        tangents: asked.k,
        transient: asked.transient,
        ..SpectrumRequest::new(&asked.system, asked.steps)
    };
    spectrum(device, &request).map_err(engine)
}

/// How far averages of two finite runs of this length may be apart.
fn statistical(asked: &Asked) -> f64 {
    let time = f64::from(asked.steps) * asked.system.step_time().abs();
    let (tolerance, usual) = match asked.system.dynamics {
        DynamicalSystem::HENON => (3e-3, 1e5),
        DynamicalSystem::LOGISTIC => (3e-3, 2e4),
        DynamicalSystem::IKEDA => (5e-3, 5e4),
        DynamicalSystem::STANDARD_MAP => (0.05, 1e5),
        DynamicalSystem::CAT => (1e-3, 1e3),
        DynamicalSystem::ROSSLER => (0.01, 1200.0),
        _ => (0.01, 600.0),
    };
    tolerance * (usual / time).sqrt().max(1.0)
}

pub(super) fn check(case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let asked = asked(case)?;
    let name = case.tensor_starting_with("logR")?;
    let (shape, golden) = case.tensor(&name)?;
    let rows = match shape.as_slice() {
        [rows, columns] if *columns == asked.k && *rows > 0 => *rows,
        _ => {
            return Err(engine(format!(
                "{name}: expected [steps, {}], found {shape:?}",
                asked.k
            )));
        }
    };
    let own = orbit(&asked, rows)?;
    let same = same_arithmetic(&golden, &own.logs, asked.k);
    logs(&asked, (&name, &golden), &own.logs, same, checks);
    beginning(&asked, &golden, checks)?;
    single_steps(case, &asked, &own, &name, checks)?;
    if case.has_key("lyap") {
        averages(case, &asked, checks)?;
    }
    Ok(())
}

/// Whether most of the later rows agree, which chaos lets no other orbit do.
fn same_arithmetic(golden: &[f64], own: &[f64], k: usize) -> bool {
    let rows = golden.chunks(k).zip(own.chunks(k));
    let late = rows.skip(golden.len() / k / 2);
    let agree = |(a, b): (&[f64], &[f64])| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SAME);
    let (total, agreeing) = late.fold((0, 0), |(total, agreeing), pair| {
        (total + 1, agreeing + usize::from(agree(pair)))
    });
    2 * agreeing > total
}

fn logs(
    asked: &Asked,
    (name, golden): (&str, &[f64]),
    own: &[f64],
    same: bool,
    checks: &mut Checks,
) {
    let k = asked.k;
    let exact = asked
        .system
        .exponent_sum()
        .filter(|_| k == asked.system.dimension());
    let mut growth = 0.0_f64;
    for (row, (golden, own)) in golden.chunks(k).zip(own.chunks(k)).enumerate() {
        let grown = if same { 0.0 } else { 1e-15 * growth.exp() };
        let what = format!("{name}[{row}]");
        checks.close(&what, own, golden, SAME + grown.min(f64::MAX));
        growth = (growth + golden.first().copied().unwrap_or(0.0)).max(0.0);
        // What a step does to volumes does not hang on the orbit, however far two of them are apart.
        if let (Some(exact), Motion::Map) = (exact, asked.system.motion) {
            let sum: f64 = golden.iter().sum();
            checks.close(&format!("sum of {what}"), &[sum], &[exact], SAME);
        }
    }
}

/// The state after the transient is where the logarithms begin.
fn beginning(asked: &Asked, golden: &[f64], checks: &mut Checks) -> Result<(), CaseError> {
    if asked.transient == 0 {
        checks.close("x0", &asked.x0, &asked.start, 0.0);
        return Ok(());
    }
    let request = SpectrumRequest {
        starts: asked.start.clone(),
        tangents: 0,
        reorthonormalise_every: 0,
        transient: 0,
        ..SpectrumRequest::new(&asked.system, asked.transient)
    };
    let found = spectrum(&Device::cpu_f64(), &request)
        .map_err(engine)?
        .state;
    let rows = golden.len() / asked.k;
    let rate = golden.iter().step_by(asked.k).sum::<f64>() / rows as f64;
    let grown = 1e-13 * (rate * f64::from(asked.transient)).exp();
    // Beyond, the state says nothing of where the orbit began.
    if grown < 1e-3 {
        checks.close("x0", &asked.x0, &found, 1e-8_f64.max(grown));
    }
    Ok(())
}

/// Every step on the device, from the state and tangents that double precision has before it.
fn single_steps(
    case: &MapCase<'_>,
    asked: &Asked,
    own: &Orbit,
    name: &str,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let request = SpectrumRequest {
        starts: own.states.clone(),
        basis: Some(own.bases.clone()),
        tangents: asked.k,
        transient: 0,
        ..SpectrumRequest::new(&asked.system, 1)
    };
    let found = spectrum(case.device, &request).map_err(engine)?;
    let longest = own
        .logs
        .iter()
        .fold(f64::NEG_INFINITY, |a, b| a.max(*b))
        .exp();
    for (at, (found, own)) in found.sums.iter().zip(&own.logs).enumerate() {
        let lost = longest / own.exp();
        let tolerance = match case.is_double() {
            true => 1e-12 + 1e-14 * lost,
            false => SINGLE + ROUNDED * lost,
        };
        let (row, column) = (at / asked.k, at % asked.k);
        let what = format!("{name}[{row}][{column}] on the device");
        checks.close(&what, &[*found], &[*own], tolerance);
    }
    Ok(())
}

fn averages(case: &MapCase<'_>, asked: &Asked, checks: &mut Checks) -> Result<(), CaseError> {
    let golden = case.list("lyap")?;
    let tolerance = statistical(asked);
    let found = average(&Device::cpu_f64(), asked)?;
    found.all_valid().map_err(engine)?;
    let found = found.exponents(0).unwrap_or_default();
    // Even a square that is rounded elsewhere once in many thousand steps makes another orbit of it.
    checks.close("lyap", &found, &golden, tolerance);
    let all = asked.k == asked.system.dimension();
    let exact = asked.system.exponent_sum().filter(|_| all);
    // A Runge-Kutta step shrinks volumes as the field does, up to its own error.
    let flow = asked.system.dynamics.is_flow();
    let exactly = |single: bool| match (flow, single) {
        (true, _) => 2e-3,
        (false, true) => 2e-5,
        (false, false) => 1e-6,
    };
    let sum: f64 = golden.iter().sum();
    if let Some(node) = case.find("sum") {
        checks.close("sum", &[sum], &[node.as_number()?], 1e-9);
    }
    if let Some(exact) = exact {
        checks.close("sum rule", &[sum], &[exact], exactly(false));
    }
    if case.is_double() {
        return Ok(());
    }
    let found = average(case.device, asked)?;
    if let Err(error) = found.all_valid() {
        // Named, as it must be; the average has been compared in double precision.
        checks.hold(asked.system.dimension() == 1, || error.to_string());
        checks.remark(format!("long average in double precision alone: {error}"));
        return Ok(());
    }
    let found = found.exponents(0).unwrap_or_default();
    checks.close("lyap on the device", &found, &golden, tolerance);
    if let Some(exact) = exact {
        let sum: f64 = found.iter().sum();
        checks.close("sum rule on the device", &[sum], &[exact], exactly(true));
    }
    Ok(())
}
