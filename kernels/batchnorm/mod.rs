//! Batch norm and normalized batch norm (NBN) over `[N, C, H, W]` or `[N, C]` (`hw = 1`).
//!
//! ```text
//! y = relu?(w x̂ + b + residual?),   x̂ = (x − mean_c) / sqrt(var_c + eps)
//! plain       w = γ,                 b = β
//! normalized  w = α γ / (‖γ‖ + ε),   b = α β / (‖β‖ + ε)      (norms over the layer's channels)
//! ```
//!
//! Forward and backward are three launches each: sums over parts of the channels, a small launch that
//! merges them (and holds all of NBN: its norms and its projection), one pass that writes the result.
//! The batch size is read off the bindings' lengths, so `x`, `dy`, `y` and the outputs must be bound
//! at exactly their size; only the number of parts depends on `n`, not the pipelines. Where ranks share
//! their statistics, the parts are exchanged between the sums and the launch that merges them.

use crate::reduce::{pack, packs};
use crate::{Arg, Caps, Exchange, Launch, Program, Source};

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Affine {
    /// Nothing: `w = 1`, `b = 0`.
    None,
    /// `w = gamma`, `b = beta`.
    Plain,
    /// `w` and `b` are `gamma` and `beta` divided by their norm plus `eps`, times `alpha[0]`.
    Normalized {
        /// Added to the norm (not under the root); 1e-6 in the reference.
        eps: f32,
    },
}

/// A batch norm over `x: [n, c, hw]`, with what is fused behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Batch size.
    pub n: u32,
    /// Channels, at most 65,535.
    pub c: u32,
    /// Height times width; 1 for `[N, C]`.
    pub hw: u32,
    /// Added to the variance.
    pub eps: f32,
    /// Weight and bias.
    pub affine: Affine,
    /// Length of `alpha` and its gradient; entry 0 is the scalar, the others have gradient 0.
    pub alpha_len: u32,
    /// `y = max(y, 0)` at the end.
    pub relu: bool,
    /// A tensor like `x` is added before the ReLU.
    pub residual: bool,
    /// In training, statistics are those of the batches of all ranks together ([`Exchange`]).
    pub synced: bool,
}

impl BatchNorm {
    /// A batch norm with weight and bias, without ReLU or residual, eps 1e-5.
    pub fn new(n: u32, c: u32, hw: u32) -> Self {
        BatchNorm {
            n,
            c,
            hw,
            eps: 1e-5,
            affine: Affine::Plain,
            alpha_len: 1,
            relu: false,
            residual: false,
            synced: false,
        }
    }

    /// Whether the backward pass reads `y`: with ReLU, unless its input is cheap to compute again from
    /// `x` (no residual, no norm). Where this is false the argument `y` may be any buffer.
    pub fn reads_output(&self) -> bool {
        self.relu && (self.residual || matches!(self.affine, Affine::Normalized { .. }))
    }

    /// Elements of `x`.
    fn elements(&self) -> u64 {
        u64::from(self.n) * u64::from(self.c) * u64::from(self.hw)
    }
}

const STATS: Source = source!("batchnorm/stats.wgsl");
const FINALIZE: Source = source!("batchnorm/finalize.wgsl");
const EVAL: Source = source!("batchnorm/eval.wgsl");
const APPLY: Source = source!("batchnorm/apply.wgsl");
const BACKWARD_SUMS: Source = source!("batchnorm/backward_sums.wgsl");
const BACKWARD_FINALIZE: Source = source!("batchnorm/backward_finalize.wgsl");
const BACKWARD_APPLY: Source = source!("batchnorm/backward_apply.wgsl");
const PLANE: Source = source!("batchnorm/plane.wgsl");
const AFFINE: Source = source!("batchnorm/affine.wgsl");

/// The files behind `#include "gate"`.
mod gate {
    use crate::Source;
    pub const NONE: Source = source!("batchnorm/gate/none.wgsl");
    pub const INPUT: Source = source!("batchnorm/gate/input.wgsl");
    pub const OUTPUT: Source = source!("batchnorm/gate/output.wgsl");
    pub const STORE: Source = source!("batchnorm/gate/store.wgsl");
}

/// How a batch norm is laid on workgroups.
struct Geometry {
    bn: BatchNorm,
    /// `planes` or `columns`.
    entry: &'static str,
    /// A pack is four words.
    vec4: bool,
    /// Workgroup size of the passes over the data.
    workgroup: u32,
    /// Workgroups of these passes; y is the number of parts of a channel.
    grid: [u32; 3],
    /// Workgroup size of the launches over channels.
    small: u32,
    /// Invocations that share a channel's partials there.
    split: u32,
    caps: Caps,
}

impl Geometry {
    fn new(bn: &BatchNorm, caps: &Caps) -> Self {
        let vec4 = bn.hw.is_multiple_of(4);
        let per_channel = u64::from(bn.n) * u64::from(packs(bn.hw, vec4));
        // A software device runs a workgroup of one subgroup fastest; a few dozen keep its threads busy.
        let workgroup = if caps.software { 8 } else { 256 };
        let (entry, across) = match bn.hw {
            1 => ("columns", bn.c.div_ceil(workgroup)),
            _ => ("planes", bn.c),
        };
        let enough = if caps.software { 64u32.div_ceil(across) } else { 64 };
        let each = match (caps.software, bn.hw) {
            (true, 1) => 16,
            (true, _) => 1024,
            (false, 1) => 8,
            (false, _) => 8 * 256,
        };
        let parts = per_channel.div_ceil(each).clamp(1, u64::from(enough)) as u32;
        let small = if caps.software { 64 } else { 256 };
        let split = match parts {
            0..=4 => 1,
            5..=16 => 4,
            _ => 16,
        };
        let (grid, caps) = ([across, parts, 1], caps.clone());
        Geometry { bn: *bn, entry, vec4, workgroup, grid, small, split, caps }
    }

    /// Words of the scratch: coefficients and partials, four words each.
    fn scratch(&self) -> usize {
        4 * self.bn.c as usize * (1 + self.grid[1] as usize)
    }

    /// A pass over the data that reads these tensors.
    fn pass(&self, source: Source, inputs: &[&'static str]) -> Launch {
        let [x, y, z] = self.grid;
        Launch::new(source, self.entry)
            .texels(&self.caps, inputs)
            .constant("WORKGROUP", self.workgroup)
            .constant("CHANNELS", self.bn.c)
            .constant("PLANE", packs(self.bn.hw, self.vec4))
            .part("pack", pack(self.vec4))
            .part("plane", PLANE)
            .grid(x, y, z)
    }

    /// A launch over channels, `split` invocations each; with the norms of NBN, and no more invocations
    /// than channels, one workgroup, which computes them once.
    fn over_channels(&self, source: Source, entry: &'static str, split: u32) -> Launch {
        let (affine, eps) = match self.bn.affine {
            Affine::None => (0u32, 0.0),
            Affine::Plain => (1, 0.0),
            Affine::Normalized { eps } => (2, eps),
        };
        let groups =
            if affine == 2 && split == 1 { 1 } else { self.bn.c.div_ceil(self.small / split) };
        Launch::new(source, entry)
            .constant("WORKGROUP", self.small)
            .constant("CHANNELS", self.bn.c)
            .constant("AFFINE", affine)
            .constant("NORM_EPS", eps)
            .part("affine", AFFINE)
            .grid(groups, 1, 1)
    }

    /// Bytes of the partials.
    fn partial_bytes(&self) -> u64 {
        16 * u64::from(self.bn.c) * u64::from(self.grid[1])
    }
}

/// The arguments after `x` and the statistics, in the order of the signature.
struct Args {
    next: usize,
}

impl Args {
    fn take(&mut self, present: bool, otherwise: Arg) -> Arg {
        if !present {
            return otherwise;
        }
        self.next += 1;
        Arg::In(self.next - 1)
    }

    /// gamma, beta, alpha; absent ones are bound to `x`, which is then not read.
    fn affine(&mut self, affine: Affine) -> [Arg; 3] {
        let plain = affine != Affine::None;
        let normalized = matches!(affine, Affine::Normalized { .. });
        [plain, plain, normalized].map(|present| self.take(present, Arg::In(0)))
    }
}

/// Training forward: batch statistics, then `y = relu?(w x̂ + b + residual?)`.
///
/// In: `x [n,c,hw]`, then those of `gamma [c]`, `beta [c]` (unless [`Affine::None`]), `alpha`
/// (normalized), `residual [n,c,hw]` that apply. Out: `y`, `saved [2c]` (means, then 1/sqrt(var+eps)),
/// batch mean `[c]`, unbiased batch variance `[c]` (0 when a channel has one element, where it is
/// undefined).
pub fn forward_train(bn: &BatchNorm, caps: &Caps) -> Program {
    let g = Geometry::new(bn, caps);
    let mut program = Program::default();
    let scratch = program.temp(g.scratch());
    let mut args = Args { next: 1 };
    let [gamma, beta, alpha] = args.affine(bn.affine);
    let (bytes, c) = (4 * bn.elements(), u64::from(bn.c));

    let stats = g.pass(STATS, &["x"]).cost(4 * bn.elements(), bytes, g.partial_bytes());
    program.push_reading(stats, &[Arg::In(0), scratch], &[Arg::In(0)]);
    if bn.synced {
        program.exchange(scratch, Exchange::Moments { channels: bn.c });
    }
    let finalize = g
        .over_channels(FINALIZE, "finalize", g.split)
        .constant("SPLIT", g.split)
        .constant("EPS", bn.eps)
        .cost(20 * c, g.partial_bytes() + 8 * c, 32 * c);
    let outputs = [Arg::Out(1), Arg::Out(2), Arg::Out(3)];
    program.push(finalize, [&[scratch, gamma, beta, alpha], &outputs[..]].concat());
    program.push(apply(&g), [Arg::In(0), scratch, residual(bn, &mut args), Arg::Out(0)]);
    program
}

/// Evaluation forward, with running statistics as constants.
///
/// In: `x`, running mean `[c]`, running variance `[c]`, then as [`forward_train`]. Out: `y`.
pub fn forward_eval(bn: &BatchNorm, caps: &Caps) -> Program {
    let g = Geometry::new(bn, caps);
    let mut program = Program::default();
    let scratch = program.temp(4 * bn.c as usize);
    let mut args = Args { next: 3 };
    let [gamma, beta, alpha] = args.affine(bn.affine);
    let c = u64::from(bn.c);
    let eval = g.over_channels(EVAL, "eval", 1).constant("EPS", bn.eps).cost(5 * c, 16 * c, 16 * c);
    program.push(eval, [Arg::In(1), Arg::In(2), gamma, beta, alpha, scratch]);
    program.push(apply(&g), [Arg::In(0), scratch, residual(bn, &mut args), Arg::Out(0)]);
    program
}

fn residual(bn: &BatchNorm, args: &mut Args) -> Arg {
    args.take(bn.residual, Arg::In(0))
}

fn apply(g: &Geometry) -> Launch {
    let (bytes, residual) = (4 * g.bn.elements(), u64::from(g.bn.residual));
    let inputs = if g.bn.residual { &["x", "residual"][..] } else { &["x"] };
    g.pass(APPLY, inputs).constant("RELU", g.bn.relu).constant("RESIDUAL", g.bn.residual).cost(
        (3 + residual) * g.bn.elements(),
        (1 + residual) * bytes,
        bytes,
    )
}

/// Backward of [`forward_train`].
///
/// In: `dy`, `x`, `saved [2c]`, then those of `y` (with relu; read only if
/// [`BatchNorm::reads_output`]), `gamma`, `beta`, `alpha` that apply.
/// Out: `dx`, then those of `dgamma [c]`, `dbeta [c]` (unless [`Affine::None`]), `dalpha [alpha_len]`
/// (normalized), `dresidual` (relu and residual: `dy` masked; without relu it is `dy` itself and not
/// produced) that apply.
pub fn backward_train(bn: &BatchNorm, caps: &Caps) -> Program {
    backward(bn, caps, false)
}

/// Backward of [`forward_eval`]: the statistics are constants, so `dx = w invstd dy`.
///
/// In: `dy`, `x`, running mean, running variance, then as [`backward_train`]. Out: the same.
pub fn backward_eval(bn: &BatchNorm, caps: &Caps) -> Program {
    backward(bn, caps, true)
}

fn backward(bn: &BatchNorm, caps: &Caps, eval: bool) -> Program {
    let g = Geometry::new(bn, caps);
    let mut program = Program::default();
    let scratch = program.temp(g.scratch());
    let (dy, x, mean) = (Arg::In(0), Arg::In(1), Arg::In(2));
    let spread = Arg::In(if eval { 3 } else { 2 });
    let mut args = Args { next: if eval { 4 } else { 3 } };
    let y = args.take(bn.relu, x);
    let [gamma, beta, alpha] = args.affine(bn.affine);

    let mut outputs = 0;
    let mut output = |program: &mut Program, present: bool| {
        if present {
            outputs += 1;
            return Arg::Out(outputs);
        }
        program.temp(4)
    };
    let plain = bn.affine != Affine::None;
    let normalized = matches!(bn.affine, Affine::Normalized { .. });
    let dgamma = output(&mut program, plain);
    let dbeta = output(&mut program, plain);
    let dalpha = output(&mut program, normalized);
    let store = bn.relu && bn.residual;
    // How a pass learns where the ReLU let the gradient through.
    let (first_gate, first_args, second_gate, second_args) = if store {
        let masked = output(&mut program, true);
        (gate::STORE, vec![y, masked], gate::NONE, vec![])
    } else if bn.reads_output() {
        (gate::OUTPUT, vec![y], gate::OUTPUT, vec![y])
    } else if bn.relu {
        (gate::INPUT, vec![gamma, beta], gate::INPUT, vec![gamma, beta])
    } else {
        (gate::NONE, vec![], gate::NONE, vec![])
    };

    let (elements, c) = (bn.elements(), u64::from(bn.c));
    let bytes = 4 * elements;
    let output_bytes = if bn.reads_output() { bytes } else { 0 };
    let masked_bytes = if store { bytes } else { 0 };
    let sums = g
        .pass(BACKWARD_SUMS, &["dy", "x", "y"])
        .part("gate", first_gate)
        .constant("GATE_AT", 5u32)
        .constant("LENGTH_AT", 5 + first_args.len() as u32)
        .constant("AFFINE", u32::from(plain))
        .constant("EVAL", eval)
        .constant("EPS", bn.eps)
        .constant("SPREAD_AT", if eval { 0 } else { bn.c })
        .cost(5 * elements, 2 * bytes + output_bytes, g.partial_bytes() + masked_bytes);
    let args = [&[dy, x, mean, spread, scratch], &first_args[..]].concat();
    program.push_reading(sums, &args, &[x]);
    if bn.synced && !eval {
        program.exchange(scratch, Exchange::Sums { channels: bn.c, elements: bn.n * bn.hw });
    }

    let finalize = |combine: bool, project: bool| {
        let split = if combine { g.split } else { 1 };
        let launch = g.over_channels(BACKWARD_FINALIZE, "finalize", split);
        let all = bn.c.div_ceil(g.small / split);
        // Every channel's sums are needed before one is projected.
        let groups = if combine && !project { all } else { launch.grid[0] };
        launch
            .grid(groups, 1, 1)
            .constant("SPLIT", split)
            .constant("ALPHA_LEN", bn.alpha_len)
            .constant("EVAL", eval)
            .constant("COMBINE", combine)
            .constant("PROJECT", project)
            .cost(20 * c, g.partial_bytes() + 8 * c, 24 * c)
    };
    let parameters = [scratch, gamma, beta, alpha, dgamma, dbeta, dalpha];
    // The dot products of NBN's projection need every channel's sums.
    if normalized && bn.c > g.small / g.split {
        program.push(finalize(true, false), parameters);
        program.push(finalize(false, true), parameters);
    } else {
        program.push(finalize(true, true), parameters);
    }

    // An already masked gradient comes from the first pass.
    let gradient = if store { first_args[1] } else { dy };
    let reads_x = !eval || second_gate == gate::INPUT;
    let read = bytes * (1 + u64::from(reads_x)) + if store { 0 } else { output_bytes };
    let apply = g
        .pass(BACKWARD_APPLY, &["dy", "x", "y"])
        .part("gate", second_gate)
        .constant("GATE_AT", 4u32)
        .constant("AFFINE", u32::from(plain))
        .constant("EVAL", eval)
        .cost(6 * elements, read, bytes);
    program.push(apply, [&[gradient, x, scratch, Arg::Out(0)], &second_args[..]].concat());
    program
}
