//! One run of a plan: it owns the working memory, takes inputs, launches nodes, gives outputs.

use super::cpu::CpuArena;
use super::gpu::GpuArena;
use super::plan::{Constants, PlanInner};
use super::{DeviceSlice, GraphError, Plan, TensorId};
use attractor_kernels::{Element, Real};
use std::sync::Arc;
use std::time::Instant;

/// What random streams of a run depend on beside the step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Seed.
    pub seed: u64,
    /// Number of the first example of this run in the whole job, so that an example draws the same
    /// numbers whatever batch it came in.
    pub first_example: u32,
}

/// Working memory of a plan and the means to run it.
#[derive(Debug)]
pub struct Execution {
    plan: Arc<PlanInner>,
    arena: Arena,
    /// Whether CPU twins may use the thread pool; off where many executions run side by side.
    pub parallel: bool,
}

#[derive(Debug)]
enum Arena {
    F32(CpuArena<f32>),
    F64(CpuArena<f64>),
    Gpu(GpuArena),
}

impl Execution {
    /// Allocates the working memory of a plan; on a GPU also prepares all launches.
    ///
    /// # Errors
    /// [`GraphError::Device`] when memory or a pipeline cannot be had.
    pub fn new(plan: &Plan) -> Result<Self, GraphError> {
        let inner = plan.inner();
        let arena = match (&inner.constants, inner.device.gpu()) {
            (Constants::Gpu(constants), Some(gpu)) => {
                Arena::Gpu(GpuArena::new(&inner.program, constants, gpu)?)
            }
            (Constants::F64(_), _) => Arena::F64(CpuArena::new(&inner.program, &inner.device)?),
            _ => Arena::F32(CpuArena::new(&inner.program, &inner.device)?),
        };
        Ok(Self {
            plan: Arc::clone(inner),
            arena,
            parallel: true,
        })
    }

    /// Bytes of working memory actually held.
    pub fn working_bytes(&self) -> u64 {
        match &self.arena {
            Arena::F32(arena) => (arena.floats.capacity() * 4 + arena.words.capacity() * 4) as u64,
            Arena::F64(arena) => (arena.floats.capacity() * 8 + arena.words.capacity() * 4) as u64,
            Arena::Gpu(arena) => arena.bytes(),
        }
    }

    fn access(
        &self,
        id: TensorId,
        element: Element,
        length: Option<usize>,
    ) -> Result<usize, GraphError> {
        let tensor = self.plan.program.graph.tensor(id);
        let mismatch = |expected: String, found: String| GraphError::Access {
            tensor: tensor.name.clone(),
            expected,
            found,
        };
        if tensor.element != element {
            return Err(mismatch(
                format!("{:?}", tensor.element),
                format!("{element:?}"),
            ));
        }
        if let Some(length) = length.filter(|&length| length != tensor.len()) {
            return Err(mismatch(
                format!("{} elements {:?}", tensor.len(), tensor.shape),
                format!("{length} elements"),
            ));
        }
        let placed = self.plan.program.memory.offsets[id.0];
        placed.ok_or_else(|| mismatch("a tensor in working memory".into(), "a constant".into()))
    }

    fn check_writable(&self, id: TensorId) -> Result<(), GraphError> {
        let tensor = self.plan.program.graph.tensor(id);
        if tensor.kind.is_written_by_host() {
            return Ok(());
        }
        Err(GraphError::Access {
            tensor: tensor.name.clone(),
            expected: "an input".into(),
            found: format!("{:?}", tensor.kind),
        })
    }

    /// Writes a real-valued input.
    ///
    /// # Errors
    /// [`GraphError::Access`] for anything but an input, on a wrong element kind or count.
    pub fn write(&mut self, id: TensorId, values: &[f32]) -> Result<(), GraphError> {
        self.check_writable(id)?;
        let offset = self.access(id, Element::Float, Some(values.len()))?;
        match &mut self.arena {
            Arena::F32(arena) => fill(&mut arena.floats, offset, values.iter().copied()),
            Arena::F64(arena) => fill(&mut arena.floats, offset, values.iter().map(|&v| v.into())),
            Arena::Gpu(arena) => {
                arena.write(&self.plan.program, id, bytemuck::cast_slice(values))?
            }
        }
        Ok(())
    }

    /// Writes a real-valued input from double precision, which only the CPU device of that precision
    /// keeps.
    ///
    /// # Errors
    /// As [`Execution::write`].
    pub fn write_f64(&mut self, id: TensorId, values: &[f64]) -> Result<(), GraphError> {
        if let Arena::F64(_) = &self.arena {
            self.check_writable(id)?;
            let offset = self.access(id, Element::Float, Some(values.len()))?;
            if let Arena::F64(arena) = &mut self.arena {
                fill(&mut arena.floats, offset, values.iter().copied());
            }
            return Ok(());
        }
        let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        self.write(id, &single)
    }

    /// Writes an input of words.
    ///
    /// # Errors
    /// As [`Execution::write`].
    pub fn write_words(&mut self, id: TensorId, values: &[u32]) -> Result<(), GraphError> {
        self.check_writable(id)?;
        let offset = self.access(id, Element::Word, Some(values.len()))?;
        match &mut self.arena {
            Arena::F32(arena) => fill(&mut arena.words, offset, values.iter().copied()),
            Arena::F64(arena) => fill(&mut arena.words, offset, values.iter().copied()),
            Arena::Gpu(arena) => {
                arena.write(&self.plan.program, id, bytemuck::cast_slice(values))?
            }
        }
        Ok(())
    }

    fn check_readable(&self, id: TensorId) -> Result<(), GraphError> {
        let tensor = self.plan.program.graph.tensor(id);
        if tensor.kind.is_readable() {
            return Ok(());
        }
        Err(GraphError::Access {
            tensor: tensor.name.clone(),
            expected: "an output".into(),
            found: format!("{:?}", tensor.kind),
        })
    }

    /// Reads a real-valued output in single precision.
    ///
    /// # Errors
    /// [`GraphError::Access`] for anything but an output; device errors.
    pub fn read(&self, id: TensorId) -> Result<Vec<f32>, GraphError> {
        self.check_readable(id)?;
        let offset = self.access(id, Element::Float, None)?;
        let tensor = self.plan.program.graph.tensor(id);
        match &self.arena {
            Arena::F32(arena) => Ok(arena.floats_of(tensor, offset).to_vec()),
            Arena::F64(arena) => {
                let values = arena.floats_of(tensor, offset);
                Ok(values.iter().map(|v| v.to_f32()).collect())
            }
            Arena::Gpu(arena) => Ok(bytemuck::pod_collect_to_vec(
                &arena.read(&self.plan.program, id)?,
            )),
        }
    }

    /// Reads a real-valued output in double precision.
    ///
    /// # Errors
    /// As [`Execution::read`].
    pub fn read_f64(&self, id: TensorId) -> Result<Vec<f64>, GraphError> {
        match &self.arena {
            Arena::F64(arena) => {
                self.check_readable(id)?;
                let offset = self.access(id, Element::Float, None)?;
                Ok(arena
                    .floats_of(self.plan.program.graph.tensor(id), offset)
                    .to_vec())
            }
            _ => Ok(self.read(id)?.into_iter().map(f64::from).collect()),
        }
    }

    /// Reads an output of words.
    ///
    /// # Errors
    /// As [`Execution::read`].
    pub fn read_words(&self, id: TensorId) -> Result<Vec<u32>, GraphError> {
        self.check_readable(id)?;
        let offset = self.access(id, Element::Word, None)?;
        let length = self.plan.program.graph.tensor(id).len();
        let range = offset..offset.saturating_add(length);
        match &self.arena {
            Arena::F32(arena) => Ok(arena.words.get(range).unwrap_or(&[]).to_vec()),
            Arena::F64(arena) => Ok(arena.words.get(range).unwrap_or(&[]).to_vec()),
            Arena::Gpu(arena) => Ok(bytemuck::pod_collect_to_vec(
                &arena.read(&self.plan.program, id)?,
            )),
        }
    }

    /// Checks that every launch names a node, and that the last step of each node is within its
    /// parameters, tables and histories: shaders run without bounds checks.
    ///
    /// # Errors
    /// [`GraphError`] naming the node and the tensor that do not fit.
    pub fn check(&self, launches: &[(usize, u32)]) -> Result<(), GraphError> {
        let graph = &self.plan.program.graph;
        let mut last: Vec<Option<u32>> = vec![None; graph.nodes().len()];
        for &(node, step) in launches {
            let Some(slot) = last.get_mut(node) else {
                return Err(GraphError::Launch {
                    node,
                    nodes: graph.nodes().len(),
                });
            };
            *slot = Some(slot.map_or(step, |known| known.max(step)));
        }
        for (node, step) in graph.nodes().iter().zip(last) {
            if let Some(step) = step {
                graph.check_step(node, step)?;
            }
        }
        Ok(())
    }

    /// The device memory of a tensor that the host writes or may read; none on the CPU device.
    ///
    /// # Errors
    /// [`GraphError::Access`] for a tensor that is the engine's own, or a constant.
    pub fn device_slice(&self, id: TensorId) -> Result<Option<DeviceSlice<'_>>, GraphError> {
        let tensor = self.plan.program.graph.tensor(id);
        self.access(id, tensor.element, None)?;
        if !tensor.kind.is_readable() && !tensor.kind.is_written_by_host() {
            return Err(GraphError::Access {
                tensor: tensor.name.clone(),
                expected: "an input, an output or a state".into(),
                found: format!("{:?}", tensor.kind),
            });
        }
        Ok(match &self.arena {
            Arena::Gpu(arena) => arena.slice(&self.plan.program, id),
            _ => None,
        })
    }

    /// Carries out `launches`, each a node index and a step number, in order. On a GPU this is one
    /// submission, and it returns before the work is done.
    ///
    /// # Errors
    /// [`GraphError`] from a twin or the device.
    pub fn submit(&mut self, launches: &[(usize, u32)], moment: &Moment) -> Result<(), GraphError> {
        self.check(launches)?;
        match &mut self.arena {
            Arena::Gpu(arena) => arena.submit(&self.plan.program, launches, moment, None),
            // On a thread of the pool from the start: handing over at every launch would cost more than
            // a small launch itself.
            _ if self.parallel => rayon::scope(|_| self.run_all_on_cpu(launches, moment)),
            _ => self.run_all_on_cpu(launches, moment),
        }
    }

    fn run_all_on_cpu(
        &mut self,
        launches: &[(usize, u32)],
        moment: &Moment,
    ) -> Result<(), GraphError> {
        launches
            .iter()
            .try_for_each(|&(node, step)| self.run_on_cpu(node, step, moment))
    }

    fn run_on_cpu(&mut self, node: usize, step: u32, moment: &Moment) -> Result<(), GraphError> {
        let (plan, parallel) = (&self.plan, self.parallel);
        match (&mut self.arena, &plan.constants) {
            (Arena::F32(arena), Constants::F32(constants)) => {
                arena.run(&plan.program, constants, node, step, moment, parallel)
            }
            (Arena::F64(arena), Constants::F64(constants)) => {
                arena.run(&plan.program, constants, node, step, moment, parallel)
            }
            _ => Ok(()),
        }
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// [`GraphError::Device`] if the device is lost.
    pub fn wait(&mut self) -> Result<(), GraphError> {
        match &mut self.arena {
            Arena::Gpu(arena) => arena.wait(),
            _ => Ok(()),
        }
    }

    /// Carries out `launches` and measures each in nanoseconds: by device timestamps on a GPU (none if
    /// the adapter has none), by the clock on the CPU.
    ///
    /// # Errors
    /// As [`Execution::submit`].
    pub fn profile(
        &mut self,
        launches: &[(usize, u32)],
        moment: &Moment,
    ) -> Result<Option<Vec<f64>>, GraphError> {
        self.check(launches)?;
        if let Arena::Gpu(arena) = &mut self.arena {
            return arena.profile(&self.plan.program, launches, moment);
        }
        let nanoseconds = if self.parallel {
            rayon::scope(|_| self.time_all_on_cpu(launches, moment))
        } else {
            self.time_all_on_cpu(launches, moment)
        };
        nanoseconds.map(Some)
    }

    fn time_all_on_cpu(
        &mut self,
        launches: &[(usize, u32)],
        moment: &Moment,
    ) -> Result<Vec<f64>, GraphError> {
        let mut nanoseconds = Vec::with_capacity(launches.len());
        for &(node, step) in launches {
            let start = Instant::now();
            self.run_on_cpu(node, step, moment)?;
            nanoseconds.push(start.elapsed().as_nanos() as f64);
        }
        Ok(nanoseconds)
    }
}

/// Copies values into an arena; the range was checked by the caller against the memory plan.
fn fill<E>(arena: &mut [E], offset: usize, values: impl ExactSizeIterator<Item = E>) {
    let end = offset.saturating_add(values.len());
    if let Some(places) = arena.get_mut(offset..end) {
        for (place, value) in places.iter_mut().zip(values) {
            *place = value;
        }
    }
}
