//! A validated kernel in the languages of the backends, by naga as wgpu does it: SPIR-V for Vulkan,
//! MSL for Metal, HLSL for DX12. Indices and loops are bounded, workgroup memory is not zeroed.

use crate::launch::Launch;
use crate::wgsl::{Access, Compiled, ShaderError};
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::{ResourceBinding, ShaderStage};

/// What wgpu asks of a backend that doesn't check indices itself.
const RESTRICT: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Restrict,
    buffer: BoundsCheckPolicy::Restrict,
    image_load: BoundsCheckPolicy::Restrict,
    binding_array: BoundsCheckPolicy::Unchecked,
};

/// HLSL's shader model: which of Microsoft's compilers takes it, and what it offers to kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShaderModel {
    /// 5.1: the old compiler, FXC; no subgroups, no f16
    V5_1,
    /// 6.0: DXC; subgroups
    V6_0,
    /// 6.2: DXC; f16 too
    V6_2,
}

impl ShaderModel {
    /// The least one with which DXC compiles a launch.
    pub fn of(launch: &Launch) -> Self {
        if launch.f16 { ShaderModel::V6_2 } else { ShaderModel::V6_0 }
    }
}

/// The slot in which wgpu hands Metal the buffers' lengths.
const SIZES: u8 = 30;

impl Compiled {
    /// Indices of the bindings that an entry point uses, which an automatic layout has.
    pub fn used(&self, entry: &str) -> Vec<u32> {
        let Some(at) = self.module.entry_points.iter().position(|e| e.name == entry) else {
            return Vec::new();
        };
        let uses = self.info.get_entry_point(at);
        let globals = self.module.global_variables.iter();
        let used = globals.filter(|(handle, _)| !uses[*handle].is_empty());
        let of_group = |v: &naga::GlobalVariable| v.binding.filter(|b| b.group == 0);
        let mut found: Vec<u32> = used.filter_map(|(_, v)| Some(of_group(v)?.binding)).collect();
        found.sort_unstable();
        found
    }

    /// SPIR-V words of one entry point.
    ///
    /// # Errors
    /// What naga's writer refuses.
    pub fn spirv(&self, entry: &str) -> Result<Vec<u32>, ShaderError> {
        let options = spv::Options {
            lang_version: (1, 3),
            bounds_check_policies: RESTRICT,
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            ..Default::default()
        };
        let entry_point = entry.to_string();
        let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point };
        spv::write_vec(&self.module, &self.info, &options, Some(&pipeline))
            .map_err(|e| refused(entry, "SPIR-V", &e))
    }

    /// What the kernel is given: its bindings, and in pieces the place of the piece.
    fn resources(&self) -> Vec<(ResourceBinding, Access)> {
        let own = self.bindings.iter();
        let mut all: Vec<_> =
            own.map(|b| (ResourceBinding { group: 0, binding: b.index }, b.access)).collect();
        let globals = self.module.global_variables.iter();
        let beyond = globals.filter_map(|(_, v)| v.binding.filter(|b| b.group > 0));
        all.extend(beyond.map(|binding| (binding, Access::Uniform)));
        all
    }

    /// Metal Shading Language of one entry point: the i-th binding is buffer i, or texture i.
    ///
    /// # Errors
    /// What naga's writer refuses.
    pub fn msl(&self, entry: &str) -> Result<String, ShaderError> {
        let resources = (0..).zip(self.resources()).map(|(i, (binding, access))| {
            let target = msl::BindTarget {
                buffer: (access != Access::Texels).then_some(i),
                texture: (access == Access::Texels).then_some(i),
                mutable: access == Access::ReadWrite,
                ..Default::default()
            };
            (binding, target)
        });
        let resources = msl::EntryPointResources {
            resources: resources.collect(),
            sizes_buffer: Some(SIZES),
            ..Default::default()
        };
        let options = msl::Options {
            lang_version: (2, 4),
            per_entry_point_map: [(entry.to_string(), resources)].into(),
            fake_missing_bindings: false,
            bounds_check_policies: RESTRICT,
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, entry.to_string())),
            ..Default::default()
        };
        let (text, written) = msl::write_string(&self.module, &self.info, &options, &pipeline)
            .map_err(|e| refused(entry, "MSL", &e))?;
        all_written(written.entry_point_names).map_err(|e| refused(entry, "MSL", &e))?;
        Ok(text)
    }

    /// HLSL of one entry point; registers are counted for constants, inputs and outputs apart.
    ///
    /// # Errors
    /// What naga's writer refuses.
    pub fn hlsl(&self, entry: &str, model: ShaderModel) -> Result<String, ShaderError> {
        let mut next = [0, 0, 0];
        let mut target = |kind: usize| {
            let register = next[kind];
            next[kind] += 1;
            hlsl::BindTarget { register, ..Default::default() }
        };
        let bindings = self.resources().into_iter().map(|(binding, access)| {
            let kind = match access {
                Access::Uniform => 0,
                Access::Read => 1,
                Access::ReadWrite | Access::Texels => 2,
            };
            (binding, target(kind))
        });
        let options = hlsl::Options {
            shader_model: match model {
                ShaderModel::V5_1 => hlsl::ShaderModel::V5_1,
                ShaderModel::V6_0 => hlsl::ShaderModel::V6_0,
                ShaderModel::V6_2 => hlsl::ShaderModel::V6_2,
            },
            binding_map: bindings.collect(),
            fake_missing_bindings: false,
            // The grid's size comes this way.
            special_constants_binding: Some(target(0)),
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        };
        let pipeline =
            hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_string())) };
        let mut text = String::new();
        let written = hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&self.module, &self.info, None)
            .map_err(|e| refused(entry, "HLSL", &e))?;
        all_written(written.entry_point_names).map_err(|e| refused(entry, "HLSL", &e))?;
        Ok(text)
    }
}

/// naga leaves out an entry point that it has no bindings for, and says so beside the text.
fn all_written<E>(names: Vec<Result<String, E>>) -> Result<(), E> {
    names.into_iter().try_for_each(|name| name.map(drop))
}

fn refused(entry: &str, language: &str, why: &dyn std::error::Error) -> ShaderError {
    let message = format!("naga writes no {language} of it: {why}");
    ShaderError { file: entry.into(), line: 0, message }
}
