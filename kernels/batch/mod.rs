//! A training batch made on the GPU: gather, crop, flip and normalise in one launch per chunk of the
//! data set, which stays in GPU memory as bytes.

use crate::{Arg, Launch, Program, linear_grid};

mod mix;

pub use mix::{Mix, Noise, mix, noise, one_hot};

/// One chunk of the data set, and the batch to be gathered. All chunks of a program agree in
/// everything but `first_image` and `images`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// Samples in the batch.
    pub n: u32,
    /// Channels, 1 or 3.
    pub c: u32,
    /// Height.
    pub h: u32,
    /// Width.
    pub w: u32,
    /// Index in the set of the chunk's first image.
    pub first_image: u32,
    /// Images in this chunk.
    pub images: u32,
    /// Positions in the epoch's order; a position past the end takes the last sample.
    pub order_len: u32,
    /// Mean per channel of pixels in 0..=1.
    pub mean: [f32; 3],
    /// Standard deviation per channel.
    pub std: [f32; 3],
    /// Black border in pixels before the random crop back to h × w.
    pub pad: u32,
    /// Mirror half of the images.
    pub flip: bool,
    /// Crop and flip at random; without it images are taken as they are.
    pub augment: bool,
    /// Side of a black square at a random place; 0: none.
    pub cutout: u32,
    /// Tells the random numbers of two batches at the same positions apart.
    pub draw: u32,
}

impl Batch {
    /// Words that an image takes in a chunk: its c·h·w bytes, rounded up.
    pub fn image_words(&self) -> u32 {
        (self.c * self.h * self.w).div_ceil(4)
    }
}

/// Gathers a batch: position p = step.first + i of the epoch is sample order\[p\].
///
/// In: the k chunks (u32 words of four bytes, each image CHW, [`Batch::image_words`] apart), then
/// labels (u32, whole set), then order (u32 sample indices). Reads the step's uniform.
/// Out: x[n, c, h, w] = (byte / 255 − mean) / std, labels\[n\]. Every sample index must lie in a chunk.
pub fn program(chunks: &[Batch]) -> Program {
    let mut program = Program::default();
    for (i, chunk) in chunks.iter().enumerate() {
        program.push(
            launch(chunk),
            [
                Arg::In(i),
                Arg::In(chunks.len()),
                Arg::In(chunks.len() + 1),
                Arg::Step,
                Arg::Out(0),
                Arg::Out(1),
            ],
        );
    }
    // The samples are spread over the chunks: the batch is written once, whatever their number.
    for (i, call) in program.calls.iter_mut().enumerate().skip(1) {
        debug_assert_eq!(chunks[i].n, chunks[0].n);
        call.launch.cost = Default::default();
    }
    program
}

/// word\[n\] = philox(counter\[n\], key\[n\]), for known-answer tests. In: counter (4 words each), key (2
/// words each). Out: 4 words each.
pub fn random(n: u32) -> Program {
    let [x, y, z] = linear_grid(n.div_ceil(64));
    let n = u64::from(n);
    let launch =
        Launch::new(source!("batch/random.wgsl"), "main").grid(x, y, z).cost(0, n * 24, n * 16);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)])
}

fn launch(b: &Batch) -> Launch {
    let pixels = u64::from(b.n) * u64::from(b.c * b.h * b.w);
    Launch::new(source!("batch/gather.wgsl"), "main")
        .constant("C", b.c)
        .constant("H", b.h)
        .constant("W", b.w)
        .constant("STRIDE", b.image_words())
        .constant("FIRST_IMAGE", b.first_image)
        .constant("IMAGES", b.images)
        .constant("ORDER_LEN", b.order_len)
        .constant("PAD", b.pad)
        .constant("FLIP", b.flip)
        .constant("AUGMENT", b.augment)
        .constant("CUTOUT", b.cutout)
        .constant("DRAW", b.draw)
        .constant("MEAN0", b.mean[0])
        .constant("MEAN1", b.mean[1])
        .constant("MEAN2", b.mean[2])
        .constant("STD0", b.std[0])
        .constant("STD1", b.std[1])
        .constant("STD2", b.std[2])
        .grid(b.n, 1, 1)
        .cost(pixels * 3, pixels + u64::from(b.n) * 8, pixels * 4 + u64::from(b.n) * 4)
}
