//! One kernel on one device: time, share of the roofline, agreement with its twin.

use super::workload::Output;
use super::{BenchError, Case, Clock, Effort, Roofline, Spread, Workload};
use crate::device::{Device, Precision};
use serde::Serialize;
use std::time::Instant;

/// What was measured of a kernel.
#[derive(Debug, Clone, Serialize)]
pub struct KernelRecord {
    /// "kernel".
    pub name: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// Shape.
    pub case: String,
    /// Variant that the device runs; "twin" on the CPU device.
    pub variant: &'static str,
    /// Workgroup counts; none on the CPU device.
    pub workgroups: Option<[u32; 3]>,
    /// Seconds of a launch.
    pub seconds: Spread,
    /// What the times were read from.
    pub clock: Clock,
    /// Operations of a launch.
    pub flops: u64,
    /// Bytes that a launch moves at least.
    pub bytes: u64,
    /// 1e9 operations a second at the median.
    pub gflops: f64,
    /// 1e9 bytes a second at the median.
    pub gigabytes_per_second: f64,
    /// Time at the roofline over the median.
    pub roofline_share: f64,
    /// The same for the fastest launch, which other work on the machine held up least.
    pub best_roofline_share: f64,
    /// Largest difference from the double-precision twin; outliers count unless the case allows them.
    pub largest_error: f64,
    /// Largest difference allowed.
    pub tolerance: f64,
    /// Share of elements that differ by more.
    pub outliers: f64,
    /// Whether the results are right.
    pub correct: bool,
}

/// Measures a case on a device and checks what it computed.
///
/// # Errors
/// [`BenchError`] if the case does not fit the device or the device fails.
pub fn measure_kernel(
    device: &Device,
    case: &Case,
    roofline: &Roofline,
    effort: &Effort,
) -> Result<KernelRecord, BenchError> {
    let mut workload = Workload::new(device, case)?;
    let (_, clock) = workload.run(2)?;
    let start = Instant::now();
    let mut samples = Vec::new();
    while !effort.is_enough(samples.len(), start.elapsed().as_secs_f64()) {
        samples.extend(workload.run(LAUNCHES)?.0);
    }
    let seconds = Spread::of(&samples);
    let agreement = agreement(device, case, &workload.outputs()?)?;
    let launch = device
        .gpu()
        .map(|gpu| case.kernel.launch(gpu.capabilities()));
    let cost = case.kernel.cost();
    let rate = |amount: u64| amount as f64 * 1e-9 / seconds.median.max(1e-12);
    let bound = roofline.seconds(&cost);
    let correct = agreement.outliers <= case.tolerance.outliers;
    Ok(KernelRecord {
        name: "kernel",
        kernel: case.kernel.id().name(),
        case: case.name.clone(),
        variant: launch.map_or("twin", |launch| launch.entry_point),
        workgroups: launch.map(|launch| launch.workgroups),
        seconds,
        clock,
        flops: cost.flops,
        bytes: cost.bytes,
        gflops: rate(cost.flops),
        gigabytes_per_second: rate(cost.bytes),
        roofline_share: bound / seconds.median.max(1e-12),
        best_roofline_share: bound / seconds.minimum.max(1e-12),
        largest_error: if correct {
            agreement.largest_error
        } else {
            agreement.largest_error.max(agreement.largest_outlier)
        },
        tolerance: agreement.tolerance,
        outliers: agreement.outliers,
        correct,
    })
}

/// Launches of one submission.
const LAUNCHES: usize = 4;

/// How results compare with the twin's.
#[derive(Debug, Default)]
struct Agreement {
    largest_error: f64,
    largest_outlier: f64,
    tolerance: f64,
    outliers: f64,
}

/// Holds results against the double-precision twin; double precision itself against single.
fn agreement(
    device: &Device,
    case: &Case,
    found: &[(&'static str, Output)],
) -> Result<Agreement, BenchError> {
    let reference = match (device.gpu(), device.precision()) {
        (None, Precision::F64) => Device::cpu(),
        _ => Device::cpu_f64(),
    };
    let mut twin = Workload::new(&reference, case)?;
    twin.run(1)?;
    let exact = twin.outputs()?;
    let mut worst = Agreement::default();
    for ((_, found), (_, exact)) in found.iter().zip(&exact) {
        let of_output = compare(case.tolerance.terms, found, exact);
        worst.largest_error = worst.largest_error.max(of_output.largest_error);
        worst.largest_outlier = worst.largest_outlier.max(of_output.largest_outlier);
        worst.tolerance = worst.tolerance.max(of_output.tolerance);
        worst.outliers = worst.outliers.max(of_output.outliers);
    }
    Ok(worst)
}

fn compare(terms: usize, found: &Output, exact: &Output) -> Agreement {
    match (found, exact) {
        (Output::Float(found), Output::Float(exact)) => floats(terms, found, exact),
        (Output::Word(found), Output::Word(exact)) => {
            let differing = found.iter().zip(exact).filter(|(f, e)| f != e).count();
            Agreement {
                outliers: share(differing, found.len(), exact.len()),
                ..Agreement::default()
            }
        }
        _ => Agreement {
            outliers: 1.0,
            ..Agreement::default()
        },
    }
}

fn floats(terms: usize, found: &[f64], exact: &[f64]) -> Agreement {
    let finite = exact.iter().filter(|e| e.is_finite());
    let largest = finite.fold(0.0f64, |largest, e| largest.max(e.abs()));
    let tolerance = 4e-7 * (terms as f64).sqrt() * largest + 1e-6;
    let mut outliers = 0;
    let (mut largest_error, mut largest_outlier) = (0.0f64, 0.0f64);
    for (f, e) in found.iter().zip(exact) {
        let error = (f - e).abs();
        if f == e || (f.is_nan() && e.is_nan()) {
            continue;
        }
        // Written so that a NaN is an outlier.
        if error <= tolerance {
            largest_error = largest_error.max(error);
        } else {
            outliers += 1;
            largest_outlier =
                largest_outlier.max(if error.is_nan() { f64::INFINITY } else { error });
        }
    }
    Agreement {
        largest_error,
        largest_outlier,
        tolerance,
        outliers: share(outliers, found.len(), exact.len()),
    }
}

/// Share of elements; all of them where the lengths differ.
fn share(count: usize, found: usize, exact: usize) -> f64 {
    if found == exact {
        count as f64 / exact.max(1) as f64
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases;
    use attractor_kernels::KernelId;

    fn effort() -> Effort {
        Effort {
            repetitions: 1,
            seconds: 0.0,
        }
    }

    #[test]
    fn every_kernel_is_right_on_the_cpu() {
        let device = Device::cpu();
        let roofline = Roofline::measure(&device, &effort()).unwrap();
        for &id in KernelId::ALL {
            for case in cases(id, false) {
                let record = measure_kernel(&device, &case, &roofline, &effort()).unwrap();
                assert!(record.correct, "{record:?}");
                assert!(
                    record.seconds.median > 0.0 && record.roofline_share > 0.0,
                    "{record:?}"
                );
            }
        }
    }

    #[test]
    fn wrong_results_are_seen() {
        let exact = [1.0, -2.0, f64::INFINITY, 0.5];
        assert_eq!(floats(1, &exact, &exact).outliers, 0.0);
        assert_eq!(
            floats(1, &[1.0, -2.0, f64::INFINITY, 0.6], &exact).outliers,
            0.25
        );
        let lost = floats(1, &[1.0, f64::NAN, f64::INFINITY, 0.5], &exact);
        assert_eq!((lost.outliers, lost.largest_outlier), (0.25, f64::INFINITY));
        assert_eq!(floats(1, &exact[..3], &exact).outliers, 1.0);
        let words = compare(1, &Output::Word(vec![1, 2]), &Output::Word(vec![1, 3]));
        assert_eq!(words.outliers, 0.5);
    }
}
