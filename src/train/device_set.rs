//! A data set on the device: images as packed bytes in buffers no larger than a binding, labels, and
//! the order in which an epoch visits them. Of a streamed set the device holds a few batches at a time
//! (`staging`).

use super::staging::Staging;
use crate::data::Dataset;
use crate::data::stream::Times;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Slice, at_once};
use crate::ops::{BatchSource, Changes, batch};
use crate::tensor::{DType, Tensor};
use std::rc::Rc;

/// Images at once of a streamed set, where no one says more.
const USUAL_BATCH: usize = 256;

/// An uploaded data set.
pub struct DeviceSet {
    gpu: Rc<Gpu>,
    source: BatchSource,
    order: Tensor,
    others: Tensor,
    predictions: Tensor,
    len: usize,
    staging: Option<Staging>,
}

/// What a set must have room for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// Positions in an order; as many as images at least.
    pub positions: usize,
    /// Images in a batch; of a streamed set the largest.
    pub batch: usize,
    /// Images that others are mixed with or drawn towards.
    pub others: bool,
}

impl DeviceSet {
    /// Uploads `data`; the order starts as stored.
    ///
    /// # Errors
    /// An empty set, or no memory.
    pub fn upload(gpu: &Rc<Gpu>, data: &Dataset) -> Result<Self> {
        Self::for_batches(gpu, data, USUAL_BATCH)
    }

    /// Uploads `data`, for batches of `batch` at most.
    ///
    /// # Errors
    /// As [`DeviceSet::upload`].
    pub fn for_batches(gpu: &Rc<Gpu>, data: &Dataset, batch: usize) -> Result<Self> {
        Self::with_room(gpu, data, Room { batch, ..Room::default() })
    }

    /// Uploads `data`, with `room` for longer orders; of a streamed set, makes room for a few batches.
    ///
    /// # Errors
    /// As [`DeviceSet::upload`].
    pub fn with_room(gpu: &Rc<Gpu>, data: &Dataset, room: Room) -> Result<Self> {
        let len = data.labels.len();
        if len == 0 {
            return Err(Error::Failure(format!("{}: no images", data.name)));
        }
        let positions = room.positions.max(len);
        let staging = data
            .files
            .as_ref()
            .map(|files| Staging::new(data, files, positions, room.batch, room.others));
        let held = staging.as_ref().map_or(len, |s| s.capacity() * s.lanes());
        let bytes: usize = data.shape.iter().product();
        let words = bytes.div_ceil(4);
        let per_chunk = (gpu.caps.max_binding as usize / (words * 4)).max(1);
        let (mut chunks, mut images) = (Vec::new(), Vec::new());
        for first in (0..held).step_by(per_chunk) {
            let count = per_chunk.min(held - first);
            let whole = Slice::whole(gpu.alloc("images", count * words)?);
            chunks.push(Tensor::from_slice(gpu, whole, [count * words], DType::U32));
            images.push(count);
        }
        let slots = staging.as_ref().map_or(usize::MAX, Staging::capacity);
        let order = |lane: usize| -> Vec<u32> {
            let at = |p: usize| match &staging {
                Some(_) => p % slots + lane * slots,
                None => p.min(len - 1),
            };
            (0..positions).map(|p| at(p) as u32).collect()
        };
        let labels = match &staging {
            Some(_) => &vec![0; held],
            None => &data.labels,
        };
        let set = DeviceSet {
            gpu: gpu.clone(),
            source: BatchSource {
                chunks,
                images,
                labels: Tensor::integers(gpu, labels, [held])?,
                shape: data.shape,
                mean: data.mean,
                std: data.std,
            },
            order: Tensor::integers(gpu, &order(0), [positions])?,
            others: Tensor::integers(gpu, &order(1), [positions])?,
            predictions: Tensor::integers(gpu, &order(0), [positions])?,
            len,
            staging,
        };
        set.put(0, &data.pixels);
        Ok(set)
    }

    /// Writes whole images at place `at` and the following.
    fn put(&self, mut at: usize, mut pixels: &[u8]) {
        let bytes: usize = self.source.shape.iter().product();
        let words = bytes.div_ceil(4);
        let mut first = 0;
        for (chunk, held) in self.source.chunks.iter().zip(&self.source.images) {
            let count = (first + held).saturating_sub(at).min(pixels.len() / bytes);
            first += held;
            let Some(slice) = chunk.leaf().filter(|_| count > 0) else { continue };
            let (part, rest) = pixels.split_at(count * bytes);
            let start = slice.start + (at + held - first) * words;
            let to = Slice { start, words: count * words, ..slice.clone() };
            if bytes == words * 4 {
                self.gpu.write(&to, part);
            } else {
                let mut padded = vec![0u8; count * words * 4];
                for (to, from) in padded.chunks_mut(words * 4).zip(part.chunks(bytes)) {
                    to[..bytes].copy_from_slice(from);
                }
                self.gpu.write(&to, &padded);
            }
            (at, pixels) = (at + count, rest);
        }
    }

    /// Sets the order of the next epoch: indices into the set, at most as many as there is room for.
    pub fn set_order(&self, order: &[u32]) {
        self.write(0, &self.order, order);
    }

    /// Sets the order of the images that others are mixed with (CMO), after [`DeviceSet::set_order`].
    pub fn set_others(&self, order: &[u32]) {
        self.write(1, &self.others, order);
    }

    /// Crops a streamed set's images at random until the next order, by seed, epoch and position.
    pub fn crop(&self, seed: u64, epoch: u64) {
        if let Some(staging) = &self.staging {
            staging.crop(seed, epoch);
        }
    }

    /// Has a streamed set read ahead only these positions of the order, ascending, until the next order.
    pub fn keep_to(&self, positions: Vec<usize>) {
        if let Some(staging) = &self.staging {
            staging.keep_to(&std::sync::Arc::new(positions));
        }
    }

    fn write(&self, lane: usize, into: &Tensor, order: &[u32]) {
        if let Some(staging) = &self.staging {
            staging.set_order(lane, order);
        } else if let Some(slice) = into.leaf() {
            let words = order.len().min(slice.words);
            self.gpu.write(&Slice { words, ..slice.clone() }, &order[..words]);
        }
    }

    /// Has the images at positions `first..first + n` of the order on the device, for the plans submitted next:
    /// of a streamed set they are read and written there, another one's are there.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn stage(&self, first: usize, n: usize) -> Result<()> {
        let Some(staging) = &self.staging else { return Ok(()) };
        let bytes: usize = self.source.shape.iter().product();
        for lane in 0..staging.lanes() {
            let Some(batch) = staging.fetch(lane, first, n)? else { continue };
            let labels: Vec<u32> = staging.labels(&batch.indices).collect();
            // To the end of the ring, and from its beginning on.
            let slot = first % staging.capacity();
            let before = n.min(staging.capacity() - slot);
            for (slot, part) in [(slot, 0..before), (0, before..n)] {
                if part.is_empty() {
                    continue;
                }
                let slot = slot + lane * staging.capacity();
                self.put(slot, &batch.pixels[part.start * bytes..part.end * bytes]);
                if let Some(all) = self.source.labels.leaf() {
                    let to = Slice { start: all.start + slot, words: part.len(), ..all.clone() };
                    self.gpu.write(&to, &labels[part]);
                }
            }
        }
        Ok(())
    }

    /// Time spent reading a streamed set's images so far.
    pub fn times(&self) -> Option<Times> {
        self.staging.as_ref().map(Staging::times)
    }

    /// Images in the set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without images (an upload refuses that).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where plans put the predicted class of the image at each position of the order.
    pub fn predictions(&self) -> &Tensor {
        &self.predictions
    }

    /// Reads the predictions of the first `count` positions.
    ///
    /// # Errors
    /// A lost device.
    pub fn read_predictions(&self, count: usize) -> Result<Vec<u32>> {
        at_once(self.predictions_async(count))
    }

    /// [`DeviceSet::read_predictions`], awaited.
    ///
    /// # Errors
    /// A lost device.
    pub async fn predictions_async(&self, count: usize) -> Result<Vec<u32>> {
        let Some(slice) = self.predictions.leaf() else { return Ok(Vec::new()) };
        self.gpu.read_async(&Slice { words: count.min(slice.words), ..slice.clone() }).await
    }

    /// Tells this set's plans from another's.
    pub(super) fn key(&self) -> u64 {
        self.order.id().node
    }

    /// A traced batch of `n` images and labels at the step's position, as they are.
    ///
    /// # Errors
    /// A batch of none.
    pub fn batch(&self, n: usize) -> Result<(Tensor, Tensor)> {
        self.batch_of(n, Changes::default())
    }

    /// A traced batch changed by `changes`; with their `draw` above 0, of the images that others are mixed
    /// with.
    ///
    /// # Errors
    /// A batch of none.
    pub fn batch_of(&self, n: usize, changes: Changes) -> Result<(Tensor, Tensor)> {
        let order = if changes.draw == 0 { &self.order } else { &self.others };
        batch(&self.gpu, &self.source, order, n, changes)
    }

    /// Mean and standard deviation of each channel.
    pub fn normalization(&self) -> [[f32; 3]; 2] {
        [self.source.mean, self.source.std]
    }
}
