//! Which adapter, with which features and limits: adapters are listed best first (a real GPU before
//! a software one) and chosen by `--device`, `EVENKEEL_DEVICE` or that order.

use super::alias::Aliases;
use super::buffer::Memory;
use super::limits::Limits;
use super::pipeline::PipelineCache;
use super::table;
use super::tape::Tape;
use super::watchdog::Watchdog;
use crate::error::{Error, Result};
use evenkeel_kernels::conv2d::Variant;
use evenkeel_kernels::{Caps, Tuned, webgpu};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// The name of the variant of every kernel that reads its inputs from buffers.
pub const BUFFERS: &str = "buffers";

/// One adapter as the system offers it.
pub struct Adapter {
    raw: wgpu::Adapter,
    /// Name, backend, driver.
    pub info: wgpu::AdapterInfo,
}

impl Adapter {
    /// What a device of this adapter within `limits` offers to kernels.
    pub fn caps(&self, limits: Limits) -> Caps {
        limits.clip(self.all_caps(), &limits.of(self.raw.limits()))
    }

    fn all_caps(&self) -> Caps {
        let features = self.raw.features();
        let limits = self.raw.limits();
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        Caps {
            software: self.info.device_type == wgpu::DeviceType::Cpu,
            subgroups,
            subgroup_size: (self.info.subgroup_min_size, self.info.subgroup_max_size),
            f16: features.contains(wgpu::Features::SHADER_F16),
            half_products: false,
            max_binding: limits.max_storage_buffer_binding_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            texels: self.info.device_type == wgpu::DeviceType::Cpu && self.reads_texels(),
            prefer: None,
            tuned: Tuned::default(),
        }
    }

    /// Kernels may read storage textures of four floats a texel.
    fn reads_texels(&self) -> bool {
        let usable = wgpu::TextureFormatFeatureFlags::STORAGE_READ_ONLY;
        let format = self.raw.get_texture_format_features(wgpu::TextureFormat::Rgba32Float);
        self.raw.features().contains(wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES)
            && format.flags.contains(usable)
            && self.raw.limits().max_storage_textures_per_shader_stage as usize
                >= webgpu::STORAGE_TEXTURES
    }

    /// The limits of a device within `limits`.
    pub fn limits(&self, limits: Limits) -> wgpu::Limits {
        limits.of(self.raw.limits())
    }

    /// The adapter's features.
    pub fn features(&self) -> wgpu::Features {
        self.raw.features()
    }

    /// Cooperative-matrix shapes the driver offers, as wgpu reports them.
    pub fn cooperative_matrices(&self) -> Vec<String> {
        self.raw.cooperative_matrix_properties().iter().map(|p| format!("{p:?}")).collect()
    }
}

/// The way to the system's adapters.
fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    // The Vulkan validation layers are for wgpu's own development; naga has validated every kernel.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    // DXC where its DLL lies beside the program, else FXC, which every Windows has: asking for DXC alone
    // would leave a machine without the DLL without DX12.
    descriptor.backend_options.dx12.shader_compiler = wgpu::Dx12Compiler::Auto.with_env();
    wgpu::Instance::new(descriptor)
}

/// The system's adapters, best first: discrete, integrated, virtual, other, software.
pub fn adapters() -> Vec<Adapter> {
    let backends = wgpu::Backends::PRIMARY;
    let mut found: Vec<Adapter> = pollster::block_on(instance().enumerate_adapters(backends))
        .into_iter()
        .map(|raw| Adapter { info: raw.get_info(), raw })
        .collect();
    found.sort_by_key(|a| match a.info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    found
}

const NO_ADAPTER: &str = "no GPU adapter found. Install a Vulkan driver: on Debian or Ubuntu \
`apt install libvulkan1 mesa-vulkan-drivers` brings AMD, Intel and a software driver (lavapipe); \
for NVIDIA install its own driver. `evenkeel devices` lists what is found.";

/// An open device with its queue, pipeline cache and memory meter.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: RefCell<PipelineCache>,
    pub(super) memory: Rc<Memory>,
    pub(super) tape: Option<Rc<Tape>>,
    /// How textures may see a buffer's memory, where they may.
    pub(super) aliases: Option<Rc<Aliases>>,
    /// Name, backend and driver of the adapter.
    pub info: wgpu::AdapterInfo,
    /// What the device offers to kernels.
    pub caps: Caps,
    failed: Arc<Mutex<Option<String>>>,
    pub(super) in_flight: RefCell<VecDeque<wgpu::SubmissionIndex>>,
    pub(super) watchdog: Watchdog,
    /// Timestamp queries are available.
    pub timestamps: bool,
}

impl Gpu {
    /// Opens an adapter: `choice` (a number of `evenkeel devices`, or a part of a name), else the
    /// environment's `EVENKEEL_DEVICE`, else the first.
    ///
    /// # Errors
    /// No adapter, an unknown choice, or a driver that refuses the device.
    pub fn open(choice: Option<&str>) -> Result<Rc<Gpu>> {
        Self::open_for(choice, None)
    }

    /// As [`Gpu::open`]; where nothing is chosen, of the adapters of the first's type the one for this process
    /// among those of its machine: several processes take several, and share them where there are fewer.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_for(choice: Option<&str>, process: Option<usize>) -> Result<Rc<Gpu>> {
        let env = std::env::var("EVENKEEL_DEVICE").ok().filter(|s| !s.is_empty());
        let choice = choice.map(str::to_string).or(env);
        let adapters = adapters();
        if adapters.is_empty() {
            return Err(Error::Device(NO_ADAPTER.into()));
        }
        let index = match choice {
            None => {
                let types: Vec<_> = adapters.iter().map(|a| a.info.device_type).collect();
                of_process(&types, process.unwrap_or(0))
            }
            Some(c) => pick(&adapters, &c)?,
        };
        let adapter = adapters.into_iter().nth(index).ok_or_else(|| no_such(index))?;
        pollster::block_on(open(adapter))
    }

    /// Opens the adapter that a browser has for work of some size; natively the driver's own first choice.
    ///
    /// # Errors
    /// No adapter, or one that refuses the device.
    pub async fn request() -> Result<Rc<Gpu>> {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let raw = instance()
            .request_adapter(&options)
            .await
            .map_err(|e| Error::Device(format!("no WebGPU adapter was found: {e}")))?;
        open(Adapter { info: raw.get_info(), raw }).await
    }

    /// The first error the driver reported since the last call, if any.
    pub(crate) fn take_failure(&self) -> Result<()> {
        let taken = self.failed.lock().map(|mut f| f.take()).unwrap_or(None);
        match taken {
            Some(message) => Err(Error::Device(message)),
            None => Ok(()),
        }
    }

    /// Bytes of GPU memory held now and at most so far.
    pub fn memory(&self) -> (u64, u64) {
        (self.memory.now(), self.memory.peak())
    }

    /// Gives the device up, as a driver does that resets: whatever follows fails with an error. For
    /// tests of just that.
    pub fn lose(&self) {
        self.device.destroy();
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// The same device, preferring the kernel variant called `variant`, or with [`BUFFERS`] reading
    /// no input as texels; a variant of halves is of mixed precision.
    pub fn preferring(&self, variant: &'static str) -> Rc<Gpu> {
        self.with(|gpu| {
            gpu.caps.prefer = Some(variant);
            gpu.caps.texels &= variant != BUFFERS;
            gpu.caps.half_products |= variant == Variant::TiledHalf.name();
        })
    }

    /// The same device, choosing variants by no table but `tuned`.
    pub fn tuned_by(&self, tuned: Tuned) -> Rc<Gpu> {
        self.with(|gpu| gpu.caps.tuned = tuned)
    }

    /// The same device, binding no more than `bytes` at once.
    pub fn binding_at_most(&self, bytes: u64) -> Rc<Gpu> {
        self.with(|gpu| gpu.caps.max_binding = gpu.caps.max_binding.min(bytes))
    }

    /// The same device, kept busy at once for no longer than `watchdog` says.
    pub fn watched_by(&self, watchdog: Watchdog) -> Rc<Gpu> {
        self.with(|gpu| gpu.watchdog = watchdog)
    }

    /// The same device, whose textures don't see the memory of buffers that it makes: what is read as texels is
    /// copied.
    pub fn copying(&self) -> Rc<Gpu> {
        self.with(|gpu| gpu.aliases = None)
    }

    /// Whether what is read as texels is read where it lies, without a copy.
    pub fn reads_in_place(&self) -> bool {
        self.aliases.is_some()
    }

    /// The same device, but for a change; pipelines are its own.
    fn with(&self, change: impl FnOnce(&mut Gpu)) -> Rc<Gpu> {
        let mut gpu = Gpu {
            device: self.device.clone(),
            queue: self.queue.clone(),
            pipelines: RefCell::default(),
            memory: self.memory.clone(),
            tape: self.tape.clone(),
            aliases: self.aliases.clone(),
            info: self.info.clone(),
            caps: self.caps.clone(),
            failed: self.failed.clone(),
            in_flight: RefCell::default(),
            watchdog: self.watchdog,
            timestamps: self.timestamps,
        };
        change(&mut gpu);
        Rc::new(gpu)
    }

    /// `name (backend, driver)`.
    pub fn describe(&self) -> String {
        describe(&self.info)
    }
}

/// `name (backend, driver)` of an adapter.
pub fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = if info.driver_info.is_empty() { &info.driver } else { &info.driver_info };
    format!("{} ({}, {})", info.name, info.backend, driver)
}

/// The adapter of the `process`-th process of a machine whose adapters, best first, have these types.
fn of_process(types: &[wgpu::DeviceType], process: usize) -> usize {
    process % types.iter().take_while(|t| **t == types[0]).count().max(1)
}

fn no_such(index: usize) -> Error {
    Error::usage(format!("there is no device {index}; `evenkeel devices` lists them"))
}

fn pick(adapters: &[Adapter], choice: &str) -> Result<usize> {
    let number = choice.parse::<usize>().ok();
    if let Some(index) = number.filter(|i| *i < adapters.len()) {
        return Ok(index);
    }
    let wanted = choice.to_lowercase();
    adapters.iter().position(|a| a.info.name.to_lowercase().contains(&wanted)).ok_or_else(|| {
        if let Some(index) = number {
            return no_such(index);
        }
        let names: Vec<&str> = adapters.iter().map(|a| a.info.name.as_str()).collect();
        crate::error::unknown("device", choice, &names)
    })
}

async fn open(adapter: Adapter) -> Result<Rc<Gpu>> {
    let asked = Limits::asked()?;
    let caps = Caps { tuned: table::load(&adapter.info)?, ..adapter.caps(asked) };
    let offered = match asked {
        Limits::Adapter => adapter.raw.features(),
        Limits::Webgpu | Limits::Downlevel => wgpu::Features::empty(),
    };
    let mut wanted =
        wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16 | wgpu::Features::TIMESTAMP_QUERY;
    if caps.texels {
        wanted |= wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES;
    }
    let limits = adapter.limits(asked);
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("evenkeel"),
        required_features: offered & wanted,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    };
    let (device, queue) =
        adapter.raw.request_device(&descriptor).await.map_err(|e| {
            Error::Device(format!("{} refused a device: {e}", describe(&adapter.info)))
        })?;
    let failed = Arc::new(Mutex::new(None));
    let note = failed.clone();
    device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| keep_first(&note, e.to_string())));
    let note = failed.clone();
    device.set_device_lost_callback(move |reason, message| {
        // Whatever else was reported follows from this.
        if let Ok(mut slot) = note.lock() {
            *slot = Some(format!("the device was lost ({reason:?}): {message}"));
        }
    });
    let aliases = if caps.texels { Aliases::of(&device, &adapter.info) } else { None };
    Ok(Rc::new(Gpu {
        aliases: aliases.map(Rc::new),
        timestamps: offered.contains(wgpu::Features::TIMESTAMP_QUERY),
        device,
        queue,
        pipelines: RefCell::default(),
        in_flight: RefCell::default(),
        watchdog: Watchdog::default(),
        memory: Rc::default(),
        tape: Tape::asked()?,
        info: adapter.info,
        caps,
        failed,
    }))
}

fn keep_first(slot: &Mutex<Option<String>>, message: String) {
    if let Ok(mut slot) = slot.lock() {
        slot.get_or_insert(message);
    }
}

#[cfg(test)]
mod tests {
    use super::of_process;
    use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu};

    #[test]
    fn processes_take_the_adapters_of_the_best_type_in_turn() {
        let types = [DiscreteGpu, DiscreteGpu, IntegratedGpu, Cpu];
        let found: Vec<usize> = (0..5).map(|p| of_process(&types, p)).collect();
        assert_eq!(found, [0, 1, 0, 1, 0]);
        assert_eq!(of_process(&[Cpu], 3), 0);
    }
}
