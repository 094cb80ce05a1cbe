//! What looking for numbers that are not finite costs: the guard's share of a training step, by the
//! device's timestamps, for the small network and ResNet-32.
//!
//!     cargo run --release --example guard_cost

use evenkeel::data::{self, DataSpec};
use evenkeel::error::Result;
use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::loss::ObjectiveSpec;
use evenkeel::nn::{BiasStart, Experts, Head, NormKind, NormLayers, Norms, Projected, Spec};
use evenkeel::optim::SgdOptions;
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;

/// Steps, of whose shares the median is told.
const STEPS: u32 = 9;

fn main() -> Result<()> {
    let gpu = Gpu::open(None)?;
    println!("{}", gpu.describe());
    let splits = data::load(&DataSpec { imbalance: 10.0, ..DataSpec::default() })?;
    let set = DeviceSet::upload(&gpu, &splits.train)?;
    for (model, batch) in [("small", 64), ("resnet32", 32)] {
        let norms = Norms::new(NormKind::Nbn, NormLayers::LastStage, BiasStart::Random);
        let experts = Experts::ONE;
        let spec = Spec {
            model,
            classes: 10,
            head: Head::Linear,
            experts,
            norms,
            projected: Projected::NONE,
        };
        let sgd = SgdOptions { momentum: 0.9, weight_decay: 2e-4, ..SgdOptions::default() };
        let mut session = Session::new(&gpu, &spec, &ObjectiveSpec::default(), sgd, 0)?;
        let plan = session.train_plan(&set, batch, true)?;
        let mut shares = Vec::new();
        let mut last = (0.0, 0.0);
        for step in 0..STEPS {
            let times =
                plan.profile(&StepUniform { learning_rate: 1e-3, step, ..Default::default() })?;
            let mut times = times.into_iter();
            let (mut guard, mut all) = (0.0, 0.0);
            for node in plan.steps() {
                let own: f64 = times.by_ref().take(node.calls.len()).sum();
                all += own;
                guard += if node.op == "guard" { own } else { 0.0 };
            }
            shares.push(guard / all);
            last = (guard, all);
        }
        shares.sort_by(f64::total_cmp);
        println!(
            "{model}, batch {batch}: guard {:.3} ms of {:.1} ms, median share {:.3} %",
            last.0 / 1e6,
            last.1 / 1e6,
            shares[shares.len() / 2] * 100.0
        );
    }
    Ok(())
}
