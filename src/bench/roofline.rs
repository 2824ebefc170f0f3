//! What the device can do at most, measured: a long copy and a chain of multiply-adds (Williams,
//! Waterman, Patterson, "Roofline", CACM 2009).

use super::cases::{Case, Tolerance};
use super::{BenchError, Clock, Effort, Spread, Workload};
use crate::device::{Device, DeviceKind};
use attractor_kernels::roofline_copy::RooflineCopy;
use attractor_kernels::roofline_fma::RooflineFma;
use attractor_kernels::{AnyKernel, Cost};
use serde::Serialize;
use std::time::Instant;

/// Ceilings of a device.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Roofline {
    /// Copy through memory in 1e9 bytes a second, read and written.
    pub gigabytes_per_second: f64,
    /// Bytes that copy touched.
    pub copied_bytes: u64,
    /// Copy inside the processor's caches, where the device is the processor.
    pub cached_gigabytes_per_second: Option<f64>,
    /// Bytes that fit the caches: smaller work is held against the cached figure.
    pub cached_bytes: u64,
    /// Multiply-adds on registers in 1e9 operations a second, two to a multiply-add.
    pub gflops: f64,
    /// What the times were read from.
    pub clock: Clock,
}

/// Sizes of the ceilings' workloads: as much as leaves the caches, and works a tenth of a second or so.
struct Sizes {
    copied_floats: u32,
    cached_floats: &'static [u32],
    chains: u32,
    rounds: u32,
}

impl Sizes {
    fn of(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::Cpu | DeviceKind::SoftwareGpu => Self {
                copied_floats: 32 << 20,
                cached_floats: &[64 << 10, 256 << 10, 1 << 20],
                chains: 32 << 10,
                rounds: 1024,
            },
            DeviceKind::DiscreteGpu => Self {
                copied_floats: 128 << 20,
                cached_floats: &[],
                chains: 4 << 20,
                rounds: 1024,
            },
            _ => Self {
                copied_floats: 32 << 20,
                cached_floats: &[],
                chains: 256 << 10,
                rounds: 1024,
            },
        }
    }
}

impl Roofline {
    /// Measures the ceilings of a device: the fastest of several runs, since anything slower was held up.
    ///
    /// # Errors
    /// [`BenchError`] if the device cannot run the two kernels.
    pub fn measure(device: &Device, effort: &Effort) -> Result<Self, BenchError> {
        let mut sizes = Sizes::of(device.info().kind);
        if let Some(gpu) = device.gpu() {
            let limits = gpu.device().limits();
            let most = (limits.max_buffer_size / 2).min(limits.max_storage_buffer_binding_size);
            let floats = u32::try_from(most / 4).unwrap_or(u32::MAX) & !63;
            sizes.copied_floats = sizes.copied_floats.min(floats);
        }
        let copy = |count: u32| {
            let kernel = AnyKernel::from(RooflineCopy { count });
            let (spread, clock) = time(device, kernel, effort)?;
            let bytes = kernel.cost().bytes;
            Ok::<_, BenchError>((
                bytes as f64 * 1e-9 / spread.minimum.max(1e-12),
                bytes,
                clock,
            ))
        };
        let (gigabytes_per_second, copied_bytes, _) = copy(sizes.copied_floats)?;
        let mut cached: Option<f64> = None;
        for &count in sizes.cached_floats {
            let rate = copy(count)?.0;
            cached = Some(cached.map_or(rate, |best| best.max(rate)));
        }
        let chains = AnyKernel::from(RooflineFma::new(sizes.chains, sizes.rounds));
        let (spread, clock) = time(device, chains, effort)?;
        Ok(Self {
            gigabytes_per_second,
            copied_bytes,
            // A launch of so little may take longer to start than to run, and then says nothing.
            cached_gigabytes_per_second: cached.filter(|rate| *rate > gigabytes_per_second),
            cached_bytes: cached.map_or(0, |_| CACHED_BYTES),
            gflops: chains.cost().flops as f64 * 1e-9 / spread.minimum.max(1e-12),
            clock,
        })
    }

    /// Seconds that work takes at least: the longer of its arithmetic and its traffic.
    pub fn seconds(&self, cost: &Cost) -> f64 {
        let fits = cost.bytes <= self.cached_bytes;
        let rate = match self.cached_gigabytes_per_second {
            Some(cached) if fits => cached,
            _ => self.gigabytes_per_second,
        };
        let arithmetic = cost.flops as f64 * 1e-9 / self.gflops.max(1e-9);
        let traffic = cost.bytes as f64 * 1e-9 / rate.max(1e-9);
        arithmetic.max(traffic)
    }
}

/// Work that may be assumed to stay in the outer caches of a processor.
const CACHED_BYTES: u64 = 16 << 20;

fn time(
    device: &Device,
    kernel: AnyKernel,
    effort: &Effort,
) -> Result<(Spread, Clock), BenchError> {
    let case = Case {
        name: "roofline".into(),
        kernel,
        fills: Vec::new(),
        constants: &[],
        tolerance: Tolerance {
            terms: 1,
            outliers: 0.0,
        },
    };
    let mut workload = Workload::new(device, &case)?;
    let (_, clock) = workload.run(2)?;
    let effort = Effort {
        // Every share hangs on this: it must find a moment in which nothing else runs.
        repetitions: effort.repetitions.saturating_mul(4),
        ..*effort
    };
    let mut samples = Vec::new();
    let start = Instant::now();
    while !effort.is_enough(samples.len(), start.elapsed().as_secs_f64()) {
        samples.extend(workload.run(2)?.0);
    }
    Ok((Spread::of(&samples), clock))
}
