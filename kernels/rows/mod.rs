//! A run of a tensor's rows, and its transpose: rows put among zeros.

use crate::{Arg, Launch, Program, linear_grid};

/// y_i = x_(i + from), 0 where x has no such element, over `len` 4-byte elements of any type. In: x. Out: y.
pub fn rows(len: u32, from: i32) -> Program {
    let [x, y, z] = linear_grid(len.div_ceil(64));
    let launch = Launch::new(source!("rows/rows.wgsl"), "main")
        .constant("FROM", from)
        .grid(x, y, z)
        .cost(0, u64::from(len) * 4, u64::from(len) * 4);
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}
