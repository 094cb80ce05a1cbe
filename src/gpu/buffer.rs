//! Buffers in GPU memory, metered: how much is held now, and the high-water mark.

use super::alias::Backing;
use super::tape::Tape;
use super::{Gpu, Texels};
use crate::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Bytes held by the engine's buffers.
#[derive(Debug, Default)]
pub struct Memory {
    now: Cell<u64>,
    peak: Cell<u64>,
}

impl Memory {
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }
    pub(super) fn peak(&self) -> u64 {
        self.peak.get()
    }
    pub(super) fn add(&self, bytes: u64) {
        self.now.set(self.now.get() + bytes);
        self.peak.set(self.peak.get().max(self.now.get()));
    }
    pub(super) fn take_off(&self, bytes: u64) {
        self.now.set(self.now.get() - bytes);
    }
}

/// A storage buffer of 4-byte words; freed and taken off the meter when dropped.
#[derive(Debug)]
pub struct Buffer {
    pub(super) raw: wgpu::Buffer,
    words: usize,
    memory: Rc<Memory>,
    /// Memory that textures may see too, and those that do, by first word and rows.
    pub(super) backing: Option<Backing>,
    pub(super) over: RefCell<HashMap<(usize, usize), Rc<Texels>>>,
    tape: Option<(Rc<Tape>, u64)>,
}

impl Buffer {
    /// Length in 4-byte words.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Its number on the tape, if there is one.
    pub(super) fn number(&self) -> Option<u64> {
        self.tape.as_ref().map(|(_, number)| *number)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.memory.take_off(self.raw.size());
        if let Some((tape, number)) = &self.tape {
            tape.free(*number);
        }
    }
}

/// A range of a buffer, in words; `start` is a multiple of 64 (256 bytes, the portable alignment).
#[derive(Clone, Debug)]
pub struct Slice {
    /// The buffer.
    pub buffer: Rc<Buffer>,
    /// First word.
    pub start: usize,
    /// Number of words.
    pub words: usize,
}

impl Slice {
    /// The whole of a buffer.
    pub fn whole(buffer: Rc<Buffer>) -> Self {
        let words = buffer.words;
        Slice { buffer, start: 0, words }
    }

    /// The same range of the same buffer.
    pub fn is(&self, other: &Slice) -> bool {
        Rc::ptr_eq(&self.buffer, &other.buffer)
            && (self.start, self.words) == (other.start, other.words)
    }

    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer.raw,
            offset: self.start as u64 * 4,
            size: std::num::NonZeroU64::new(self.words as u64 * 4),
        })
    }
}

impl Gpu {
    /// A zeroed buffer of `words` 4-byte words.
    ///
    /// # Errors
    /// Larger than a binding may be, or out of memory: both say how much was asked and what there is.
    pub fn alloc(&self, label: &str, words: usize) -> Result<Rc<Buffer>> {
        // Whole texels (gpu/texels.rs).
        let bytes = words.max(1).next_multiple_of(4) as u64 * 4;
        if bytes > self.caps.max_binding {
            return Err(Error::Device(format!(
                "{label} needs {} but this device binds at most {} at once; a smaller --batch-size \
                 makes it fit",
                mib(bytes),
                mib(self.caps.max_binding)
            )));
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let made = self.tried(wgpu::ErrorFilter::OutOfMemory, |device| {
            let aliased = self.aliases.as_ref().and_then(|a| a.buffer(device, &descriptor));
            match aliased {
                Some((raw, backing)) => (raw, Some(backing)),
                None => (device.create_buffer(&descriptor), None),
            }
        });
        let Ok((raw, backing)) = made else {
            return Err(Error::Device(format!(
                "out of GPU memory: {label} needs {} more beside the {} already held",
                mib(bytes),
                mib(self.memory.now())
            )));
        };
        self.memory.add(bytes);
        let tape = self.tape.clone().map(|tape| (tape.clone(), tape.alloc(bytes)));
        Ok(Rc::new(Buffer {
            raw,
            words: words.max(1),
            memory: self.memory.clone(),
            backing,
            over: RefCell::default(),
            tape,
        }))
    }

    /// A buffer holding `data` (any plain 4-byte type).
    ///
    /// # Errors
    /// As [`Gpu::alloc`].
    pub fn upload<T: bytemuck::Pod>(&self, label: &str, data: &[T]) -> Result<Rc<Buffer>> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.alloc(label, bytes.len().div_ceil(4))?;
        self.write(&Slice::whole(buffer.clone()), data);
        Ok(buffer)
    }

    /// Writes `data` at the start of `slice`; what is beyond the slice's end is left off.
    pub fn write<T: bytemuck::Pod>(&self, slice: &Slice, data: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let bytes = &bytes[..bytes.len().min(slice.words * 4)];
        if let Some(tape) = &self.tape {
            tape.write(slice, bytes);
        }
        let whole = bytes.len() / 4 * 4;
        let offset = slice.start as u64 * 4;
        self.queue.write_buffer(&slice.buffer.raw, offset, &bytes[..whole]);
        if whole < bytes.len() {
            let mut last = [0u8; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(&slice.buffer.raw, offset + whole as u64, &last);
        }
    }
}

/// Bytes as "12.3 MiB".
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}
