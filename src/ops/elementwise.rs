//! Elementwise ops: unary and binary ones by name (each a `.wgsl` file under
//! `kernels/elementwise/`), constants, broadcasts and sums of equal shapes.

use super::{misfit, reduce::scaled_sum, reshape};
use crate::error::{Result, unknown};
use crate::gpu::Gpu;
use crate::tensor::{DType, Gradients, Node, Op, Shape, Tensor};
use evenkeel_kernels::elementwise as kernels;
use evenkeel_kernels::{Caps, Program};
use std::rc::Rc;

/// y = f(x) for each element, f being a file of `kernels/elementwise/unary/`.
///
/// # Errors
/// An unknown name.
pub fn unary(name: &str, x: &Tensor) -> Result<Tensor> {
    let name = known(name, kernels::unary_names())?;
    let out = (x.shape().clone(), DType::F32);
    let [y] = Tensor::record(x.gpu(), Unary { name }, vec![x.clone()], [out]);
    Ok(y)
}

/// c = f(a, b) for each element, broadcast as NumPy does; f is a file of
/// `kernels/elementwise/binary/`.
///
/// # Errors
/// An unknown name or shapes that do not broadcast.
pub fn binary(name: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let name = known(name, kernels::binary_names())?;
    let out = a
        .shape()
        .broadcast(b.shape())
        .ok_or_else(|| misfit(name, format!("{} and {} do not broadcast", a.shape(), b.shape())))?;
    let inputs = vec![a.clone(), b.clone()];
    let [y] = Tensor::record(a.gpu(), Binary { name }, inputs, [(out, DType::F32)]);
    Ok(y)
}

fn known(name: &str, names: impl Iterator<Item = &'static str>) -> Result<&'static str> {
    let names: Vec<&'static str> = names.collect();
    names
        .iter()
        .copied()
        .find(|n| *n == name)
        .ok_or_else(|| unknown("elementwise op", name, &names))
}

/// A tensor whose every element is `value`.
pub fn fill(gpu: &Rc<Gpu>, shape: impl Into<Shape>, value: f32) -> Tensor {
    let [y] = Tensor::record(gpu, Fill(value), Vec::new(), [(shape.into(), DType::F32)]);
    y
}

/// `x` broadcast to `shape`.
///
/// # Errors
/// A shape `x` does not broadcast to.
pub fn expand(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    if x.shape().broadcast(&shape).as_ref() != Some(&shape) {
        return Err(misfit("expand", format!("{} does not broadcast to {shape}", x.shape())));
    }
    Ok(expand_with(x, shape, 1.0))
}

/// `scale` · x broadcast to `shape`; the caller has checked that it does.
pub(super) fn expand_with(x: &Tensor, shape: Shape, scale: f32) -> Tensor {
    let [y] = Tensor::record(x.gpu(), Expand(scale), vec![x.clone()], [(shape, DType::F32)]);
    y
}

/// Σ of tensors of one shape.
///
/// # Errors
/// None given, or shapes that differ.
pub fn sum_of(parts: &[Tensor]) -> Result<Tensor> {
    let Some(first) = parts.first() else { return Err(misfit("sum_of", "nothing to add")) };
    for p in parts {
        super::expect("sum_of", "every part", p, first.dims())?;
    }
    if parts.len() == 1 {
        return Ok(first.clone());
    }
    let (now, rest) = parts.split_at(parts.len().min(MOST));
    let out = (first.shape().clone(), DType::F32);
    let [y] = Tensor::record(first.gpu(), SumOf, now.to_vec(), [out]);
    let mut left = vec![y];
    left.extend_from_slice(rest);
    sum_of(&left)
}

/// The mean of tensors of one shape.
///
/// # Errors
/// None given, or shapes that differ.
pub fn mean_of(parts: &[Tensor]) -> Result<Tensor> {
    let sum = sum_of(parts)?;
    match parts.len() {
        1 => Ok(sum),
        n => binary("mul", &sum, &fill(sum.gpu(), [1, 1], 1.0 / n as f32)),
    }
}

/// Inputs one launch of `sum_n` adds.
const MOST: usize = 6;

/// A copy of `words` 4-byte words: `In(0)` to `Out(0)`.
pub(crate) fn copy_program(words: u32, caps: &Caps) -> Program {
    kernels::copy(words, caps)
}

fn len(shape: &Shape) -> u32 {
    shape.len() as u32
}

/// The axes of `out` along which a tensor shaped `from` repeats.
fn broadcast_axes(out: &Shape, from: &Shape) -> Vec<usize> {
    let (out, from) = (out.dims(), from.dims());
    let skip = out.len() - from.len();
    (0..out.len()).filter(|i| *i < skip || (from[i - skip] == 1 && out[*i] != 1)).collect()
}

/// Sums a gradient over the axes along which `to` was broadcast.
fn unbroadcast(gradient: &Tensor, to: &Shape) -> Result<Tensor> {
    if gradient.shape() == to {
        return Ok(gradient.clone());
    }
    let axes = broadcast_axes(gradient.shape(), to);
    if axes.is_empty() {
        return reshape(gradient, to.clone());
    }
    reshape(&scaled_sum("sum", gradient, &axes, true, |_| 1.0)?, to.clone())
}

#[derive(Debug)]
struct Unary {
    name: &'static str,
}

#[derive(Debug)]
struct UnaryBackward {
    name: &'static str,
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        self.name
    }
    fn program(&self, node: &Node, caps: &Caps) -> Program {
        kernels::unary_forward(self.name, len(&node.outputs[0].0), caps).unwrap_or_default()
    }
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let Some(dy) = gradients.first() else { return Ok(vec![None]) };
        let (x, y) = (&node.inputs[0], &gradients.values[0]);
        let inputs = vec![x.clone(), y.clone(), dy.clone()];
        let out = (x.shape().clone(), DType::F32);
        let [dx] = Tensor::record(x.gpu(), UnaryBackward { name: self.name }, inputs, [out]);
        Ok(vec![Some(dx)])
    }
}

impl Op for UnaryBackward {
    fn name(&self) -> &'static str {
        "unary_backward"
    }
    fn program(&self, node: &Node, caps: &Caps) -> Program {
        kernels::unary_backward(self.name, len(&node.outputs[0].0), caps).unwrap_or_default()
    }
    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Err(misfit("grad", format!("the gradient of {} has no gradient", self.name)))
    }
}

#[derive(Debug)]
struct Binary {
    name: &'static str,
}

#[derive(Debug)]
struct BinaryBackward {
    name: &'static str,
    which: usize,
}

/// Output extents and the strides to read both inputs by.
fn broadcast(node: &Node, a: &Tensor, b: &Tensor) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let out = &node.outputs[0].0;
    (node.out32(0), a.shape().broadcast_strides(out), b.shape().broadcast_strides(out))
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        self.name
    }
    fn program(&self, node: &Node, _: &Caps) -> Program {
        let (out, a, b) = broadcast(node, &node.inputs[0], &node.inputs[1]);
        kernels::binary_forward(self.name, &out, &a, &b).unwrap_or_default()
    }
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let Some(dy) = gradients.first() else { return Ok(vec![None, None]) };
        let mut found = Vec::new();
        for (which, input) in node.inputs.iter().enumerate() {
            // A sum passes its gradient on as it is.
            let full = if self.name == "add" {
                dy.clone()
            } else {
                let inputs = vec![node.inputs[0].clone(), node.inputs[1].clone(), dy.clone()];
                let op = BinaryBackward { name: self.name, which };
                let out = (dy.shape().clone(), DType::F32);
                let [d] = Tensor::record(dy.gpu(), op, inputs, [out]);
                d
            };
            found.push(Some(unbroadcast(&full, input.shape())?));
        }
        Ok(found)
    }
}

impl Op for BinaryBackward {
    fn name(&self) -> &'static str {
        "binary_backward"
    }
    fn program(&self, node: &Node, _: &Caps) -> Program {
        let (out, a, b) = broadcast(node, &node.inputs[0], &node.inputs[1]);
        kernels::binary_backward(self.name, self.which as u32, &out, &a, &b).unwrap_or_default()
    }
    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Err(misfit("grad", format!("the gradient of {} has no gradient", self.name)))
    }
}

#[derive(Debug)]
struct Fill(f32);

impl Op for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }
    fn program(&self, node: &Node, _: &Caps) -> Program {
        kernels::fill(len(&node.outputs[0].0), self.0)
    }
    fn backward(&self, _: &Node, _: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(Vec::new())
    }
    fn constant(&self) -> Option<f32> {
        Some(self.0)
    }
}

#[derive(Debug)]
struct Expand(f32);

impl Op for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }
    fn program(&self, node: &Node, _: &Caps) -> Program {
        let out = &node.outputs[0].0;
        let strides = node.inputs[0].shape().broadcast_strides(out);
        kernels::expand(&node.out32(0), &strides, self.0).unwrap_or_default()
    }
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        let Some(g) = gradients.first() else { return Ok(vec![None]) };
        let to = node.inputs[0].shape();
        let axes = broadcast_axes(g.shape(), to);
        let scale = self.0;
        let summed = if axes.is_empty() {
            expand_with(g, g.shape().clone(), scale)
        } else {
            scaled_sum("sum", g, &axes, true, |_| scale)?
        };
        Ok(vec![Some(reshape(&summed, to.clone())?)])
    }
}

#[derive(Debug)]
struct SumOf;

impl Op for SumOf {
    fn name(&self) -> &'static str {
        "sum_of"
    }
    fn program(&self, node: &Node, caps: &Caps) -> Program {
        let terms = node.inputs.len() as u32;
        kernels::sum_n(len(&node.outputs[0].0), terms, caps).unwrap_or_default()
    }
    fn backward(&self, node: &Node, gradients: &Gradients) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![gradients.first().cloned(); node.inputs.len()])
    }
}
