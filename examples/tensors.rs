//! The tensor library by itself: logistic regression on two noisy blobs, by gradient descent.
//! `cargo run --release --example tensors`

use evenkeel::gpu::Gpu;
use evenkeel::graph::grad;
use evenkeel::ops::{self, CrossEntropy};
use evenkeel::tensor::Tensor;
use std::error::Error;

const POINTS: usize = 256;

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::open(None)?;
    // Two blobs around (-1, -1) and (1, 1); the noise is a fixed zigzag.
    let noise = |i: usize| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 0.9;
    let side = |i: usize| if i.is_multiple_of(2) { -1.0 } else { 1.0 };
    let points: Vec<f32> =
        (0..POINTS).flat_map(|i| [side(i) + noise(i), side(i) + noise(i + 50)]).collect();
    let labels: Vec<u32> = (0..POINTS as u32).map(|i| i % 2).collect();
    let x = Tensor::new(&gpu, &points, [POINTS, 2])?;
    let labels_on_gpu = Tensor::integers(&gpu, &labels, [POINTS])?;
    let (mut weight, mut bias) = (vec![0.0f32; 4], vec![0.0f32; 2]);
    let mut loss_now = 0.0;
    for _ in 0..20 {
        let w = Tensor::new(&gpu, &weight, [2, 2])?;
        let b = Tensor::new(&gpu, &bias, [2])?;
        // Nothing runs until a value is asked for; gradients are tensors like any other.
        let logits = ops::linear(&x, &w, Some(&b))?;
        let loss = ops::cross_entropy(&logits, &labels_on_gpu, &CrossEntropy::default())?;
        let mut gradients = grad(&loss, &[&w, &b])?.into_iter().flatten();
        let (dw, db) = (gradients.next().expect("dw"), gradients.next().expect("db"));
        loss_now = loss.to_vec()?[0];
        for (v, d) in weight.iter_mut().zip(dw.to_vec()?) {
            *v -= 0.5 * d;
        }
        for (v, d) in bias.iter_mut().zip(db.to_vec()?) {
            *v -= 0.5 * d;
        }
    }
    let w = Tensor::new(&gpu, &weight, [2, 2])?;
    let b = Tensor::new(&gpu, &bias, [2])?;
    let logits = ops::linear(&x, &w, Some(&b))?.to_vec()?;
    let right =
        logits.chunks(2).zip(&labels).filter(|(z, y)| u32::from(z[1] > z[0]) == **y).count();
    println!("loss {loss_now:.4}, {right} of {POINTS} right");
    assert!(loss_now < 0.3 && right > POINTS * 9 / 10);
    Ok(())
}
