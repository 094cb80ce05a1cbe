//! A training batch gathered on the device: samples named by the epoch's order, cropped, flipped
//! and normalized in one kernel, with random numbers counted by (seed, epoch, position).

use super::misfit;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::batch::{Batch, program};
use evenkeel_kernels::{Caps, Program};
use std::rc::Rc;

/// A data set on the device.
#[derive(Clone, Debug)]
pub struct BatchSource {
    /// Buffers of images, each image's bytes [C, H, W] packed in 4-byte words, back to back.
    pub chunks: Vec<Tensor>,
    /// Images in each chunk.
    pub images: Vec<usize>,
    /// Labels of all images.
    pub labels: Tensor,
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

#[derive(Debug)]
struct Gather(Vec<Batch>);

/// Random changes to the images of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Changes {
    /// Crop at random and flip half.
    pub crop_flip: bool,
    /// Black border before that crop, in pixels; 0 where images were cropped as they were read.
    pub pad: usize,
    /// Side of a black square at a random place; 0: none.
    pub cutout: usize,
    /// Tells the random numbers of two batches at the same positions apart.
    pub draw: usize,
}

/// `n` samples at positions `step.first..` of `order` (indices into the data set): images
/// [n, C, H, W] as floats, changed by `changes`, and labels \[n\].
///
/// # Errors
/// A source without images.
pub fn batch(
    gpu: &Rc<Gpu>,
    source: &BatchSource,
    order: &Tensor,
    n: usize,
    changes: Changes,
) -> Result<(Tensor, Tensor)> {
    if source.chunks.is_empty() || n == 0 {
        return Err(misfit("batch", "no images"));
    }
    let [c, h, w] = source.shape;
    let mut first_image = 0;
    let shapes = source
        .images
        .iter()
        .map(|images| {
            let shape = Batch {
                n: n as u32,
                c: c as u32,
                h: h as u32,
                w: w as u32,
                first_image: first_image as u32,
                images: *images as u32,
                order_len: order.shape().len() as u32,
                mean: source.mean,
                std: source.std,
                pad: changes.pad as u32,
                flip: true,
                augment: changes.crop_flip,
                cutout: changes.cutout as u32,
                draw: changes.draw as u32,
            };
            first_image += images;
            shape
        })
        .collect();
    let inputs = source.chunks.iter().chain([&source.labels, order]).cloned().collect();
    let outputs = [(Shape::from([n, c, h, w]), DType::F32), (Shape::from([n]), DType::U32)];
    let [x, labels] = Tensor::record(gpu, Gather(shapes), inputs, outputs);
    Ok((x, labels))
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn program(&self, _: &Node, _: &Caps) -> Program {
        program(&self.0)
    }

    fn backward(&self, node: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None; node.inputs.len()])
    }
}
