//! WebGPU's default limits, which every implementation has, and what of a kernel is beyond them.

use crate::wgsl::{Access, Compiled};

/// Storage buffers that a kernel may bind.
pub const STORAGE_BUFFERS: usize = 8;
/// The most storage buffers that a kernel of training binds; some devices don't let a kernel have them
/// beside textures and such.
pub const MOST_BUFFERS: u32 = 7;
/// Storage textures that a kernel may bind.
pub const STORAGE_TEXTURES: usize = 4;
/// Bytes of workgroup memory.
pub const WORKGROUP_BYTES: u64 = 16 << 10;
/// Invocations in a workgroup.
pub const INVOCATIONS: u32 = 256;
/// Workgroups along one axis of a grid.
pub const GRID: u32 = 65_535;

impl Compiled {
    /// How many storage buffers it binds.
    pub fn storage_buffers(&self) -> usize {
        self.count(&[Access::Read, Access::ReadWrite])
    }

    fn count(&self, of: &[Access]) -> usize {
        self.bindings.iter().filter(|b| of.contains(&b.access)).count()
    }

    /// Bytes of workgroup memory it takes.
    pub fn workgroup_bytes(&self) -> u64 {
        let globals = self.module.global_variables.iter();
        let shared = globals.filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
        let size = |ty| u64::from(self.module.types[ty].inner.size(self.module.to_ctx()));
        shared.map(|(_, v)| size(v.ty)).sum()
    }

    /// What of it is beyond the default limits, in words.
    pub fn beyond_limits(&self) -> Option<String> {
        let storage = self.storage_buffers();
        let textures = self.count(&[Access::Texels]);
        let invocations: u32 = self.workgroup_size.iter().product();
        let memory = self.workgroup_bytes();
        if storage > STORAGE_BUFFERS {
            Some(format!("{storage} storage buffers"))
        } else if textures > STORAGE_TEXTURES {
            Some(format!("{textures} storage textures"))
        } else if invocations > INVOCATIONS {
            Some(format!("{invocations} invocations"))
        } else if memory > WORKGROUP_BYTES {
            Some(format!("{memory} bytes of workgroup memory"))
        } else {
            None
        }
    }
}
