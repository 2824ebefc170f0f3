//! Where numbers were measured.

use crate::device::{Device, DeviceFeatures, DeviceKind, Precision};
use serde::Serialize;

/// What must be known of the machine to read a measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Header {
    /// Version of the engine.
    pub version: &'static str,
    /// Device name.
    pub device: String,
    /// Device kind.
    pub device_kind: DeviceKind,
    /// Graphics interface, or "native".
    pub backend: String,
    /// Driver and its version; vector instructions of the CPU device.
    pub driver: String,
    /// Arithmetic.
    pub precision: Precision,
    /// Features of a GPU.
    pub features: Option<DeviceFeatures>,
    /// Threads of the host's pool, which the CPU device computes with.
    pub threads: usize,
    /// Whether shaders run with their checks.
    pub checked: bool,
}

impl Header {
    /// The header of measurements on `device`.
    pub fn of(device: &Device) -> Self {
        let info = device.info();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            device: info.name.clone(),
            device_kind: info.kind,
            backend: info.backend.clone(),
            driver: info.driver.clone(),
            precision: device.precision(),
            features: info.features.clone(),
            threads: rayon::current_num_threads(),
            checked: device.gpu().is_some_and(|gpu| gpu.checked()),
        }
    }

    /// Features in use, in words.
    pub fn features_in_words(&self) -> String {
        let Some(f) = &self.features else {
            return format!("{} vectors", self.driver);
        };
        let there = [
            ("f16", f.f16),
            ("f64", f.f64),
            ("subgroups", f.subgroup),
            ("timestamps", f.timestamps),
            ("immediates", f.immediates),
        ];
        let names: Vec<&str> = there.iter().filter(|t| t.1).map(|t| t.0).collect();
        names.join(", ")
    }
}
