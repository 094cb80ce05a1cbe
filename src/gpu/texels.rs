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
/// Bytes in a row.
pub(super) const ROW_BYTES: u64 = TEXEL_ROW as u64 * 16;

/// The rows that `words` words fill.
fn rows_of(words: usize) -> usize {
    words.div_ceil(ROW_WORDS).max(1)
}

/// A texture of `rows` rows of texels.
pub(super) fn texture(rows: u32, usage: wgpu::TextureUsages) -> wgpu::TextureDescriptor<'static> {
    wgpu::TextureDescriptor {
        label: Some("texels"),
        size: wgpu::Extent3d { width: TEXEL_ROW, height: rows, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba32Float,
        usage,
        view_formats: &[],
    }
}

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
    fn new(raw: wgpu::Texture, rows: usize, memory: Option<Rc<Memory>>) -> Rc<Self> {
        let view = raw.create_view(&wgpu::TextureViewDescriptor::default());
        Rc::new(Texels { raw, view, rows, memory })
    }

    /// Whether `words` words fit.
    pub fn holds(&self, words: usize) -> bool {
        rows_of(words) <= self.rows
    }

    fn bytes(&self) -> u64 {
        self.rows as u64 * ROW_BYTES
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
        let rows = rows_of(self.words);
        let mut over = self.buffer.over.borrow_mut();
        if let Some(made) = over.get(&(self.start, rows)) {
            return Some(made.clone());
        }
        let backing = self.buffer.backing.as_ref()?;
        let raw = backing.image(self.start as u64 * 4, u32::try_from(rows).ok()?)?;
        let made = Texels::new(raw, rows, None);
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
        let rows = rows_of(words);
        let bytes = rows as u64 * ROW_BYTES;
        if rows > self.device.limits().max_texture_dimension_2d as usize {
            let bytes = mib(bytes);
            return Err(Error::Device(format!(
                "{bytes} are too many for a texture; a smaller --batch-size makes them fit"
            )));
        }
        let made = self.tried(wgpu::ErrorFilter::OutOfMemory, |device| {
            let usage = wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST;
            device.create_texture(&texture(rows as u32, usage))
        });
        let Ok(raw) = made else {
            let held = mib(self.memory.now());
            return Err(Error::Device(format!(
                "out of GPU memory: a texture needs {} more beside the {held} already held",
                mib(bytes)
            )));
        };
        self.memory.add(bytes);
        Ok(Texels::new(raw, rows, Some(self.memory.clone())))
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
