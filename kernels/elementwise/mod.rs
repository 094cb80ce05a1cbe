//! Elementwise ops: y = f(x), y = f(a, b) with broadcasting, strided copies, and a few of their own.
//!
//! A unary op is one file `unary/<name>.wgsl` with `forward(x)` and `backward(x, y, dy)`, a binary one
//! `binary/<name>.wgsl` with `forward(a, b)`, `backward_a(a, b, dy)` and `backward_b(a, b, dy)`: the
//! build script lists both folders, so adding an op takes one file and nothing else. Ops may use
//! `is_nan` and `log1p` of `numeric.wgsl`. The entry points read lengths from the bound buffers, so
//! one pipeline serves every size.

mod broadcast;

pub use broadcast::{binary_backward, binary_forward, expand, permute};

use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

include!(concat!(env!("OUT_DIR"), "/elementwise_ops.rs"));

const PACK_VEC4: Source = source!("elementwise/pack_vec4.wgsl");
const PACK_F32: Source = source!("elementwise/pack_f32.wgsl");
const CHUNK: Source = source!("elementwise/chunk.wgsl");
const NUMERIC: Source = source!("elementwise/numeric.wgsl");

/// Threads of a workgroup, as in the kernels.
const THREADS: u32 = 64;

/// Names of the unary ops: the files of `unary/`.
pub fn unary_names() -> impl Iterator<Item = &'static str> {
    UNARY.iter().map(|(name, _)| *name)
}

/// Names of the binary ops: the files of `binary/`.
pub fn binary_names() -> impl Iterator<Item = &'static str> {
    BINARY.iter().map(|(name, _)| *name)
}

/// The unary ops with their files.
pub(crate) fn unary_sources() -> impl Iterator<Item = (&'static str, Source)> {
    UNARY.iter().copied()
}

/// The binary ops with their files.
pub(crate) fn binary_sources() -> impl Iterator<Item = (&'static str, Source)> {
    BINARY.iter().copied()
}

/// y = f(x) over `len` elements. In: x. Out: y. `None`: no such op.
pub fn unary_forward(name: &str, len: u32, caps: &Caps) -> Option<Program> {
    let launch = flat(source!("elementwise/unary_forward.wgsl"), len, &["x"], 1, caps)
        .part("numeric", NUMERIC)
        .part("op", find(UNARY, name)?);
    Some(Program::single(launch, [Arg::In(0), Arg::Out(0)]))
}

/// dx = f'(x) dy over `len` elements. In: x, y, dy. Out: dx. `None`: no such op.
pub fn unary_backward(name: &str, len: u32, caps: &Caps) -> Option<Program> {
    let launch = flat(source!("elementwise/unary_backward.wgsl"), len, &["x", "y", "dy"], 2, caps)
        .part("numeric", NUMERIC)
        .part("op", find(UNARY, name)?);
    Some(Program::single(launch, [Arg::In(0), Arg::In(1), Arg::In(2), Arg::Out(0)]))
}

/// y = x `mul` + `add` over `len` elements. In: x. Out: y. Both numbers are finite.
pub fn affine(len: u32, mul: f32, add: f32, caps: &Caps) -> Program {
    let launch = flat(source!("elementwise/affine.wgsl"), len, &["x"], 2, caps)
        .constant("MUL", mul)
        .constant("ADD", add);
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}

/// y = s x over `len` elements. In: x, s (one element). Out: y.
pub fn scale_by(len: u32, caps: &Caps) -> Program {
    let launch = flat(source!("elementwise/scale_by.wgsl"), len, &["x"], 1, caps);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)])
}

/// y = `value`, finite, over `len` elements. Out: y.
pub fn fill(len: u32, value: f32) -> Program {
    let launch = flat(source!("elementwise/fill.wgsl"), len, &[], 0, &Caps::portable())
        .constant("VALUE", value);
    Program::single(launch, [Arg::Out(0)])
}

/// y = x, bit for bit, over `len` 4-byte elements of any type. In: x. Out: y.
pub fn copy(len: u32, caps: &Caps) -> Program {
    let launch = flat(source!("elementwise/copy.wgsl"), len, &["x"], 0, caps);
    Program::single(launch, [Arg::In(0), Arg::Out(0)])
}

/// Elements that [`halve`] and [`restore`] take at once.
pub const EIGHT: u32 = 8;

/// h = x as halves, two a word, over `len` elements, a multiple of [`EIGHT`]. In: x. Out: h [len / 2] (u32).
pub fn halve(len: u32, caps: &Caps) -> Program {
    eights(source!("elementwise/halve.wgsl"), len, "x", [4, 2], caps)
}

/// x = the floats of halves h. In: h [len / 2] (u32). Out: x \[len\].
pub fn restore(len: u32, caps: &Caps) -> Program {
    eights(source!("elementwise/restore.wgsl"), len, "h", [2, 4], caps)
}

/// A launch over packs of eight elements, which are so many bytes each before and after.
fn eights(
    source: Source,
    len: u32,
    input: &'static str,
    [before, after]: [u64; 2],
    caps: &Caps,
) -> Program {
    let (launch, n) = (packed(source, len / EIGHT, true), u64::from(len));
    let launch = if len < 4096 { launch } else { launch.texels(caps, &[input]) };
    Program::single(launch.cost(n, n * before, n * after), [Arg::In(0), Arg::Out(0)])
}

/// y = x0 + x1 + … over `len` elements, added in that order. In: 2 to 6 inputs. Out: y.
/// `None`: another number of terms.
pub fn sum_n(len: u32, terms: u32, caps: &Caps) -> Option<Program> {
    if !(2..=6).contains(&terms) {
        return None;
    }
    // Inputs and output are seven buffers, however many terms there are.
    if caps.storage_buffers < 7 {
        return pairwise(len, terms);
    }
    let source = source!("elementwise/sum_n.wgsl");
    let inputs = &["x0", "x1", "x2", "x3", "x4", "x5"][..terms as usize];
    let launch = flat(source, len, inputs, u64::from(terms) - 1, caps).constant("TERMS", terms);
    let mut args: Vec<Arg> =
        (0..6).map(|i| Arg::In(if i < terms as usize { i } else { 0 })).collect();
    args.push(Arg::Out(0));
    Some(Program::single(launch, args))
}

/// [`sum_n`] as a sum of two after another, for devices that let a kernel have few buffers.
fn pairwise(len: u32, terms: u32) -> Option<Program> {
    let mut program = Program::default();
    let mut so_far = Arg::In(0);
    for term in 1..terms as usize {
        let sum = if term + 1 == terms as usize { Arg::Out(0) } else { program.temp(len as usize) };
        for add in binary_forward("add", &[len], &[1], &[1])?.calls {
            program.push(add.launch, [so_far, Arg::In(term), sum]);
        }
        so_far = sum;
    }
    Some(program)
}

fn find(table: &[(&str, Source)], name: &str) -> Option<Source> {
    table.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
}

/// A launch over `len` contiguous elements that reads these inputs of that length, writes one array and
/// computes `flops` an element.
fn flat(source: Source, len: u32, inputs: &[&'static str], flops: u64, caps: &Caps) -> Launch {
    let wide = len.is_multiple_of(4);
    let n = u64::from(len);
    let launch = packed(source, if wide { len / 4 } else { len }, wide);
    // What is short is read sooner than copied.
    let launch = if len < 4096 { launch } else { launch.texels(caps, inputs) };
    launch.cost(n * flops, n * inputs.len() as u64 * 4, n * 4)
}

/// A launch over `packs` packs of four elements (`wide`) or one.
fn packed(source: Source, packs: u32, wide: bool) -> Launch {
    // Long chunks for long arrays; short ones keep every core busy.
    let each = match packs {
        0..8_192 => 1,
        8_192..131_072 => 4,
        _ => 16,
    };
    let [x, y, z] = linear_grid(packs.div_ceil(THREADS * each));
    Launch::new(source, "main")
        .part("pack", if wide { PACK_VEC4 } else { PACK_F32 })
        .part("chunk", CHUNK)
        .constant("PACKS", each)
        .grid(x, y, z)
}
