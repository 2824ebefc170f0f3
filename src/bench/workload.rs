//! One kernel with its operands on a device, ready to be launched again and again.

use super::{Array, BenchError, Case, Clock};
use crate::device::Device;
use crate::graph::{Execution, Graph, Moment, Phase, Plan, TensorId, TensorKind};
use attractor_kernels::copy::{CopyFloats, CopyWords};
use attractor_kernels::{Access, AnyKernel, Element, Operand};
use std::sync::Arc;
use std::time::Instant;

/// A kernel's case made ready on a device.
///
/// What the kernel changes in place is restored before every launch, outside the measured time, so
/// that every launch does the same work.
#[derive(Debug)]
pub struct Workload {
    execution: Execution,
    moment: Moment,
    /// What profiles of the device are read from.
    clock: Clock,
    /// Restoring nodes, then the kernel.
    nodes: usize,
    outputs: Vec<(TensorId, Operand)>,
}

/// What the device made of an output.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Output {
    Float(Vec<f64>),
    Word(Vec<u32>),
}

/// The graph of a case under construction.
struct Builder {
    graph: Graph,
    writes: Vec<(TensorId, Array)>,
    outputs: Vec<(TensorId, Operand)>,
}

impl Builder {
    /// A tensor that the host writes before the first launch.
    fn input(&mut self, name: String, array: &Array, kind: TensorKind) -> Option<TensorId> {
        let id = match array {
            Array::Float(values) => self.graph.float(name, &[values.len()], kind),
            Array::Word(values) => self.graph.word(name, &[values.len()], kind),
            Array::Absent => return None,
        };
        self.writes.push((id, array.clone()));
        Some(id)
    }

    fn constant(&mut self, name: &str, array: &Array) -> Option<TensorId> {
        let shape = [array.len()];
        match array {
            Array::Float(values) => {
                let values = Arc::new(values.clone());
                Some(self.graph.constant(name, &shape, values))
            }
            Array::Word(values) => {
                let values = Arc::new(values.clone());
                Some(self.graph.constant_words(name, &shape, values))
            }
            Array::Absent => None,
        }
    }

    /// A tensor that the kernel changes in place, with the node that restores it.
    fn restored(&mut self, name: &str, array: &Array) -> Option<TensorId> {
        let state = self.input(name.to_string(), array, TensorKind::State)?;
        let pristine = self.input(format!("{name} at first"), array, TensorKind::Input)?;
        let count = array.len() as u32;
        let copy: AnyKernel = match array {
            Array::Word(_) => CopyWords::contiguous(count).into(),
            _ => CopyFloats::contiguous(count).into(),
        };
        let label = format!("restore {name}");
        self.graph
            .push(Phase::Step, label, copy, &[Some(pristine), Some(state)]);
        Some(state)
    }

    fn operand(&mut self, operand: &Operand, array: &Array, constant: bool) -> Option<TensorId> {
        let name = operand.name;
        let id = match operand.access {
            Access::Read if constant => self.constant(name, array),
            Access::Read => self.input(name.to_string(), array, TensorKind::Input),
            Access::Write => self.input(name.to_string(), array, TensorKind::State),
            Access::ReadWrite => self.restored(name, array),
        };
        if operand.access != Access::Read {
            self.outputs.extend(id.map(|id| (id, *operand)));
        }
        id
    }
}

impl Workload {
    /// Puts a case on a device.
    ///
    /// # Errors
    /// [`BenchError`] if the operands do not fit the kernel or the device.
    pub fn new(device: &Device, case: &Case) -> Result<Self, BenchError> {
        let mut builder = Builder {
            graph: Graph::new(),
            writes: Vec::new(),
            outputs: Vec::new(),
        };
        let table = case.kernel.id().operands();
        let ids: Vec<_> = table
            .iter()
            .zip(case.operands())
            .enumerate()
            .map(|(index, (operand, array))| {
                builder.operand(operand, &array, case.constants.contains(&index))
            })
            .collect();
        let mut graph = builder.graph;
        graph.push(Phase::Step, case.name.clone(), case.kernel, &ids);
        let nodes = graph.nodes().len();
        let plan = Plan::compile(graph, device)?;
        let mut execution = Execution::new(&plan)?;
        for (id, array) in &builder.writes {
            match array {
                Array::Float(values) => execution.write(*id, values)?,
                Array::Word(values) => execution.write_words(*id, values)?,
                Array::Absent => {}
            }
        }
        Ok(Self {
            execution,
            moment: Moment {
                seed: 2024,
                first_example: 0,
            },
            clock: match device.gpu() {
                Some(_) => Clock::DeviceTimestamps,
                None => Clock::Host,
            },
            nodes,
            outputs: builder.outputs,
        })
    }

    /// Launches the kernel `launches` times; seconds of each, and where they were read.
    ///
    /// # Errors
    /// [`BenchError::Graph`] if the device fails.
    pub fn run(&mut self, launches: usize) -> Result<(Vec<f64>, Clock), BenchError> {
        let once: Vec<_> = (0..self.nodes).map(|node| (node, 0)).collect();
        let all = once.repeat(launches);
        let start = Instant::now();
        let Some(nanoseconds) = self.execution.profile(&all, &self.moment)? else {
            // Without timestamps the host can tell only the mean, restoring and waiting included.
            let mean = start.elapsed().as_secs_f64() / launches.max(1) as f64;
            return Ok((vec![mean; launches], Clock::Host));
        };
        let seconds = nanoseconds
            .chunks(self.nodes)
            .filter_map(|launch| launch.last())
            .map(|nanoseconds| nanoseconds * 1e-9)
            .collect();
        Ok((seconds, self.clock))
    }

    /// What the last launch wrote, by operand name.
    ///
    /// # Errors
    /// [`BenchError::Graph`] if the device fails.
    pub(super) fn outputs(&self) -> Result<Vec<(&'static str, Output)>, BenchError> {
        self.outputs
            .iter()
            .map(|(id, operand)| {
                let output = match operand.element {
                    Element::Float => Output::Float(self.execution.read_f64(*id)?),
                    Element::Word => Output::Word(self.execution.read_words(*id)?),
                };
                Ok((operand.name, output))
            })
            .collect()
    }
}
