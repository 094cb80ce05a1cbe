//! The parameter-free shortcut of the CIFAR ResNets (option A): subsample, zero-pad the channels.

use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

/// y[n, co, ⌈h/s⌉, ⌈w/s⌉]: y[:, lo..lo+ci] = x[:, :, ::s, ::s], zero elsewhere, lo = (co − ci)/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortcutA {
    /// Batch.
    pub n: u32,
    /// Input channels.
    pub ci: u32,
    /// Input height.
    pub h: u32,
    /// Input width.
    pub w: u32,
    /// Output channels, at least `ci`.
    pub co: u32,
    /// Step between sampled rows and columns.
    pub stride: u32,
}

impl ShortcutA {
    /// Output height and width.
    pub fn out_size(&self) -> [u32; 2] {
        [self.h.div_ceil(self.stride), self.w.div_ceil(self.stride)]
    }

    fn input(&self) -> u32 {
        self.n * self.ci * self.h * self.w
    }

    fn output(&self) -> u32 {
        let [oh, ow] = self.out_size();
        self.n * self.co * oh * ow
    }

    /// A launch over the `len` elements of the result, whose rows have `columns`.
    fn launch(
        &self,
        source: Source,
        input: &'static str,
        (len, columns): (u32, u32),
        caps: &Caps,
    ) -> Launch {
        let [oh, ow] = self.out_size();
        let (quad, width) = if columns.is_multiple_of(4) {
            (source!("shortcut/quad_vec4.wgsl"), 4)
        } else {
            (source!("shortcut/quad_f32.wgsl"), 1)
        };
        let [x, y, z] = linear_grid((len / width).div_ceil(64));
        let sampled = u64::from(self.n * self.ci * oh * ow);
        Launch::new(source, "main")
            .texels(caps, &[input])
            .part("quad", quad)
            .constant("CI", self.ci)
            .constant("H", self.h)
            .constant("W", self.w)
            .constant("CO", self.co)
            .constant("OH", oh)
            .constant("OW", ow)
            .constant("LO", (self.co - self.ci) / 2)
            .constant("S", self.stride)
            .grid(x, y, z)
            .cost(0, sampled * 4, u64::from(len) * 4)
    }
}

/// In: x. Out: y.
pub fn forward(s: &ShortcutA, caps: &Caps) -> Program {
    let columns = s.out_size()[1];
    let launch = s.launch(source!("shortcut/forward.wgsl"), "x", (s.output(), columns), caps);
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}

/// In: dy. Out: dx.
pub fn backward(s: &ShortcutA, caps: &Caps) -> Program {
    let launch = s.launch(source!("shortcut/backward.wgsl"), "dy", (s.input(), s.w), caps);
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}
