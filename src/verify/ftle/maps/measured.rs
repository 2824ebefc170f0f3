//! Measuring a map from a golden's state and first tangents.

use super::super::super::checks::{CaseError, Checks};
use super::case::{MapCase, engine};
use crate::device::Device;
use crate::graph::{Moment, Plan};
use crate::models::maps::MapError;
use crate::orbit::lyapunov::{LyapunovPlan, Settings, Start};
use crate::orbit::{IteratedMap, Orbit};

/// States and tangents at which a map is measured.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    /// `[batch, n]`
    pub state: Vec<f64>,
    /// `[batch, n, k]`
    pub tangents: Vec<f64>,
    pub columns: usize,
}

/// What a run gave.
pub(super) struct Measured {
    /// `[batch, events, k]`
    pub logs: Vec<f64>,
    /// States at the end, `[batch, n]`.
    pub end: Vec<f64>,
    /// Q after every event, `[batch, events, n, k]`; empty unless asked for.
    pub bases: Vec<f64>,
}

/// The longest run that a golden may ask for.
const MOST_STEPS: usize = 10_000_000;

/// A setting of the golden as a count of steps.
pub(super) fn steps(count: usize) -> Result<u32, CaseError> {
    let fits = (1..=MOST_STEPS).contains(&count);
    let count = u32::try_from(count).ok().filter(|_| fits);
    count.ok_or_else(|| engine(format!("steps: expected 1 to {MOST_STEPS}")))
}

/// Measures with a QR after every step.
pub(super) fn measure(
    map: &IteratedMap,
    begin: &Begin,
    count: usize,
    keep_bases: bool,
    device: &Device,
) -> Result<Measured, CaseError> {
    let settings = Settings {
        start: Start::Given,
        factors: keep_bases,
        ..Settings::by_step(map, begin.columns)
    };
    let plan = LyapunovPlan::compile(map, &settings, device).map_err(engine)?;
    let mut orbit = plan.orbit().map_err(engine)?;
    orbit.set_tangents(&begin.tangents).map_err(engine)?;
    let execution = &mut orbit.orbit.execution;
    execution
        .write_f64(map.state, &begin.state)
        .map_err(engine)?;
    let found = orbit
        .run(steps(count)?, &Moment::default())
        .map_err(engine)?;
    Ok(Measured {
        logs: found.log_r,
        end: orbit.orbit.execution.read_f64(map.state).map_err(engine)?,
        bases: found.factors.map(|kept| kept.q).unwrap_or_default(),
    })
}

/// The state after so many steps without tangents.
pub(super) fn advance(
    map: &IteratedMap,
    state: &[f64],
    count: usize,
    device: &Device,
) -> Result<Vec<f64>, CaseError> {
    let mut all = states(map, state, count, count.max(1), device)?;
    Ok(all.pop().unwrap_or_else(|| state.to_vec()))
}

/// The states after every `every` of so many steps, for a map that does not depend on time.
fn states(
    map: &IteratedMap,
    state: &[f64],
    count: usize,
    every: usize,
    device: &Device,
) -> Result<Vec<Vec<f64>>, CaseError> {
    let plan = Plan::compile(map.graph.clone(), device).map_err(engine)?;
    let mut orbit = Orbit::new(&plan).map_err(engine)?;
    orbit
        .execution
        .write_f64(map.state, state)
        .map_err(engine)?;
    let mut all = Vec::new();
    for _ in 0..count / every {
        let part = steps(every)?;
        orbit.run(part, &Moment::default()).map_err(engine)?;
        all.push(orbit.execution.read_f64(map.state).map_err(engine)?);
    }
    Ok(all)
}

/// The first columns of the unit matrix, `[n, k]`.
pub(super) fn unit_columns(n: usize, k: usize) -> Vec<f64> {
    let entry = |at: usize| f64::from(u8::from(at / k == at % k));
    (0..n.saturating_mul(k)).map(entry).collect()
}

/// A map that exists for any batch.
pub(super) type Maker<'a> = &'a dyn Fn(usize) -> Result<IteratedMap, MapError>;

/// Compares the logs of a chaotic map, `[events, k]`, from one state.
///
/// The whole orbit is followed in double precision. What a rounding error grows to on the way is measured
/// beside it, from starts that differ by a few of them, and allowed. In single precision an orbit soon is
/// another one: there every event is made on its own, from the state and the tangents that the orbit in
/// double precision has before it.
pub(super) fn compare_logs(
    case: &MapCase<'_>,
    maker: Maker<'_>,
    begin: &Begin,
    expected: &[f64],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let k = begin.columns;
    let events = expected.len() / k.max(1);
    let exact = Device::cpu_f64();
    let map = maker(1).map_err(engine)?;
    let found = measure(&map, begin, events, true, &exact)?;
    let allowed = allowed(&map, begin, events, &found.logs, &exact)?;
    for (event, expected) in expected.chunks(k).enumerate() {
        for (column, expected) in expected.iter().enumerate() {
            let at = event * k + column;
            let number = |values: &[f64]| values.get(at).copied().unwrap_or(f64::NAN);
            let what = format!("logs of event {event}, column {column}");
            let (found, tolerance) = (number(&found.logs), number(&allowed));
            checks.close(&what, &[found], &[*expected], tolerance);
        }
    }
    if case.is_double() {
        return Ok(());
    }
    let alone = one_by_one(maker, begin, &found.bases, events)?;
    let map = maker(events).map_err(engine)?;
    let single = measure(&map, &alone, 1, false, case.device)?;
    // Against the orbit that the steps were taken from, which has been held against the golden. A step's
    // worth of roundings of 6e-8, on logs of ratios that a step takes down to e^-3.
    checks.close("logs of single steps", &single.logs, &found.logs, 2e-5);
    Ok(())
}

/// Differences that rounding errors grow to, a log, and thirty times as much for good measure.
fn allowed(
    map: &IteratedMap,
    begin: &Begin,
    events: usize,
    logs: &[f64],
    device: &Device,
) -> Result<Vec<f64>, CaseError> {
    // Roundings of every step together, on numbers of about 1.
    const ROUNDING: f64 = 3e-14;
    let mut allowed = vec![1e-11; logs.len()];
    for salt in [1.0, 2.0, 3.0] {
        let disturbed = |values: &[f64]| -> Vec<f64> {
            let values = values.iter().enumerate();
            values
                .map(|(at, value)| value + ROUNDING * (salt * 12.9898 * (at + 1) as f64).sin())
                .collect()
        };
        let other = Begin {
            state: disturbed(&begin.state),
            tangents: disturbed(&begin.tangents),
            columns: begin.columns,
        };
        let other = measure(map, &other, events, false, device)?;
        let mut largest = vec![0.0_f64; begin.columns];
        let pairs = allowed.iter_mut().zip(logs.iter().zip(&other.logs));
        for (at, (allowed, (log, other))) in pairs.enumerate() {
            // Errors do not shrink for good when two logs happen to be alike.
            if let Some(largest) = largest.get_mut(at % begin.columns) {
                *largest = largest.max((log - other).abs());
                *allowed += 30.0 * *largest;
            }
        }
    }
    Ok(allowed)
}

/// State and tangents before every event, as examples of one batch.
fn one_by_one(
    maker: Maker<'_>,
    begin: &Begin,
    bases: &[f64],
    events: usize,
) -> Result<Begin, CaseError> {
    let map = maker(1).map_err(engine)?;
    let mut state = begin.state.clone();
    let later = states(
        &map,
        &begin.state,
        events.saturating_sub(1),
        1,
        &Device::cpu_f64(),
    )?;
    state.extend(later.into_iter().flatten());
    let size = begin.tangents.len();
    let mut tangents = begin.tangents.clone();
    tangents.extend(
        bases
            .chunks(size.max(1))
            .take(events.saturating_sub(1))
            .flatten(),
    );
    Ok(Begin {
        state,
        tangents,
        columns: begin.columns,
    })
}

/// Means of the logs of one example over its events, a column each, over the time of an event.
pub(super) fn means(logs: &[f64], columns: usize, event_time: f64) -> Result<Vec<f64>, CaseError> {
    use crate::analysis::lyapunov::Logs;
    let logs = Logs::new(logs.to_vec(), columns, event_time).map_err(engine)?;
    logs.exponents(0..logs.events()).map_err(engine)
}
