use attractor_kernels::Capabilities;
use serde::Serialize;

/// What kind of machine a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The CPU device of this engine.
    Cpu,
    /// A software driver that emulates a GPU on the CPU.
    SoftwareGpu,
    /// A driver that does not say what it drives.
    OtherGpu,
    /// A GPU behind a virtual machine.
    VirtualGpu,
    /// A GPU that shares the CPU's memory.
    IntegratedGpu,
    /// A GPU with memory of its own.
    DiscreteGpu,
}

impl DeviceKind {
    /// Whether this is hardware made for the purpose, which `auto` may choose.
    pub fn is_hardware_gpu(self) -> bool {
        !matches!(self, Self::Cpu | Self::SoftwareGpu)
    }
}

/// A cooperative matrix product that an adapter offers: `C[m, n] += A[m, k] B[k, n]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CooperativeShape {
    /// Rows of A and C.
    pub m: u32,
    /// Columns of B and C.
    pub n: u32,
    /// Columns of A.
    pub k: u32,
    /// Element type of A and B.
    pub operands: String,
    /// Element type of C.
    pub accumulator: String,
}

/// Optional abilities of an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceFeatures {
    /// Half precision in shaders.
    pub f16: bool,
    /// Double precision in shaders.
    pub f64: bool,
    /// Subgroup operations.
    pub subgroup: bool,
    /// Smallest and largest subgroup.
    pub subgroup_sizes: [u32; 2],
    /// Timestamps between dispatches.
    pub timestamps: bool,
    /// Immediates (push constants), which the engine needs.
    pub immediates: bool,
    /// Cooperative matrix shapes.
    pub cooperative_matrices: Vec<CooperativeShape>,
}

/// Limits of an adapter that decide what fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceLimits {
    /// Largest buffer in bytes.
    pub buffer_bytes: u64,
    /// Largest storage binding in bytes.
    pub binding_bytes: u64,
    /// Alignment of a binding's offset in bytes.
    pub binding_alignment: u32,
    /// Storage buffers in one shader stage.
    pub storage_buffers: u32,
    /// Bytes of immediates.
    pub immediate_bytes: u32,
    /// Workgroup memory in bytes.
    pub workgroup_memory_bytes: u32,
    /// Invocations in one workgroup.
    pub workgroup_invocations: u32,
    /// Workgroups in one dimension of a dispatch.
    pub workgroups_per_dimension: u32,
}

/// Everything worth knowing of a device; goes into every record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// Adapter or processor name.
    pub name: String,
    /// Kind.
    pub kind: DeviceKind,
    /// Graphics interface, or "native" for the CPU device.
    pub backend: String,
    /// Driver and its version; vector instruction set for the CPU device.
    pub driver: String,
    /// Threads of the CPU device; 0 for a GPU.
    pub threads: usize,
    /// Features; none for the CPU device.
    pub features: Option<DeviceFeatures>,
    /// Limits; none for the CPU device.
    pub limits: Option<DeviceLimits>,
}

impl DeviceInfo {
    /// One line for a run header.
    pub fn summary(&self) -> String {
        match self.kind {
            DeviceKind::Cpu => format!(
                "CPU device: {} ({} threads, {})",
                self.name, self.threads, self.driver
            ),
            kind => {
                let kind = match kind {
                    DeviceKind::SoftwareGpu => "software GPU",
                    DeviceKind::IntegratedGpu => "integrated GPU",
                    DeviceKind::DiscreteGpu => "discrete GPU",
                    DeviceKind::VirtualGpu => "virtual GPU",
                    _ => "GPU",
                };
                format!("{kind}: {} ({}, {})", self.name, self.backend, self.driver)
            }
        }
    }

    /// What kernels choose their variants by.
    pub fn capabilities(&self) -> Capabilities {
        match &self.limits {
            None => Capabilities::default(),
            Some(limits) => Capabilities {
                software: self.kind == DeviceKind::SoftwareGpu,
                workgroup_memory: limits.workgroup_memory_bytes,
                workgroup_invocations: limits.workgroup_invocations,
                workgroups_per_dimension: limits.workgroups_per_dimension,
            },
        }
    }

    /// The processor this runs on.
    pub fn cpu() -> Self {
        Self {
            name: processor_name(),
            kind: DeviceKind::Cpu,
            backend: "native".into(),
            driver: vector_instructions().into(),
            threads: rayon::current_num_threads(),
            features: None,
            limits: None,
        }
    }

    pub(super) fn from_wgpu(
        info: &wgpu::AdapterInfo,
        features: wgpu::Features,
        limits: &wgpu::Limits,
        cooperative: &[wgpu::CooperativeMatrixProperties],
    ) -> Self {
        let driver = format!("{} {}", info.driver, info.driver_info);
        Self {
            name: info.name.clone(),
            kind: match info.device_type {
                wgpu::DeviceType::Cpu => DeviceKind::SoftwareGpu,
                wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu,
                wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
                wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu,
                wgpu::DeviceType::Other => DeviceKind::OtherGpu,
            },
            backend: info.backend.to_string(),
            driver: driver.trim().to_string(),
            threads: 0,
            features: Some(DeviceFeatures {
                f16: features.contains(wgpu::Features::SHADER_F16),
                f64: features.contains(wgpu::Features::SHADER_F64),
                subgroup: features.contains(wgpu::Features::SUBGROUP),
                subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
                timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
                immediates: features.contains(wgpu::Features::IMMEDIATES),
                cooperative_matrices: cooperative
                    .iter()
                    .map(|c| CooperativeShape {
                        m: c.m_size,
                        n: c.n_size,
                        k: c.k_size,
                        operands: format!("{:?}", c.ab_type).to_lowercase(),
                        accumulator: format!("{:?}", c.cr_type).to_lowercase(),
                    })
                    .collect(),
            }),
            limits: Some(DeviceLimits {
                buffer_bytes: limits.max_buffer_size,
                binding_bytes: limits.max_storage_buffer_binding_size,
                binding_alignment: limits.min_storage_buffer_offset_alignment,
                storage_buffers: limits.max_storage_buffers_per_shader_stage,
                immediate_bytes: limits.max_immediate_size,
                workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
                workgroup_invocations: limits.max_compute_invocations_per_workgroup,
                workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            }),
        }
    }
}

/// The processor's own name where the system tells it.
fn processor_name() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
                .map(|(_, name)| name.trim().to_string())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

/// Widest vector instruction set that the twins will use.
fn vector_instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            return "AVX2";
        }
        "SSE2"
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        if cfg!(target_arch = "aarch64") {
            "NEON"
        } else {
            "scalar"
        }
    }
}
