//! Finding adapters, and the rules by which `auto`, `cpu`, `gpu` or a name choose one.

use super::gpu::Ownership;
use super::{Device, DeviceError, DeviceInfo, DeviceKind, GpuDevice};
use serde::Serialize;

/// An adapter as the system reports it, usable or not.
#[derive(Debug, Clone, Serialize)]
pub struct AdapterReport {
    /// What is known of it.
    #[serde(flatten)]
    pub info: DeviceInfo,
    /// Whether the engine can run on it.
    pub usable: bool,
}

/// A chosen device, and why it was chosen.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The device.
    pub device: Device,
    /// One line for the run header.
    pub reason: String,
}

impl Selection {
    /// Chooses by the rules of `--device`: `auto` takes a hardware GPU and without one the CPU device,
    /// never a software driver; `cpu` and `cpu-f64` take the CPU device; `gpu` takes the best adapter
    /// there is; anything else is part of an adapter's name.
    ///
    /// # Errors
    /// [`DeviceError`] when nothing fits or the adapter cannot be opened.
    pub fn by_name(selector: &str) -> Result<Self, DeviceError> {
        let of = |device: Device, why: &str| Self {
            reason: format!("{}{why}", device.info().summary()),
            device,
        };
        match selector.trim().to_lowercase().as_str() {
            "cpu" => Ok(of(Device::cpu(), "")),
            "cpu-f64" => Ok(of(Device::cpu_f64(), ", double precision")),
            "" | "auto" => {
                let hardware = adapters()
                    .iter()
                    .any(|a| a.usable && a.info.kind.is_hardware_gpu());
                if hardware {
                    // A GPU that is there but does not open must be seen, not silently replaced.
                    Ok(of(Device::wgpu("")?, ""))
                } else {
                    Ok(of(Device::cpu(), "; no hardware GPU found"))
                }
            }
            "gpu" => {
                let device = Device::wgpu("")?;
                let software = device.info().kind == DeviceKind::SoftwareGpu;
                let why = if software {
                    "; no hardware GPU found, this is a software driver"
                } else {
                    ""
                };
                Ok(of(device, why))
            }
            name => Ok(of(Device::wgpu(name)?, "")),
        }
    }
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle().with_env();
    if std::env::var_os("WGPU_BACKEND").is_none() {
        descriptor.backends = wgpu::Backends::PRIMARY;
    }
    wgpu::Instance::new(descriptor)
}

fn report(adapter: &wgpu::Adapter) -> AdapterReport {
    let limits = adapter.limits();
    AdapterReport {
        info: DeviceInfo::from_wgpu(
            &adapter.get_info(),
            adapter.features(),
            &limits,
            &adapter.cooperative_matrix_properties(),
        ),
        usable: adapter.features().contains(wgpu::Features::IMMEDIATES)
            && limits.max_immediate_size >= 128,
    }
}

fn enumerate() -> Vec<(wgpu::Adapter, AdapterReport)> {
    let found = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::all()));
    let mut found: Vec<_> = found
        .into_iter()
        .map(|adapter| {
            let report = report(&adapter);
            (adapter, report)
        })
        .collect();
    // Stable: adapters of one kind keep the system's order.
    found.sort_by_key(|(_, r)| std::cmp::Reverse(r.info.kind));
    found
}

/// Every adapter of this system, best first.
pub fn adapters() -> Vec<AdapterReport> {
    enumerate().into_iter().map(|(_, report)| report).collect()
}

/// Features that are used when they are there.
const WANTED: wgpu::Features = wgpu::Features::SHADER_F16
    .union(wgpu::Features::SHADER_F64)
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS)
    .union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES)
    .union(wgpu::Features::IMMEDIATES);

/// Opens the best usable adapter whose name contains `selector`, honouring `WGPU_ADAPTER_NAME`.
pub(super) fn open(selector: &str) -> Result<GpuDevice, DeviceError> {
    let by_environment = std::env::var("WGPU_ADAPTER_NAME").unwrap_or_default();
    let wanted = if selector.is_empty() {
        by_environment.to_lowercase()
    } else {
        selector.to_lowercase()
    };
    let found = enumerate();
    let names: Vec<_> = found.iter().map(|(_, r)| r.info.name.clone()).collect();
    let chosen = found
        .into_iter()
        .find(|(_, r)| r.usable && r.info.name.to_lowercase().contains(&wanted));
    let Some((adapter, report)) = chosen else {
        return Err(DeviceError::NotFound {
            selector: if wanted.is_empty() {
                "gpu".into()
            } else {
                wanted
            },
            available: if names.is_empty() {
                "no adapter; the CPU device is \"cpu\"".into()
            } else {
                format!("{}; the CPU device is \"cpu\"", names.join(", "))
            },
        });
    };
    let mut limits = adapter.limits();
    // Deriving layouts with more than eight groups is known to fail; the engine needs one.
    limits.max_bind_groups = limits.max_bind_groups.min(8);
    let request = adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("attractor"),
        required_features: adapter.features() & WANTED,
        required_limits: limits,
        experimental_features: wgpu::ExperimentalFeatures::disabled(),
        memory_hints: wgpu::MemoryHints::Performance,
        trace: wgpu::Trace::Off,
    });
    let (device, queue) = pollster::block_on(request).map_err(|error| DeviceError::Refused {
        device: report.info.name.clone(),
        what: "a device".into(),
        message: error.to_string(),
    })?;
    let cooperative = adapter.cooperative_matrix_properties();
    GpuDevice::new(device, queue, &cooperative, Ownership::Engine)
}
