//! criterion over the benches of `evenkeel bench`, the chosen variant of each: criterion keeps what
//! earlier runs took and says what changed. `cargo bench --bench kernels -- conv3x3_fwd`.

use criterion::{Criterion, criterion_group, criterion_main};
use evenkeel::bench::kernels;
use evenkeel::error::Result;
use evenkeel::gpu::{Gpu, StepUniform};
use std::time::{Duration, Instant};

fn benches(c: &mut Criterion) {
    if let Err(e) = all(c) {
        eprintln!("{e}");
        std::process::exit(1);
    }
}

fn all(c: &mut Criterion) -> Result<()> {
    let gpu = Gpu::open(None)?;
    for bench in kernels::select(&[])? {
        let mut group = c.benchmark_group(bench.family);
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        group.bench_function(bench.name.as_str(), |b| {
            // Planned here, so that benches left out by a filter cost nothing.
            let plan = bench.plan(&gpu).expect("a plan");
            b.iter_custom(|times| {
                let start = Instant::now();
                plan.repeat(&StepUniform::default(), times as usize).expect("a submit");
                gpu.wait().expect("the device finishes");
                start.elapsed()
            });
        });
        group.finish();
    }
    Ok(())
}

criterion_group!(group, benches);
criterion_main!(group);
