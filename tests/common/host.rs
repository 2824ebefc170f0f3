//! A wgpu device as a host program would make it.

/// A device of the first adapter that can run the engine, with changed limits and features.
pub fn open(
    change: impl FnOnce(&mut wgpu::Limits, &mut wgpu::Features),
) -> (wgpu::Device, wgpu::Queue) {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle().with_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters
        .into_iter()
        .find(|adapter| adapter.features().contains(wgpu::Features::IMMEDIATES))
        .expect("an adapter; ./scripts/test installs a software one");
    let mut limits = adapter.limits();
    limits.max_bind_groups = limits.max_bind_groups.min(8);
    let mut features = wgpu::Features::IMMEDIATES;
    change(&mut limits, &mut features);
    let request = adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("host program"),
        required_features: features,
        required_limits: limits,
        ..wgpu::DeviceDescriptor::default()
    });
    pollster::block_on(request).expect("a device")
}
