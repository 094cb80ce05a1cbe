//! A data set on the device: images as packed bytes in buffers no larger than a binding, labels, and
//! the order in which an epoch visits them.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Slice, at_once};
use crate::ops::{BatchSource, Changes, batch};
use crate::tensor::{DType, Tensor};
use std::rc::Rc;

/// An uploaded data set.
pub struct DeviceSet {
    gpu: Rc<Gpu>,
    source: BatchSource,
    order: Tensor,
    others: Tensor,
    predictions: Tensor,
    len: usize,
}

impl DeviceSet {
    /// Uploads `data`; the order starts as stored.
    ///
    /// # Errors
    /// An empty set, or no memory.
    pub fn upload(gpu: &Rc<Gpu>, data: &Dataset) -> Result<Self> {
        Self::with_room(gpu, data, data.labels.len())
    }

    /// Uploads `data`, with room for orders of `positions`.
    ///
    /// # Errors
    /// As [`DeviceSet::upload`].
    pub fn with_room(gpu: &Rc<Gpu>, data: &Dataset, positions: usize) -> Result<Self> {
        let len = data.labels.len();
        if len == 0 {
            return Err(Error::Failure(format!("{}: no images", data.name)));
        }
        let bytes: usize = data.shape.iter().product();
        let words = bytes.div_ceil(4);
        let per_chunk = (gpu.caps.max_binding as usize / (words * 4)).max(1);
        let mut chunks = Vec::new();
        let mut images = Vec::new();
        for part in data.pixels.chunks(per_chunk * bytes) {
            let count = part.len() / bytes;
            let buffer = gpu.alloc("images", count * words)?;
            let whole = Slice::whole(buffer.clone());
            if bytes == words * 4 {
                gpu.write(&whole, part);
            } else {
                let mut padded = vec![0u8; count * words * 4];
                for (to, from) in padded.chunks_mut(words * 4).zip(part.chunks(bytes)) {
                    to[..bytes].copy_from_slice(from);
                }
                gpu.write(&whole, &padded);
            }
            chunks.push(Tensor::from_slice(gpu, whole, [count * words], DType::U32));
            images.push(count);
        }
        let room = positions.max(len);
        let order: Vec<u32> = (0..room as u32).map(|i| i.min(len as u32 - 1)).collect();
        Ok(DeviceSet {
            gpu: gpu.clone(),
            source: BatchSource {
                chunks,
                images,
                labels: Tensor::integers(gpu, &data.labels, [len])?,
                shape: data.shape,
                mean: data.mean,
                std: data.std,
            },
            order: Tensor::integers(gpu, &order, [room])?,
            others: Tensor::integers(gpu, &order, [room])?,
            predictions: Tensor::integers(gpu, &order, [room])?,
            len,
        })
    }

    /// Sets the order of the next epoch: indices into the set, at most as many as there is room for.
    pub fn set_order(&self, order: &[u32]) {
        self.write(&self.order, order);
    }

    /// Sets the order of the images that others are mixed with (CMO).
    pub fn set_others(&self, order: &[u32]) {
        self.write(&self.others, order);
    }

    fn write(&self, into: &Tensor, order: &[u32]) {
        if let Some(slice) = into.leaf() {
            let words = order.len().min(slice.words);
            self.gpu.write(&Slice { words, ..slice.clone() }, &order[..words]);
        }
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
