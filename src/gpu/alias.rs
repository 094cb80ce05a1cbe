//! Buffers whose memory textures see too, so that an input is read as texels without being copied: on lavapipe, whose
//! images with linear tiling are rows of texels in the process's memory.
//!
//! wgpu makes no such pair, so buffer and images are made through Vulkan and handed to it; this is the one file with
//! `unsafe`. [`Aliases::of`] asks the driver whether an image of rows of [`TEXEL_ROW`] texels lies in memory as the
//! kernels count them; [`Aliases::buffer`] makes a buffer with memory of its own; [`Backing::image`] an image over a range of it. The
//! memory is freed with the last of them, which wgpu keeps as long as work that uses it is under way.
//!
//! wgpu doesn't know that the two are the same memory, so it puts no barrier between a dispatch that writes the buffer
//! and one that reads the image. lavapipe needs none: it ends each dispatch before it begins the next, and its images
//! have no layouts. Other drivers make no promise of that kind, so only lavapipe is used in this way.
#![allow(unsafe_code)]

use super::texels::{ROW_BYTES, texture};
use ash::vk;
use evenkeel_kernels::TEXEL_ROW;
use std::sync::Arc;
use wgpu::hal::{self, api::Vulkan};

/// How this device's images lie in memory, if that is as the kernels count texels.
#[derive(Debug)]
pub(super) struct Aliases {
    /// What an image's place in memory is a multiple of.
    alignment: u64,
    /// What an image needs at most beyond its rows.
    slack: u64,
    /// Memory types that an image may have and the host sees without caches between, as bits.
    types: u32,
    max_rows: u32,
}

/// The memory of a buffer and of images over it.
#[derive(Debug)]
pub(super) struct Backing {
    memory: Arc<Memory>,
    alignment: u64,
    max_rows: u32,
    /// Behind the memory, which is to be freed first.
    device: wgpu::Device,
}

/// Device memory, freed when dropped.
struct Memory {
    device: ash::Device,
    raw: vk::DeviceMemory,
    bytes: u64,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated from this device, which is there as long as wgpu's buffer and textures and the `Backing`
        // that hold this; the last of them is gone, and with wgpu's the work that used them.
        unsafe { self.device.free_memory(self.raw, None) };
    }
}

fn image_info(rows: u32) -> vk::ImageCreateInfo<'static> {
    vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(vk::Format::R32G32B32A32_SFLOAT)
        .extent(vk::Extent3D { width: TEXEL_ROW, height: rows, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .tiling(vk::ImageTiling::LINEAR)
        .usage(vk::ImageUsageFlags::STORAGE)
        .sharing_mode(vk::SharingMode::EXCLUSIVE)
        .initial_layout(vk::ImageLayout::PREINITIALIZED)
}

impl Aliases {
    /// What images of `device` need; none where they can't lie over a buffer.
    pub(super) fn of(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Option<Self> {
        if info.backend != wgpu::Backend::Vulkan || info.driver != "llvmpipe" {
            return None;
        }
        // SAFETY: the handle is used for queries and for an image that is destroyed here.
        unsafe {
            let device = device.as_hal::<Vulkan>()?;
            // Of one row: whatever rows are rounded up to, it adds the most here.
            let info = image_info(1);
            let offered = device
                .shared_instance()
                .raw_instance()
                .get_physical_device_image_format_properties(
                    device.raw_physical_device(),
                    info.format,
                    info.image_type,
                    info.tiling,
                    info.usage,
                    info.flags,
                )
                .ok()?;
            let image = device.raw_device().create_image(&info, None).ok()?;
            let needs = device.raw_device().get_image_memory_requirements(image);
            let part = vk::ImageSubresource::default().aspect_mask(vk::ImageAspectFlags::COLOR);
            let lies = device.raw_device().get_image_subresource_layout(image, part);
            device.raw_device().destroy_image(image, None);
            let visible =
                vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
            let types = device
                .shared_instance()
                .raw_instance()
                .get_physical_device_memory_properties(device.raw_physical_device());
            let types = types.memory_types_as_slice().iter().enumerate();
            let types = types.filter(|(_, t)| t.property_flags.contains(visible));
            let types = types.fold(0, |bits, (i, _)| bits | 1 << i);
            let as_counted = lies.offset == 0 && lies.row_pitch == ROW_BYTES;
            as_counted.then(|| Aliases {
                alignment: needs.alignment,
                slack: needs.size.saturating_sub(ROW_BYTES),
                types: types & needs.memory_type_bits,
                max_rows: offered.max_extent.height,
            })
        }
    }

    /// A zeroed buffer of `descriptor`'s size with memory of its own; none where the driver refuses.
    pub(super) fn buffer(
        &self,
        device: &wgpu::Device,
        descriptor: &wgpu::BufferDescriptor<'_>,
    ) -> Option<(wgpu::Buffer, Backing)> {
        // An image over the end of the buffer has whole rows.
        let bytes = descriptor.size + ROW_BYTES + self.slack;
        // SAFETY: the buffer has the size and the usages of `descriptor`, its memory is bound and zeroed, and both are
        // released when wgpu drops the buffer.
        unsafe {
            let hal = device.as_hal::<Vulkan>()?;
            let raw = hal.raw_device().clone();
            let info = vk::BufferCreateInfo::default()
                .size(descriptor.size)
                .usage(
                    vk::BufferUsageFlags::STORAGE_BUFFER
                        | vk::BufferUsageFlags::TRANSFER_SRC
                        | vk::BufferUsageFlags::TRANSFER_DST,
                )
                .sharing_mode(vk::SharingMode::EXCLUSIVE);
            let buffer = raw.create_buffer(&info, None).ok()?;
            let needs = raw.get_buffer_memory_requirements(buffer);
            let types = needs.memory_type_bits & self.types;
            let memory = (types != 0)
                .then(|| zeroed(&raw, types.trailing_zeros(), bytes.max(needs.size)))
                .flatten();
            let bound = memory.filter(|m| raw.bind_buffer_memory(buffer, m.raw, 0).is_ok());
            let Some(memory) = bound else {
                raw.destroy_buffer(buffer, None);
                return None;
            };
            let memory = Arc::new(memory);
            let kept = memory.clone();
            let release = Box::new(move || kept.device.destroy_buffer(buffer, None));
            let wrapped = hal::vulkan::Buffer::from_raw_externally_owned(buffer, release);
            drop(hal);
            let made = device.create_buffer_from_hal::<Vulkan>(wrapped, descriptor);
            let (alignment, max_rows) = (self.alignment, self.max_rows);
            Some((made, Backing { memory, alignment, max_rows, device: device.clone() }))
        }
    }
}

/// Memory of zeros.
///
/// # Safety
/// The type of memory is one of the device's and visible to the host, without caches between.
unsafe fn zeroed(device: &ash::Device, memory_type: u32, bytes: u64) -> Option<Memory> {
    // SAFETY: the mapped range is the whole of the memory, which nothing uses yet.
    unsafe {
        let info =
            vk::MemoryAllocateInfo::default().allocation_size(bytes).memory_type_index(memory_type);
        let raw = device.allocate_memory(&info, None).ok()?;
        let memory = Memory { device: device.clone(), raw, bytes };
        let at = device.map_memory(raw, 0, bytes, vk::MemoryMapFlags::empty()).ok()?;
        std::ptr::write_bytes(at.cast::<u8>(), 0, bytes as usize);
        device.unmap_memory(raw);
        Some(memory)
    }
}

impl Backing {
    /// A storage texture of `rows` rows of texels over the memory from `start` bytes on; none where an image may not
    /// begin there, or has too many rows.
    pub(super) fn image(&self, start: u64, rows: u32) -> Option<wgpu::Texture> {
        if !start.is_multiple_of(self.alignment) || rows > self.max_rows {
            return None;
        }
        let descriptor = texture(rows, wgpu::TextureUsages::STORAGE_BINDING);
        // SAFETY: the image is as the descriptors say, lies within the memory, and is destroyed when wgpu drops the texture.
        unsafe {
            let hal = self.device.as_hal::<Vulkan>()?;
            let raw = hal.raw_device();
            let image = raw.create_image(&image_info(rows), None).ok()?;
            let needs = raw.get_image_memory_requirements(image);
            let inside = start + needs.size <= self.memory.bytes;
            if !inside || raw.bind_image_memory(image, self.memory.raw, start).is_err() {
                raw.destroy_image(image, None);
                return None;
            }
            let kept = self.memory.clone();
            let release: hal::DropCallback =
                Box::new(move || kept.device.destroy_image(image, None));
            let state = wgpu::TextureUses::STORAGE_READ_ONLY;
            let wrapped = hal.texture_from_raw(
                image,
                &hal::TextureDescriptor {
                    label: descriptor.label,
                    size: descriptor.size,
                    mip_level_count: descriptor.mip_level_count,
                    sample_count: descriptor.sample_count,
                    dimension: descriptor.dimension,
                    format: descriptor.format,
                    usage: state,
                    memory_flags: hal::MemoryFlags::empty(),
                    view_formats: Vec::new(),
                },
                Some(release),
                hal::vulkan::TextureMemory::External,
            );
            drop(hal);
            Some(self.device.create_texture_from_hal::<Vulkan>(wrapped, &descriptor, state))
        }
    }
}
