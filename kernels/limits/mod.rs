//! What a device can do at most, measured by kernels that do one thing: arithmetic, or nothing. (Copy
//! bandwidth is measured by the copy of `elementwise`.)

use crate::{Arg, Launch, Program, linear_grid};

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// 32 bits.
    F32,
    /// 16 bits; needs [`crate::Caps::f16`].
    F16,
}

/// Multiply-adds in registers: `threads` (a multiple of 64) times 64·`steps` of them.
/// In: `x [2]`, c ← c·x0 + x1; `y [threads]`, bound read_write: the sum of a thread's 16 numbers.
pub fn fma(threads: u32, steps: u32, number: Number) -> Program {
    let part = match number {
        Number::F32 => source!("limits/number_f32.wgsl"),
        Number::F16 => source!("limits/number_f16.wgsl"),
    };
    let [x, y, z] = linear_grid(threads / 64);
    let mut launch = Launch::new(source!("limits/fma.wgsl"), "main")
        .constant("STEPS", steps)
        .part("number", part)
        .grid(x, y, z)
        .cost(128 * u64::from(threads) * u64::from(steps), 8, 4 * u64::from(threads));
    launch.f16 = number == Number::F16;
    Program::single(launch, [Arg::In(0), Arg::In(1)])
}

/// A dispatch that does next to nothing. In: `x [1]`, bound read_write.
pub fn nothing() -> Program {
    let launch = Launch::new(source!("limits/nothing.wgsl"), "main").cost(1, 4, 4);
    Program::single(launch, [Arg::In(0)])
}
