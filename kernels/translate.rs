//! A validated kernel in the languages of the backends, by naga as wgpu does it: SPIR-V for Vulkan,
//! MSL for Metal, HLSL for DX12.

use crate::wgsl::{Access, Compiled, ShaderError};
use naga::back::{hlsl, msl, spv};
use naga::{ResourceBinding, ShaderStage};

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
        let mut found: Vec<u32> = used.filter_map(|(_, v)| Some(v.binding?.binding)).collect();
        found.sort_unstable();
        found
    }

    /// SPIR-V words of one entry point.
    ///
    /// # Errors
    /// What naga's writer refuses.
    pub fn spirv(&self, entry: &str) -> Result<Vec<u32>, ShaderError> {
        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let entry_point = entry.to_string();
        let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point };
        spv::write_vec(&self.module, &self.info, &options, Some(&pipeline))
            .map_err(|e| refused(entry, "SPIR-V", &e))
    }

    /// Metal Shading Language of one entry point: binding i is buffer i, or texture i.
    ///
    /// # Errors
    /// What naga's writer refuses.
    pub fn msl(&self, entry: &str) -> Result<String, ShaderError> {
        let resources = self.bindings.iter().map(|b| {
            let target = msl::BindTarget {
                buffer: (b.access != Access::Texels).then_some(b.index as u8),
                texture: (b.access == Access::Texels).then_some(b.index as u8),
                mutable: b.access == Access::ReadWrite,
                ..Default::default()
            };
            (ResourceBinding { group: 0, binding: b.index }, target)
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
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, entry.to_string())),
            ..Default::default()
        };
        msl::write_string(&self.module, &self.info, &options, &pipeline)
            .map(|(text, _)| text)
            .map_err(|e| refused(entry, "MSL", &e))
    }

    /// HLSL of one entry point, for shader model 6.0.
    ///
    /// # Errors
    /// What naga's writer refuses.
    pub fn hlsl(&self, entry: &str) -> Result<String, ShaderError> {
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_0,
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        };
        let pipeline =
            hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_string())) };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&self.module, &self.info, None)
            .map_err(|e| refused(entry, "HLSL", &e))?;
        Ok(text)
    }
}

fn refused(entry: &str, language: &str, why: &dyn std::error::Error) -> ShaderError {
    let message = format!("naga writes no {language} of it: {why}");
    ShaderError { file: entry.into(), line: 0, message }
}
