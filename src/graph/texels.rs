//! Which texture holds a copy of which slice while a plan is bound: the plan goes through its dispatches
//! in the order in which they will run, so a copy made for one serves every later one that reads the
//! same slice, until something is written over it or the texture is needed for another.

use crate::error::Result;
use crate::gpu::{Gpu, Slice, TexelCopy, Texels};
use std::rc::Rc;

/// Textures kept, unless one dispatch reads more.
const KEPT: usize = 6;

/// The textures that the plans of a workspace read inputs through.
#[derive(Default)]
pub(super) struct TexelPool {
    textures: Vec<Texture>,
    /// Counts dispatches.
    now: u64,
}

struct Texture {
    texels: Rc<Texels>,
    holds: Option<Slice>,
    /// The dispatch that read it last.
    used: u64,
}

impl TexelPool {
    /// A plan begins: other plans may have run before it, so nothing is held.
    pub(super) fn begin_plan(&mut self) {
        self.textures.iter_mut().for_each(|t| t.holds = None);
    }

    /// The next dispatch is bound.
    pub(super) fn begin_dispatch(&mut self) {
        self.now += 1;
    }

    /// A texture that holds `slice`, with the copy that fills it where none does yet.
    pub(super) fn holding(
        &mut self,
        gpu: &Gpu,
        slice: &Slice,
        copies: &mut Vec<TexelCopy>,
    ) -> Result<Rc<Texels>> {
        let found =
            self.textures.iter().position(|t| t.holds.as_ref().is_some_and(|s| s.is(slice)));
        let at = match found {
            Some(at) => at,
            None => {
                let at = self.free(gpu, slice.words)?;
                let to = self.textures[at].texels.clone();
                copies.push(TexelCopy { from: slice.clone(), to });
                self.textures[at].holds = Some(slice.clone());
                at
            }
        };
        self.textures[at].used = self.now;
        Ok(self.textures[at].texels.clone())
    }

    /// The dispatch being bound writes `slice`: copies of its buffer are out of date after it.
    pub(super) fn written(&mut self, slice: &Slice) {
        for texture in &mut self.textures {
            if texture.holds.as_ref().is_some_and(|s| Rc::ptr_eq(&s.buffer, &slice.buffer)) {
                texture.holds = None;
            }
        }
    }

    /// The place of a texture for `words` that this dispatch does not read yet: an empty one, a new one
    /// while few are kept, or the one unread for longest, enlarged where it is too small.
    fn free(&mut self, gpu: &Gpu, words: usize) -> Result<usize> {
        let now = self.now;
        let unread = |t: &&(usize, &Texture)| t.1.used < now;
        let all: Vec<(usize, &Texture)> = self.textures.iter().enumerate().collect();
        let order =
            |t: &&(usize, &Texture)| (t.1.holds.is_some(), !t.1.texels.holds(words), t.1.used);
        let best = all.iter().filter(unread).min_by_key(order);
        let full = self.textures.len() >= KEPT;
        match best {
            Some((at, t)) if t.texels.holds(words) && (full || t.holds.is_none()) => Ok(*at),
            Some((at, _)) if full => {
                let at = *at;
                self.textures[at].texels = gpu.alloc_texels(words)?;
                Ok(at)
            }
            _ => {
                let texels = gpu.alloc_texels(words)?;
                self.textures.push(Texture { texels, holds: None, used: 0 });
                Ok(self.textures.len() - 1)
            }
        }
    }
}
