//! Sums over any axes of a contiguous tensor.

use crate::{Arg, Caps, Launch, Program, Source};

const SUM: Source = source!("reduce/sum.wgsl");

/// The file behind `#include "pack"`: what one load brings, four words or one.
pub(crate) fn pack(vec4: bool) -> Source {
    if vec4 { source!("reduce/vec4.wgsl") } else { source!("reduce/scalar.wgsl") }
}

/// Packs in `words` words.
pub(crate) fn packs(words: u32, vec4: bool) -> u32 {
    if vec4 { words / 4 } else { words }
}

/// A tensor's axes after neighbours of one kind are joined, outermost first.
struct Axes {
    /// (length, stride in words) of the axes that stay.
    kept: Vec<(u32, u32)>,
    /// (length, stride in words) of the axes summed over.
    summed: Vec<(u32, u32)>,
}

impl Axes {
    fn new(shape: &[u32], sum_over: &[bool]) -> Self {
        let mut joined: Vec<(u32, bool)> = Vec::new();
        for (&length, &over) in shape.iter().zip(sum_over) {
            match joined.last_mut() {
                _ if length == 1 => {}
                Some(last) if last.1 == over => last.0 *= length,
                _ => joined.push((length, over)),
            }
        }
        let mut axes = Axes { kept: Vec::new(), summed: Vec::new() };
        let mut stride = 1;
        for &(length, over) in joined.iter().rev() {
            if over { &mut axes.summed } else { &mut axes.kept }.insert(0, (length, stride));
            stride *= length;
        }
        axes
    }
}

fn count(axes: &[(u32, u32)]) -> u32 {
    axes.iter().map(|a| a.0).product()
}

/// Largest number of parts a sum is cut into.
const PARTS: u32 = 256;

/// `y = scale * sum of x over the axes with sum_over[i]`; those axes vanish.
///
/// In: `x` of `shape` (rank at most 6, contiguous). Out: `y`, the kept axes in order. A mean has
/// `scale = 1 / count`. The order of the additions is fixed.
///
/// # Panics
/// `shape` and `sum_over` differ in length, or the rank exceeds 6.
pub fn sum(shape: &[u32], sum_over: &[bool], scale: f32, caps: &Caps) -> Program {
    assert_eq!(shape.len(), sum_over.len(), "sum: one flag per axis");
    assert!(shape.len() <= 6, "sum: rank {} exceeds 6", shape.len());
    let axes = Axes::new(shape, sum_over);
    let (outputs, terms) = (count(&axes.kept), count(&axes.summed));
    let inner_summed = axes.summed.last().is_some_and(|a| a.1 == 1);
    let lanes = lanes(inner_summed, terms, outputs, caps);
    // Cut the sum into parts until there is work for the device.
    let workgroup = workgroup(caps);
    let groups = outputs.div_ceil(workgroup / lanes);
    let enough: u32 = if caps.software { 16 } else { 512 };
    let least = if caps.software { 512 } else { 16 } * lanes;
    let parts = enough.div_ceil(groups.max(1)).min(terms / least).clamp(1, PARTS);

    let mut program = Program::default();
    if parts == 1 {
        program.push(level(&axes, lanes, 1, scale, caps), [Arg::In(0), Arg::Out(0)]);
        return program;
    }
    let partial = program.temp(parts as usize * outputs as usize);
    program.push(level(&axes, lanes, parts, 1.0, caps), [Arg::In(0), partial]);
    let rest = Axes::new(&[parts, outputs], &[true, false]);
    let inner = rest.summed.last().is_some_and(|a| a.1 == 1);
    let lanes = self::lanes(inner, parts, outputs, caps);
    program.push(level(&rest, lanes, 1, scale, caps), [partial, Arg::Out(0)]);
    program
}

/// Mean over H and W: `[n, c, hw]` to `[n, c]`.
pub fn global_avg_pool(n: u32, c: u32, hw: u32, caps: &Caps) -> Program {
    sum(&[n * c, hw], &[false, true], 1.0 / hw as f32, caps)
}

fn workgroup(caps: &Caps) -> u32 {
    if caps.software { 8 } else { 256 }
}

/// Invocations that share an output (a power of two).
fn lanes(inner_summed: bool, terms: u32, outputs: u32, caps: &Caps) -> u32 {
    let workgroup = workgroup(caps);
    if !inner_summed {
        // Neighbouring invocations take neighbouring outputs; with few outputs the rest would idle.
        let idle = workgroup / outputs.clamp(1, workgroup).next_power_of_two();
        return idle.min(terms.div_ceil(8).next_power_of_two()).max(1);
    }
    if caps.software && terms <= 1024 && outputs >= 16 * workgroup {
        return 1; // strides cost a software device nothing, folding lanes does
    }
    terms.div_ceil(8).next_power_of_two().clamp(1, workgroup)
}

fn level(axes: &Axes, lanes: u32, parts: u32, scale: f32, caps: &Caps) -> Launch {
    let (outputs, terms) = (count(&axes.kept), count(&axes.summed));
    let inner_summed = axes.summed.last().is_some_and(|a| a.1 == 1);
    // The contiguous axis decides: its length must be a multiple of four for packs of four.
    let inner = if inner_summed { axes.summed.last() } else { axes.kept.last() };
    let vec4 = inner.is_some_and(|a| a.0.is_multiple_of(4));
    let width = if vec4 { 4 } else { 1 };
    let (own_outputs, own_terms) =
        if inner_summed { (outputs, terms / width) } else { (outputs / width, terms) };
    let workgroup = workgroup(caps);
    let groups = own_outputs.div_ceil(workgroup / lanes);
    let [gx, gy, _] = crate::linear_grid(groups);
    let mut launch = Launch::new(SUM, if inner_summed { "rows" } else { "columns" })
        .constant("WORKGROUP", workgroup)
        .constant("LANES", lanes)
        .constant("OUTPUTS", own_outputs)
        .constant("TERMS", own_terms)
        .constant("SCALE", scale)
        .part("pack", pack(vec4))
        .texels(caps, &["x"])
        .grid(gx, gy, parts);
    const KEPT: [[&str; 2]; 3] =
        [["KEPT_0", "KEPT_STRIDE_0"], ["KEPT_1", "KEPT_STRIDE_1"], ["KEPT_2", "KEPT_STRIDE_2"]];
    const SUMMED: [[&str; 2]; 3] = [
        ["SUMMED_0", "SUMMED_STRIDE_0"],
        ["SUMMED_1", "SUMMED_STRIDE_1"],
        ["SUMMED_2", "SUMMED_STRIDE_2"],
    ];
    for (names, axes) in [(KEPT, &axes.kept), (SUMMED, &axes.summed)] {
        for (i, [length, stride]) in names.into_iter().enumerate() {
            // Axis 0 is the innermost; lengths and strides in packs.
            let axis = axes.iter().rev().nth(i).copied().unwrap_or((1, 0));
            let axis = match axis {
                (n, 1) => (n / width, 1),
                (n, s) => (n, s / width),
            };
            launch = launch.constant(length, axis.0).constant(stride, axis.1);
        }
    }
    let (read, written) = (u64::from(outputs) * u64::from(terms), u64::from(outputs));
    launch.cost(read, 4 * read, 4 * written * u64::from(parts))
}
