//! Pooling over windows of NCHW planes, as PyTorch does: max (padding is minus infinity, a NaN wins,
//! the first of equal maxima is taken) and average (padding counts as zeros).

use crate::{Arg, Caps, Launch, Program, Source, elementwise, linear_grid};

/// A pooling layer: x[n, c, h, w] to y[n, c, out h, out w].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Batch.
    pub n: u32,
    /// Channels.
    pub c: u32,
    /// Input height.
    pub h: u32,
    /// Input width.
    pub w: u32,
    /// Window height and width.
    pub kernel: [u32; 2],
    /// Step between windows.
    pub stride: [u32; 2],
    /// Rows and columns around the input, less than the kernel.
    pub pad: [u32; 2],
}

impl Pool2d {
    /// Output height and width: floor((size + 2 pad - kernel) / stride) + 1.
    pub fn out_size(&self) -> [u32; 2] {
        let along =
            |i: usize, size: u32| (size + 2 * self.pad[i] - self.kernel[i]) / self.stride[i] + 1;
        [along(0, self.h), along(1, self.w)]
    }

    fn input(&self) -> u32 {
        self.n * self.c * self.h * self.w
    }

    fn output(&self) -> u32 {
        let [oh, ow] = self.out_size();
        self.n * self.c * oh * ow
    }

    fn window(&self) -> u64 {
        u64::from(self.kernel[0] * self.kernel[1])
    }

    /// A launch of one thread for each of `threads` elements, which read `input`.
    fn launch(&self, source: Source, input: &'static str, threads: u32, caps: &Caps) -> Launch {
        let [oh, ow] = self.out_size();
        let [x, y, z] = linear_grid(threads.div_ceil(64));
        Launch::new(source, "main")
            .texels(caps, &[input])
            .part("window", source!("pool/window.wgsl"))
            .constant("H", self.h)
            .constant("W", self.w)
            .constant("OH", oh)
            .constant("OW", ow)
            .constant("KH", self.kernel[0])
            .constant("KW", self.kernel[1])
            .constant("SH", self.stride[0])
            .constant("SW", self.stride[1])
            .constant("PH", self.pad[0])
            .constant("PW", self.pad[1])
            .grid(x, y, z)
    }
}

/// In: x. Out: y, argmax (u32, index into the h·w plane).
pub fn max_forward(p: &Pool2d, caps: &Caps) -> Program {
    let (i, o) = (u64::from(p.input()), u64::from(p.output()));
    let launch = p.launch(source!("pool/max_forward.wgsl"), "x", p.output(), caps).cost(
        o * p.window(),
        i * 4,
        o * 8,
    );
    Program::single(launch, [Arg::In(0), Arg::Out(0), Arg::Out(1)])
}

/// In: dy, argmax. Out: dx.
pub fn max_backward(p: &Pool2d, caps: &Caps) -> Program {
    let (i, o) = (u64::from(p.input()), u64::from(p.output()));
    let launch = p.launch(source!("pool/max_backward.wgsl"), "dy", p.input(), caps).cost(
        o * p.window(),
        o * 8,
        i * 4,
    );
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)])
}

/// In: x. Out: y.
pub fn avg_forward(p: &Pool2d, caps: &Caps) -> Program {
    let (i, o) = (u64::from(p.input()), u64::from(p.output()));
    let launch = p.launch(source!("pool/avg_forward.wgsl"), "x", p.output(), caps).cost(
        o * p.window(),
        i * 4,
        o * 4,
    );
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}

/// In: dy. Out: dx.
pub fn avg_backward(p: &Pool2d, caps: &Caps) -> Program {
    let (i, o) = (u64::from(p.input()), u64::from(p.output()));
    let launch = p.launch(source!("pool/avg_backward.wgsl"), "dy", p.input(), caps).cost(
        o * p.window(),
        o * 4,
        i * 4,
    );
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}

/// Backward of the mean over each plane: dx[n, c, hw] = dy[n, c] / hw. In: dy. Out: dx.
pub fn global_avg_backward(n: u32, c: u32, hw: u32) -> Program {
    // Two axes always merge into at most six, so there is a program.
    elementwise::expand(&[n * c, hw], &[1, 0], 1.0 / hw as f32).unwrap_or_default()
}
