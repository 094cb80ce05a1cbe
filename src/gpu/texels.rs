//! Storage textures through which kernels read their inputs on devices where that is faster than
//! from storage buffers (`evenkeel_kernels::Launch::texels`): rows of [`TEXEL_ROW`] texels of four floats. Where the
//! device lets textures see a buffer's memory ([`super::alias`]), a texture lies over the input's range of its buffer;
//! elsewhere the range is copied to one before a dispatch.

use super::buffer::Memory;
use super::{Gpu, Slice, mib};
use crate::error::{Error, Result};
use evenkeel_kernels::TEXEL_ROW;
use std::rc::Rc;

/// Words in a row.
const ROW_WORDS: usize = TEXEL_ROW as usize * 4;

/// A texture that lies over a slice, or holds a copy of one; freed, and a copy taken off the meter, when dropped.
#[derive(Debug)]
pub struct Texels {
    raw: wgpu::Texture,
    pub(super) view: wgpu::TextureView,
    rows: usize,
    /// The meter, of a texture with memory of its own.
    memory: Option<Rc<Memory>>,
}

impl Texels {
    /// Whether `words` words fit.
    pub fn holds(&self, words: usize) -> bool {
        words.div_ceil(ROW_WORDS) <= self.rows
    }

    fn bytes(&self) -> u64 {
        (self.rows * ROW_WORDS * 4) as u64
    }
}

impl Drop for Texels {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.take_off(self.bytes());
        }
    }
}

impl Slice {
    /// The texture that lies over the slice, where this device has such.
    pub fn texels(&self) -> Option<Rc<Texels>> {
        let rows = self.words.div_ceil(ROW_WORDS).max(1);
        let mut over = self.buffer.over.borrow_mut();
        if let Some(made) = over.get(&(self.start, rows)) {
            return Some(made.clone());
        }
        let backing = self.buffer.backing.as_ref()?;
        let raw = backing.image(self.start as u64 * 4, u32::try_from(rows).ok()?)?;
        let view = raw.create_view(&wgpu::TextureViewDescriptor::default());
        let made = Rc::new(Texels { raw, view, rows, memory: None });
        over.insert((self.start, rows), made.clone());
        Some(made)
    }
}

impl Gpu {
    /// A texture for a copy of `words` 4-byte words.
    ///
    /// # Errors
    /// More rows than a texture may have, or out of memory.
    pub fn alloc_texels(&self, words: usize) -> Result<Rc<Texels>> {
        let rows = words.div_ceil(ROW_WORDS).max(1);
        let bytes = (rows * ROW_WORDS * 4) as u64;
        if rows > self.device.limits().max_texture_dimension_2d as usize {
            let bytes = mib(bytes);
            return Err(Error::Device(format!(
                "{bytes} are too many for a texture; a smaller --batch-size makes them fit"
            )));
        }
        let made = self.tried(wgpu::ErrorFilter::OutOfMemory, |device| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some("texels"),
                size: wgpu::Extent3d {
                    width: TEXEL_ROW,
                    height: rows as u32,
                    depth_or_array_layers: 1,
                },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba32Float,
                usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        });
        let Ok(raw) = made else {
            let held = mib(self.memory.now());
            return Err(Error::Device(format!(
                "out of GPU memory: a texture needs {} more beside the {held} already held",
                mib(bytes)
            )));
        };
        self.memory.add(bytes);
        let view = raw.create_view(&wgpu::TextureViewDescriptor::default());
        Ok(Rc::new(Texels { raw, view, rows, memory: Some(self.memory.clone()) }))
    }
}

/// The copy of a slice into a texture that a dispatch needs before it.
#[derive(Clone, Debug)]
pub struct TexelCopy {
    /// What is copied, to whole texels: buffers and the places in them have room for these.
    pub from: Slice,
    /// Where to.
    pub to: Rc<Texels>,
}

impl TexelCopy {
    /// Records the copy: whole rows, then what is left in the last one.
    pub(super) fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let words = self.from.words.next_multiple_of(4);
        let (rows, rest) = (words / ROW_WORDS, words % ROW_WORDS);
        if rows > 0 {
            self.region(encoder, 0, rows, ROW_WORDS);
        }
        if rest > 0 {
            self.region(encoder, rows, 1, rest);
        }
    }

    fn region(&self, encoder: &mut wgpu::CommandEncoder, row: usize, rows: usize, words: usize) {
        let from = wgpu::TexelCopyBufferInfo {
            buffer: &self.from.buffer.raw,
            layout: wgpu::TexelCopyBufferLayout {
                offset: (self.from.start + row * ROW_WORDS) as u64 * 4,
                bytes_per_row: Some(ROW_WORDS as u32 * 4),
                rows_per_image: None,
            },
        };
        let mut to = self.to.raw.as_image_copy();
        to.origin.y = row as u32;
        let width = words as u32 / 4;
        let size = wgpu::Extent3d { width, height: rows as u32, depth_or_array_layers: 1 };
        encoder.copy_buffer_to_texture(from, to, size);
    }
}
