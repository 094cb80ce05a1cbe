//! The textures that programs read inputs through (`gpu/texels.rs`): while a plan is bound, each input that a dispatch
//! reads as texels is given the one that lies over it. Where the device has none such, it is given one of the
//! workspace's, the same for every program, and the copy that fills it unless a dispatch before it in the same program
//! has read the same slice.

use crate::error::Result;
use crate::gpu::{Gpu, Slice, TexelCopy, Texels};
use std::rc::Rc;

/// The textures of a workspace.
#[derive(Default)]
pub(super) struct TexelPool {
    textures: Vec<Rc<Texels>>,
    /// What the first textures hold while one program runs.
    held: Vec<Slice>,
}

impl TexelPool {
    /// Another program begins: what the textures hold may have changed.
    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    /// A texture with what `slice` holds, and the copy that fills it where none has that yet.
    pub(super) fn holding(
        &mut self,
        gpu: &Gpu,
        slice: &Slice,
        copies: &mut Vec<TexelCopy>,
    ) -> Result<Rc<Texels>> {
        if let Some(over) = slice.texels() {
            return Ok(over);
        }
        if let Some(i) = self.held.iter().position(|s| s.is(slice)) {
            return Ok(self.textures[i].clone());
        }
        let i = self.held.len();
        if self.textures.get(i).is_none_or(|t| !t.holds(slice.words)) {
            self.textures.truncate(i);
            self.textures.push(gpu.alloc_texels(slice.words)?);
        }
        let to = self.textures[i].clone();
        copies.push(TexelCopy { from: slice.clone(), to: to.clone() });
        self.held.push(slice.clone());
        Ok(to)
    }
}
