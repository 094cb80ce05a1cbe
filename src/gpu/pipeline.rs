//! Pipelines, made once for each kernel with its constants: naga compiles the WGSL here (so an error
//! names the file and line) and its bindings become the bind group layout.

use super::Gpu;
use crate::error::{Error, Result};
use evenkeel_kernels::{Access, Assembled, Compiled, Launch, ShaderError};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A compiled kernel and the layout of its bind group.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Of the uniform that tells a piece its place, where the grid is run in pieces.
    pub(super) piece: Option<wgpu::BindGroupLayout>,
    /// How the kernel uses each binding.
    pub access: Vec<Access>,
    /// `kernels/relu.wgsl:main`, for profiles and errors.
    pub name: String,
    /// The launch beside its constants ([`Launch::form`]).
    form: String,
}

/// The pipelines made so far, by kernel and constants.
#[derive(Debug, Default)]
pub struct PipelineCache {
    made: HashMap<String, Rc<Pipeline>>,
}

impl Gpu {
    /// The pipeline of a launch, made at first use.
    ///
    /// # Errors
    /// A kernel that does not compile (file and line) or that the driver refuses.
    pub fn pipeline(&self, launch: &Launch) -> Result<Rc<Pipeline>> {
        let parts: Vec<&str> = launch.parts.iter().map(|(_, s)| s.path).collect();
        let Launch { source, entry, constants, texels, in_pieces, .. } = launch;
        let key = format!("{}:{entry}:{constants:?}:{parts:?}:{texels:?}:{in_pieces}", source.path);
        if let Some(found) = self.pipelines.borrow().made.get(&key) {
            return Ok(found.clone());
        }
        let made = Rc::new(self.compile(launch)?);
        self.pipelines.borrow_mut().made.insert(key, made.clone());
        Ok(made)
    }

    /// How many pipelines have been made.
    pub fn pipelines_made(&self) -> usize {
        self.pipelines.borrow().made.len()
    }

    /// The kernels among them, as [`Launch::form`] tells them, whatever their constants.
    pub fn kernels_made(&self) -> BTreeSet<String> {
        self.pipelines.borrow().made.values().map(|p| p.form.clone()).collect()
    }

    fn compile(&self, launch: &Launch) -> Result<Pipeline> {
        let name = format!("{}:{}", launch.source.path, launch.entry);
        let wrong = |e: ShaderError| Error::Shader(e.to_string());
        let assembled = launch.assemble().map_err(wrong)?;
        let compiled = assembled.compile().map_err(wrong)?;
        self.within_limits(&name, &compiled)?;
        let entries: Vec<wgpu::BindGroupLayoutEntry> = compiled
            .bindings
            .iter()
            .map(|b| wgpu::BindGroupLayoutEntry {
                binding: b.index,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: match b.access {
                    Access::Uniform => buffer(wgpu::BufferBindingType::Uniform),
                    Access::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
                    Access::ReadWrite => {
                        buffer(wgpu::BufferBindingType::Storage { read_only: false })
                    }
                    Access::Texels => wgpu::BindingType::StorageTexture {
                        access: wgpu::StorageTextureAccess::ReadOnly,
                        format: wgpu::TextureFormat::Rgba32Float,
                        view_dimension: wgpu::TextureViewDimension::D2,
                    },
                },
                count: None,
            })
            .collect();
        let access = compiled.bindings.iter().map(|b| b.access).collect();
        let source = source(assembled, compiled);
        let (raw, layout, piece) = self
            .tried(wgpu::ErrorFilter::Validation, |device| {
                make(device, &name, &entries, source, launch)
            })
            .map_err(|e| Error::Shader(format!("{name}: the driver refused it: {e}")))?;
        Ok(Pipeline { raw, layout, piece, access, name, form: launch.form() })
    }
}

/// The pipeline, the layout of its bindings, and that of a piece's place where the launch is in pieces.
fn make(
    device: &wgpu::Device,
    name: &str,
    entries: &[wgpu::BindGroupLayoutEntry],
    source: wgpu::ShaderSource<'_>,
    launch: &Launch,
) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout, Option<wgpu::BindGroupLayout>) {
    let layout = device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries });
    let piece = launch.in_pieces.then(|| {
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("piece"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: buffer(wgpu::BufferBindingType::Uniform),
                count: None,
            }],
        })
    });
    let groups: Vec<Option<&wgpu::BindGroupLayout>> =
        std::iter::once(&layout).chain(&piece).map(Some).collect();
    let module =
        device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(name),
        bind_group_layouts: &groups,
        immediate_size: 0,
    });
    let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(launch.entry),
        compilation_options: wgpu::PipelineCompilationOptions {
            // Every kernel writes its tiles before it reads them; zeroing makes FXC 50x slower.
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
    (raw, layout, piece)
}

/// What the driver is given: naga's module.
#[cfg(not(target_arch = "wasm32"))]
fn source(_: Assembled, compiled: Compiled) -> wgpu::ShaderSource<'static> {
    wgpu::ShaderSource::Naga(Cow::Owned(compiled.module))
}

/// What a browser is given, which has a compiler of its own: the text.
#[cfg(target_arch = "wasm32")]
fn source(assembled: Assembled, _: Compiled) -> wgpu::ShaderSource<'static> {
    wgpu::ShaderSource::Wgsl(Cow::Owned(assembled.text))
}

impl Gpu {
    /// A kernel that this device can't have is refused in words; `evenkeel check` tells these apart.
    fn within_limits(&self, name: &str, compiled: &Compiled) -> Result<()> {
        let limits = self.device.limits();
        let buffers = limits.max_storage_buffers_per_shader_stage;
        let (memory, most) =
            (compiled.workgroup_bytes(), limits.max_compute_workgroup_storage_size);
        if compiled.storage_buffers() > buffers as usize {
            let needs = compiled.storage_buffers();
            return Err(Error::Beyond(format!(
                "{name} binds {needs} storage buffers; this device lets a kernel have {buffers}"
            )));
        }
        if memory > u64::from(most) {
            return Err(Error::Beyond(format!(
                "{name} takes {memory} bytes of workgroup memory; this device has {most}"
            )));
        }
        Ok(())
    }
}

fn buffer(ty: wgpu::BufferBindingType) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None }
}
