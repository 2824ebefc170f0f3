//! Every variant of a kernel's shader, hardware and software ones alike, against the twin.

use super::Array;
use attractor::device::{Device, GpuDevice};
use attractor_kernels::{Access, AnyKernel, Capabilities, Launch, Operands, Scalar, View};

/// Runs a kernel's f32 twin and all variants of its shader, and asserts that everything written agrees
/// with the f64 twin: floats within `tolerance` of max(1, |value|), NaN with NaN, words exactly.
pub fn against_twin(
    device: &Device,
    what: &str,
    kernel: impl Into<AnyKernel>,
    operands: &[Array],
    tolerance: f32,
) {
    let kernel = kernel.into();
    let exact = twin::<f64>(&kernel, operands);
    let single = twin::<f32>(&kernel, operands);
    compare(&format!("{what}, f32 twin"), &single, &exact, tolerance);
    shaders_against(device, what, &kernel, operands, &exact, tolerance);
}

/// The same against the f32 twin, for kernels whose words hang on comparisons of rounded numbers.
pub fn against_single_twin(
    device: &Device,
    what: &str,
    kernel: impl Into<AnyKernel>,
    operands: &[Array],
    tolerance: f32,
) {
    let kernel = kernel.into();
    let single = twin::<f32>(&kernel, operands);
    shaders_against(device, what, &kernel, operands, &single, tolerance);
}

fn shaders_against(
    device: &Device,
    what: &str,
    kernel: &AnyKernel,
    operands: &[Array],
    exact: &[Array],
    tolerance: f32,
) {
    let gpu = device.gpu().expect("a GPU device");
    for launch in launches(kernel) {
        let found = dispatch(gpu, kernel, &launch, operands);
        let what = format!("{what}, {}::{}", kernel.id().name(), launch.entry_point);
        compare(&what, &found, exact, tolerance);
    }
}

/// One launch of each variant that any device would choose.
pub fn launches(kernel: &AnyKernel) -> Vec<Launch> {
    let hardware = kernel.launch(&Capabilities::default());
    let software = kernel.launch(&Capabilities {
        software: true,
        ..Capabilities::default()
    });
    let mut all = vec![hardware, software];
    all.dedup_by_key(|launch| launch.entry_point);
    all
}

fn compare(what: &str, found: &[Array], exact: &[Array], tolerance: f32) {
    for (operand, pair) in found.iter().zip(exact).enumerate() {
        match pair {
            (Array::Float(found), Array::Float(exact)) => {
                assert_eq!(found.len(), exact.len(), "{what}, operand {operand}");
                for (i, (f, e)) in found.iter().zip(exact).enumerate() {
                    let same = f == e || (f.is_nan() && e.is_nan());
                    assert!(
                        same || (f - e).abs() <= tolerance * e.abs().max(1.0),
                        "{what}, operand {operand}[{i}]: found {f}, expected {e}"
                    );
                }
            }
            (found, exact) => assert_eq!(found, exact, "{what}, operand {operand}"),
        }
    }
}

/// An operand in the twin's precision.
enum Held<T> {
    Float(Vec<T>),
    Word(Vec<u32>),
    Absent,
}

/// Operands after the twin has run.
fn twin<T: Scalar>(kernel: &AnyKernel, operands: &[Array]) -> Vec<Array> {
    let mut held: Vec<_> = operands
        .iter()
        .map(|array| match array {
            Array::Float(x) => Held::Float(x.iter().map(|v| T::from_f32(*v)).collect()),
            Array::Word(x) => Held::Word(x.clone()),
            Array::Absent => Held::Absent,
        })
        .collect();
    let table = kernel.id().operands();
    let views = held
        .iter_mut()
        .zip(table)
        .map(|(held, operand)| match (held, operand.access) {
            (Held::Float(x), Access::Read) => View::Float(x),
            (Held::Float(x), _) => View::FloatMut(x),
            (Held::Word(x), Access::Read) => View::Word(x),
            (Held::Word(x), _) => View::WordMut(x),
            (Held::Absent, _) => View::Absent,
        })
        .collect();
    let mut operands = Operands::new(kernel.id().name(), table, views, true);
    kernel.twin(&mut operands).expect("twin");
    drop(operands);
    held.into_iter()
        .map(|held| match held {
            Held::Float(x) => Array::Float(x.iter().map(|v| v.to_f32()).collect()),
            Held::Word(x) => Array::Word(x),
            Held::Absent => Array::Absent,
        })
        .collect()
}

/// Words bound past the end of every operand, so that a shader that reads or writes there is found out:
/// as a float each is NaN.
const GUARD: [u32; 64] = [0xffc0_dead; 64];

/// Contents of a buffer without its guard, which must be intact.
fn unguarded(what: &str, mut words: Vec<u32>) -> Vec<u32> {
    let end = words.len() - GUARD.len();
    assert_eq!(words[end..], GUARD, "{what}: written past the end");
    words.truncate(end);
    words
}

/// Operands after one dispatch, each in a buffer of its own.
pub fn dispatch(
    gpu: &GpuDevice,
    kernel: &AnyKernel,
    launch: &Launch,
    operands: &[Array],
) -> Vec<Array> {
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let upload = |bytes: &[u8]| {
        let bytes = [bytes, bytemuck::cast_slice(&GUARD)].concat();
        let buffer = gpu
            .buffer("operand", bytes.len() as u64, usage)
            .expect("buffer");
        gpu.queue().write_buffer(&buffer, 0, &bytes);
        buffer
    };
    let buffers: Vec<_> = operands
        .iter()
        .map(|array| match array {
            Array::Float(x) => Some(upload(bytemuck::cast_slice(x))),
            Array::Word(x) => Some(upload(bytemuck::cast_slice(x))),
            Array::Absent => None,
        })
        .collect();
    let ranges: Vec<_> = buffers
        .iter()
        .map(|buffer| {
            let buffer = buffer.as_ref().unwrap_or(gpu.absent());
            (buffer, 0, buffer.size())
        })
        .collect();
    let pipeline = gpu
        .pipeline(kernel.id(), launch.entry_point)
        .expect("pipeline");
    let group = gpu.bind(kernel, &pipeline, &ranges).expect("bind group");
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
    gpu.submit("a kernel under test", encoder).expect("submit");
    let read = |buffer: &wgpu::Buffer| {
        let bytes = gpu.read(buffer, 0, buffer.size()).expect("read");
        unguarded(
            &format!("{kernel:?}, {}", launch.entry_point),
            bytemuck::pod_collect_to_vec(&bytes),
        )
    };
    operands
        .iter()
        .zip(&buffers)
        .map(|(array, buffer)| match (array, buffer) {
            (Array::Float(_), Some(b)) => {
                Array::Float(read(b).into_iter().map(f32::from_bits).collect())
            }
            (Array::Word(_), Some(b)) => Array::Word(read(b)),
            _ => Array::Absent,
        })
        .collect()
}
