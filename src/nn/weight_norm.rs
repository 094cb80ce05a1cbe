//! Weight normalization (Salimans and Kingma, NeurIPS 2016): w_o = g_o·v_o/‖v_o‖ for each output unit o, so
//! that a weight's length g and its direction v learn apart.
//!
//! Layers ask a [`Weight`] for their tensor: as stored, or made from g and v by ordinary ops, whose gradients
//! are ∂g = ∂w·v/‖v‖ and ∂v = (g/‖v‖)(∂w − (∂w·v̂)v̂). g starts as ‖v‖, so w starts as it would without.
//! The names are those of `torch.nn.utils.weight_norm`: `weight_g` and `weight_v`.

use super::{Builder, Init, Named, Scope, Slot, of_head};
use crate::error::Result;
use crate::ops;
use crate::tensor::{Shape, Tensor};

/// Which weights are normalized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightNorm {
    /// None.
    #[default]
    Nothing,
    /// The linear classifier's.
    Head,
    /// The linear classifier's and every convolution's.
    All,
}

impl WeightNorm {
    /// Whether convolutions' weights are normalized.
    pub fn convolutions(self) -> bool {
        self == WeightNorm::All
    }

    /// Whether the classifier's weight is normalized.
    pub fn classifier(self) -> bool {
        self != WeightNorm::Nothing
    }
}

/// A layer's weight.
#[derive(Clone, Debug)]
pub(super) enum Weight {
    Plain(Slot),
    Normalized { g: Slot, v: Slot },
}

impl Weight {
    /// Declares `name`.weight, or the two parts of it, of `shape`: output units first.
    pub fn new(
        b: &mut Builder,
        name: &str,
        shape: impl Into<Shape>,
        init: Init,
        normalized: bool,
    ) -> Self {
        let shape = shape.into();
        if !normalized {
            return Self::Plain(b.parameter(format!("{name}.weight"), shape, init));
        }
        let mut lengths = vec![1; shape.dims().len()];
        lengths[0] = shape.dims()[0];
        let v = b.parameter(format!("{name}.weight_v"), shape, init);
        let g = b.parameter(format!("{name}.weight_g"), lengths, Init::RowLengths(v));
        Self::Normalized { g, v }
    }

    /// The weight as the layer uses it.
    pub fn tensor(&self, scope: &Scope<'_>) -> Result<Tensor> {
        match self {
            Self::Plain(weight) => Ok(scope.get(*weight).clone()),
            Self::Normalized { g, v } => weight_norm(scope.get(*v), scope.get(*g)),
        }
    }
}

/// g·v/‖v‖: each unit of `v` [O, …] at the length `g` [O, 1, …].
///
/// # Errors
/// Shapes that do not fit.
pub fn weight_norm(v: &Tensor, g: &Tensor) -> Result<Tensor> {
    ops::binary("mul", &unit_rows(v)?, g)
}

/// Added to ‖x‖² before its root.
const EPS: f32 = 1e-12;

/// x_i / √(‖x_i‖² + 1e-12) for each i of the first axis: a row of zeros stays one, with a finite gradient.
///
/// # Errors
/// A tensor without axes.
pub fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let axes: Vec<usize> = (1..x.dims().len()).collect();
    let squares = ops::sum(&ops::unary("square", x)?, &axes, true)?;
    let eps = ops::fill(x.gpu(), [1, 1], EPS);
    ops::binary("div", x, &ops::unary("sqrt", &ops::binary("add", &squares, &eps)?)?)
}

/// The weight of the (first) classifier among a network's tensors, put together where it is normalized:
/// rows [classes, features].
pub fn head_weight(tensors: &[Named]) -> Option<Vec<f32>> {
    let get = |part: &str| tensors.iter().find(|(name, ..)| of_head(name) == Some(part));
    if let Some((.., weight)) = get("weight") {
        return Some(weight.clone());
    }
    let (_, shape, v) = get("weight_v")?;
    let (.., g) = get("weight_g")?;
    let row = |(g, v): (&f32, &[f32])| {
        let square: f64 = v.iter().map(|x| f64::from(*x).powi(2)).sum();
        let factor = f64::from(*g) / (square + f64::from(EPS)).sqrt();
        v.iter().map(|x| (f64::from(*x) * factor) as f32).collect::<Vec<f32>>()
    };
    Some(g.iter().zip(v.chunks(shape[1])).flat_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_is_put_together_from_its_lengths_and_directions() {
        let plain = vec![("linear.weight".to_string(), vec![1, 2], vec![3.0, 4.0])];
        assert_eq!(head_weight(&plain), Some(vec![3.0, 4.0]));
        let apart = vec![
            ("linear.weight_v".to_string(), vec![2, 2], vec![3.0, 4.0, 0.0, -2.0]),
            ("linear.weight_g".to_string(), vec![2, 1], vec![10.0, 0.5]),
        ];
        assert_eq!(head_weight(&apart), Some(vec![6.0, 8.0, 0.0, -0.5]));
        assert_eq!(head_weight(&[]), None);
    }
}
