//! A checked, fused, memory-planned graph with its constants on a device.

use super::cpu::CpuConstants;
use super::gpu::GpuConstants;
use super::program::Program;
use super::{Graph, GraphError, MemoryPlan, Phase, fuse};
use crate::device::{Device, DeviceError, Precision};
use attractor_kernels::{Cost, SOFTWARE_ITERATIONS};
use serde::Serialize;
use std::sync::Arc;

/// A compiled graph. Cheap to clone; executions share its constants.
#[derive(Debug, Clone)]
pub struct Plan {
    inner: Arc<PlanInner>,
}

#[derive(Debug)]
pub(super) struct PlanInner {
    pub program: Program,
    pub device: Device,
    pub constants: Constants,
}

/// Constants where the device can read them.
#[derive(Debug)]
pub(super) enum Constants {
    F32(CpuConstants<f32>),
    F64(CpuConstants<f64>),
    Gpu(GpuConstants),
}

/// What a plan will do, known before it runs.
#[derive(Debug, Clone, Serialize)]
pub struct PlanSummary {
    /// Nodes of each phase: once, every step, at the end.
    pub nodes: [usize; 3],
    /// Steps assumed in the totals below.
    pub steps: u32,
    /// Launches in all.
    pub dispatches: u64,
    /// Work in all.
    pub cost: Cost,
    /// Bytes of working memory of one execution, the peak of a run.
    pub working_bytes: u64,
    /// Bytes of constants, shared by all executions.
    pub constant_bytes: u64,
}

impl Plan {
    /// Compiles a graph for a device: checks it, fuses what pays, plans memory, uploads constants.
    ///
    /// # Errors
    /// [`GraphError`] if the graph does not hold together or does not fit the device.
    pub fn compile(graph: Graph, device: &Device) -> Result<Self, GraphError> {
        graph.check()?;
        let graph = fuse(graph);
        graph.check()?;
        let memory = MemoryPlan::new(&graph);
        let constants = match (device.gpu(), device.precision()) {
            (Some(gpu), _) => {
                check_limits(&graph, &memory, gpu)?;
                Constants::Gpu(GpuConstants::upload(&graph, gpu)?)
            }
            (None, Precision::F32) => Constants::F32(CpuConstants::pack(&graph)),
            (None, Precision::F64) => Constants::F64(CpuConstants::pack(&graph)),
        };
        Ok(Self {
            inner: Arc::new(PlanInner {
                program: Program { graph, memory },
                device: device.clone(),
                constants,
            }),
        })
    }

    pub(super) fn inner(&self) -> &Arc<PlanInner> {
        &self.inner
    }

    /// The graph as it runs.
    pub fn graph(&self) -> &Graph {
        &self.inner.program.graph
    }

    /// The device it was compiled for.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// Where every tensor lives.
    pub fn memory(&self) -> &MemoryPlan {
        &self.inner.program.memory
    }

    /// Bytes of working memory of one execution.
    pub fn working_bytes(&self) -> u64 {
        let scale = match self.inner.constants {
            Constants::F64(_) => 2,
            _ => 1,
        };
        let memory = &self.inner.program.memory;
        let floats = (memory.float_elements as u64).saturating_mul(scale);
        let elements = floats.saturating_add(memory.word_elements as u64);
        elements.saturating_mul(4)
    }

    /// What a run of `steps` steps will do.
    pub fn summary(&self, steps: u32) -> PlanSummary {
        let mut nodes = [0usize; 3];
        let mut cost = Cost::default();
        let mut dispatches = 0u64;
        for node in self.graph().nodes() {
            let (slot, times) = match node.phase {
                Phase::Once => (0, 1),
                Phase::Step => (1, u64::from(steps)),
                Phase::Final => (2, 1),
            };
            nodes[slot] += 1;
            dispatches += times;
            let one = node.kernel.cost();
            cost.flops = cost.flops.saturating_add(one.flops.saturating_mul(times));
            cost.bytes = cost.bytes.saturating_add(one.bytes.saturating_mul(times));
        }
        let constants = self
            .graph()
            .tensors()
            .iter()
            .filter(|t| t.constant.is_some());
        PlanSummary {
            nodes,
            steps,
            dispatches,
            cost,
            working_bytes: self.working_bytes(),
            constant_bytes: constants.map(|t| t.len() as u64 * 4).sum(),
        }
    }

    /// Tensors, nodes, places in memory and totals for a run of `steps` steps, as JSON; values of
    /// constants are left out.
    ///
    /// # Errors
    /// [`serde_json::Error`] if a name is no valid text; none is known to arise.
    pub fn to_json(&self, steps: u32) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Dump<'a> {
            device: &'a crate::device::DeviceInfo,
            precision: Precision,
            summary: PlanSummary,
            graph: &'a Graph,
            memory: &'a MemoryPlan,
        }
        serde_json::to_string_pretty(&Dump {
            device: self.device().info(),
            precision: self.device().precision(),
            summary: self.summary(steps),
            graph: self.graph(),
            memory: self.memory(),
        })
    }

    /// The node list for people: one line a node with shapes and cost.
    pub fn explain(&self, steps: u32) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for node in self.graph().nodes() {
            let operands: Vec<String> = node
                .kernel
                .id()
                .operands()
                .iter()
                .zip(&node.operands)
                .filter_map(|(operand, id)| {
                    let tensor = self.graph().tensor((*id)?);
                    Some(format!(
                        "{}={}{:?}",
                        operand.name, tensor.name, tensor.shape
                    ))
                })
                .collect();
            let cost = node.kernel.cost();
            let phase = match node.phase {
                Phase::Once => "once ",
                Phase::Step => "step ",
                Phase::Final => "final",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{phase} {:<34} {:<18} {:>12} flops {:>11} bytes  {}",
                node.label,
                node.kernel.id().name(),
                cost.flops,
                cost.bytes,
                operands.join(" ")
            );
        }
        let s = self.summary(steps);
        let _ = writeln!(
            text,
            "{} dispatches for {steps} steps ({} once, {} a step, {} at the end); {:.3} GFLOP, {:.3} GB moved at least; \
             peak working memory {} bytes, constants {} bytes",
            s.dispatches,
            s.nodes[0],
            s.nodes[1],
            s.nodes[2],
            s.cost.flops as f64 * 1e-9,
            s.cost.bytes as f64 * 1e-9,
            s.working_bytes,
            s.constant_bytes
        );
        text
    }
}

/// Refuses a graph whose tensors or arena are over the adapter's limits, naming the tensor.
fn check_limits(
    graph: &Graph,
    memory: &MemoryPlan,
    gpu: &crate::device::GpuDevice,
) -> Result<(), GraphError> {
    for (tensor, place) in graph.tensors().iter().zip(&memory.offsets) {
        // What fusion has left unused takes no room.
        if place.is_some() || tensor.constant.is_some() {
            let what = format!("tensor {} {:?}", tensor.name, tensor.shape);
            gpu.check_binding(&what, (tensor.len() as u64).saturating_mul(4))?;
        }
    }
    let limit = gpu.device().limits().max_buffer_size;
    if memory.bytes() > limit {
        return Err(GraphError::Device(DeviceError::TooLarge {
            what: "working memory".into(),
            bytes: memory.bytes(),
            limit_name: "largest buffer (max_buffer_size)",
            limit,
            device: gpu.info().name.clone(),
        }));
    }
    let groups = gpu.capabilities().workgroups_per_dimension;
    for node in graph.nodes() {
        let what = || format!("node {} ({})", node.label, node.kernel.id().name());
        let iterations = node.kernel.software_iterations();
        if gpu.capabilities().software && iterations > SOFTWARE_ITERATIONS {
            return Err(GraphError::Device(DeviceError::TooManyIterations {
                what: what(),
                count: iterations,
                limit: SOFTWARE_ITERATIONS,
                device: gpu.info().name.clone(),
            }));
        }
        let launch = node.kernel.launch(gpu.capabilities());
        if let Some(&count) = launch.workgroups.iter().find(|&&count| count > groups) {
            return Err(GraphError::Device(DeviceError::TooManyWorkgroups {
                what: what(),
                count,
                limit: groups,
                device: gpu.info().name.clone(),
            }));
        }
    }
    Ok(())
}
