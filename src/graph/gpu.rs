//! Execution on a wgpu device: pipelines and bind groups are built beforehand, a run is one compute
//! pass of dispatches whose parameters travel as immediates.

use super::program::Program;
use super::{Constant, Graph, GraphError, Moment, TensorId};
use crate::device::{DeviceError, GpuDevice, Pipeline};
use attractor_kernels::Element;
use std::sync::Arc;

/// Constants in device buffers, by tensor: (buffer, offset in bytes).
#[derive(Debug)]
pub(super) struct GpuConstants {
    buffers: Vec<wgpu::Buffer>,
    places: Vec<Option<(usize, u64)>>,
}

const STORAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_DST)
    .union(wgpu::BufferUsages::COPY_SRC);

impl GpuConstants {
    /// Gathers all constants into as few buffers as the adapter's limit allows.
    pub fn upload(graph: &Graph, gpu: &GpuDevice) -> Result<Self, DeviceError> {
        let limit = gpu.device().limits().max_buffer_size;
        let mut places = vec![None; graph.tensors().len()];
        let mut sizes: Vec<u64> = Vec::new();
        for (index, tensor) in graph.tensors().iter().enumerate() {
            if tensor.constant.is_none() || tensor.is_empty() {
                continue;
            }
            let bytes = (tensor.len() as u64 * 4).next_multiple_of(256);
            if sizes.last().is_none_or(|used| used + bytes > limit) {
                sizes.push(0);
            }
            let buffer = sizes.len() - 1;
            places[index] = Some((buffer, sizes[buffer]));
            sizes[buffer] += bytes;
        }
        let buffers = sizes
            .iter()
            .map(|&bytes| gpu.buffer("constants", bytes, STORAGE))
            .collect::<Result<Vec<_>, _>>()?;
        for (tensor, place) in graph.tensors().iter().zip(&places) {
            let (Some(constant), Some((buffer, offset))) = (&tensor.constant, place) else {
                continue;
            };
            let rounded: Vec<f32>;
            let bytes: &[u8] = match constant {
                Constant::Float(values) => bytemuck::cast_slice(values),
                Constant::Double(values) => {
                    rounded = values.iter().map(|&value| value as f32).collect();
                    bytemuck::cast_slice(&rounded)
                }
                Constant::Word(values) => bytemuck::cast_slice(values),
            };
            gpu.write(&tensor.name, &buffers[*buffer], *offset, bytes)?;
        }
        Ok(Self { buffers, places })
    }
}

/// A tensor in device memory, for a host program that shares its device: inputs may be copied in before
/// a run and outputs copied out after it without passing through the host's memory. The buffer has the
/// usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
#[derive(Debug, Clone, Copy)]
pub struct DeviceSlice<'a> {
    /// The buffer, which belongs to the execution.
    pub buffer: &'a wgpu::Buffer,
    /// First byte of the tensor.
    pub offset: u64,
    /// Bytes of the tensor: four an element, row-major.
    pub bytes: u64,
}

/// A node made ready.
#[derive(Debug)]
struct Prepared {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// Working memory and prepared nodes of one execution.
#[derive(Debug)]
pub(super) struct GpuArena {
    gpu: Arc<GpuDevice>,
    arena: wgpu::Buffer,
    nodes: Vec<Prepared>,
    word_base: u64,
    last: Option<wgpu::SubmissionIndex>,
}

impl GpuArena {
    pub fn new(
        program: &Program,
        constants: &GpuConstants,
        gpu: &Arc<GpuDevice>,
    ) -> Result<Self, GraphError> {
        // A graph of constants alone needs no memory, but a buffer cannot be empty.
        let arena = gpu.buffer("working memory", program.memory.bytes(), STORAGE)?;
        let mut built = Self {
            gpu: Arc::clone(gpu),
            arena,
            nodes: Vec::with_capacity(program.graph.nodes().len()),
            word_base: program.memory.float_elements as u64 * 4,
            last: None,
        };
        for node in program.graph.nodes() {
            let launch = node.kernel.launch(gpu.capabilities());
            let pipeline = gpu.pipeline(node.kernel.id(), launch.entry_point)?;
            let ranges: Vec<_> = (0..node.kernel.id().operands().len())
                .map(|operand| {
                    let id = node.operands.get(operand).copied().flatten();
                    id.and_then(|id| built.range(program, constants, id))
                        .unwrap_or((gpu.absent(), 0, 256))
                })
                .collect();
            let group = gpu.bind(&node.kernel, &pipeline, &ranges)?;
            built.nodes.push(Prepared {
                pipeline,
                group,
                workgroups: launch.workgroups,
            });
        }
        Ok(built)
    }

    fn range<'a>(
        &'a self,
        program: &Program,
        constants: &'a GpuConstants,
        id: TensorId,
    ) -> Option<(&'a wgpu::Buffer, u64, u64)> {
        let tensor = program.graph.tensor(id);
        let bytes = tensor.len() as u64 * 4;
        if bytes == 0 {
            return None;
        }
        if let Some((buffer, offset)) = constants.places[id.0] {
            return Some((&constants.buffers[buffer], offset, bytes));
        }
        self.offset(program, id)
            .map(|offset| (&self.arena, offset, bytes))
    }

    /// Byte offset of a tensor in the arena.
    fn offset(&self, program: &Program, id: TensorId) -> Option<u64> {
        let base = match program.graph.tensor(id).element {
            Element::Float => 0,
            Element::Word => self.word_base,
        };
        program.memory.offsets[id.0].map(|elements| base + elements as u64 * 4)
    }

    /// The range of the working memory that holds a tensor.
    pub fn slice(&self, program: &Program, id: TensorId) -> Option<DeviceSlice<'_>> {
        let bytes = program.graph.tensor(id).len() as u64 * 4;
        self.offset(program, id).map(|offset| DeviceSlice {
            buffer: &self.arena,
            offset,
            bytes,
        })
    }

    /// Bytes of working memory on the device.
    pub fn bytes(&self) -> u64 {
        self.arena.size()
    }

    pub fn write(&self, program: &Program, id: TensorId, bytes: &[u8]) -> Result<(), GraphError> {
        let Some(offset) = self.offset(program, id) else {
            return Ok(());
        };
        let name = &program.graph.tensor(id).name;
        Ok(self.gpu.write(name, &self.arena, offset, bytes)?)
    }

    pub fn read(&self, program: &Program, id: TensorId) -> Result<Vec<u8>, GraphError> {
        let bytes = program.graph.tensor(id).len() as u64 * 4;
        match self.offset(program, id) {
            Some(offset) => Ok(self.gpu.read(&self.arena, offset, bytes)?),
            None => Ok(Vec::new()),
        }
    }

    /// Records `launches` (node, step) in one compute pass and submits it. With `queries`, writes a
    /// timestamp before the first and after every launch.
    pub fn submit(
        &mut self,
        program: &Program,
        launches: &[(usize, u32)],
        moment: &Moment,
        queries: Option<&wgpu::QuerySet>,
    ) -> Result<(), GraphError> {
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            if let Some(queries) = queries {
                pass.write_timestamp(queries, 0);
            }
            for (position, &(index, step)) in (1u32..).zip(launches) {
                let node = &self.nodes[index];
                let kernel = program.graph.nodes()[index]
                    .kernel
                    .at_step(step)
                    .with_seed(moment.seed, moment.first_example);
                pass.set_pipeline(&node.pipeline.pipeline);
                pass.set_bind_group(0, &node.group, &[]);
                pass.set_immediates(0, kernel.parameters());
                let [x, y, z] = node.workgroups;
                pass.dispatch_workgroups(x, y, z);
                if let Some(queries) = queries {
                    pass.write_timestamp(queries, position);
                }
            }
        }
        self.last = Some(self.gpu.submit("an orbit", encoder)?);
        Ok(())
    }

    /// Waits for everything submitted.
    pub fn wait(&mut self) -> Result<(), GraphError> {
        if let Some(last) = self.last.take() {
            self.gpu.wait(last)?;
        }
        Ok(())
    }

    /// Runs `launches` with timestamps; nanoseconds of each.
    pub fn profile(
        &mut self,
        program: &Program,
        launches: &[(usize, u32)],
        moment: &Moment,
    ) -> Result<Option<Vec<f64>>, GraphError> {
        let timestamps = wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
        if !self.gpu.device().features().contains(timestamps) {
            self.submit(program, launches, moment, None)?;
            self.wait()?;
            return Ok(None);
        }
        let mut nanoseconds = Vec::with_capacity(launches.len());
        let batch = wgpu::QUERY_SET_MAX_QUERIES as usize - 1;
        for part in launches.chunks(batch) {
            let count = part.len() as u32 + 1;
            self.gpu.alive()?;
            let device = self.gpu.device();
            let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("launches"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            self.submit(program, part, moment, Some(&queries))?;
            let bytes = u64::from(count) * 8;
            let resolved = self.gpu.buffer(
                "timestamps",
                bytes,
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            )?;
            let mut encoder = self
                .gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            self.gpu.submit("timestamps", encoder)?;
            let ticks: Vec<u64> =
                bytemuck::pod_collect_to_vec(&self.gpu.read(&resolved, 0, bytes)?);
            let period = f64::from(self.gpu.queue().get_timestamp_period());
            nanoseconds.extend(
                ticks
                    .windows(2)
                    .map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period),
            );
        }
        self.last = None;
        Ok(Some(nanoseconds))
    }
}
