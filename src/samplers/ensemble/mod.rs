//! Ensembles: many trajectories of one small ordinary differential equation, integrated on a device.

mod error;
mod spectrum;

pub use error::EnsembleError;
pub use spectrum::{Invalid, SpectrumRequest, SpectrumResult, spectrum};

use crate::device::Device;
use crate::graph::{Execution, Graph, Phase, Plan, TensorId, TensorKind};
use crate::orbit::{Orbit, OrbitReport, repetitions};
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod, OdeState};
use attractor_kernels::{Kernel, SOFTWARE_ITERATIONS};
use std::f64::consts::TAU;

/// How a trajectory moves through time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stepping {
    /// Steps of one size; negative steps go back in time.
    Fixed {
        /// Method; not [`OdeMethod::DORMAND_PRINCE54`].
        method: OdeMethod,
        /// Step size in units of time.
        step: f64,
        /// Steps.
        steps: u32,
    },
    /// Dormand and Prince's pair 5(4), each trajectory under a step size of its own.
    Controlled {
        /// Length of time.
        span: f64,
        /// Tolerated error of a step as a share of the state.
        relative: f32,
        /// Tolerated error of a step for a state near zero.
        absolute: f32,
        /// Size of the first step; it is rejected where it is too long.
        first_step: f64,
        /// Attempts, accepted and rejected, of one trajectory.
        attempts: u32,
    },
}

/// What to integrate. States are structures of arrays, `[dimension, trajectories]`: number d of all
/// trajectories in a row.
#[derive(Debug, Clone)]
pub struct Ensemble {
    field: OdeField,
    stepping: Stepping,
    parameters: Vec<f64>,
    each: bool,
    clock: (f64, f64),
    record_every: u32,
    launch_steps: Option<u32>,
}

/// What became of an ensemble.
#[derive(Debug, Clone)]
pub struct EnsembleRun {
    /// Numbers in a state.
    pub dimension: usize,
    /// Trajectories.
    pub trajectories: usize,
    /// Final states `[dimension, trajectories]`; in double precision on the CPU device of that
    /// precision. A trajectory of fixed steps that ran off to infinity shows it here.
    pub state: Vec<f64>,
    /// States after every so many steps, `[records, dimension, trajectories]`; empty where none were
    /// asked for.
    pub history: Vec<f64>,
    /// Accepted and rejected attempts of each trajectory; empty under fixed steps.
    pub attempts: Vec<[u32; 2]>,
    /// Launches, submissions, times.
    pub report: OrbitReport,
    /// Working memory in bytes, whatever the number of steps.
    pub working_bytes: u64,
}

/// The tensors of the one node.
struct Tensors {
    state: TensorId,
    parameters: Option<TensorId>,
    history: Option<TensorId>,
    control: Option<TensorId>,
    status: Option<TensorId>,
}

fn setting<T>(
    name: &'static str,
    expected: &str,
    found: impl ToString,
) -> Result<T, EnsembleError> {
    Err(EnsembleError::Setting {
        name,
        expected: expected.into(),
        found: found.to_string(),
    })
}

impl Ensemble {
    /// An ensemble of `field`; give it its parameters before it runs.
    pub fn new(field: OdeField, stepping: Stepping) -> Self {
        Self {
            field,
            stepping,
            parameters: Vec::new(),
            each: false,
            clock: (0.0, 0.0),
            record_every: 0,
            launch_steps: None,
        }
    }

    /// Parameters for all trajectories, in the order of [`OdeField::parameters`].
    #[must_use]
    pub fn parameters(mut self, shared: &[f64]) -> Self {
        (self.parameters, self.each) = (shared.to_vec(), false);
        self
    }

    /// Parameters of each trajectory, `[parameters, trajectories]`.
    #[must_use]
    pub fn parameters_each(mut self, parameters: &[f64]) -> Self {
        (self.parameters, self.each) = (parameters.to_vec(), true);
        self
    }

    /// For fields that depend on time: angular frequency in radians in a unit of time, and the time at
    /// the start.
    #[must_use]
    pub fn clock(mut self, angular_frequency: f64, start: f64) -> Self {
        self.clock = (angular_frequency, start);
        self
    }

    /// Keeps the state after every `steps`-th step of fixed size; 0 keeps none.
    #[must_use]
    pub fn record_every(mut self, steps: u32) -> Self {
        self.record_every = steps;
        self
    }

    /// Most steps of one launch; without it, as many as the device allows. The results do not depend on
    /// it.
    #[must_use]
    pub fn steps_a_launch(mut self, steps: u32) -> Self {
        self.launch_steps = Some(steps);
        self
    }

    /// Integrates all trajectories from `initial`, `[dimension, trajectories]`.
    ///
    /// # Errors
    /// [`EnsembleError`] for settings out of range, counts that do not fit the field, numbers that are
    /// not finite, a tolerance that was not met, or a device that failed.
    pub fn run(&self, device: &Device, initial: &[f64]) -> Result<EnsembleRun, EnsembleError> {
        let trajectories = self.check(initial)?;
        let kernel = self.kernel(device, trajectories)?;
        let launches = kernel.total_steps.div_ceil(kernel.steps);
        let (graph, tensors) = graph(&kernel);
        let plan = Plan::compile(graph, device)?;
        let mut orbit = Orbit::new(&plan)?;
        let execution = &mut orbit.execution;
        execution.write_f64(tensors.state, initial)?;
        if let Some(id) = tensors.parameters {
            execution.write_f64(id, &self.parameters)?;
        }
        if let (Some(control), Some(status)) = (tensors.control, tensors.status) {
            execution.write_f64(control, &vec![0.0; 3 * trajectories])?;
            execution.write_words(status, &vec![0; 3 * trajectories])?;
        }
        let report = orbit.run(launches, &Default::default())?;
        let execution = &orbit.execution;
        Ok(EnsembleRun {
            dimension: self.field.dimension() as usize,
            trajectories,
            state: execution.read_f64(tensors.state)?,
            history: match tensors.history {
                Some(id) => execution.read_f64(id)?,
                None => Vec::new(),
            },
            attempts: self.attempts(execution, &tensors, trajectories)?,
            report,
            working_bytes: execution.working_bytes(),
        })
    }

    /// Checks everything that the kernel cannot name in the words of this room; gives the trajectories.
    fn check(&self, initial: &[f64]) -> Result<usize, EnsembleError> {
        let field = self.field.name();
        let dimension = self.field.dimension() as usize;
        if dimension == 0 {
            return setting("field", "a known field", field);
        }
        if initial.is_empty() || !initial.len().is_multiple_of(dimension) {
            return Err(EnsembleError::Count {
                what: "initial states",
                field,
                expected: format!("a positive multiple of its dimension {dimension}"),
                found: initial.len(),
            });
        }
        let trajectories = initial.len() / dimension;
        if trajectories > u32::MAX as usize {
            return setting("trajectories", "at most 2^32 - 1", trajectories);
        }
        let names = self.field.parameters().len();
        let expected = names * if self.each { trajectories } else { 1 };
        if self.parameters.len() != expected {
            return Err(EnsembleError::Count {
                what: "parameters",
                field,
                expected: format!("{expected} ({})", self.field.parameters().join(", ")),
                found: self.parameters.len(),
            });
        }
        finite("initial number", initial, trajectories)?;
        let row = if self.each { trajectories } else { 1 };
        finite("parameter", &self.parameters, row)?;
        if !self.clock.0.is_finite() || !self.clock.1.is_finite() {
            return setting("clock", "finite numbers", format!("{:?}", self.clock));
        }
        if self.launch_steps == Some(0) {
            return setting("steps a launch", "at least 1", 0);
        }
        self.check_stepping()?;
        Ok(trajectories)
    }

    fn check_stepping(&self) -> Result<(), EnsembleError> {
        match self.stepping {
            Stepping::Fixed {
                method,
                step,
                steps,
            } => {
                if method.is_adaptive() || method.name() == "unknown" {
                    return setting("method", "one of fixed steps", method.name());
                }
                if steps == 0 {
                    return setting("steps", "at least 1", 0);
                }
                if !(step as f32).is_normal() {
                    return setting("step", "a number of single precision, not 0", step);
                }
                if self.record_every > steps {
                    return setting(
                        "record_every",
                        &format!("at most {steps}"),
                        self.record_every,
                    );
                }
            }
            Stepping::Controlled {
                span,
                relative,
                absolute,
                first_step,
                attempts,
            } => {
                for (name, value) in [("span", span), ("first_step", first_step)] {
                    if !(value as f32).is_normal() || value < 0.0 {
                        return setting(name, "a number of single precision above 0", value);
                    }
                }
                for (name, value) in [("relative", relative), ("absolute", absolute)] {
                    if !value.is_finite() || value < 0.0 {
                        return setting(name, "0 or more", value);
                    }
                }
                if relative + absolute <= 0.0 {
                    return setting("relative", "one tolerance above 0", relative);
                }
                if attempts == 0 || attempts > OdeEnsemble::MOST_ATTEMPTS {
                    return setting("attempts", "1 to 2^24", attempts);
                }
                if self.record_every > 0 {
                    return setting("record_every", "0 under step control", self.record_every);
                }
            }
        }
        Ok(())
    }

    /// The kernel, with as many steps a launch as the device and the caller allow.
    fn kernel(&self, device: &Device, trajectories: usize) -> Result<OdeEnsemble, EnsembleError> {
        let count = trajectories as u32;
        let kernel = match self.stepping {
            Stepping::Fixed {
                method,
                step,
                steps,
            } => OdeEnsemble::fixed(self.field, method, count, step, steps),
            Stepping::Controlled {
                span,
                relative,
                absolute,
                first_step,
                attempts,
            } => OdeEnsemble {
                relative_tolerance: relative,
                absolute_tolerance: absolute,
                ..OdeEnsemble::adaptive(self.field, count, span, first_step.min(span), attempts)
            },
        };
        let kernel = OdeEnsemble {
            flags: if self.each { OdeEnsemble::EACH } else { 0 },
            record_every: self.record_every,
            ..kernel.with_clock(self.clock.0 / TAU, self.clock.1)
        };
        let one = OdeEnsemble { steps: 1, ..kernel };
        let mut most = repetitions(device, &one.cost());
        if device.gpu().is_some_and(|gpu| gpu.capabilities().software) {
            most = most.min(SOFTWARE_ITERATIONS - one.software_iterations());
        }
        let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
        Ok(OdeEnsemble {
            steps: kernel
                .total_steps
                .min(most)
                .min(self.launch_steps.unwrap_or(u32::MAX)),
            ..kernel
        })
    }

    /// Attempts of each trajectory, or the error of the first that did not arrive.
    fn attempts(
        &self,
        execution: &Execution,
        tensors: &Tensors,
        trajectories: usize,
    ) -> Result<Vec<[u32; 2]>, EnsembleError> {
        let (
            Some(control),
            Some(status),
            Stepping::Controlled {
                span,
                relative,
                absolute,
                attempts,
                ..
            },
        ) = (tensors.control, tensors.status, self.stepping)
        else {
            return Ok(Vec::new());
        };
        let words = execution.read_words(status)?;
        let word = |row: usize, i: usize| words.get(row * trajectories + i).copied().unwrap_or(0);
        let mut unfinished = (0..trajectories).filter(|i| word(2, *i) != OdeState::DONE);
        if let Some(trajectory) = unfinished.next() {
            let numbers = execution.read_f64(control)?;
            let number = |row: usize| {
                let place = numbers.get(row * trajectories + trajectory);
                place.copied().unwrap_or(f64::NAN)
            };
            return Err(EnsembleError::Tolerance {
                trajectory,
                time: number(0),
                span,
                step: number(2),
                accepted: word(0, trajectory),
                rejected: word(1, trajectory),
                attempts,
                relative,
                absolute,
                unfinished: 1 + unfinished.count(),
            });
        }
        Ok((0..trajectories)
            .map(|i| [word(0, i), word(1, i)])
            .collect())
    }
}

/// Refuses the first number of `[components, row]` that is not finite.
fn finite(what: &'static str, numbers: &[f64], row: usize) -> Result<(), EnsembleError> {
    // Single precision must hold it too.
    let bad = numbers.iter().position(|v| !(*v as f32).is_finite());
    match bad.and_then(|place| Some((place, *numbers.get(place)?))) {
        None => Ok(()),
        Some((place, found)) => Err(EnsembleError::NotFinite {
            what,
            trajectory: place % row.max(1),
            component: place / row.max(1),
            found,
        }),
    }
}

fn graph(kernel: &OdeEnsemble) -> (Graph, Tensors) {
    let mut graph = Graph::new();
    let extents = kernel.extents();
    let extent = |operand: usize| extents.get(operand).copied().filter(|e| *e > 0);
    let state = graph.float("state", &[extent(0).unwrap_or(0)], TensorKind::State);
    let parameters = extent(1).map(|e| graph.float("parameters", &[e], TensorKind::Input));
    let history = extent(2).map(|e| graph.float("history", &[e], TensorKind::Output));
    let control = extent(3).map(|e| graph.float("control", &[e], TensorKind::State));
    let status = extent(4).map(|e| graph.word("status", &[e], TensorKind::State));
    let operands = [Some(state), parameters, history, control, status];
    graph.push(Phase::Step, kernel.field.name(), *kernel, &operands);
    let tensors = Tensors {
        state,
        parameters,
        history,
        control,
        status,
    };
    (graph, tensors)
}
