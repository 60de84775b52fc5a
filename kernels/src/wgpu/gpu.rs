//! The opened adapter, with its errors as values and its pipelines.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mindir_shaders::{Access, Module};
use wgpu::{
    Adapter, AdapterInfo, Backends, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType,
    Buffer, BufferBindingType, BufferDescriptor, BufferUsages, ComputePipeline, ComputePipelineDescriptor, Device,
    DeviceDescriptor, DeviceType, ErrorFilter, Features, Instance, InstanceDescriptor, PipelineCompilationOptions,
    PipelineLayoutDescriptor, PollType, Queue, RequestAdapterOptions, ShaderModuleDescriptor, ShaderSource,
    ShaderStages,
};

use super::{Limits, NAME, Options, Unavailable};
use crate::device::DeviceError;
use crate::knobs::WGPU_CPU;
use crate::launch::Target;

/// A compute pipeline and the layout of its bindings.
pub(super) struct Pipeline {
    pub(super) pipeline: ComputePipeline,
    pub(super) layout: BindGroupLayout,
}

/// An opened adapter.
pub(super) struct Gpu {
    pub(super) device: Device,
    pub(super) queue: Queue,
    /// What launches are planned for.
    pub(super) on: Target,
    /// Alignment of uniform bindings in bytes.
    pub(super) alignment: u64,
    /// Nanoseconds per tick, if compute passes can be timed.
    pub(super) tick: Option<f32>,
    /// Tells devices of one process apart.
    pub(super) id: u64,
    info: AdapterInfo,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    trouble: Arc<Mutex<Option<String>>>,
    /// Buffers for the host to read, not in use.
    staging: Mutex<Vec<Buffer>>,
}

/// Most turns of the loops of an invocation on Mesa's software adapters.
const SOFTWARE_TURNS: u64 = 65535;

/// Most buffers to keep for the host to read.
const STAGING: usize = 4;

static DEVICES: AtomicU64 = AtomicU64::new(0);

impl Gpu {
    pub(super) fn open(options: &Options) -> Result<Gpu, Unavailable> {
        let adapter = choose(options)?;
        let features = adapter.features() & (Features::TIMESTAMP_QUERY | Features::SHADER_F16);
        let limits = adapter.limits();
        let descriptor =
            DeviceDescriptor { required_features: features, required_limits: limits.clone(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|e| Unavailable::NoDevice { adapter: adapter.get_info().name, reason: e.to_string() })?;
        let found = Limits {
            binding: limits.max_storage_buffer_binding_size,
            alignment: u64::from(limits.min_storage_buffer_offset_alignment),
            buffers: limits.max_storage_buffers_per_shader_stage,
            groups: limits.max_compute_workgroups_per_dimension,
            invocations: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            shared: limits.max_compute_workgroup_storage_size,
            turns: if adapter.get_info().device_type == DeviceType::Cpu { SOFTWARE_TURNS } else { u64::MAX },
            halves: features.contains(Features::SHADER_F16),
        };
        let trouble = Arc::new(Mutex::new(None));
        watch(&device, &trouble);
        Ok(Gpu {
            tick: features.contains(Features::TIMESTAMP_QUERY).then(|| queue.get_timestamp_period()),
            on: Target::wgsl(options.within.map_or(found, |within| found.and(within))),
            alignment: u64::from(limits.min_uniform_buffer_offset_alignment),
            id: DEVICES.fetch_add(1, Ordering::Relaxed),
            info: adapter.get_info(),
            pipelines: Mutex::default(),
            staging: Mutex::default(),
            device,
            queue,
            trouble,
        })
    }

    pub(super) fn describe(&self) -> String {
        let AdapterInfo { name, driver, driver_info, backend, .. } = &self.info;
        format!("{name}, {driver} {driver_info}, {backend}")
    }

    /// What `work` returns, unless the driver or its validation objects.
    pub(super) fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        let filters = [ErrorFilter::Internal, ErrorFilter::OutOfMemory, ErrorFilter::Validation];
        let scopes = filters.map(|f| self.device.push_error_scope(f));
        let made = work();
        let mut found = None;
        for scope in scopes.into_iter().rev() {
            let error = pollster::block_on(scope.pop());
            found = found.or(error.map(|e| e.to_string()));
        }
        if found.is_some() {
            // A device that is lost says so when it is asked; until then it calls whatever it is given invalid.
            let _ = self.device.poll(PollType::Poll);
        }
        match lock(&self.trouble).clone().or(found) {
            Some(message) => Err(message),
            None => Ok(made),
        }
    }

    /// A buffer of at least `bytes`, which start as zeros.
    pub(super) fn buffer(&self, bytes: u64, usage: BufferUsages) -> Buffer {
        let size = bytes.next_multiple_of(4).max(16);
        self.device.create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }

    /// A buffer of at least `bytes` for the host to read.
    pub(super) fn staging(&self, bytes: u64) -> Result<Buffer, DeviceError> {
        let mut idle = lock(&self.staging);
        let fitting = (0..idle.len()).filter(|&i| idle[i].size() >= bytes).min_by_key(|&i| idle[i].size());
        if let Some(found) = fitting {
            return Ok(idle.swap_remove(found));
        }
        drop(idle);
        let made = self.guarded(|| self.buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST));
        made.map_err(|message| DeviceError::Memory { device: NAME.into(), bytes, message })
    }

    /// Takes a buffer back that the host has read.
    pub(super) fn keep_staging(&self, buffer: Buffer) {
        let mut idle = lock(&self.staging);
        idle.push(buffer);
        if idle.len() > STAGING {
            // The oldest goes.
            idle.remove(0);
        }
    }

    /// A buffer with these contents, whose length is a multiple of 4.
    pub(super) fn filled(&self, bytes: &[u8], usage: BufferUsages) -> Buffer {
        let buffer = self.buffer(bytes.len() as u64, usage | BufferUsages::COPY_DST);
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// The pipeline of a module, made if it is new.
    pub(super) fn pipeline(&self, module: &Module) -> Result<Arc<Pipeline>, String> {
        let key = format!("{:?} {}", module.constants, module.source);
        let mut pipelines = lock(&self.pipelines);
        if let Some(found) = pipelines.get(&key) {
            return Ok(found.clone());
        }
        let made = Arc::new(self.guarded(|| self.compile(module))?);
        pipelines.insert(key, made.clone());
        Ok(made)
    }

    fn compile(&self, module: &Module) -> Pipeline {
        let source = ShaderSource::Wgsl(module.source.as_str().into());
        let shader = self.device.create_shader_module(ShaderModuleDescriptor { label: None, source });
        let uniform = entry(0, BufferBindingType::Uniform);
        let storage =
            module.bindings.iter().enumerate().map(|(i, &access)| {
                entry(i as u32 + 1, BufferBindingType::Storage { read_only: access == Access::Read })
            });
        let entries: Vec<BindGroupLayoutEntry> = std::iter::once(uniform).chain(storage).collect();
        let layout =
            self.device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: None, entries: &entries });
        let whole = self.device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: None,
            layout: Some(&whole),
            module: &shader,
            entry_point: Some("main"),
            // Shaders write workgroup memory before they read it.
            compilation_options: PipelineCompilationOptions {
                constants: &module.constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }
}

fn entry(binding: u32, ty: BufferBindingType) -> BindGroupLayoutEntry {
    let ty = BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    BindGroupLayoutEntry { binding, visibility: ShaderStages::COMPUTE, ty, count: None }
}

/// Keeps the first error that no scope catches, and the loss of the device.
fn watch(device: &Device, trouble: &Arc<Mutex<Option<String>>>) {
    let keep = trouble.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        lock(&keep).get_or_insert_with(|| error.to_string());
    }));
    let keep = trouble.clone();
    device.set_device_lost_callback(move |reason, message| {
        lock(&keep).get_or_insert_with(|| format!("device lost ({reason:?}): {message}"));
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn choose(options: &Options) -> Result<Adapter, Unavailable> {
    let instance = Instance::new(InstanceDescriptor {
        backends: Backends::VULKAN,
        ..InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(Backends::VULKAN));
    if adapters.is_empty() {
        let request = instance.request_adapter(&RequestAdapterOptions::default());
        let reason = pollster::block_on(request).map_or_else(|e| e.to_string(), |a| a.get_info().name);
        return Err(Unavailable::NoAdapter { reason });
    }
    adapters.sort_by_key(|a| order(a.get_info().device_type));
    let infos: Vec<AdapterInfo> = adapters.iter().map(Adapter::get_info).collect();
    let index = pick(&infos, options, WGPU_CPU.is_set()?)?;
    Ok(adapters.swap_remove(index))
}

fn order(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

/// Index of the first adapter that will do.
fn pick(infos: &[AdapterInfo], options: &Options, software: bool) -> Result<usize, Unavailable> {
    let found = || infos.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = &options.adapter {
        let part = wanted.to_lowercase();
        let index = infos.iter().position(|i| i.name.to_lowercase().contains(&part));
        return index.ok_or_else(|| Unavailable::NoMatch { wanted: wanted.clone(), found: found() });
    }
    let software = software || options.software;
    let index = infos.iter().position(|i| software || i.device_type != DeviceType::Cpu);
    index.ok_or_else(|| Unavailable::OnlySoftware { found: found() })
}
