//! Times candle on a CPU on the work that `evenkeel bench` times; see `../clock.rs` for the command
//! line. Groups: step (ResNet-32, forward, loss, backward, SGD), bn, conv, ce, matmul.

#[path = "../../clock.rs"]
mod clock;
mod resnet;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::loss::cross_entropy;
use candle_nn::{ModuleT, VarBuilder, VarMap, batch_norm};
use clock::{Clock, Wanted};

const CPU: Device = Device::Cpu;

fn main() -> Result<()> {
    let wanted = Wanted::read(&["step", "bn", "conv", "ce", "matmul"], &[]);
    let clock = Clock {
        peer: "candle-cpu",
        version: "0.11.1",
        device: "cpu".into(),
        repeats: wanted.repeats,
    };
    if wanted.has("matmul") {
        let (a, b) = (normal(&[512, 512])?, normal(&[512, 512])?);
        clock.time("matmul_512x512x512", || done(a.matmul(&b)), || {});
    }
    if wanted.has("ce") {
        let (x, t) = (Var::from_tensor(&normal(&[128, 1000])?)?, labels(128, 1000)?);
        let call = || done(cross_entropy(&x, &t).and_then(|loss| loss.backward()));
        clock.time("softmax_ce_fwd_bwd_128x1000", call, || {});
    }
    if wanted.has("bn") {
        let variables = VarMap::new();
        let bn = batch_norm(64, 1e-5, VarBuilder::from_varmap(&variables, DType::F32, &CPU))?;
        let x = Var::from_tensor(&normal(&[32, 64, 32, 32])?)?;
        let call = || done(bn.forward_t(&x, true).and_then(|y| y.backward()));
        clock.time("bn_fwd_bwd_32x64x32x32", call, || {});
    }
    if wanted.has("conv") {
        for (n, c, size) in [(128, 16, 32), (128, 32, 16), (128, 64, 8)] {
            let (x, w) = (normal(&[n, c, size, size])?, normal(&[c, c, 3, 3])?);
            let where_ = format!("{n}x{c}x{size}x{size}");
            clock.time(&format!("conv3x3_fwd_{where_}"), || done(x.conv2d(&w, 1, 1, 1, 1)), || {});
            let (x, w) = (Var::from_tensor(&x)?, Var::from_tensor(&w)?);
            let both = || done(x.conv2d(&w, 1, 1, 1, 1).and_then(|y| y.backward()));
            clock.time(&format!("conv3x3_fwd_bwd_{where_}"), both, || {});
        }
    }
    if wanted.has("step") {
        for batch in &wanted.batches {
            step(&clock, *batch)?;
        }
    }
    Ok(())
}

fn done<T>(result: Result<T>) -> T {
    result.expect("candle computes it")
}

fn normal(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, shape, &CPU)
}

fn labels(n: usize, classes: usize) -> Result<Tensor> {
    let labels: Vec<u32> = (0..n).map(|i| ((i * 37) % classes) as u32).collect();
    Tensor::from_vec(labels, n, &CPU)
}

fn step(clock: &Clock, batch: usize) -> Result<()> {
    let variables = VarMap::new();
    let model =
        resnet::ResNet32::new(100, VarBuilder::from_varmap(&variables, DType::F32, &CPU))?;
    let variables = variables.all_vars();
    let mut momentum: Vec<Option<Tensor>> = vec![None; variables.len()];
    let (x, t) = (normal(&[batch, 3, 32, 32])?, labels(batch, 100)?);
    let call = || {
        done((|| {
            let loss = cross_entropy(&model.forward(&x)?, &t)?;
            update(&variables, &mut momentum, &loss.backward()?)?;
            Ok(loss)
        })())
    };
    clock.time(&format!("resnet32_step_bn_b{batch}"), call, || {});
    Ok(())
}

/// SGD with momentum and weight decay, which candle's own optimizer lacks.
fn update(variables: &[Var], momentum: &mut [Option<Tensor>], found: &GradStore) -> Result<()> {
    for (variable, kept) in variables.iter().zip(momentum) {
        let Some(gradient) = found.get(variable) else { continue };
        let gradient = (gradient + (variable.as_tensor() * 2e-4)?)?;
        let velocity = match kept.take() {
            Some(old) => ((old * 0.9)? + gradient)?,
            None => gradient,
        }
        .detach();
        variable.set(&(variable.as_tensor() - (&velocity * 0.01)?)?)?;
        *kept = Some(velocity);
    }
    Ok(())
}
