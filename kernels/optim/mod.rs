//! The optimizer step over flat buffers: guard against non-finite values, loss scaling, sum over a step's batches,
//! clipping, SGD, running statistics, averages, the record of losses. One launch each, whatever the number of
//! parameters; one a part where they are more than a device binds.
//!
//! Parameters lie in one buffer of `words` (a multiple of 64), each starting at a multiple of 64 with
//! zeros behind it; gradients and momentum are its twins. The kernels read lengths off the bindings:
//! bind the buffers at exactly their size.

use crate::reduce::{pack, packs};
use crate::{Arg, Caps, Launch, Program, Source};

/// Hyperparameters of some of the parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Added to the gradient: `weight_decay * parameter`.
    pub weight_decay: f32,
    /// Factor on the step's learning rate.
    pub lr_scale: f32,
}

/// `torch.optim.SGD` without dampening.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    /// Words of the flat buffers, a multiple of 64.
    pub words: u32,
    /// Momentum.
    pub momentum: f32,
    /// Nesterov momentum.
    pub nesterov: bool,
    /// One to four groups.
    pub groups: Vec<Group>,
}

/// Words of a block: parameters start at its multiples, and each block has one group.
pub const BLOCK: u32 = 64;

/// Words of the guard's flag.
pub const FLAG_WORDS: usize = 4;

/// What the guard found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The first step at which something was found.
    pub step: u32,
    /// The first block of 64 words, counted over all parts, with a non-finite gradient, over the steps
    /// since the flag was cleared.
    pub block: Option<u32>,
    /// A loss was non-finite.
    pub loss: bool,
}

impl NonFinite {
    /// Reads the guard's flag; `None` when everything was finite.
    pub fn decode(flag: [u32; FLAG_WORDS]) -> Option<NonFinite> {
        let block = (flag[1] != 0).then_some(!flag[1]);
        (flag[0] != 0).then_some(NonFinite { step: !flag[3], block, loss: flag[2] != 0 })
    }
}

const GUARD: Source = source!("optim/guard.wgsl");
const UNSCALE: Source = source!("optim/unscale.wgsl");
const RESCALE: Source = source!("optim/rescale.wgsl");
const ACCUMULATE: Source = source!("optim/accumulate.wgsl");
const SQUARE_SUM: Source = source!("optim/square_sum.wgsl");
const CLIP: Source = source!("optim/clip.wgsl");
const EMA: Source = source!("optim/ema.wgsl");
const STATE_BUFFERS: Source = source!("optim/state_buffers.wgsl");
const STATE_TEXELS: Source = source!("optim/state_texels.wgsl");
const SGD: Source = source!("optim/sgd.wgsl");
const RUNNING_UPDATE: Source = source!("optim/running_update.wgsl");
const MAX_NORM: Source = source!("optim/max_norm.wgsl");
const ENQUEUE: Source = source!("optim/enqueue.wgsl");
const RECORD: Source = source!("optim/record.wgsl");

/// Looks for non-finite gradients and a non-finite loss.
///
/// In: `grads [words]`, whose first block has the number `first`, `loss [1]`, `flag [4]` (u32, bound
/// read_write; the host clears it). The flag's encoding is [`NonFinite::decode`]'s; flag\[0\] != 0 stops [`sgd`] and [`running_update`].
pub fn guard(words: u32, first: u32, caps: &Caps) -> Program {
    let bytes = 4 * u64::from(words);
    let launch = flat(GUARD, "guard", words / 4, caps)
        .constant("FIRST", first)
        .texels(caps, &["grads"])
        .cost(0, bytes, 0);
    let mut program = Program::default();
    let args = [Arg::In(0), Arg::In(1), Arg::In(2), Arg::Step];
    program.push_reading(launch, &args, &[Arg::In(0)]);
    program
}

/// `grads /= scale`.
///
/// In: `grads [words]` (read_write), `scale [1]`.
pub fn unscale(words: u32, caps: &Caps) -> Program {
    let bytes = 4 * u64::from(words);
    let launch = flat(UNSCALE, "unscale", words / 4, caps).cost(words.into(), bytes, bytes);
    Program::single(launch, [Arg::In(0), Arg::In(1)])
}

/// Finite steps after which the loss scale is doubled, and the largest scale: `torch.amp.GradScaler`'s 2000, and
/// what leaves gradients of 1e6 and their squares' sum within floats.
pub const SCALE_GROWS: (u32, f32) = (2000, 16_777_216.0);

/// Dynamic loss scaling: halves `scale` where the guard has found a gradient that is not finite, and clears its
/// flag; doubles it after so many finite steps.
///
/// In: `scale [1]`, `counts [2]` (u32: finite steps since the last change, steps left out), `flag [4]`; all read_write.
pub fn rescale((after, most): (u32, f32)) -> Program {
    let launch = Launch::new(RESCALE, "rescale")
        .constant("GROW", after)
        .constant("MOST", most)
        .cost(0, 28, 28);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::In(2)])
}

/// `total += weight part`, from zero at a step's first batch: weight and batch are the step's.
///
/// In: `total [words]` (read_write), `part [words]`.
pub fn accumulate(words: u32, caps: &Caps) -> Program {
    let vec4 = words.is_multiple_of(4);
    let bytes = 4 * u64::from(words);
    let launch = flat(ACCUMULATE, "accumulate", packs(words, vec4), caps)
        .constant("WORDS", words)
        .part("pack", pack(vec4))
        .cost(2 * u64::from(words), 2 * bytes, bytes);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Step])
}

/// How many partial sums [`square_sum`] makes of `words` gradients.
pub fn square_sums(words: u32, caps: &Caps) -> u32 {
    flat(SQUARE_SUM, "square_sum", words / 4, caps).grid[0].min(MOST_SUMS)
}

/// Each workgroup of [`clip`] reads all partial sums.
const MOST_SUMS: u32 = 512;

/// The sums of squares of runs of the gradients.
///
/// In: `grads [words]`, `partial` (read_write), of which those from `first` on are written: as many as
/// [`square_sums`] says.
pub fn square_sum(words: u32, first: u32, caps: &Caps) -> Program {
    let launch = flat(SQUARE_SUM, "square_sum", words / 4, caps)
        .constant("WORDS", words)
        .constant("FIRST", first)
        .texels(caps, &["grads"])
        .grid(square_sums(words, caps), 1, 1)
        .cost(2 * u64::from(words), 4 * u64::from(words), 4);
    let mut program = Program::default();
    program.push_reading(launch, &[Arg::In(0), Arg::In(1)], &[Arg::In(0)]);
    program
}

/// `grads *= min(1, limit / (norm + 1e-6))`, the norm that of all partial sums, and `ring[step] = norm`
/// (`torch.nn.utils.clip_grad_norm_`).
///
/// In: `grads [words]` (read_write), `partial`, `ring` (read_write).
pub fn clip(words: u32, limit: f32, caps: &Caps) -> Program {
    let bytes = 4 * u64::from(words);
    let launch = flat(CLIP, "clip_gradients", words / 4, caps).constant("LIMIT", limit).cost(
        u64::from(words),
        bytes,
        bytes,
    );
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::In(2), Arg::Step])
}

/// `average += (1 - decay) (value - average)`, unless the flag is set.
///
/// In: `average [words]` (read_write), `value [words]`, `flag`.
pub fn ema(words: u32, decay: f64, caps: &Caps) -> Program {
    let vec4 = words.is_multiple_of(4);
    let bytes = 4 * u64::from(words);
    let launch = flat(EMA, "ema", packs(words, vec4), caps)
        .constant("WORDS", words)
        .constant("RATE", (1.0 - decay) as f32)
        .part("pack", pack(vec4))
        .cost(3 * u64::from(words), 2 * bytes, bytes);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::In(2)])
}

/// One SGD step: `g += decay p; m = momentum m + g; p -= lr (g + momentum m if nesterov else m)`.
///
/// In: `params` (read_write), `grads`, `momentum` (read_write), `group [words / 64]` (u32), `flag`.
/// The learning rate is the step's times the group's factor.
///
/// # Panics
/// No group, or more than four.
pub fn sgd(sgd: &Sgd, caps: &Caps) -> Program {
    assert!((1..=4).contains(&sgd.groups.len()), "sgd: {} groups, not 1 to 4", sgd.groups.len());
    let group = |i: usize| sgd.groups[i.min(sgd.groups.len() - 1)];
    let words = u64::from(sgd.words);
    let mut launch = flat(SGD, "sgd", sgd.words / 4, caps)
        .constant("LANES", if caps.software { 8u32 } else { 16 })
        .constant("MOMENTUM", sgd.momentum)
        .constant("NESTEROV", sgd.nesterov)
        .texels(caps, &["grads", "old_param", "old_momentum"])
        .part("state", if caps.texels { STATE_TEXELS } else { STATE_BUFFERS })
        .cost(6 * words, 12 * words + words / 16, 8 * words);
    const NAMES: [[&str; 2]; 4] = [
        ["DECAY_0", "SCALE_0"],
        ["DECAY_1", "SCALE_1"],
        ["DECAY_2", "SCALE_2"],
        ["DECAY_3", "SCALE_3"],
    ];
    for (i, [decay, scale]) in NAMES.into_iter().enumerate() {
        launch = launch.constant(decay, group(i).weight_decay).constant(scale, group(i).lr_scale);
    }
    let args: Vec<Arg> = (0..5).map(Arg::In).chain([Arg::Step]).collect();
    let mut program = Program::default();
    program.push_reading(launch, &args, &[Arg::In(0), Arg::In(2)]);
    program
}

/// `running = (1 − momentum) running + momentum batch`, unless the flag is set.
///
/// In: `running [words]` (read_write), `batch [words]`, `flag`.
pub fn running_update(words: u32, momentum: f32, caps: &Caps) -> Program {
    let vec4 = words.is_multiple_of(4);
    let bytes = 4 * u64::from(words);
    let launch = flat(RUNNING_UPDATE, "running_update", packs(words, vec4), caps)
        .constant("WORDS", words)
        .constant("MOMENTUM", momentum)
        .part("pack", pack(vec4))
        .cost(3 * u64::from(words), 2 * bytes, bytes);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::In(2)])
}

/// Each row of `weight [rows, cols]` is shortened to the length `limit` where it is longer, unless the flag
/// is set (weight balancing, Alshammari et al., 2022). In: `weight` (read_write), `flag`.
pub fn max_norm(rows: u32, cols: u32, limit: f32, caps: &Caps) -> Program {
    let [x, y, z] = crate::linear_grid(rows);
    let words = u64::from(rows) * u64::from(cols);
    let launch = Launch::new(MAX_NORM, "max_norm")
        .constant("WORKGROUP", if caps.software { 8u32 } else { 64 })
        .constant("ROWS", rows)
        .constant("COLS", cols)
        .constant("LIMIT", limit)
        .grid(x, y, z)
        .cost(3 * words, 8 * words, 4 * words);
    Program::single(launch, [Arg::In(0), Arg::In(1)])
}

/// `ring[step % length of ring] = loss`.
///
/// In: `loss [1]`, `ring` (read_write).
pub fn record() -> Program {
    let launch = Launch::new(RECORD, "record").cost(0, 4, 4);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Step])
}

/// The `words` of a batch's rows take the place of the oldest of `ring` words, a whole number of batches.
///
/// In: `rows [words]`, `ring [ring]` (read_write); both of any type of 32 bits.
///
/// # Panics
/// A ring that holds no whole number of batches.
pub fn enqueue(words: u32, ring: u32, caps: &Caps) -> Program {
    assert!(words > 0 && ring.is_multiple_of(words), "enqueue: {words} words in a ring of {ring}");
    let workgroup = if caps.software { 8u32 } else { 64 };
    let [x, y, z] = crate::linear_grid(words.div_ceil(workgroup));
    let bytes = 4 * u64::from(words);
    let launch = Launch::new(ENQUEUE, "enqueue")
        .constant("WORKGROUP", workgroup)
        .constant("WORDS", words)
        .grid(x, y, z)
        .cost(0, bytes, bytes);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Step])
}

/// A launch over `packs`: each workgroup takes a run.
fn flat(source: Source, entry: &'static str, packs: u32, caps: &Caps) -> Launch {
    let (workgroup, each, most) = if caps.software { (8u32, 2048, 64) } else { (256, 1024, 4096) };
    Launch::new(source, entry).constant("WORKGROUP", workgroup).grid(
        packs.div_ceil(each).clamp(1, most),
        1,
        1,
    )
}
