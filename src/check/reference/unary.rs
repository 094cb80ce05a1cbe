//! Elementwise functions of one input, each with its slope.

use super::{Array, Attrs, OpInfo};
use crate::error::Result;
use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};

/// An op of y = f(x) and dx = f'(x)·dy.
macro_rules! unary {
    ($($constant:ident $name:literal: $f:expr, $slope:expr;)+) => { $(
        pub(super) const $constant: OpInfo = OpInfo {
            name: $name,
            inputs: &["input"],
            required: 1,
            attrs: &[],
            outputs: &["output"],
            fixed: &[],
            forward: |_: &Attrs<'_>, inputs: &[Array]| map(&inputs[0], $f),
            backward: |_: &Attrs<'_>, inputs: &[Array], dy: &Array| slopes(&inputs[0], dy, $slope),
        };
    )+ };
}

unary! {
    ABS "abs": f64::abs, |x| if x == 0.0 { 0.0 } else { x.signum() };
    DIGAMMA_REST "digamma_rest": |x| x.ln() - digamma(x), |x| x.recip() - trigamma(x);
    EXP "exp": f64::exp, f64::exp;
    GELU "gelu": |x| x * normal(x), |x| normal(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    LOG "log": f64::ln, f64::recip;
    NEG "neg": |x| -x, |_| -1.0;
    RECIPROCAL "reciprocal": f64::recip, |x| -1.0 / (x * x);
    SIGMOID "sigmoid": sigmoid, |x| sigmoid(x) * sigmoid(-x);
    SOFTPLUS "softplus": |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid;
    SQRT "sqrt": f64::sqrt, |x| 0.5 / x.sqrt();
    SQUARE "square": |x| x * x, |x| 2.0 * x;
    STIRLING_REST "stirling_rest": |x| log_gamma(x) - (x - 0.5) * x.ln() + x - 0.5 * TAU.ln(),
        |x| digamma(x) - x.ln() + 0.5 / x;
    TANH "tanh": f64::tanh, |x| 1.0 / (x.cosh() * x.cosh());
}

fn map(x: &Array, f: impl Fn(f64) -> f64) -> Result<Vec<Array>> {
    Ok(vec![Array::new(x.shape.clone(), x.data.iter().map(|v| f(*v)).collect())])
}

fn slopes(x: &Array, dy: &Array, slope: impl Fn(f64) -> f64) -> Result<Vec<Option<Array>>> {
    let dx = x.data.iter().zip(&dy.data).map(|(x, g)| slope(*x) * g).collect();
    Ok(vec![Some(Array::new(x.shape.clone(), dx))])
}

/// 1 / (1 + e⁻ˣ), by the exponential that cannot overflow.
fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// The normal distribution: ½·erfc(−x/√2).
fn normal(x: f64) -> f64 {
    let tail = 0.5 * erfc(x.abs() * FRAC_1_SQRT_2);
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// erfc for z ≥ 0: 1 − its power series up to 2, the continued fraction of Laplace beyond.
fn erfc(z: f64) -> f64 {
    if z < 2.0 {
        // erf(z) = 2/√π · e^(−z²) · Σ 2ⁿ z^(2n+1) / (1·3·…·(2n+1)), all terms positive
        let (mut term, mut sum) = (z, z);
        for n in 1..100 {
            term *= 2.0 * z * z / f64::from(2 * n + 1);
            sum += term;
        }
        return 1.0 - 2.0 / PI.sqrt() * (-z * z).exp() * sum;
    }
    // erfc(z) = e^(−z²)/√π / (z + ½/(z + 1/(z + 3/2/(z + …))))
    let fraction = (1..120).rev().fold(z, |below, n| z + 0.5 * f64::from(n) / below);
    (-z * z).exp() / PI.sqrt() / fraction
}

/// From where the asymptotic series below are exact to rounding.
const FAR: f64 = 16.0;

/// log Γ(x), x > 0: Γ(x + 1) = x·Γ(x) up to 16, Stirling's series from there.
fn log_gamma(x: f64) -> f64 {
    if x < FAR {
        return log_gamma(x + 1.0) - x.ln();
    }
    let (r, q) = (x.recip(), x.powi(-2));
    let series =
        1.0 / 12.0 - q * (1.0 / 360.0 - q * (1.0 / 1260.0 - q * (1.0 / 1680.0 - q / 1188.0)));
    (x - 0.5) * x.ln() - x + 0.5 * TAU.ln() + r * series
}

/// ψ(x) = d log Γ(x)/dx.
fn digamma(x: f64) -> f64 {
    if x < FAR {
        return digamma(x + 1.0) - x.recip();
    }
    let q = x.powi(-2);
    let series = 1.0 / 12.0 - q * (1.0 / 120.0 - q * (1.0 / 252.0 - q * (1.0 / 240.0 - q / 132.0)));
    x.ln() - 0.5 / x - q * series
}

/// dψ(x)/dx.
fn trigamma(x: f64) -> f64 {
    if x < FAR {
        return trigamma(x + 1.0) + x.powi(-2);
    }
    let (r, q) = (x.recip(), x.powi(-2));
    let series =
        1.0 / 6.0 - q * (1.0 / 30.0 - q * (1.0 / 42.0 - q * (1.0 / 30.0 - q * 5.0 / 66.0)));
    r + 0.5 * q + q * r * series
}
