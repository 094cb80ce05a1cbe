//! Matrix product c = a b (+ bias), batched, with either operand stored transposed.

use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

/// c[batch, m, n] = a[batch, m, k] b[batch, k, n] (+ bias\[n\] on every row). PyTorch's
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
    /// [`Variant::Subgroup`] on operands rearranged by a launch each: for large or awkward shapes.
    Packed,
}

impl Variant {
    /// All variants.
    pub const ALL: [Variant; 5] =
        [Variant::Naive, Variant::Register, Variant::Tiled, Variant::Subgroup, Variant::Packed];

    /// The variant's name, as tables and the command line write it.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Naive => "naive",
            Variant::Register => "register",
            Variant::Tiled => "tiled",
            Variant::Subgroup => "subgroup",
            Variant::Packed => "packed",
        }
    }
}

/// 32 x 32 tiles among 8 lanes of a subgroup.
pub(crate) const SUBGROUP: Source = source!("matmul/subgroup.wgsl");

/// The variants that this device can run, the best first.
pub fn variants(p: &Matmul, caps: &Caps) -> Vec<Variant> {
    let work = u64::from(p.batch) * u64::from(p.m) * u64::from(p.n) * u64::from(p.k);
    let mut found = match (caps.software, work <= 1 << 18) {
        (true, _) => vec![Variant::Register, Variant::Naive, Variant::Tiled],
        (false, true) => vec![Variant::Naive, Variant::Tiled, Variant::Register],
        (false, false) => vec![Variant::Tiled, Variant::Register, Variant::Naive],
    };
    if caps.shuffles_among_8() {
        // Rearranging pays where rows of a large stride crowd into few cache sets, or for lone elements.
        let pack = if vec4_operands(p) { 1 << 29 } else { 1 << 23 };
        let first = if work < pack || p.m < 64 || p.n < 64 {
            [Variant::Subgroup, Variant::Packed]
        } else {
            [Variant::Packed, Variant::Subgroup]
        };
        // Made for software devices; others only check and tune them.
        let at = if caps.software { 0 } else { found.len() };
        found.splice(at..at, first);
    }
    found
}

/// In: a, b, and the bias if there is one. Out: c.
pub fn program(p: &Matmul, variant: Variant, caps: &Caps) -> Program {
    let (source, edge) = match variant {
        Variant::Naive => (source!("matmul/naive.wgsl"), 64),
        Variant::Register => (source!("matmul/register.wgsl"), 64),
        Variant::Tiled => (source!("matmul/tiled.wgsl"), 64),
        Variant::Subgroup | Variant::Packed => (SUBGROUP, 32),
    };
    let (tiles_m, tiles_n) = (p.m.div_ceil(edge), p.n.div_ceil(edge));
    let steps = p.k.div_ceil(4);
    let mut program = Program::default();
    let (mut a, mut b) = (Arg::In(0), Arg::In(1));
    let mut blocks = source!("matmul/blocks.wgsl");
    if variant == Variant::Packed {
        let packed_a = pack(&mut program, p, 0, tiles_m, steps, caps);
        let packed_b = pack(&mut program, p, 1, tiles_n, steps, caps);
        (a, b, blocks) = (packed_a, packed_b, source!("matmul/operands_packed.wgsl"));
    }
    let groups = match variant {
        Variant::Naive => (p.batch * p.m * p.n).div_ceil(64),
        _ => p.batch * tiles_m * tiles_n,
    };
    // ANCHOR: launch
    let [x, y, z] = linear_grid(groups);
    let scalar = variant == Variant::Naive;
    let mut launch = shape(Launch::new(source, "main"), p)
        .part("operands", operands(vec4_operands(p) && !scalar))
        .part("result", result(p.n.is_multiple_of(4) && !scalar))
        .part("output", source!("matmul/output.wgsl"))
        .part("blocks", blocks)
        .constant("BATCH", p.batch)
        .constant("BIAS", p.bias)
        .constant("TILES_M", tiles_m)
        .constant("TILES_N", tiles_n)
        .constant("STEPS", steps)
        .texels(caps, &["a", "b"])
        .grid(x, y, z);
    // ANCHOR_END: launch
    launch.subgroups = matches!(variant, Variant::Subgroup | Variant::Packed);
    launch.cost = cost(p);
    // Without a bias its binding is filled with an input that is not read.
    let bias = Arg::In(if p.bias { 2 } else { 0 });
    program.push(launch, [a, b, bias, Arg::Out(0)]);
    program
}

/// Appends the launch that rearranges an operand (0: a, 1: b); gives where the result is.
fn pack(
    program: &mut Program,
    p: &Matmul,
    operand: u32,
    tiles: u32,
    steps: u32,
    caps: &Caps,
) -> Arg {
    let blocks = p.batch * tiles * steps * 8;
    let packed = program.temp(blocks as usize * 16);
    let [x, y, z] = linear_grid(blocks.div_ceil(64));
    let length = u64::from(p.batch) * u64::from(p.k) * u64::from([p.m, p.n][operand as usize]);
    let launch = shape(Launch::new(source!("matmul/pack.wgsl"), "main"), p)
        .part("operands", operands(vec4_operands(p)))
        .part("blocks", source!("matmul/blocks.wgsl"))
        .constant("OPERAND", operand)
        .constant("TILES", tiles)
        .constant("STEPS", steps)
        .texels(caps, &[["a", "b"][operand as usize]])
        .grid(x, y, z)
        .cost(0, length * 4, u64::from(blocks) * 64);
    program.push(launch, [Arg::In(0), Arg::In(1), packed]);
    packed
}

fn shape(launch: Launch, p: &Matmul) -> Launch {
    launch
        .constant("M", p.m)
        .constant("N", p.n)
        .constant("K", p.k)
        .constant("TRANSPOSE_A", p.transpose_a)
        .constant("TRANSPOSE_B", p.transpose_b)
}

/// The contiguous axes of a and b allow vectors of four.
fn vec4_operands(p: &Matmul) -> bool {
    let a = if p.transpose_a { p.m } else { p.k };
    let b = if p.transpose_b { p.k } else { p.n };
    a.is_multiple_of(4) && b.is_multiple_of(4)
}

fn operands(vec4: bool) -> Source {
    if vec4 { source!("matmul/operands_vec4.wgsl") } else { source!("matmul/operands_f32.wgsl") }
}

fn result(vec4: bool) -> Source {
    if vec4 { source!("matmul/result_vec4.wgsl") } else { source!("matmul/result_f32.wgsl") }
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
