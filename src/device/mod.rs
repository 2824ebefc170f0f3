//! Where a kernel runs: a wgpu adapter or the CPU.

mod error;
mod gpu;
mod info;
mod select;
mod self_test;

pub use error::DeviceError;
pub use gpu::{GpuDevice, Pipeline};
pub use info::{CooperativeShape, DeviceFeatures, DeviceInfo, DeviceKind, DeviceLimits};
pub use select::{AdapterReport, Selection, adapters};
pub use self_test::{SelfTest, self_test};

use std::sync::Arc;

/// Precision the CPU device computes in; a GPU computes in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    F32,
    /// Double precision, on the CPU device alone.
    F64,
}

/// A place to compute. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Device {
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    Cpu(Arc<DeviceInfo>, Precision),
    Gpu(Arc<GpuDevice>),
}

impl Device {
    /// The CPU device in single precision: all cores, vectorised, no driver needed.
    pub fn cpu() -> Self {
        Self {
            inner: Inner::Cpu(Arc::new(DeviceInfo::cpu()), Precision::F32),
        }
    }

    /// The CPU device in double precision, the engine's own reference.
    pub fn cpu_f64() -> Self {
        Self {
            inner: Inner::Cpu(Arc::new(DeviceInfo::cpu()), Precision::F64),
        }
    }

    /// The best wgpu adapter whose name contains `selector` (any case); an empty selector takes the best
    /// of all, hardware first, a software one if that is all.
    ///
    /// # Errors
    /// [`DeviceError::NotFound`] naming the adapters there are; [`DeviceError::Unsupported`] when the
    /// adapter lacks immediates.
    pub fn wgpu(selector: &str) -> Result<Self, DeviceError> {
        select::open(selector).map(Self::from_gpu)
    }

    /// A device of the host program. It must have been made with [`wgpu::Features::IMMEDIATES`] and
    /// `max_immediate_size` of at least 128.
    ///
    /// # Errors
    /// [`DeviceError::Unsupported`] when it lacks them.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self, DeviceError> {
        GpuDevice::new(device, queue, &[], gpu::Ownership::Host).map(Self::from_gpu)
    }

    fn from_gpu(gpu: GpuDevice) -> Self {
        Self {
            inner: Inner::Gpu(Arc::new(gpu)),
        }
    }

    /// What is known of it.
    pub fn info(&self) -> &DeviceInfo {
        match &self.inner {
            Inner::Cpu(info, _) => info,
            Inner::Gpu(gpu) => gpu.info(),
        }
    }

    /// The GPU, if it is one.
    pub fn gpu(&self) -> Option<&Arc<GpuDevice>> {
        match &self.inner {
            Inner::Cpu(..) => None,
            Inner::Gpu(gpu) => Some(gpu),
        }
    }

    /// Precision of its arithmetic.
    pub fn precision(&self) -> Precision {
        match &self.inner {
            Inner::Cpu(_, precision) => *precision,
            Inner::Gpu(_) => Precision::F32,
        }
    }
}
