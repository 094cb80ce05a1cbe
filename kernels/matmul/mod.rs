//! Matrix product c = a b (+ bias), batched, with either operand stored transposed.

use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

/// c[batch, m, n] = a[batch, m, k] b[batch, k, n] (+ bias[n] on every row). PyTorch's
/// `Linear` y = x Wᵀ + b is `transpose_b` with a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matmul {
    /// Independent products.
    pub batch: u32,
    /// Rows of c.
    pub m: u32,
    /// Columns of c.
    pub n: u32,
    /// Length of the sums.
    pub k: u32,
    /// a is stored [k, m].
    pub transpose_a: bool,
    /// b is stored [n, k].
    pub transpose_b: bool,
    /// In(2) is a vector of n that is added to every row.
    pub bias: bool,
}

/// How the product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// A thread per element of c.
    Naive,
    /// 8×8 of c per thread in registers, no workgroup memory.
    Register,
    /// 64×64 tiles in workgroup memory, 8×8 of c per thread: for GPUs.
    Tiled,
    /// 32×32 tiles, one 8-lane subgroup each, operands handed around by shuffles: for CPU devices.
    Subgroup,
}

/// The variants that this device can run, the best first.
pub fn variants(p: &Matmul, caps: &Caps) -> Vec<Variant> {
    let small = u64::from(p.m) * u64::from(p.n) * u64::from(p.k) <= 1 << 18;
    let mut found = Vec::new();
    if caps.fixed_subgroup() == Some(8) {
        found.push(Variant::Subgroup);
    }
    found.extend(match (caps.software, small) {
        (true, _) => [Variant::Register, Variant::Naive, Variant::Tiled],
        (false, true) => [Variant::Naive, Variant::Tiled, Variant::Register],
        (false, false) => [Variant::Tiled, Variant::Register, Variant::Naive],
    });
    found
}

/// In: a, b, and the bias if there is one. Out: c.
pub fn program(p: &Matmul, variant: Variant, _caps: &Caps) -> Program {
    let (source, rows, columns) = match variant {
        Variant::Naive => (source!("matmul/naive.wgsl"), 1, 64),
        Variant::Register => (source!("matmul/register.wgsl"), 64, 64),
        Variant::Tiled => (source!("matmul/tiled.wgsl"), 64, 64),
        Variant::Subgroup => (source!("matmul/subgroup.wgsl"), 32, 32),
    };
    let (tiles_m, tiles_n) = (p.m.div_ceil(rows), p.n.div_ceil(columns));
    let groups = match variant {
        Variant::Naive => (p.batch * p.m * p.n).div_ceil(64),
        _ => p.batch * tiles_m * tiles_n,
    };
    let [x, y, z] = linear_grid(groups);
    let mut launch = Launch::new(source, "main")
        .part("matrices", matrices(p, variant))
        .part("blocks", source!("matmul/blocks.wgsl"))
        .constant("BATCH", p.batch)
        .constant("M", p.m)
        .constant("N", p.n)
        .constant("K", p.k)
        .constant("TRANSPOSE_A", p.transpose_a)
        .constant("TRANSPOSE_B", p.transpose_b)
        .constant("BIAS", p.bias)
        .constant("TILES_M", tiles_m)
        .constant("TILES_N", tiles_n)
        .grid(x, y, z);
    launch.subgroups = variant == Variant::Subgroup;
    launch.cost = cost(p);
    let bias = if p.bias { 2 } else { 0 };
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::In(bias), Arg::Out(0)])
}

/// Vectors of four where every contiguous axis allows them.
fn matrices(p: &Matmul, variant: Variant) -> Source {
    let a = if p.transpose_a { p.m } else { p.k };
    let b = if p.transpose_b { p.k } else { p.n };
    if variant != Variant::Naive && [a, b, p.n].iter().all(|axis| axis.is_multiple_of(4)) {
        source!("matmul/matrices_vec4.wgsl")
    } else {
        source!("matmul/matrices_f32.wgsl")
    }
}

fn cost(p: &Matmul) -> crate::Cost {
    let [batch, m, n, k] = [p.batch, p.m, p.n, p.k].map(u64::from);
    let bias = if p.bias { n } else { 0 };
    crate::Cost {
        flops: batch * m * n * (2 * k + u64::from(p.bias)),
        read: (batch * (m * k + k * n) + bias) * 4,
        written: batch * m * n * 4,
    }
}
