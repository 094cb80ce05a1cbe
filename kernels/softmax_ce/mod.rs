//! Softmax cross-entropy with its gradient, softmax and log-softmax over rows, and argmax.
//!
//! ```text
//! row_i = (1 − s) w_y (−log p_y) + s/C Σ_c w_c (−log p_c),   p = softmax(logits_i + offsets), y = label_i
//! loss  = Σ_i row_i / Σ_i w_{y_i}
//! ```

use crate::reduce::pack;
use crate::{Arg, Caps, Launch, Program, Source, linear_grid};

/// Cross-entropy over `logits [n, classes]`: torch's `cross_entropy` with mean reduction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxCe {
    /// Batch size.
    pub n: u32,
    /// Classes.
    pub classes: u32,
    /// Share of the target spread evenly over the classes.
    pub label_smoothing: f32,
    /// A weight for each class; the mean divides by the sum of the labels' weights.
    pub class_weights: bool,
    /// A vector `[classes]` is added to every row of logits.
    pub offsets: bool,
    /// Divide by the sum of the labels' weights; without it loss and gradient are the rows' sum's.
    pub mean: bool,
}

const CROSS_ENTROPY: Source = source!("softmax_ce/cross_entropy.wgsl");
const LOSS: Source = source!("softmax_ce/loss.wgsl");
const SOFTMAX: Source = source!("softmax_ce/softmax.wgsl");
const ARGMAX: Source = source!("softmax_ce/argmax.wgsl");
const FINITE: Source = source!("softmax_ce/finite.wgsl");

/// Loss and its gradient in one pass over the logits.
///
/// In: `logits [n, classes]`, `labels [n]` (u32), then `weights [classes]` and `offsets [classes]` if
/// asked for. Out: `loss [1]`, `dlogits [n, classes]` = d loss / d logits, `row [n]` (the terms before
/// the mean). The batch size is read off `labels`, so bind it at exactly its size.
///
/// As torch: −inf logits have probability 0. NaN or +inf logits and rows of −inf only give NaN, and so
/// does a label ≥ `classes`.
pub fn forward_backward(ce: &SoftmaxCe, caps: &Caps) -> Program {
    let mut program = Program::default();
    let mut next = 2;
    let mut optional = |present: bool| {
        next += usize::from(present);
        if present { Arg::In(next - 1) } else { Arg::In(0) }
    };
    let weights = optional(ce.class_weights);
    let offsets = optional(ce.offsets);
    let (loss, dlogits, row) = (Arg::Out(0), Arg::Out(1), Arg::Out(2));
    let (n, c) = (u64::from(ce.n), u64::from(ce.classes));

    let mut denominator = Arg::In(0);
    if ce.class_weights {
        denominator = program.temp(1);
        let launch = over_batch("denominator", ce, caps).cost(n, 8 * n, 4);
        program.push(launch, [Arg::In(1), weights, denominator]);
    }
    let mut inputs = vec!["logits"];
    inputs.extend(ce.class_weights.then_some("weights"));
    inputs.extend(ce.offsets.then_some("offsets"));
    let main = rows(CROSS_ENTROPY, "cross_entropy", ce.n, ce.classes, caps)
        .constant("CLASSES", ce.classes)
        .constant("SMOOTHING", ce.label_smoothing)
        .constant("WEIGHTS", ce.class_weights)
        .constant("OFFSETS", ce.offsets)
        .constant("MEAN", ce.mean)
        .texels(caps, &inputs)
        .cost(8 * n * c, 4 * n * (c + 1), 4 * n * (c + 1));
    program.push(main, [Arg::In(0), Arg::In(1), weights, offsets, denominator, row, dlogits]);
    program.push(over_batch("mean", ce, caps).cost(n, 4 * n, 4), [row, denominator, loss]);
    program
}

/// One workgroup over the batch.
fn over_batch(entry: &'static str, ce: &SoftmaxCe, caps: &Caps) -> Launch {
    Launch::new(LOSS, entry)
        .constant("WORKGROUP", if caps.software { 8u32 } else { 256 })
        .constant("CLASSES", ce.classes)
        .constant("WEIGHTS", ce.class_weights)
        .constant("MEAN", ce.mean)
}

/// One workgroup per row of `cols` words.
fn rows(source: Source, entry: &'static str, rows: u32, cols: u32, caps: &Caps) -> Launch {
    let vec4 = cols.is_multiple_of(4);
    let [x, y, z] = linear_grid(rows);
    Launch::new(source, entry)
        .constant("WORKGROUP", row_workgroup(cols, vec4, caps))
        .part("pack", pack(vec4))
        .part("finite", FINITE)
        .grid(x, y, z)
}

/// Workgroup size for a row: one subgroup on a software device, else up to 256 by the row's length.
fn row_workgroup(cols: u32, vec4: bool, caps: &Caps) -> u32 {
    if caps.software {
        return 8;
    }
    crate::reduce::packs(cols, vec4).next_power_of_two().clamp(32, 256)
}

/// Softmax over the last axis: `y = exp(x − max) / Σ exp(x − max)`. In: `x [rows, cols]`; out: `y`.
pub fn softmax_forward(rows: u32, cols: u32, caps: &Caps) -> Program {
    forward(rows, cols, false, caps)
}

/// Log-softmax over the last axis: `y = x − log Σ exp x`. In: `x [rows, cols]`; out: `y`.
pub fn log_softmax_forward(rows: u32, cols: u32, caps: &Caps) -> Program {
    forward(rows, cols, true, caps)
}

/// Backward of softmax: `dx = y (dy − Σ dy y)`. In: `y`, `dy`; out: `dx`.
pub fn softmax_backward(rows: u32, cols: u32, caps: &Caps) -> Program {
    backward(rows, cols, false, caps)
}

/// Backward of log-softmax: `dx = dy − exp(y) Σ dy`. In: `y`, `dy`; out: `dx`.
pub fn log_softmax_backward(rows: u32, cols: u32, caps: &Caps) -> Program {
    backward(rows, cols, true, caps)
}

fn forward(n: u32, cols: u32, log: bool, caps: &Caps) -> Program {
    let elements = u64::from(n) * u64::from(cols);
    let launch = rows(SOFTMAX, "forward", n, cols, caps)
        .constant("ROWS", n)
        .constant("COLS", cols)
        .constant("LOG", log)
        .texels(caps, &["x"])
        .cost(5 * elements, 4 * elements, 4 * elements);
    Program::single(launch, [Arg::In(0), Arg::In(0), Arg::Out(0)])
}

fn backward(n: u32, cols: u32, log: bool, caps: &Caps) -> Program {
    let elements = u64::from(n) * u64::from(cols);
    let launch = rows(SOFTMAX, "backward", n, cols, caps)
        .constant("ROWS", n)
        .constant("COLS", cols)
        .constant("LOG", log)
        .texels(caps, &["x", "dy"])
        .cost(4 * elements, 8 * elements, 4 * elements);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)])
}

/// `predictions[step.first + i] = argmax of row i`, the first of equals; NaN counts as largest.
///
/// In: `logits [n, classes]` (bound at exactly its size), `predictions` (u32, bound read_write; what
/// lies past its end is dropped).
pub fn argmax_store(n: u32, classes: u32, caps: &Caps) -> Program {
    let [x, y, z] = linear_grid(n);
    let elements = u64::from(n) * u64::from(classes);
    let launch = Launch::new(ARGMAX, "argmax")
        .constant("WORKGROUP", row_workgroup(classes, false, caps))
        .constant("CLASSES", classes)
        .grid(x, y, z)
        .cost(elements, 4 * elements, 4 * u64::from(n));
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Step])
}
