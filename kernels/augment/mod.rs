//! Augmentation policies on the GPU: each sample of a batch is changed by an operation that it draws.

use crate::{Arg, Caps, Launch, Program, linear_grid};

/// An operation; its amount is in the unit named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Nothing.
    Identity = 0,
    /// Columns move by amount·row.
    ShearX = 1,
    /// Rows move by amount·column.
    ShearY = 2,
    /// Right, in pixels.
    TranslateX = 3,
    /// Down, in pixels.
    TranslateY = 4,
    /// Against the clock, in degrees.
    Rotate = 5,
    /// Times 1 + amount.
    Brightness = 6,
    /// Away from grey, by 1 + amount.
    Color = 7,
    /// Away from the mean grey, by 1 + amount.
    Contrast = 8,
    /// Away from the blurred image, by 1 + amount.
    Sharpness = 9,
    /// So many bits stay.
    Posterize = 10,
    /// Bytes from the amount on are inverted.
    Solarize = 11,
    /// The least byte becomes 0, the greatest 255.
    AutoContrast = 12,
    /// The histogram becomes even.
    Equalize = 13,
    /// 255 − byte.
    Invert = 14,
}

/// Added to an operation's number where its amount has a random sign.
const SIGNED: f32 = 16.0;

/// An operation with its probability and the range of its amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// What is done.
    pub operation: Operation,
    /// How often.
    pub probability: f32,
    /// The amount is drawn evenly from here ...
    pub low: f32,
    /// ... to here.
    pub high: f32,
    /// Its sign is drawn.
    pub signed: bool,
}

impl Entry {
    /// As the kernel reads it.
    pub fn encoded(&self) -> [f32; 4] {
        let code = self.operation as u32 as f32 + if self.signed { SIGNED } else { 0.0 };
        [code, self.probability, self.low, self.high]
    }
}

/// One pass over a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// Samples.
    pub n: u32,
    /// Channels, 1 or 3.
    pub c: u32,
    /// Height.
    pub h: u32,
    /// Width.
    pub w: u32,
    /// Rows of the policy, from which a sample draws.
    pub rows: u32,
    /// Passes of the policy: entries in a row.
    pub passes: u32,
    /// This pass, from 0.
    pub pass: u32,
    /// Each pass draws its own row.
    pub independent: bool,
    /// Side of a black square after this pass; 0: none.
    pub cutout: u32,
    /// Tells the random numbers of two batches at the same positions apart.
    pub draw: u32,
    /// Mean per channel that the images were normalized by, of pixels in 0..=1.
    pub mean: [f32; 3],
    /// Standard deviation per channel.
    pub std: [f32; 3],
}

/// In: x [n, c, h, w], policy [rows · passes, 4] ([`Entry::encoded`]). Reads the step's uniform. Out: y (as x).
pub fn program(p: &Pass, caps: &Caps) -> Program {
    let [x, y, z] = linear_grid(p.n);
    let len = u64::from(p.n) * u64::from(p.c * p.h * p.w);
    let launch = Launch::new(source!("augment/augment.wgsl"), "main")
        .constant("N", p.n)
        .constant("C", p.c)
        .constant("H", p.h)
        .constant("W", p.w)
        .constant("ROWS", p.rows)
        .constant("PASSES", p.passes)
        .constant("PASS", p.pass)
        .constant("INDEPENDENT", p.independent)
        .constant("CUTOUT", p.cutout)
        .constant("DRAW", p.draw)
        .constant("MEAN0", p.mean[0])
        .constant("MEAN1", p.mean[1])
        .constant("MEAN2", p.mean[2])
        .constant("STD0", p.std[0])
        .constant("STD1", p.std[1])
        .constant("STD2", p.std[2])
        .texels(caps, &["x"])
        .grid(x, y, z)
        .cost(20 * len, 8 * len, 4 * len);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Step, Arg::Out(0)])
}
