//! Ensembles of trajectories against the multiply-add ceiling, and their memory at two lengths.

use super::memory::resident_bytes;
use super::{BenchError, Effort, Roofline, Spread};
use crate::device::{Device, DeviceKind, Precision};
use crate::samplers::ensemble::{Ensemble, EnsembleRun, Stepping};
use attractor_kernels::Kernel;
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use serde::Serialize;
use std::time::Instant;

/// What was measured of an ensemble.
#[derive(Debug, Clone, Serialize)]
pub struct EnsembleRecord {
    /// "ensemble".
    pub name: &'static str,
    /// Field.
    pub field: &'static str,
    /// Method.
    pub method: &'static str,
    /// Trajectories.
    pub trajectories: usize,
    /// Steps of each; under step control the mean number of attempts.
    pub steps: f64,
    /// Seconds of a run.
    pub seconds: Spread,
    /// Steps of trajectories a second at the median.
    pub trajectory_steps_per_second: f64,
    /// 1e9 operations a second at the median.
    pub gflops: f64,
    /// Share of the multiply-add ceiling at the median.
    pub roofline_share: f64,
    /// The same for the fastest run.
    pub best_roofline_share: f64,
    /// Working memory of a run of a tenth of the time, in bytes, and of the whole.
    pub working_bytes: [u64; 2],
    /// Resident memory of the process after either, in bytes, where the system tells it.
    pub resident_bytes: [Option<u64>; 2],
    /// Largest difference from double precision over a few steps, as a share of the largest number.
    pub largest_error: f64,
    /// Largest difference allowed.
    pub tolerance: f64,
    /// Whether the results are right and the memory does not grow with the steps.
    pub correct: bool,
}

/// An ensemble to measure.
struct Subject {
    field: OdeField,
    parameters: &'static [f64],
    /// Angular frequency of the clock.
    frequency: f64,
    method: OdeMethod,
    step: f64,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        field: OdeField::LORENZ63,
        parameters: &[10.0, 28.0, 8.0 / 3.0],
        frequency: 0.0,
        method: OdeMethod::RK4,
        step: 0.01,
    },
    Subject {
        field: OdeField::LORENZ63,
        parameters: &[10.0, 28.0, 8.0 / 3.0],
        frequency: 0.0,
        method: OdeMethod::DORMAND_PRINCE54,
        step: 0.01,
    },
    Subject {
        field: OdeField::DOUBLE_GYRE,
        parameters: &[0.1, 0.25],
        frequency: std::f64::consts::TAU / 10.0,
        method: OdeMethod::RK4,
        step: 0.01,
    },
    Subject {
        field: OdeField::LORENZ96,
        parameters: &[8.0],
        frequency: 0.0,
        method: OdeMethod::RK4,
        step: 0.01,
    },
];

impl Subject {
    /// The ensemble over as much time as `steps` steps take.
    fn over(&self, steps: u32) -> Ensemble {
        let stepping = if self.method.is_adaptive() {
            Stepping::Controlled {
                span: self.step * f64::from(steps),
                relative: 1e-5,
                absolute: 1e-5,
                first_step: self.step,
                attempts: steps.saturating_mul(10).min(OdeEnsemble::MOST_ATTEMPTS),
            }
        } else {
            Stepping::Fixed {
                method: self.method,
                step: self.step,
                steps,
            }
        };
        Ensemble::new(self.field, stepping)
            .parameters(self.parameters)
            .clock(self.frequency, 0.0)
    }

    /// Starts around one, none like another.
    fn start(&self, trajectories: usize) -> Vec<f64> {
        let dimension = self.field.dimension() as usize;
        (0..dimension * trajectories)
            .map(|i| 0.5 + f64::from(super::array::unit(i, 3)))
            .collect()
    }

    /// Steps of all trajectories of a run.
    fn steps(&self, run: &EnsembleRun, steps: u32) -> f64 {
        if run.attempts.is_empty() {
            return f64::from(steps) * run.trajectories as f64;
        }
        let attempts = run.attempts.iter();
        attempts.map(|[a, r]| f64::from(*a) + f64::from(*r)).sum()
    }

    /// Largest difference from double precision that is right.
    fn tolerance(&self) -> f64 {
        if self.method.is_adaptive() {
            CONTROLLED_TOLERANCE
        } else {
            TOLERANCE
        }
    }

    /// Largest difference from double precision, as a share of the largest number.
    fn error(&self, device: &Device) -> Result<f64, BenchError> {
        let reference = match device.precision() {
            Precision::F64 => Device::cpu(),
            Precision::F32 => Device::cpu_f64(),
        };
        let (ensemble, start) = (self.over(CHECKED_STEPS), self.start(256));
        let found = ensemble.run(device, &start)?.state;
        let exact = ensemble.run(&reference, &start)?.state;
        let largest = exact.iter().fold(1.0f64, |m, e| m.max(e.abs()));
        let errors = found.iter().zip(&exact).map(|(f, e)| (f - e).abs());
        // A NaN must not be passed over.
        Ok(errors.fold(0.0f64, |m, e| if e <= m { m } else { e }) / largest)
    }

    fn measure(
        &self,
        device: &Device,
        roofline: &Roofline,
        effort: &Effort,
        (trajectories, steps): (usize, u32),
    ) -> Result<EnsembleRecord, BenchError> {
        let start = self.start(trajectories);
        let short = self.over(steps.div_ceil(10)).run(device, &start)?;
        let resident_short = resident_bytes();
        let whole = self.over(steps);
        let mut run = whole.run(device, &start)?;
        let resident_whole = resident_bytes();
        let begin = Instant::now();
        let mut samples = Vec::new();
        while !effort.is_enough(samples.len(), begin.elapsed().as_secs_f64()) {
            run = whole.run(device, &start)?;
            samples.push(run.report.total.as_secs_f64());
        }
        let seconds = Spread::of(&samples);
        let done = self.steps(&run, steps);
        let one = OdeEnsemble::fixed(self.field, self.method, 1, self.step, 1).cost();
        let giga = done * one.flops as f64 * 1e-9;
        let gflops = giga / seconds.median.max(1e-12);
        let largest_error = self.error(device)?;
        let ceiling = roofline.gflops.max(1e-9);
        Ok(EnsembleRecord {
            name: "ensemble",
            field: self.field.name(),
            method: self.method.name(),
            trajectories,
            steps: done / trajectories as f64,
            seconds,
            trajectory_steps_per_second: done / seconds.median.max(1e-12),
            gflops,
            roofline_share: gflops / ceiling,
            best_roofline_share: giga / seconds.minimum.max(1e-12) / ceiling,
            working_bytes: [short.working_bytes, run.working_bytes],
            resident_bytes: [resident_short, resident_whole],
            largest_error,
            tolerance: self.tolerance(),
            correct: largest_error <= self.tolerance() && short.working_bytes == run.working_bytes,
        })
    }
}

/// Steps after which results are held against double precision: too few for chaos to part them.
const CHECKED_STEPS: u32 = 50;
/// Rounding of single precision over those steps, stretched a hundredfold.
const TOLERANCE: f64 = 1e-4;
/// Under step control the two precisions choose other steps, each of which may err by 1e-5 of the state.
const CONTROLLED_TOLERANCE: f64 = 1e-3;

/// Measures ensembles of Lorenz's and other fields.
///
/// # Errors
/// [`BenchError`] if a run fails.
pub fn measure_ensembles(
    device: &Device,
    roofline: &Roofline,
    effort: &Effort,
    quick: bool,
) -> Result<Vec<EnsembleRecord>, BenchError> {
    let size = match (device.info().kind, quick) {
        (DeviceKind::Cpu, false) => (100_000, 1000),
        (DeviceKind::DiscreteGpu, false) => (1 << 20, 1000),
        (DeviceKind::SoftwareGpu, _) => (4096, 200),
        _ => (10_000, 200),
    };
    let subjects = SUBJECTS.iter();
    subjects
        .map(|subject| subject.measure(device, roofline, effort, size))
        .collect()
}
