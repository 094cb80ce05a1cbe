//! Times burn on the work that `evenkeel bench` times; see `../clock.rs` for the command line.
//!
//! Groups: step (ResNet-32, forward, loss, backward, SGD), bn, conv, ce, matmul; where named, resnet50 (a
//! step at 224×224) and resnet50-recompute (with burn's gradient checkpointing). The feature `gpu` uses
//! burn's wgpu backend with fusion and autotune, `cpu` its own CPU backend.

#[path = "../../clock.rs"]
mod clock;
mod resnet;
mod resnet50;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::prelude::*;
use burn::tensor::Distribution;
use burn::tensor::module::{batch_norm_train, conv2d};
use burn::tensor::ops::ConvOptions;
use clock::{Clock, Wanted};

fn main() {
    let wanted = Wanted::read(
        &["step", "bn", "conv", "ce", "matmul"],
        &["resnet50", "resnet50-recompute"],
    );
    let device = device();
    let clock = Clock {
        peer: if cfg!(feature = "gpu") { "burn-gpu" } else { "burn-cpu" },
        version: "0.22.1",
        device: format!("{device:?}").replace(['"', '\n'], " "),
        repeats: wanted.repeats,
    };
    if wanted.has("matmul") {
        matmul(&clock, &device);
    }
    if wanted.has("ce") {
        cross_entropy(&clock, &device);
    }
    if wanted.has("bn") {
        batch_norm(&clock, &device);
    }
    if wanted.has("conv") {
        convolution(&clock, &device);
    }
    for batch in &wanted.batches {
        if wanted.has("step") {
            resnet32(&clock, &device, *batch);
        }
        if wanted.has("resnet50") {
            resnet50(&clock, &device, *batch, false);
        }
        if wanted.has("resnet50-recompute") {
            resnet50(&clock, &device, *batch, true);
        }
    }
}

/// The wgpu adapter that `PEER_DEVICE` names (cpu, integrated or discrete), else burn's choice.
#[cfg(feature = "gpu")]
fn device() -> Device {
    match std::env::var("PEER_DEVICE").as_deref() {
        Ok("cpu") => Device::wgpu(DeviceKind::Cpu),
        Ok("integrated") => Device::wgpu(DeviceKind::IntegratedGpu(0)),
        Ok("discrete") => Device::wgpu(DeviceKind::DiscreteGpu(0)),
        _ => Device::wgpu(DeviceKind::DefaultDevice),
    }
}

#[cfg(not(feature = "gpu"))]
fn device() -> Device {
    Device::flex()
}

fn wait(device: &Device) {
    device.sync().expect("the device finishes");
}

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn labels(n: usize, classes: usize, device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i32> = (0..n).map(|i| ((i * 37) % classes) as i32).collect();
    Tensor::from_ints(labels.as_slice(), device)
}

fn matmul(clock: &Clock, device: &Device) {
    let (a, b) = (normal([512, 512], device), normal([512, 512], device));
    clock.time("matmul_512x512x512", || a.clone().matmul(b.clone()), || wait(device));
}

fn cross_entropy(clock: &Clock, device: &Device) {
    let grad = device.clone().autodiff();
    let x = normal([128, 1000], &grad).require_grad();
    let t = labels(128, 1000, &grad);
    let loss = CrossEntropyLossConfig::new().init(&grad);
    let call = || {
        let loss = loss.forward(x.clone(), t.clone());
        let mut found = loss.backward();
        (loss, x.grad_remove(&mut found))
    };
    clock.time("softmax_ce_fwd_bwd_128x1000", call, || wait(device));
}

fn batch_norm(clock: &Clock, device: &Device) {
    let grad = device.clone().autodiff();
    let x = normal([32, 64, 32, 32], &grad).require_grad();
    let gamma = Tensor::<1>::random([64], Distribution::Uniform(0.5, 1.5), &grad).require_grad();
    let beta = normal([64], &grad).require_grad();
    for (case, normalized) in
        [("bn_fwd_bwd_32x64x32x32", false), ("nbn_fwd_bwd_32x64x32x32", true)]
    {
        let unit = |v: &Tensor<1>| match normalized {
            true => v.clone() / (v.clone().powi_scalar(2).sum().sqrt() + 1e-6),
            false => v.clone(),
        };
        let call = || {
            let y = batch_norm_train(x.clone(), unit(&gamma), unit(&beta), 1e-5);
            let mut found = y.output.backward();
            let mut take = |v: &Tensor<1>| v.grad_remove(&mut found);
            let parameters = (take(&gamma), take(&beta));
            (y.output, y.mean, y.variance, parameters, x.grad_remove(&mut found))
        };
        clock.time(case, call, || wait(device));
    }
}

fn convolution(clock: &Clock, device: &Device) {
    let grad = device.clone().autodiff();
    for (n, c, size) in [(128, 16, 32), (128, 32, 16), (128, 64, 8)] {
        let options = || ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let (x, w) = (normal([n, c, size, size], device), normal([c, c, 3, 3], device));
        let forward = || conv2d(x.clone(), w.clone(), None, options());
        clock.time(&format!("conv3x3_fwd_{n}x{c}x{size}x{size}"), forward, || wait(device));
        let x = normal([n, c, size, size], &grad).require_grad();
        let w = normal([c, c, 3, 3], &grad).require_grad();
        let both = || {
            let y = conv2d(x.clone(), w.clone(), None, options());
            let mut found = y.backward();
            (y, x.grad_remove(&mut found), w.grad_remove(&mut found))
        };
        clock.time(&format!("conv3x3_fwd_bwd_{n}x{c}x{size}x{size}"), both, || wait(device));
    }
}

fn resnet32(clock: &Clock, device: &Device, batch: usize) {
    let grad = device.clone().autodiff();
    let model = resnet::ResNet32::new(100, &grad);
    let data = (normal([batch, 3, 32, 32], &grad), labels(batch, 100, &grad));
    let case = format!("resnet32_step_bn_b{batch}");
    step(clock, device, &case, model, resnet::ResNet32::forward, data, 2e-4);
}

/// With `recompute`, burn computes again what its checkpointing calls memory-bound.
fn resnet50(clock: &Clock, device: &Device, batch: usize, recompute: bool) {
    let grad = device.clone().autodiff();
    let (grad, name) = match recompute {
        true => (grad.gradient_checkpointing(), "_recompute"),
        false => (grad, ""),
    };
    let model = resnet50::ResNet50::new(1000, &grad);
    // burn counts running statistics too: a mean and a variance of each of 26,560 channels
    assert_eq!(model.num_params(), 25_557_032 + 2 * 26_560);
    let data = (normal([batch, 3, 224, 224], &grad), labels(batch, 1000, &grad));
    let case = format!("resnet50_step_bn{name}_b{batch}");
    step(clock, device, &case, model, resnet50::ResNet50::forward, data, 5e-4);
}

/// A training step: forward, loss, backward, SGD with momentum and weight decay.
fn step<M: Module>(
    clock: &Clock,
    device: &Device,
    case: &str,
    model: M,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
    (x, t): (Tensor<4>, Tensor<1, Int>),
    decay: f32,
) {
    let mut model = Some(model);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer = SgdConfig::new()
        .with_momentum(Some(momentum))
        .with_weight_decay(Some(WeightDecayConfig::new(decay)))
        .init();
    let loss = CrossEntropyLossConfig::new().init(&x.device());
    let mut last = None;
    let call = || {
        let old = model.take().expect("the model of the last step");
        let loss = loss.forward(forward(&old, x.clone()), t.clone());
        let found = GradientsParams::from_grads(loss.backward(), &old);
        model = Some(optimizer.step(0.01, old, found));
        last = Some(loss.clone());
        loss
    };
    clock.time(case, call, || wait(device));
    let last: f32 = last.expect("a step was timed").into_scalar();
    assert!(last.is_finite(), "{case}: loss {last}");
}
