//! Runs cases and golden files on a device and says how far each result is from what it should be.

use super::cases::Case;
use super::device::{self, Place};
use super::golden::{Golden, Report, Tolerance, compare};
use super::reference::{self, Array};
use crate::error::Result;
use crate::gpu::{BUFFERS, Gpu};
use evenkeel_kernels::{conv2d, matmul};
use std::rc::Rc;

/// One comparison.
#[derive(Clone, Debug)]
pub struct Finding {
    /// `out.0`, `grad_in.1 (middle)`.
    pub what: String,
    /// How far off.
    pub report: Report,
}

/// The variants of `op` that some device could run, by name; none for an op with one.
pub fn variants(op: &str) -> Vec<&'static str> {
    match op {
        "conv2d" => conv2d::Variant::ALL.iter().map(|v| v.name()).chain([BUFFERS]).collect(),
        "batch_norm"
        | "normalized_batch_norm"
        | "add"
        | "max_pool2d"
        | "avg_pool2d"
        | "shortcut_a" => {
            vec![BUFFERS]
        }
        "linear" | "matmul" => matmul::Variant::ALL.iter().map(|v| v.name()).collect(),
        _ => Vec::new(),
    }
}

/// A case's outputs, and its gradients at the end and in the middle of a graph, against the
/// reference.
///
/// # Errors
/// What the reference or the device reports.
pub fn case(gpu: &Rc<Gpu>, case: &Case) -> Result<Vec<Finding>> {
    let inputs = case.inputs();
    let expected = reference::run(case.op, &case.attrs, &inputs)?;
    let halves = of_halves(gpu, case.op);
    if !case.grad {
        let got = device::run(gpu, case.op, &case.attrs, &inputs, None)?;
        return Ok(outputs(&expected, &got.outputs, case.tolerance, halves));
    }
    let grad_outs = case.grad_outs(&expected);
    let grads = reference::grads(case.op, &case.attrs, &inputs, &grad_outs)?;
    let mut found = Vec::new();
    for (place, label) in [(Place::End, ""), (Place::Middle, " (middle)")] {
        let grad = Some((&grad_outs[0], place));
        let got = device::run(gpu, case.op, &case.attrs, &inputs, grad)?;
        found.extend(outputs(&expected, &got.outputs, case.tolerance, halves));
        found.extend(gradients(&grads, &got.grads, case.grad_tolerance, halves, label));
    }
    Ok(found)
}

/// What a golden file holds against what the device computes from its inputs.
///
/// # Errors
/// An op or attribute that is not supported, by name; what the device reports.
pub fn golden(gpu: &Rc<Gpu>, file: &Golden) -> Result<Vec<Finding>> {
    let grad = file.grad_outs.first().and_then(Option::as_ref).map(|g| (&g.array, Place::End));
    let got = device::run(gpu, &file.op, &file.attrs, &file.arrays(), grad)?;
    let expected: Vec<Array> = file.outputs.iter().map(|t| t.array.clone()).collect();
    let grads: Vec<Option<Array>> =
        file.grad_ins.iter().map(|g| g.as_ref().map(|t| t.array.clone())).collect();
    let halves = of_halves(gpu, &file.op);
    let mut found = outputs(&expected, &got.outputs, file.tolerance, halves);
    found.extend(gradients(&grads, &got.grads, file.grad_tolerance, halves, ""));
    Ok(found)
}

/// Whether the device rounds what `op` multiplies to halves.
fn of_halves(gpu: &Gpu, op: &str) -> bool {
    op == "conv2d" && gpu.caps.f16 && gpu.caps.prefer == Some(conv2d::Variant::TiledHalf.name())
}

/// What is allowed: of sums of products of halves, beside the usual, 2^-9 of a value and 2^-8 of what the values are on
/// average. Each operand is rounded to 11 bits, and so is each sum of two to four products.
fn allowed(expected: &Array, usual: Tolerance, halves: bool) -> Tolerance {
    if !halves {
        return usual;
    }
    let squares: f64 = expected.data.iter().map(|v| v * v).sum();
    let size = (squares / expected.data.len().max(1) as f64).sqrt();
    Tolerance { atol: usual.atol + size / 256.0, rtol: usual.rtol + 1.0 / 512.0 }
}

fn outputs(expected: &[Array], got: &[Array], tolerance: Tolerance, halves: bool) -> Vec<Finding> {
    let empty = Array::new([0], Vec::new());
    expected
        .iter()
        .enumerate()
        .map(|(i, e)| Finding {
            what: format!("out.{i}"),
            report: compare(e, got.get(i).unwrap_or(&empty), allowed(e, tolerance, halves)),
        })
        .collect()
}

/// A gradient that should be there and is not compares as an empty one, which fails.
fn gradients(
    expected: &[Option<Array>],
    got: &[Option<Array>],
    tolerance: Tolerance,
    halves: bool,
    label: &str,
) -> Vec<Finding> {
    let empty = Array::new([0], Vec::new());
    expected
        .iter()
        .enumerate()
        .filter_map(|(i, e)| {
            let found = got.get(i).and_then(Option::as_ref).unwrap_or(&empty);
            let e = e.as_ref()?;
            let report = compare(e, found, allowed(e, tolerance, halves));
            Some(Finding { what: format!("grad_in.{i}{label}"), report })
        })
        .collect()
}
