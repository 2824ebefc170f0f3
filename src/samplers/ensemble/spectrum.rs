//! Exponents of many trajectories of a textbook system, in one kernel from start to end.

use super::{EnsembleError, finite, setting};
use crate::device::Device;
use crate::graph::{Execution, Graph, Phase, Plan, TensorId, TensorKind};
use crate::models::classical::{Motion, System};
use crate::orbit::{Orbit, OrbitReport, repetitions};
use attractor_kernels::tangent_ensemble::TangentEnsemble;
use attractor_kernels::{Kernel, SOFTWARE_ITERATIONS};
use std::f64::consts::TAU;

/// What to propagate, and how its tangents are orthonormalised.
#[derive(Debug, Clone)]
pub struct SpectrumRequest {
    /// System.
    pub system: System,
    /// Initial states `[trajectories, dimension]`.
    pub starts: Vec<f64>,
    /// Parameters of each trajectory, `[parameters, trajectories]` in the kernel's order, in place of the
    /// system's; for scans.
    pub parameters_each: Option<Vec<f64>>,
    /// Tangents k, at most the dimension; 0 for the states alone.
    pub tangents: usize,
    /// Initial tangents `[tangents, trajectories, dimension]`; without them the first columns of the
    /// identity.
    pub basis: Option<Vec<f64>>,
    /// Steps of the state alone before the first tangent moves.
    pub transient: u32,
    /// Steps after those.
    pub steps: u32,
    /// Steps between orthonormalisations; 0 for none: then the tangents are the derivative of the
    /// whole map, applied to the initial ones.
    pub reorthonormalise_every: u32,
    /// Orthonormalisations at the start that are not summed, for tangents to turn into their directions.
    pub discard: u32,
    /// Orthonormalisations of one record of sums; 0 for none, 1 for every single one.
    pub record_every: u32,
    /// Steps, those of the transient included, between two recorded states; 0 for none.
    pub state_every: u32,
    /// Time at the start, for fields that depend on it.
    pub start_time: f64,
    /// Most steps of one launch; without it as many as the device allows. Results do not depend on it.
    pub steps_a_launch: Option<u32>,
}

impl SpectrumRequest {
    /// All exponents of one trajectory from the system's usual start after its usual transient, tangents
    /// orthonormalised after every step, no records.
    pub fn new(system: &System, steps: u32) -> Self {
        Self {
            starts: system.start.clone(),
            parameters_each: None,
            tangents: system.dimension(),
            basis: None,
            transient: system.transient,
            steps,
            reorthonormalise_every: 1,
            discard: 0,
            record_every: 0,
            state_every: 0,
            start_time: 0.0,
            steps_a_launch: None,
            system: system.clone(),
        }
    }
}

/// Why a trajectory has no exponents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// A number was infinite or NaN after step `step`, counted from 1, transient included.
    NotFinite {
        /// The step.
        step: u32,
    },
    /// The orbit fell into a cycle of the machine's numbers by step `step`, with an exponent above 0, which
    /// no true cycle has: the precision does not carry the system's chaos.
    Collapsed {
        /// The step.
        step: u32,
    },
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFinite { step } => write!(f, "not finite at step {step}"),
            Self::Collapsed { step } => write!(
                f,
                "caught in a cycle of the machine's numbers by step {step}; double precision \
                 (--device cpu-f64) carries it further"
            ),
        }
    }
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct SpectrumResult {
    /// Trajectories.
    pub trajectories: usize,
    /// Numbers in a state.
    pub dimension: usize,
    /// Tangents.
    pub tangents: usize,
    /// Sums of the natural logarithms of R's diagonal, `[trajectories, tangents]`, in the order of the
    /// columns.
    pub sums: Vec<f64>,
    /// Logarithms in each sum.
    pub orthonormalisations: u32,
    /// Units of time between two orthonormalisations: iterations of a map, time of a flow.
    pub interval: f64,
    /// Logarithms in each record.
    pub record_every: u32,
    /// Sums over `record_every` orthonormalisations each, `[records, trajectories, tangents]`.
    pub records: Vec<f64>,
    /// Recorded states, `[states, trajectories, dimension]`.
    pub states: Vec<f64>,
    /// Final states `[trajectories, dimension]`.
    pub state: Vec<f64>,
    /// Final tangents `[tangents, trajectories, dimension]`; orthonormal right after an orthonormalisation.
    pub basis: Vec<f64>,
    /// Columns that were lost to rounding and replaced, of each trajectory.
    pub replaced: Vec<u32>,
    /// What is wrong with each trajectory.
    pub invalid: Vec<Option<Invalid>>,
    /// Launches, submissions, times.
    pub report: OrbitReport,
    /// Working memory in bytes, whatever the number of steps but for what is recorded.
    pub working_bytes: u64,
}

impl SpectrumResult {
    /// Exponents of one trajectory, per iteration or unit of time; `None` where it is invalid, is not
    /// there, or nothing was summed.
    pub fn exponents(&self, trajectory: usize) -> Option<Vec<f64>> {
        let time = f64::from(self.orthonormalisations) * self.interval.abs();
        self.per_time(&self.sums, trajectory, time)
    }

    /// The same of one record.
    pub fn record_exponents(&self, record: usize, trajectory: usize) -> Option<Vec<f64>> {
        let row = self.trajectories * self.tangents;
        let sums = self.records.get(record * row..(record + 1) * row)?;
        let time = f64::from(self.record_every) * self.interval.abs();
        self.per_time(sums, trajectory, time)
    }

    fn per_time(&self, sums: &[f64], trajectory: usize, time: f64) -> Option<Vec<f64>> {
        let own = trajectory * self.tangents..(trajectory + 1) * self.tangents;
        let own = sums.get(own).filter(|_| time > 0.0)?;
        match self.invalid.get(trajectory)? {
            Some(_) => None,
            None => Some(own.iter().map(|sum| sum / time).collect()),
        }
    }

    /// Trajectories that are invalid.
    pub fn invalid_count(&self) -> usize {
        self.invalid.iter().flatten().count()
    }

    /// Refuses a result with an invalid trajectory.
    ///
    /// # Errors
    /// [`EnsembleError::Diverged`] or [`EnsembleError::Collapsed`] of the first.
    pub fn all_valid(&self) -> Result<(), EnsembleError> {
        let found = self.invalid.iter().enumerate();
        let first = found
            .clone()
            .find_map(|(i, invalid)| Some((i, (*invalid)?)));
        let count = self.invalid_count();
        match first {
            None => Ok(()),
            Some((trajectory, Invalid::NotFinite { step })) => Err(EnsembleError::Diverged {
                trajectory,
                step,
                count,
            }),
            Some((trajectory, Invalid::Collapsed { step })) => Err(EnsembleError::Collapsed {
                trajectory,
                step,
                count,
            }),
        }
    }
}

/// Propagates all trajectories of a request on a device.
///
/// # Errors
/// [`EnsembleError`] for settings out of range, counts that do not fit the system, initial numbers that are
/// not finite, or a device that failed. Trajectories that run off to infinity, or whose chaos the precision
/// does not carry, are [`SpectrumResult::invalid`].
pub fn spectrum(
    device: &Device,
    request: &SpectrumRequest,
) -> Result<SpectrumResult, EnsembleError> {
    let trajectories = check(request)?;
    let kernel = kernel(device, request, trajectories)?;
    let launches = kernel.total_steps.div_ceil(kernel.steps);
    let (graph, tensors) = graph(&kernel);
    let plan = Plan::compile(graph, device)?;
    let mut orbit = Orbit::new(&plan)?;
    write(&mut orbit.execution, &tensors, request, trajectories)?;
    let report = orbit.run(launches, &Default::default())?;
    let execution = &orbit.execution;
    let read = |id: Option<TensorId>| id.map_or(Ok(Vec::new()), |id| execution.read_f64(id));
    let k = request.tangents;
    let mut sums = read(tensors.sums)?;
    let rest = sums.split_off(sums.len().min(k * trajectories));
    for (sum, rest) in sums.iter_mut().zip(&rest) {
        *sum += rest;
    }
    let sums = transposed(&sums, k, trajectories);
    let status = execution.read_words(tensors.status)?;
    let words = |row: usize| status.iter().skip(row * trajectories).take(trajectories);
    let positive = |i: usize| sums.iter().skip(i * k).take(k).any(|sum| *sum > 0.0);
    let invalid = words(1).zip(words(2)).enumerate();
    let invalid = invalid.map(|(i, (bad, met))| match (*bad, *met) {
        (0, 0) => None,
        (0, step) => positive(i).then_some(Invalid::Collapsed { step }),
        (step, _) => Some(Invalid::NotFinite { step }),
    });
    Ok(SpectrumResult {
        trajectories,
        dimension: request.system.dimension(),
        tangents: k,
        invalid: invalid.collect(),
        replaced: words(0).copied().collect(),
        orthonormalisations: kernel.orthonormalisations(),
        interval: f64::from(request.reorthonormalise_every) * request.system.step_time(),
        record_every: request.record_every,
        records: by_row(&read(tensors.logs)?, k, trajectories),
        states: by_row(
            &read(tensors.states)?,
            request.system.dimension(),
            trajectories,
        ),
        state: execution.read_f64(tensors.state)?,
        basis: read(tensors.tangent)?,
        report,
        working_bytes: execution.working_bytes(),
        sums,
    })
}

/// `[rows, columns]` of `[columns, rows]`.
fn transposed(values: &[f64], columns: usize, rows: usize) -> Vec<f64> {
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| column * rows + row));
    places.filter_map(|at| values.get(at).copied()).collect()
}

/// The same of every record in a row.
fn by_row(values: &[f64], columns: usize, rows: usize) -> Vec<f64> {
    let records = values.chunks((columns * rows).max(1));
    records
        .flat_map(|record| transposed(record, columns, rows))
        .collect()
}

/// Checks what the kernel cannot name in the words of this room; gives the trajectories.
fn check(request: &SpectrumRequest) -> Result<usize, EnsembleError> {
    let system = &request.system;
    let (name, dimension) = (system.name(), system.dimension());
    let starts = &request.starts;
    if starts.is_empty() || !starts.len().is_multiple_of(dimension) {
        return Err(EnsembleError::Count {
            what: "initial states",
            field: name,
            expected: format!("a positive multiple of its dimension {dimension}"),
            found: starts.len(),
        });
    }
    let trajectories = starts.len() / dimension;
    if trajectories > u32::MAX as usize {
        return setting("trajectories", "at most 2^32 - 1", trajectories);
    }
    by_example("initial number", starts, dimension)?;
    if system.start.len() != dimension {
        return setting("start", &format!("{dimension} numbers"), system.start.len());
    }
    if request.tangents > dimension {
        let expected = format!("at most the dimension {dimension} of {name}");
        return setting("tangents", &expected, request.tangents);
    }
    if request.reorthonormalise_every > 0 && request.tangents == 0 {
        return setting("tangents", "at least 1 to orthonormalise", 0);
    }
    let count = |what, numbers: &Option<Vec<f64>>, expected: usize| match numbers {
        Some(numbers) if numbers.len() != expected => Err(EnsembleError::Count {
            what,
            field: name,
            expected: expected.to_string(),
            found: numbers.len(),
        }),
        _ => Ok(()),
    };
    let names = system.dynamics.parameters().len();
    count("parameters", &request.parameters_each, names * trajectories)?;
    count(
        "initial tangents",
        &request.basis,
        request.tangents * starts.len(),
    )?;
    if let Some(parameters) = &request.parameters_each {
        finite("parameter", parameters, trajectories)?;
    }
    if let Some(basis) = &request.basis {
        by_example("initial tangent", basis, dimension)?;
    }
    check_steps(request)?;
    Ok(trajectories)
}

/// Refuses the first number of `[.., examples, row]` that is not finite.
fn by_example(what: &'static str, numbers: &[f64], row: usize) -> Result<(), EnsembleError> {
    let bad = numbers.iter().position(|v| !(*v as f32).is_finite());
    match bad.and_then(|place| Some((place, *numbers.get(place)?))) {
        None => Ok(()),
        Some((place, found)) => Err(EnsembleError::NotFinite {
            what,
            trajectory: place / row.max(1),
            component: place % row.max(1),
            found,
        }),
    }
}

fn check_steps(request: &SpectrumRequest) -> Result<(), EnsembleError> {
    if request.steps == 0 {
        return setting("steps", "at least 1", 0);
    }
    if request.steps.checked_add(request.transient).is_none() {
        return setting("steps", "fewer than 2^32 with the transient", request.steps);
    }
    if !request.start_time.is_finite() {
        return setting("start_time", "a finite number", request.start_time);
    }
    if request.steps_a_launch == Some(0) {
        return setting("steps a launch", "at least 1", 0);
    }
    let every = request.reorthonormalise_every;
    if every == 0 {
        return match (request.record_every, request.discard) {
            (0, 0) => Ok(()),
            (records, 0) => setting("record_every", "0 without orthonormalisation", records),
            (_, discard) => setting("discard", "0 without orthonormalisation", discard),
        };
    }
    if !request.steps.is_multiple_of(every) {
        let expected = format!("a divisor of {} steps", request.steps);
        return setting("reorthonormalise_every", &expected, every);
    }
    let all = request.steps / every;
    if request.discard >= all {
        return setting("discard", &format!("fewer than {all}"), request.discard);
    }
    if request.record_every > all - request.discard {
        let expected = format!("at most {}", all - request.discard);
        return setting("record_every", &expected, request.record_every);
    }
    Ok(())
}

/// The kernel, with as many steps a launch as the device and the caller allow.
fn kernel(
    device: &Device,
    request: &SpectrumRequest,
    trajectories: usize,
) -> Result<TangentEnsemble, EnsembleError> {
    let system = &request.system;
    let (count, k) = (trajectories as u32, request.tangents as u32);
    let total = request.steps + request.transient;
    let kernel = match system.motion {
        Motion::Map => TangentEnsemble::of_map(system.dynamics, count, k, total),
        Motion::Flow { method, step } => {
            TangentEnsemble::of_flow(system.dynamics, method, (count, k), step, total)
        }
    };
    let kernel = TangentEnsemble {
        flags: match request.parameters_each {
            Some(_) => TangentEnsemble::EACH,
            None => 0,
        },
        transient: request.transient,
        reorthonormalise_every: request.reorthonormalise_every,
        discarded: request.discard,
        record_every: request.record_every,
        state_every: request.state_every,
        ..kernel
            .by_example()
            .with_clock(system.angular_frequency() / TAU, request.start_time)
    };
    let one = TangentEnsemble {
        steps: 1,
        first_step: request.transient,
        ..kernel
    };
    let mut most = repetitions(device, &one.cost());
    if device.gpu().is_some_and(|gpu| gpu.capabilities().software) {
        most = most.min(SOFTWARE_ITERATIONS - one.software_iterations());
    }
    let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
    let most = most.min(request.steps_a_launch.unwrap_or(u32::MAX));
    Ok(TangentEnsemble {
        steps: kernel.total_steps.min(most),
        ..kernel
    })
}

/// The tensors of the one node.
struct Tensors {
    state: TensorId,
    parameters: Option<TensorId>,
    tangent: Option<TensorId>,
    sums: Option<TensorId>,
    logs: Option<TensorId>,
    states: Option<TensorId>,
    status: TensorId,
}

fn graph(kernel: &TangentEnsemble) -> (Graph, Tensors) {
    let mut graph = Graph::new();
    let extents = kernel.extents();
    let extent = |operand: usize| extents.get(operand).copied().unwrap_or(0);
    let mut float = |operand: usize, name: &str, kind: TensorKind| match extent(operand) {
        0 => None,
        count => Some(graph.float(name, &[count], kind)),
    };
    let parameters = float(1, "parameters", TensorKind::Input);
    let tangent = float(2, "tangent", TensorKind::State);
    let sums = float(3, "sums", TensorKind::State);
    let logs = float(4, "log_history", TensorKind::Output);
    let states = float(5, "state_history", TensorKind::Output);
    let state = graph.float("state", &[extent(0)], TensorKind::State);
    let status = graph.word("status", &[extent(6)], TensorKind::State);
    let operands = [
        Some(state),
        parameters,
        tangent,
        sums,
        logs,
        states,
        Some(status),
    ];
    graph.push(Phase::Step, kernel.system.name(), *kernel, &operands);
    let tensors = Tensors {
        state,
        parameters,
        tangent,
        sums,
        logs,
        states,
        status,
    };
    (graph, tensors)
}

fn write(
    execution: &mut Execution,
    tensors: &Tensors,
    request: &SpectrumRequest,
    trajectories: usize,
) -> Result<(), EnsembleError> {
    execution.write_f64(tensors.state, &request.starts)?;
    execution.write_words(tensors.status, &vec![0; 3 * trajectories])?;
    if let Some(id) = tensors.parameters {
        let shared = request.system.kernel_parameters();
        execution.write_f64(id, request.parameters_each.as_deref().unwrap_or(&shared))?;
    }
    if let Some(id) = tensors.sums {
        execution.write_f64(id, &vec![0.0; 4 * request.tangents * trajectories])?;
    }
    if let Some(id) = tensors.tangent {
        match &request.basis {
            Some(basis) => execution.write_f64(id, basis)?,
            None => {
                let dimension = request.system.dimension();
                let columns = (0..request.tangents).flat_map(|column| {
                    let states = (0..trajectories).flat_map(move |_| 0..dimension);
                    states.map(move |d| f64::from(u8::from(d == column)))
                });
                execution.write_f64(id, &columns.collect::<Vec<_>>())?;
            }
        }
    }
    Ok(())
}
