//! Start-up self-test: a product of odd size on the device against its twin, bit of trust before work.

use super::{Device, DeviceError, GpuDevice};
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{AnyKernel, Operands, Scalar, View};
use serde::Serialize;

/// Outcome of the self-test.
#[derive(Debug, Clone, Serialize)]
pub struct SelfTest {
    /// Whether the device agrees with the twin within the contract.
    pub passed: bool,
    /// Largest absolute difference found.
    pub largest_error: f32,
    /// Largest difference allowed.
    pub tolerance: f32,
    /// What was run.
    pub what: String,
}

const M: u32 = 67;
const N: u32 = 37;
const K: u32 = 129;

/// Deterministic values in [-1, 1), exactly representable.
fn values(count: u32, salt: u32) -> Vec<f32> {
    (0..count)
        .map(|i| {
            let h = (i ^ salt).wrapping_mul(0x9E37_79B1);
            ((h >> 16) as f32) / 32_768.0 - 1.0
        })
        .collect()
}

/// Multiplies two matrices of odd size on the device and holds the result against the twin in `f64`.
///
/// # Errors
/// [`DeviceError`] if the device cannot run it at all.
pub fn self_test(device: &Device) -> Result<SelfTest, DeviceError> {
    let kernel = AnyKernel::from(MatMul::linear(M, K, N));
    let inputs = [values(M * K, 1), values(N * K, 2), values(N, 3)];
    let exact = twin::<f64>(&kernel, &inputs, device)?;
    let found: Vec<f64> = match device.gpu() {
        Some(gpu) => on_gpu(gpu, &kernel, &inputs)?
            .into_iter()
            .map(f64::from)
            .collect(),
        None => twin::<f32>(&kernel, &inputs, device)?
            .into_iter()
            .map(f64::from)
            .collect(),
    };
    let errors = exact.iter().zip(&found).map(|(e, f)| (e - f).abs());
    let largest_error = largest(errors) as f32;
    let tolerance = 4e-7 * (K as f32).sqrt() * 16.0 + 1e-6;
    Ok(SelfTest {
        passed: largest_error <= tolerance && found.len() == exact.len(),
        largest_error,
        tolerance,
        what: format!("product {M} x {K} x {N} against the f64 twin"),
    })
}

/// Largest of some numbers that are not negative; NaN if one is, where `max` would drop it.
fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |worst, number| {
        if worst.is_nan() || number <= worst {
            worst
        } else {
            number
        }
    })
}

fn twin<T: Scalar>(
    kernel: &AnyKernel,
    inputs: &[Vec<f32>; 3],
    device: &Device,
) -> Result<Vec<T>, DeviceError> {
    let converted: Vec<Vec<T>> = inputs
        .iter()
        .map(|x| x.iter().map(|&v| T::from_f32(v)).collect())
        .collect();
    let mut output = vec![T::ZERO; (M * N) as usize];
    let mut views: Vec<View<'_, T>> = converted.iter().map(|x| View::Float(x)).collect();
    views.extend([View::Absent, View::Absent, View::FloatMut(&mut output)]);
    let mut operands = Operands::new(kernel.id().name(), kernel.id().operands(), views, false);
    kernel
        .twin(&mut operands)
        .map_err(|error| DeviceError::Refused {
            device: device.info().name.clone(),
            what: "the self-test".into(),
            message: error.to_string(),
        })?;
    Ok(output)
}

fn on_gpu(
    gpu: &GpuDevice,
    kernel: &AnyKernel,
    inputs: &[Vec<f32>; 3],
) -> Result<Vec<f32>, DeviceError> {
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let mut buffers = Vec::new();
    for input in inputs {
        let buffer = gpu.buffer("self-test operand", input.len() as u64 * 4, usage)?;
        gpu.write(
            "a self-test operand",
            &buffer,
            0,
            bytemuck::cast_slice(input),
        )?;
        buffers.push(buffer);
    }
    let bytes = u64::from(M * N) * 4;
    let output = gpu.buffer("self-test result", bytes, usage)?;
    let mut ranges: Vec<_> = buffers.iter().map(|b| (b, 0, b.size())).collect();
    ranges.extend([
        (gpu.absent(), 0, 256),
        (gpu.absent(), 0, 256),
        (&output, 0, bytes),
    ]);
    let launch = kernel.launch(gpu.capabilities());
    let pipeline = gpu.pipeline(kernel.id(), launch.entry_point)?;
    let group = gpu.bind(kernel, &pipeline, &ranges)?;
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.set_immediates(0, kernel.parameters());
        let [x, y, z] = launch.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
    gpu.submit("the self-test", encoder)?;
    let read = gpu.read(&output, 0, bytes)?;
    Ok(bytemuck::pod_collect_to_vec(&read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_fails_wherever_it_stands() {
        for numbers in [
            [f64::NAN, 0.0, 1.0],
            [0.0, f64::NAN, 1.0],
            [0.0, 1.0, f64::NAN],
        ] {
            assert!(largest(numbers.into_iter()).is_nan(), "{numbers:?}");
        }
        assert_eq!(largest([0.5, 2.0, 1.0].into_iter()), 2.0);
    }

    #[test]
    fn the_cpu_devices_pass() {
        for device in [Device::cpu(), Device::cpu_f64()] {
            let test = self_test(&device).unwrap();
            assert!(test.passed, "{test:?}");
        }
    }
}
