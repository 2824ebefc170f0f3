//! The same work measured twice, in turn: what differs is the machine's noise.

use super::cases::cases;
use super::{BenchError, Effort, Spread, Workload};
use crate::device::Device;
use attractor_kernels::KernelId;
use serde::Serialize;
use std::time::Instant;

/// One workload against itself.
#[derive(Debug, Clone, Serialize)]
pub struct ControlRecord {
    /// "control".
    pub name: &'static str,
    /// What was run.
    pub case: String,
    /// Seconds of a launch, first copy.
    pub first: Spread,
    /// Seconds of a launch, second copy.
    pub second: Spread,
    /// Median of the second over the first; 1 on a quiet machine.
    pub ratio: f64,
    /// Whether that is within a tenth of 1. Where it is not, smaller differences mean nothing.
    pub steady: bool,
}

/// Measures a matrix product of the planner against itself, taking turns.
///
/// # Errors
/// [`BenchError`] if the device cannot run it.
pub fn control(device: &Device, effort: &Effort) -> Result<ControlRecord, BenchError> {
    let Some(case) = cases(KernelId::MatMul, false).into_iter().next() else {
        return Err(BenchError::Nothing {
            what: "control",
            expected: "a case of matmul".into(),
            found: "none".into(),
        });
    };
    let mut workloads = [Workload::new(device, &case)?, Workload::new(device, &case)?];
    let mut samples = [Vec::new(), Vec::new()];
    for workload in &mut workloads {
        workload.run(2)?;
    }
    let start = Instant::now();
    // Twice the samples of a kernel: a ratio of medians is noisier than a median.
    for _ in 0..2 * effort.repetitions.max(Effort::LEAST) {
        for (workload, samples) in workloads.iter_mut().zip(&mut samples) {
            samples.extend(workload.run(4)?.0);
        }
        if start.elapsed().as_secs_f64() > 2.0 * effort.seconds {
            break;
        }
    }
    let [first, second] = samples.map(|samples| Spread::of(&samples));
    let ratio = second.median / first.median.max(1e-12);
    Ok(ControlRecord {
        name: "control",
        case: format!("matmul {}", case.name),
        first,
        second,
        ratio,
        steady: (0.9..=1.1).contains(&ratio),
    })
}
