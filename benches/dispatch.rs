//! criterion over what it costs to launch: a submit of one small dispatch, a pass of 256 of them, and
//! planning the step of a small network.

use criterion::{Criterion, criterion_group, criterion_main};
use evenkeel::bench::step::{StepJob, StepSpec};
use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::graph::{Effect, Plan, Work, Workspace};
use evenkeel::tensor::Tensor;
use evenkeel::train::config::{Activations, Norm, Precision};
use evenkeel_kernels::limits::nothing;
use std::time::Duration;

fn benches(c: &mut Criterion) {
    let gpu = Gpu::open(None).expect("an adapter");
    let x = Tensor::new(&gpu, &[0.0], [1]).expect("a buffer");
    let mut work = Work::new();
    work.effect(Effect { name: "nothing", program: nothing(), args: vec![x] });
    let plan = Plan::build(&mut Workspace::new(&gpu), work).expect("a plan");
    let mut group = c.benchmark_group("dispatch");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    for dispatches in [1, 256] {
        group.bench_function(format!("submit_of_{dispatches}"), |b| {
            b.iter(|| {
                plan.repeat(&StepUniform::default(), dispatches).expect("a submit");
                gpu.wait().expect("the device finishes");
            });
        });
    }
    let spec = StepSpec {
        model: "small".into(),
        batch_size: 4,
        norm: Norm::Nbn,
        nbn_layers: "last-stage".into(),
        classes: 10,
        side: 32,
        recompute: false,
        activations: Activations::F32,
        precision: Precision::F32,
    };
    group.bench_function("plan_small", |b| b.iter(|| StepJob::new(&gpu, &spec).expect("a plan")));
    group.finish();
}

criterion_group!(group, benches);
criterion_main!(group);
