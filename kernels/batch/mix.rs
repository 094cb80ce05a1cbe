//! Two batches into one (mixup, CutMix), labels as vectors, and the random numbers of a step.

use crate::reduce::pack;
use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

/// How two batches become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Samples.
    pub n: u32,
    /// Channels.
    pub c: u32,
    /// Height.
    pub h: u32,
    /// Width.
    pub w: u32,
    /// A box of the other image (CutMix), instead of a blend (mixup).
    pub cut: bool,
}

/// In: x [n, c, h, w], other (as x), the labels of other \[n\] (u32). Reads the step's uniform.
/// Out: y (as x), the partners' labels \[n\] (u32), the share of x \[1\].
pub fn mix(m: &Mix, caps: &Caps) -> Program {
    let vec4 = m.w.is_multiple_of(4);
    let within: Source =
        if vec4 { source!("batch/within_vec4.wgsl") } else { source!("batch/within_scalar.wgsl") };
    let words = m.c * m.h * m.w;
    let bytes = 4 * u64::from(m.n) * u64::from(words);
    let [x, y, z] = linear_grid(m.n);
    let launch = Launch::new(source!("batch/mix.wgsl"), "main")
        .constant("N", m.n)
        .constant("PACKS", crate::reduce::packs(words, vec4))
        .constant("H", m.h)
        .constant("W", m.w)
        .constant("BOX", m.cut)
        .part("pack", pack(vec4))
        .part("within", within)
        .texels(caps, &["x", "other"])
        .grid(x, y, z)
        .cost(bytes, 2 * bytes, bytes);
    let args =
        [Arg::In(0), Arg::In(1), Arg::In(2), Arg::Step, Arg::Out(0), Arg::Out(1), Arg::Out(2)];
    Program::single(launch, args)
}

/// hot[n, classes] of labels \[n\] (u32): 1 at the label, 0 elsewhere; a row of zeros for a label that
/// is no class. In: labels. Out: hot.
pub fn one_hot(n: u32, classes: u32) -> Program {
    let len = n * classes;
    let [x, y, z] = linear_grid(len.div_ceil(64));
    let launch = Launch::new(source!("batch/one_hot.wgsl"), "main")
        .constant("CLASSES", classes)
        .grid(x, y, z)
        .cost(0, 4 * u64::from(n), 4 * u64::from(len));
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}

/// A distribution of random numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Even over 0..1.
    Uniform,
    /// Normal with mean 0 and standard deviation 1.
    Normal,
    /// 1 with this probability, else 0.
    Bernoulli(f32),
}

/// `len` random numbers of the step, `row` of them for each sample; `which` keeps several draws of one step
/// apart. Out: y.
pub fn noise(len: u32, row: u32, noise: Noise, which: u32) -> Program {
    let (kind, p) = match noise {
        Noise::Uniform => (0u32, 0.0),
        Noise::Normal => (1, 0.0),
        Noise::Bernoulli(p) => (2, p),
    };
    let [x, y, z] = linear_grid(len.div_ceil(64));
    let launch = Launch::new(source!("batch/noise.wgsl"), "main")
        .constant("KIND", kind)
        .constant("P", p)
        .constant("ROW", row)
        .constant("WHICH", which)
        .grid(x, y, z)
        .cost(40 * u64::from(len), 0, 4 * u64::from(len));
    Program::single(launch, [Arg::Step, Arg::Out(0)])
}
