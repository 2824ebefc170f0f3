//! A wgpu adapter as a device: buffers, pipelines, submissions, all failures as values.

use super::{DeviceError, DeviceInfo};
use attractor_kernels::{AnyKernel, Capabilities, KernelId, compose};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A compiled variant of a kernel.
#[derive(Debug)]
pub struct Pipeline {
    /// Layout of its one bind group.
    pub layout: wgpu::BindGroupLayout,
    /// The pipeline.
    pub pipeline: wgpu::ComputePipeline,
}

/// A wgpu device with what the engine keeps about it.
#[derive(Debug)]
pub struct GpuDevice {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: DeviceInfo,
    capabilities: Capabilities,
    checked: bool,
    lost: Arc<Mutex<Option<String>>>,
    pipelines: Mutex<HashMap<(KernelId, &'static str), Arc<Pipeline>>>,
    absent: wgpu::Buffer,
}

/// Whether shaders keep their run-time checks (bounds, loops, zeroed workgroup memory):
/// `ATTRACTOR_CHECKED=1`.
fn checked_mode() -> bool {
    std::env::var("ATTRACTOR_CHECKED").is_ok_and(|v| !v.is_empty() && v != "0")
}

/// Who made a wgpu device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The engine, which may install callbacks.
    Engine,
    /// The host program, whose callbacks are left alone.
    Host,
}

/// Notes loss and out-of-band errors of `device` in `lost`.
fn watch(device: &wgpu::Device, lost: &Arc<Mutex<Option<String>>>) {
    let record = Arc::clone(lost);
    device.set_device_lost_callback(move |reason, message| {
        let mut slot = record.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(format!("{reason:?}: {message}"));
    });
    let record = Arc::clone(lost);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let mut slot = record.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error.to_string());
    }));
}

/// Runs `action` and turns any error that the driver reports meanwhile into a value.
fn scoped<R>(
    device: &wgpu::Device,
    name: &str,
    what: &str,
    action: impl FnOnce() -> R,
) -> Result<R, DeviceError> {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let result = action();
    let refused = pollster::block_on(validation.pop()).or(pollster::block_on(internal.pop()));
    let exhausted = pollster::block_on(memory.pop());
    let (device, what) = (name.to_string(), what.to_string());
    match (exhausted, refused) {
        (Some(error), _) => Err(DeviceError::OutOfMemory {
            device,
            what,
            message: error.to_string(),
        }),
        (None, Some(error)) => Err(DeviceError::Refused {
            device,
            what,
            message: error.to_string(),
        }),
        (None, None) => Ok(result),
    }
}

impl GpuDevice {
    pub(super) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        cooperative: &[wgpu::CooperativeMatrixProperties],
        ownership: Ownership,
    ) -> Result<Self, DeviceError> {
        let info = DeviceInfo::from_wgpu(
            &device.adapter_info(),
            device.features(),
            &device.limits(),
            cooperative,
        );
        if !device.features().contains(wgpu::Features::IMMEDIATES)
            || device.limits().max_immediate_size < 128
        {
            return Err(DeviceError::Unsupported {
                device: info.name,
                what: "128 bytes of immediates (push constants)".into(),
            });
        }
        let lost = Arc::new(Mutex::new(None));
        if ownership == Ownership::Engine {
            watch(&device, &lost);
        }
        let absent = scoped(&device, &info.name, "a buffer", || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("absent operand"),
                size: 256,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        })?;
        let capabilities = info.capabilities();
        Ok(Self {
            device,
            queue,
            info,
            capabilities,
            checked: checked_mode(),
            lost,
            pipelines: Mutex::new(HashMap::new()),
            absent,
        })
    }

    /// What is known of the adapter.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What kernels choose their variants by.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// A small buffer bound in place of operands that are left out.
    pub fn absent(&self) -> &wgpu::Buffer {
        &self.absent
    }

    /// Whether shaders run with bounds checks (`ATTRACTOR_CHECKED=1` when the device was opened).
    pub fn checked(&self) -> bool {
        self.checked
    }

    /// Fails if the device has been lost or has reported an error out of band.
    ///
    /// # Errors
    /// [`DeviceError::Lost`].
    pub fn alive(&self) -> Result<(), DeviceError> {
        let slot = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            None => Ok(()),
            Some(message) => Err(DeviceError::Lost {
                device: self.info.name.clone(),
                message: message.clone(),
            }),
        }
    }

    /// Runs `action` and turns any validation or memory error of the driver into a value.
    fn guarded<R>(&self, what: &str, action: impl FnOnce() -> R) -> Result<R, DeviceError> {
        self.alive()?;
        let result = scoped(&self.device, &self.info.name, what, action)?;
        self.alive()?;
        Ok(result)
    }

    /// Writes bytes into a buffer.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] if the range is not inside the buffer, [`DeviceError::Lost`].
    pub fn write(
        &self,
        what: &str,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.guarded(what, || self.queue.write_buffer(buffer, offset, bytes))
    }

    /// Submits recorded work and returns without waiting.
    ///
    /// # Errors
    /// [`DeviceError::Refused`], [`DeviceError::Lost`].
    pub fn submit(
        &self,
        what: &str,
        encoder: wgpu::CommandEncoder,
    ) -> Result<wgpu::SubmissionIndex, DeviceError> {
        self.guarded(what, || self.queue.submit([encoder.finish()]))
    }

    /// A buffer of `bytes` bytes (rounded up to four, at least four).
    ///
    /// # Errors
    /// [`DeviceError::TooLarge`] over the adapter's limit, [`DeviceError::OutOfMemory`],
    /// [`DeviceError::Lost`].
    pub fn buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, DeviceError> {
        let size = bytes.next_multiple_of(4).max(4);
        let limit = self.device.limits().max_buffer_size;
        if size > limit {
            return Err(DeviceError::TooLarge {
                what: what.to_string(),
                bytes: size,
                limit_name: "largest buffer (max_buffer_size)",
                limit,
                device: self.info.name.clone(),
            });
        }
        self.guarded(what, || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    /// Fails if a binding of `bytes` bytes is over the adapter's limit.
    ///
    /// # Errors
    /// [`DeviceError::TooLarge`].
    pub fn check_binding(&self, what: &str, bytes: u64) -> Result<(), DeviceError> {
        let limit = self.device.limits().max_storage_buffer_binding_size;
        if bytes <= limit {
            return Ok(());
        }
        Err(DeviceError::TooLarge {
            what: what.to_string(),
            bytes,
            limit_name: "largest storage binding (max_storage_buffer_binding_size)",
            limit,
            device: self.info.name.clone(),
        })
    }

    /// The pipeline of a kernel's variant for this device, compiled at first use.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] if the driver does not compile it, [`DeviceError::Lost`].
    pub fn pipeline(
        &self,
        kernel: KernelId,
        entry_point: &'static str,
    ) -> Result<Arc<Pipeline>, DeviceError> {
        let key = (kernel, entry_point);
        let mut cache = self
            .pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&key) {
            return Ok(Arc::clone(found));
        }
        let built = Arc::new(self.build(kernel, entry_point)?);
        cache.insert(key, Arc::clone(&built));
        Ok(built)
    }

    fn build(&self, kernel: KernelId, entry_point: &'static str) -> Result<Pipeline, DeviceError> {
        let label = format!("{}::{entry_point}", kernel.name());
        let source = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name()),
            source: wgpu::ShaderSource::Wgsl(compose(kernel.shader()).into()),
        };
        let entries: Vec<_> = (0u32..)
            .zip(kernel.operands())
            .map(|(binding, _)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                // Ranges of one arena may be bound together only if all are read_write.
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: false },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        self.guarded(&label, || {
            let module = if self.checked {
                self.device.create_shader_module(source)
            } else {
                // SAFETY: shaders are compiled in, not input; each is held against its twin and run in
                // checked mode by the tests, and operand lengths are checked before every dispatch.
                unsafe {
                    self.device.create_shader_module_trusted(
                        source,
                        wgpu::ShaderRuntimeChecks::unchecked(),
                    )
                }
            };
            let layout = self
                .device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: Some(&label),
                    entries: &entries,
                });
            let pipeline_layout =
                self.device
                    .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                        label: Some(&label),
                        bind_group_layouts: &[Some(&layout)],
                        immediate_size: kernel.parameter_size() as u32,
                    });
            let pipeline = self
                .device
                .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(&label),
                    layout: Some(&pipeline_layout),
                    module: &module,
                    entry_point: Some(entry_point),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &[],
                        zero_initialize_workgroup_memory: self.checked,
                    },
                    cache: None,
                });
            Pipeline { layout, pipeline }
        })
    }

    /// Binds buffer ranges (offset, bytes) to a kernel's operands, in order.
    ///
    /// # Errors
    /// [`DeviceError::TooLarge`] for a range over the binding limit, [`DeviceError::Refused`],
    /// [`DeviceError::Lost`].
    pub fn bind(
        &self,
        kernel: &AnyKernel,
        pipeline: &Pipeline,
        ranges: &[(&wgpu::Buffer, u64, u64)],
    ) -> Result<wgpu::BindGroup, DeviceError> {
        let what = kernel.id().name();
        for (operand, (_, _, bytes)) in kernel.id().operands().iter().zip(ranges) {
            self.check_binding(&format!("operand {} of {what}", operand.name), *bytes)?;
        }
        let entries: Vec<_> = (0u32..)
            .zip(ranges)
            .map(|(binding, (buffer, offset, bytes))| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: *offset,
                    size: wgpu::BufferSize::new(*bytes),
                }),
            })
            .collect();
        self.guarded(what, || {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(what),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })
    }

    /// Waits for a submission.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] if the device is lost meanwhile.
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), DeviceError> {
        // wgpu panics when the driver reports a loss while it polls; a loss is no bug of the program.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.device.poll(wgpu::PollType::Wait {
                submission_index: Some(submission),
                timeout: None,
            })
        }));
        self.alive()?;
        match outcome {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.gone(error.to_string())),
            Err(_) => Err(self.gone("lost while waiting for it".into())),
        }
    }

    /// Notes that the device is gone, and says so.
    fn gone(&self, message: String) -> DeviceError {
        let mut slot = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| message.clone());
        DeviceError::Lost {
            device: self.info.name.clone(),
            message,
        }
    }

    /// Reads `bytes` bytes of `buffer` from `offset` on; waits for all work before it.
    ///
    /// # Errors
    /// [`DeviceError`] of allocation, submission or loss.
    pub fn read(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, DeviceError> {
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let staging = self.buffer(
            "read-back buffer",
            bytes,
            wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        )?;
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, Some(bytes));
        let submission = self.submit("read-back", encoder)?;
        let slice = staging.slice(..bytes);
        let (sender, receiver) = std::sync::mpsc::channel();
        self.guarded("mapping of the read-back buffer", || {
            slice.map_async(wgpu::MapMode::Read, move |outcome| {
                // The receiver lives until the poll below has run this callback.
                let _ = sender.send(outcome);
            });
        })?;
        self.wait(submission)?;
        // The poll has run the callback unless the device went away.
        match receiver.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.gone(error.to_string())),
            Err(error) => return Err(self.gone(error.to_string())),
        }
        let mapped = slice.get_mapped_range();
        Ok(mapped.map_err(|e| self.gone(e.to_string()))?.to_vec())
    }
}
