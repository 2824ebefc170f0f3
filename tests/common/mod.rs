//! Running one kernel on any device, for tests that hold a shader against its twin.
#![allow(dead_code)]

pub mod host;
pub mod trained;
pub mod variants;

use attractor::device::Device;
use attractor::graph::{Execution, Graph, Moment, Phase, Plan, TensorKind};
use attractor_kernels::{Access, AnyKernel, Element};

/// Contents of an operand.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    Float(Vec<f32>),
    Word(Vec<u32>),
    Absent,
}

impl Array {
    pub fn floats(&self) -> &[f32] {
        match self {
            Self::Float(values) => values,
            other => panic!("not floats: {other:?}"),
        }
    }

    pub fn words(&self) -> &[u32] {
        match self {
            Self::Word(values) => values,
            other => panic!("not words: {other:?}"),
        }
    }
}

/// Runs one kernel at step `step` under `seed` and returns all operands afterwards (inputs as given).
pub fn run_at(
    device: &Device,
    kernel: impl Into<AnyKernel>,
    operands: &[Array],
    step: u32,
    moment: Moment,
) -> Vec<Array> {
    let kernel = kernel.into();
    let mut graph = Graph::new();
    let ids: Vec<_> = kernel
        .id()
        .operands()
        .iter()
        .zip(operands)
        .map(|(operand, array)| {
            let kind = match operand.access {
                Access::Read => TensorKind::Input,
                _ => TensorKind::State,
            };
            match array {
                Array::Float(values) => Some(graph.float(operand.name, &[values.len()], kind)),
                Array::Word(values) => Some(graph.word(operand.name, &[values.len()], kind)),
                Array::Absent => None,
            }
        })
        .collect();
    graph.push(Phase::Once, "under test", kernel, &ids);
    let plan = Plan::compile(graph, device).expect("plan");
    let mut execution = Execution::new(&plan).expect("execution");
    for (id, array) in ids.iter().zip(operands) {
        match (id, array) {
            (Some(id), Array::Float(values)) => execution.write(*id, values).expect("write"),
            (Some(id), Array::Word(values)) => execution.write_words(*id, values).expect("write"),
            _ => {}
        }
    }
    execution.submit(&[(0, step)], &moment).expect("submit");
    execution.wait().expect("wait");
    kernel
        .id()
        .operands()
        .iter()
        .zip(&ids)
        .zip(operands)
        .map(
            |((operand, id), array)| match (id, operand.access, operand.element) {
                (Some(_), Access::Read, _) | (None, ..) => array.clone(),
                (Some(id), _, Element::Float) => Array::Float(execution.read(*id).expect("read")),
                (Some(id), _, Element::Word) => {
                    Array::Word(execution.read_words(*id).expect("read"))
                }
            },
        )
        .collect()
}

/// [`run_at`] at step 0 under seed 0.
pub fn run(device: &Device, kernel: impl Into<AnyKernel>, operands: &[Array]) -> Vec<Array> {
    run_at(device, kernel, operands, 0, Moment::default())
}

/// The adapter the GPU tests run on.
pub fn gpu() -> Device {
    Device::wgpu("").expect("an adapter; ./scripts/test installs a software one")
}

/// Deterministic values in [-1, 1).
pub fn values(count: usize, salt: u64) -> Vec<f32> {
    (0..count as u64)
        .map(|i| {
            let mut h =
                i.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
            h ^= h >> 29;
            h = h.wrapping_mul(0xBF58_476D_1CE4_E5B9);
            h ^= h >> 32;
            (h & 0xff_ffff) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// Asserts `|found - exact| <= relative * scale + absolute` element by element, NaN failing.
pub fn assert_close(what: &str, found: &[f32], exact: &[f32], tolerance: f32) {
    assert_eq!(found.len(), exact.len(), "{what}: lengths");
    for (index, (f, e)) in found.iter().zip(exact).enumerate() {
        let both_same = f.to_bits() == e.to_bits();
        assert!(
            both_same || (f - e).abs() <= tolerance * e.abs().max(1.0),
            "{what}[{index}]: found {f}, expected {e}, tolerance {tolerance}"
        );
    }
}
