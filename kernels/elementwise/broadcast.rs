//! Binary ops with broadcasting, and strided copies. A broadcast axis is one of stride 0. Axes are
//! merged where the layout allows, so that the common cases (equal shapes, a scalar, a vector along the
//! rows or the columns, a channel of NCHW) come down to at most one or two divisions by constants, and
//! elements go four at a time wherever each operand's innermost axis is contiguous or broadcast.

use super::{BINARY, NUMERIC, find, packed};
use crate::{Arg, Launch, Program, Source};

const STRIDED: Source = source!("elementwise/strided.wgsl");
const OPERANDS: Source = source!("elementwise/operands.wgsl");

/// Axes that the kernels handle after merging.
const AXES: usize = 6;

/// y = f(a, b) at `out_shape`, a and b read with element strides per axis of it (0: broadcast).
/// In: a, b. Out: y, contiguous. `None`: no such op, or more than six axes that do not merge.
pub fn binary_forward(
    name: &str,
    out_shape: &[u32],
    a_strides: &[u32],
    b_strides: &[u32],
) -> Option<Program> {
    let op = find(BINARY, name)?;
    let source = source!("elementwise/binary_forward.wgsl");
    let launch = binary(source, out_shape, a_strides, b_strides, 0)?.part("op", op);
    Some(Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)]))
}

/// The gradient for a (`which` = 0) or b (1) at `out_shape`, not yet summed over broadcast axes.
/// In: a, b (strided as in the forward), dy (contiguous). Out: the gradient, contiguous.
/// `None`: as [`binary_forward`].
pub fn binary_backward(
    name: &str,
    which: u32,
    out_shape: &[u32],
    a_strides: &[u32],
    b_strides: &[u32],
) -> Option<Program> {
    let op = find(BINARY, name)?;
    let source = source!("elementwise/binary_backward.wgsl");
    let launch =
        binary(source, out_shape, a_strides, b_strides, 1)?.part("op", op).constant("WHICH", which);
    Some(Program::single(launch, [Arg::In(0), Arg::In(1), Arg::In(2), Arg::Out(0)]))
}

/// y = `scale` x broadcast to `out_shape`, x read with `in_strides` (0: broadcast): the backward of a
/// sum (scale 1) or mean. In: x. Out: y, contiguous. `None`: more than six axes that do not merge.
pub fn expand(out_shape: &[u32], in_strides: &[u32], scale: f32) -> Option<Program> {
    let source = source!("elementwise/strided_copy.wgsl");
    let plan = Plan::new(out_shape, &[in_strides])?;
    let (n, read) = (plan.len, plan.distinct[0]);
    let splat = if plan.splat[0] { SPLAT_A } else { SPLAT_NONE };
    let mut launch = plan
        .launch(source, &[&["X0", "X1", "X2", "X3", "X4", "X5"]])
        .part("splat", splat)
        .constant("SCALED", scale != 1.0)
        .constant("SCALE", scale);
    launch = launch.cost(if scale == 1.0 { 0 } else { n }, read * 4, n * 4);
    Some(Program::single(launch, [Arg::In(0), Arg::Out(0)]))
}

/// y = x with its axes in another order: `in_strides` are x's element strides in the order of
/// `out_shape`; the bits are copied. In: x. Out: y, contiguous. `None`: as [`expand`].
pub fn permute(out_shape: &[u32], in_strides: &[u32]) -> Option<Program> {
    expand(out_shape, in_strides, 1.0)
}

const SPLAT_NONE: Source = source!("elementwise/splat_none.wgsl");
const SPLAT_A: Source = source!("elementwise/splat_a.wgsl");
const SPLAT_B: Source = source!("elementwise/splat_b.wgsl");

fn binary(
    source: Source,
    out_shape: &[u32],
    a_strides: &[u32],
    b_strides: &[u32],
    reads: u64,
) -> Option<Launch> {
    let plan = Plan::new(out_shape, &[a_strides, b_strides])?;
    let splat = match plan.splat.as_slice() {
        [true, _] => SPLAT_A,
        [_, true] => SPLAT_B,
        _ => SPLAT_NONE,
    };
    let read = plan.distinct[0] + plan.distinct[1] + reads * plan.len;
    let launch = plan
        .launch(
            source,
            &[&["A0", "A1", "A2", "A3", "A4", "A5"], &["B0", "B1", "B2", "B3", "B4", "B5"]],
        )
        .constant("A_PLAIN", plan.plain(0))
        .constant("B_PLAIN", plan.plain(1))
        .part("numeric", NUMERIC)
        .part("operands", OPERANDS)
        .part("splat", splat);
    Some(launch.cost(plan.len, read * 4, plan.len * 4))
}

/// Merged axes, innermost first, in packs of four elements or one.
struct Plan {
    extents: Vec<u32>,
    strides: Vec<Vec<u32>>,
    wide: bool,
    /// Per operand: one element is broadcast over the pack.
    splat: Vec<bool>,
    /// Elements of the result.
    len: u64,
    /// Per operand: elements that are read at all.
    distinct: Vec<u64>,
}

impl Plan {
    fn new(shape: &[u32], strides: &[&[u32]]) -> Option<Plan> {
        let mut extents: Vec<u32> = Vec::new();
        let mut merged: Vec<Vec<u32>> = vec![Vec::new(); strides.len()];
        for axis in (0..shape.len()).rev().filter(|a| shape[*a] != 1) {
            let fits = extents.last().is_some_and(|inner| {
                merged
                    .iter()
                    .zip(strides)
                    .all(|(m, s)| m.last().map(|l| l * inner) == Some(s[axis]))
            });
            if fits {
                if let Some(inner) = extents.last_mut() {
                    *inner *= shape[axis];
                }
                continue;
            }
            extents.push(shape[axis]);
            for (m, s) in merged.iter_mut().zip(strides) {
                m.push(s[axis]);
            }
        }
        if extents.is_empty() {
            extents.push(1);
            merged.iter_mut().for_each(|m| m.push(1));
        }
        if extents.len() > AXES {
            return None;
        }
        let len = extents.iter().map(|e| u64::from(*e)).product();
        let distinct = merged
            .iter()
            .map(|m| {
                extents
                    .iter()
                    .zip(m)
                    .filter(|(_, s)| **s != 0)
                    .map(|(e, _)| u64::from(*e))
                    .product()
            })
            .collect();
        let splat: Vec<bool> = merged.iter().map(|m| m[0] == 0).collect();
        let contiguous = |m: &Vec<u32>| m[0] == 1 && m[1..].iter().all(|s| s.is_multiple_of(4));
        let wide = extents[0].is_multiple_of(4)
            && splat.iter().filter(|s| **s).count() < 2
            && merged.iter().zip(&splat).all(|(m, splat)| *splat || contiguous(m));
        if !wide {
            return Some(Plan {
                extents,
                strides: merged,
                wide,
                splat: vec![false; strides.len()],
                len,
                distinct,
            });
        }
        extents[0] /= 4;
        for (m, _) in merged.iter_mut().zip(&splat).filter(|(_, splat)| !**splat) {
            m[1..].iter_mut().for_each(|s| *s /= 4);
        }
        Some(Plan { extents, strides: merged, wide, splat, len, distinct })
    }

    /// Operand `i` is laid out as the result.
    fn plain(&self, i: usize) -> bool {
        let mut next = 1;
        self.extents.iter().zip(&self.strides[i]).all(|(e, s)| {
            let plain = *s == next;
            next *= e;
            plain
        })
    }

    fn launch(&self, source: Source, names: &[&[&'static str; AXES]]) -> Launch {
        const EXTENTS: [&str; AXES - 1] = ["EXTENT0", "EXTENT1", "EXTENT2", "EXTENT3", "EXTENT4"];
        let mut launch =
            packed(source, self.extents.iter().product(), self.wide).part("strided", STRIDED);
        for (axis, name) in EXTENTS.into_iter().enumerate() {
            let outermost = axis + 1 >= self.extents.len();
            launch = launch.constant(name, if outermost { 0 } else { self.extents[axis] });
        }
        for (names, strides) in names.iter().zip(&self.strides) {
            for (axis, name) in names.iter().enumerate() {
                launch = launch.constant(name, strides.get(axis).copied().unwrap_or(0));
            }
        }
        launch
    }
}
