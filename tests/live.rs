//! A run in memory takes the steps that `evenkeel train` takes, to the bit, and says what it can't do.

mod common;
#[path = "common/run.rs"]
mod run;

use evenkeel::data;
use evenkeel::error::{Error, Result};
use evenkeel::gpu::{Gpu, Slice};
use evenkeel::ops;
use evenkeel::tensor::Tensor;
use evenkeel::train::config::Config;
use evenkeel::train::live::Live;
use evenkeel::train::metrics::Summary;
use run::{SHORT, folder, train};
use std::rc::Rc;

/// The data of [`SHORT`], and fewer epochs than steps would fit.
const RECIPE: &str = "[data]\ntrain_per_class = 40\nimbalance = 4\ntest_per_class = 5\n\
                      [train]\nepochs = 3\nbatch_size = 16\n";

fn live(gpu: &Rc<Gpu>, more: &str) -> Result<Live> {
    let config = Config::from_toml_str(&format!("{RECIPE}{more}"))?;
    Live::new(gpu, &config, &Rc::new(data::load(&config.data)?))
}

/// A run to its end: all losses, looked at every five steps, and the evaluation after each epoch.
async fn through(live: &mut Live) -> Result<(Vec<f32>, Vec<Summary>)> {
    let (mut losses, mut tests) = (Vec::new(), Vec::new());
    let mut epoch = 0;
    while live.step()? {
        if live.steps().is_multiple_of(5) {
            losses.extend(live.losses().await?);
        }
        if live.epoch() > epoch {
            epoch = live.epoch();
            tests.push(live.evaluate().await?);
        }
    }
    losses.extend(live.losses().await?);
    Ok((losses, tests))
}

#[test]
fn a_run_in_memory_takes_the_steps_of_train_to_the_bit() -> Result<()> {
    let out = folder();
    let events = train(&SHORT, out.path());
    let mut live = live(&common::gpu(), "")?;
    let (losses, tests) = pollster::block_on(through(&mut live))?;
    let of = |kind: &'static str| events.iter().filter(move |e| e["event"] == kind);
    let steps: Vec<f32> = of("step").map(|e| e["loss"].as_f64().expect("a loss") as f32).collect();
    assert_eq!(losses, steps);
    let tested: Vec<Summary> = of("epoch")
        .map(|e| serde_json::from_value(e["test"].clone()).expect("a summary"))
        .collect();
    // Numbers in JSON are read to within the last bit.
    let read = |s: &Summary| {
        serde_json::from_str(&serde_json::to_string(s).expect("JSON")).expect("a summary")
    };
    assert_eq!(tests.iter().map(read).collect::<Vec<Summary>>(), tested);
    assert!(live.finished() && !live.step()?);
    Ok(())
}

#[test]
fn what_changes_with_the_epoch_changes_in_memory_too() -> Result<()> {
    let out = folder();
    let flags = ["--experts", "2", "--branches", "whole", "--combine", "evidence"];
    let more = ["--head", "cosine", "--evidence", "0.5", "--max-steps", "32"];
    let events = train(&[&SHORT[..], &flags, &more].concat(), out.path());
    let recipe = "max_steps = 32\n[model]\nexperts = 2\nbranches = \"whole\"\n\
                  combine = \"evidence\"\nhead = \"cosine\"\n[loss]\nevidence = 0.5\n";
    let mut live = live(&common::gpu(), recipe)?;
    let (losses, _) = pollster::block_on(through(&mut live))?;
    let steps = events.iter().filter(|e| e["event"] == "step");
    let steps: Vec<f32> = steps.map(|e| e["loss"].as_f64().expect("a loss") as f32).collect();
    assert_eq!(losses, steps);
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_ends_a_run_in_memory_in_words() -> Result<()> {
    let mut live = live(&common::gpu(), "[optim]\nlr = 1e30\n")?;
    match pollster::block_on(through(&mut live)) {
        Err(Error::NonFinite(why)) => {
            assert!(why.contains("at step") && why.contains("lower lr"), "{why}")
        }
        other => panic!("{:?}", other.map(|(losses, _)| losses)),
    }
    Ok(())
}

#[test]
fn what_a_run_in_memory_cannot_do_is_a_wrong_request() -> Result<()> {
    for (recipe, named) in [
        ("[model]\npost = \"tau-norm\"\n", "post"),
        ("[optim]\nmax_norm = 0.5\n", "max_norm"),
        ("[input]\n", "input"),
    ] {
        let error = live(&common::gpu(), recipe).err().expect("a refusal");
        assert_eq!(error.exit_code(), 2, "{recipe}");
        assert!(error.to_string().contains(named), "{error}");
    }
    Ok(())
}

#[test]
fn a_device_that_is_requested_computes_and_its_values_are_awaited() -> Result<()> {
    let gpu = pollster::block_on(Gpu::request())?;
    let x = Tensor::new(&gpu, &[1.0, 2.0, 3.0], [3])?;
    assert_eq!(ops::sum(&x, &[], false)?.to_vec()?, [6.0]);
    let words = Slice::whole(gpu.upload("words", &[1u32, 2, 3])?);
    assert_eq!(pollster::block_on(gpu.read_async::<u32>(&words))?, [1, 2, 3]);
    Ok(())
}
