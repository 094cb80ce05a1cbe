//! criterion over whole training steps: `cargo bench --bench step -- small`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evenkeel::bench::step::{StepJob, StepSpec};
use evenkeel::gpu::Gpu;
use evenkeel::train::config::{Activations, Norm, Precision};
use std::time::{Duration, Instant};

fn benches(c: &mut Criterion) {
    let gpu = Gpu::open(None).expect("an adapter");
    let mut group = c.benchmark_group("step");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (model, norm, batch_size) in [
        ("small", Norm::Nbn, 128),
        ("resnet32", Norm::Bn, 32),
        ("resnet32", Norm::Nbn, 32),
        ("resnet32", Norm::Nbn, 128),
    ] {
        let spec = StepSpec {
            model: model.into(),
            batch_size,
            norm,
            nbn_layers: "last-stage".into(),
            classes: 10,
            side: 32,
            recompute: false,
            activations: Activations::F32,
            precision: Precision::F32,
        };
        group.throughput(Throughput::Elements(batch_size as u64));
        group.bench_function(format!("{model}_{}_b{batch_size}", norm.name()), |b| {
            let mut job = StepJob::new(&gpu, &spec).expect("a plan");
            b.iter_custom(|times| {
                let start = Instant::now();
                job.run(times as usize).expect("the steps run");
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(group, benches);
criterion_main!(group);
