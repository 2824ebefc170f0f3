//! What every record of a run carries.

use attractor::device::{Device, DeviceFeatures, DeviceKind, Precision};
use attractor::samplers::SamplerSettings;
use serde::Serialize;

/// Where and how results were made. Holds no times: the same run gives the same record.
#[derive(Debug, Clone, Serialize)]
pub struct RunRecord<S = SamplerSettings> {
    /// Version of this program.
    pub version: &'static str,
    /// Device name.
    pub device: String,
    /// Device kind.
    pub device_kind: DeviceKind,
    /// Graphics interface, or "native".
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// Arithmetic.
    pub precision: Precision,
    /// Features of the device.
    pub features: Option<DeviceFeatures>,
    /// Whether shaders ran with their checks.
    pub checked: bool,
    /// Seed of all random numbers.
    pub seed: u64,
    /// File of the weights.
    pub weights: String,
    /// Hash of the weights.
    pub weights_hash: String,
    /// Sampler settings.
    pub sampler: S,
}

impl<S: Clone> RunRecord<S> {
    /// The record of a run on `device`.
    pub fn new(
        device: &Device,
        seed: u64,
        (weights, weights_hash): (&str, &str),
        sampler: &S,
    ) -> Self {
        let info = device.info();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            device: info.name.clone(),
            device_kind: info.kind,
            backend: info.backend.clone(),
            driver: info.driver.clone(),
            precision: device.precision(),
            features: info.features.clone(),
            checked: device.gpu().is_some_and(|gpu| gpu.checked()),
            seed,
            weights: weights.to_string(),
            weights_hash: weights_hash.to_string(),
            sampler: sampler.clone(),
        }
    }

    /// Lines at the head of every run: version, device and why it was chosen, weights, seed.
    pub fn head(&self, reason: &str) -> String {
        let checked = if self.checked {
            "; checked shaders"
        } else {
            ""
        };
        format!(
            "attractor {}\ndevice   {reason}{checked}\nweights  {} ({})\nseed     {}\n",
            self.version, self.weights, self.weights_hash, self.seed,
        )
    }
}

impl RunRecord {
    /// Lines at the head of a run of the planner: [`RunRecord::head`] and the sampler.
    pub fn header(&self, reason: &str) -> String {
        let s = &self.sampler;
        format!(
            "{}sampler  {}, {} steps, {} schedule, strategy {}, eta {}, temperature {}, top-k {}, top-p {}\n",
            self.head(reason),
            name(&s.sampler),
            s.steps,
            s.noise_schedule,
            name(&s.strategy),
            s.eta,
            s.temperature,
            s.top_k,
            s.top_p,
        )
    }
}

/// The name that a choice has in records.
pub fn name(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "?".into(),
    }
}
