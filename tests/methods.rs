//! The recipes that come along, each trained for an epoch on a few made-up images: what they freeze stays
//! frozen, a broken-off run goes on to the same bits, and parts that contradict each other are refused.

#[path = "common/trained.rs"]
mod trained;

use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use evenkeel::train::config::{Config, Overrides, Trained};
use evenkeel::train::trainer::Outcome;
use evenkeel::train::{recipes, stages};
use std::path::Path;
use tempfile::tempdir;
use trained::{options, tensors};

/// A recipe on 4 classes of 24 to 6 images, with the small network.
fn tiny(name: &str) -> Config {
    let mut config = recipes::load(name).expect("a recipe that comes along");
    let text = |v: &str| Some(v.to_string());
    let flags = Overrides {
        dataset: text("synthetic"),
        classes: text("4"),
        train_per_class: text("24"),
        test_per_class: text("4"),
        imbalance: text("4"),
        model: text("small"),
        batch_size: text("16"),
        epochs: text("1"),
        ..Overrides::default()
    };
    config.apply(&flags).expect("flags");
    config.schedule = Default::default();
    config.train.after_epochs = config.train.after.is_some().then_some(1);
    config.teacher.teacher_epochs = config.teacher.teacher.is_some().then_some(1);
    config
}

fn train(config: &Config, out: &Path) -> Outcome {
    stages::run(config, &options(out, false)).expect("a run")
}

#[test]
fn every_recipe_trains() {
    for (name, _) in recipes::all().iter().filter(|(name, _)| name.starts_with("cifar10-lt/")) {
        let folder = tempdir().expect("a folder");
        let config = tiny(name);
        let outcome = train(&config, folder.path());
        assert!(outcome.summary.is_some(), "{name}");
        let after = tensors(folder.path());
        assert!(after.iter().all(|(_, v)| v.iter().all(|x| x.is_finite())), "{name}");
        // A second stage but OLTR's leaves what lies below the classifier.
        if config.train.after.is_none() || config.optim.train_only == Trained::All {
            continue;
        }
        let before = tensors(&folder.path().join("first"));
        let adapted = config.model.post.name() == "adabn";
        let shifted = config.optim.frozen_norms.name() == "shift" || adapted;
        for (tensor, values) in after.iter().filter(|(t, _)| !t.starts_with("linear")) {
            let old = before.iter().find(|(n, _)| n == tensor).map(|(_, v)| v);
            let statistic = tensor.contains("running_");
            let kept = old.is_some_and(|old| old == values);
            assert!(kept || (statistic && shifted), "{name}: {tensor} changed");
        }
        let head = |all: &[(String, Vec<f32>)]| -> Vec<(String, Vec<f32>)> {
            all.iter().filter(|(t, _)| t.starts_with("linear")).cloned().collect()
        };
        // AdaBN changes statistics alone.
        assert_eq!(head(&before) == head(&after), adapted, "{name}: the classifier");
        assert!(!adapted || before != after, "{name}: the statistics are as before");
    }
}

#[test]
fn statistics_shift_below_a_frozen_network_where_they_are_asked_to() {
    let folder = tempdir().expect("a folder");
    let config = tiny("cifar100-lt/mislas");
    train(&config, folder.path());
    let (before, after) = (tensors(&folder.path().join("first")), tensors(folder.path()));
    let of = |all: &[(String, Vec<f32>)], name: &str| {
        all.iter().find(|(n, _)| n == name).expect("a tensor").1.clone()
    };
    assert_ne!(of(&before, "bn1.running_mean"), of(&after, "bn1.running_mean"));
    assert_eq!(of(&before, "bn1.weight"), of(&after, "bn1.weight"));
    assert_eq!(of(&before, "conv1.weight"), of(&after, "conv1.weight"));
    assert_ne!(of(&after, "linear.scale"), vec![1.0; 4]);
}

#[test]
fn a_run_broken_off_goes_on_to_the_same_bits_with_every_kind_of_draw() {
    for (sampler, mix) in [("class-balanced", "mixup"), ("class-aware", "cmo"), ("over", "cutmix")]
    {
        let mut config = tiny("cifar10-lt/ldam-drw");
        let flags = Overrides {
            sampler: Some(sampler.into()),
            mix: Some(mix.into()),
            mix_prob: Some("0.8".into()),
            cutout: Some("8".into()),
            epochs: Some("8".into()),
            loss: Some("gcl".into()),
            ..Overrides::default()
        };
        config.apply(&flags).expect("flags");
        config.train.eval_every = 8;
        let (whole, parts) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
        train(&config, whole.path());
        let mut part = config.clone();
        part.train.max_steps = Some(10);
        train(&part, parts.path());
        stages::run(&config, &options(parts.path(), true)).expect("the rest");
        assert_eq!(tensors(whole.path()), tensors(parts.path()), "{sampler}, {mix}");
    }
}

#[test]
fn neighbours_are_found_again_after_an_interruption() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/smote");
    config.train.epochs = 3;
    let whole = folder.path().join("whole");
    train(&config, &whole);
    let mut part = config.clone();
    part.train.init = Some(stages::last_checkpoint(&whole.join("first")));
    let parts = folder.path().join("parts");
    part.train.max_steps = Some(8);
    train(&part, &parts);
    stages::run(&part_without_end(&part), &options(&parts, true)).expect("the rest");
    assert_eq!(tensors(&whole), tensors(&parts));
}

#[test]
fn views_are_drawn_again_after_an_interruption_and_the_branch_is_left_behind() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/bcl");
    config.train.epochs = 2;
    let [whole, parts, then] = ["whole", "parts", "then"].map(|name| folder.path().join(name));
    train(&config, &whole);
    let mut part = config.clone();
    part.train.max_steps = Some(3);
    train(&part, &parts);
    stages::run(&part_without_end(&part), &options(&parts, true)).expect("the rest");
    assert_eq!(tensors(&whole), tensors(&parts));
    let of = |all: &[(String, Vec<f32>)], name: &str| -> Option<Vec<f32>> {
        all.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    };
    // Both projections have learned, and so has what they are of.
    let trained = tensors(&whole);
    for name in ["head.1.bias", "head_fc.1.bias"] {
        assert!(of(&trained, name).expect("a bias").iter().any(|b| *b != 0.0), "{name}");
    }
    // A classifier trained on top knows nothing of the branch.
    let mut second = tiny("cifar10-lt/crt");
    second.train.after = None;
    second.train.after_epochs = None;
    second.train.init = Some(stages::last_checkpoint(&whole));
    train(&second, &then);
    assert_eq!(of(&tensors(&then), "layer3.0.conv1.weight"), of(&trained, "layer3.0.conv1.weight"));
    assert_eq!(of(&tensors(&then), "head.1.bias"), None);
}

#[test]
fn a_second_network_and_its_queue_go_on_after_an_interruption() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/paco");
    config.train.epochs = 2;
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    train(&config, &whole);
    let mut part = config.clone();
    part.train.max_steps = Some(4);
    train(&part, &parts);
    let file =
        |folder: &Path| Checkpoint::load(&stages::last_checkpoint(folder)).expect("a checkpoint");
    let broken_off = file(&parts);
    stages::run(&part_without_end(&part), &options(&parts, true)).expect("the rest");
    let (whole, parts) = (file(&whole), file(&parts));
    assert_eq!(whole.tensors, parts.tensors);
    let floats = |file: &Checkpoint, name: &str| -> Vec<f32> {
        match file.get(name) {
            Some((_, TensorData::F32(values))) => values.clone(),
            other => panic!("{name}: {other:?}"),
        }
    };
    // Four steps of 16 images were behind: theirs are the queue's first 64 features, of length 1.
    let width = 32;
    let queue = floats(&broken_off, "momentum_encoder.queue");
    let long = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>() > 0.99;
    assert!(queue.chunks(width).take(64).all(long) && !queue.chunks(width).skip(64).any(long));
    let labels = floats(&broken_off, "momentum_encoder.queue_labels");
    assert!(labels.iter().all(|l| (0.0..4.0).contains(l)) && labels.len() == 1024);
    // The second network follows slowly: it lies between the start and the one that learns.
    let [learned, followed] = ["layer3.0.conv1.weight", "momentum_encoder.layer3.0.conv1.weight"]
        .map(|n| floats(&whole, n));
    assert_ne!(learned, followed);
    let mut still = config.clone();
    still.optim.lr = 0.0;
    still.optim.weight_decay = 0.0;
    let alone = folder.path().join("still");
    train(&still, &alone);
    let start = floats(&file(&alone), "layer3.0.conv1.weight");
    let apart =
        |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
    assert!(apart(&followed, &start) > 0.0);
    assert!(apart(&followed, &start) < 1e-3 * apart(&learned, &start));
}

#[test]
fn a_memory_begins_at_the_means_of_features_and_is_asked_by_the_first_classifier() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/oltr");
    // Steps that change nothing show what the run began with.
    config.optim.lr = 0.0;
    config.optim.weight_decay = 0.0;
    train(&config, folder.path());
    let (before, after) = (tensors(&folder.path().join("first")), tensors(folder.path()));
    let of = |all: &[(String, Vec<f32>)], name: &str| -> Vec<f32> {
        all.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name}")).1.clone()
    };
    for part in ["weight", "bias"] {
        let name = format!("linear.hallucinator.{part}");
        assert_eq!(of(&after, &name), of(&before, &format!("linear.{part}")));
    }
    assert_ne!(of(&after, "linear.weight"), of(&before, "linear.weight"));
    // NCM's rows are the class means of the same network.
    let ncm = folder.path().join("ncm");
    let mut means = tiny("cifar10-lt/ncm");
    means.train.after = None;
    means.train.after_epochs = None;
    means.train.init = Some(stages::last_checkpoint(&folder.path().join("first")));
    means.optim.lr = 0.0;
    means.optim.weight_decay = 0.0;
    train(&means, &ncm);
    assert_eq!(of(&after, "memory.centroids"), of(&tensors(&ncm), "linear.weight"));
}

/// `config` to its last epoch.
fn part_without_end(config: &Config) -> Config {
    let mut config = config.clone();
    config.train.max_steps = None;
    config
}

#[test]
fn a_first_stage_that_is_there_is_used_as_it_is() {
    let folder = tempdir().expect("a folder");
    let config = tiny("cifar10-lt/crt");
    let before = stages::first_stage(&config).expect("a recipe").expect("a first stage");
    let first = folder.path().join("first");
    stages::ensure(&before, &options(&first, false)).expect("a first stage");
    let made = std::fs::metadata(stages::last_checkpoint(&first)).expect("a checkpoint");
    train(&config, folder.path());
    let now = std::fs::metadata(stages::last_checkpoint(&first)).expect("a checkpoint");
    assert_eq!(made.modified().expect("a time"), now.modified().expect("a time"));
    // Another recipe in its place is refused.
    let other = stages::ensure(&tiny("cifar10-lt/mixup"), &options(&first, false));
    let error = other.expect_err("a refusal").to_string();
    assert!(error.contains("another recipe"), "{error}");
}

#[test]
fn contradictions_are_refused_before_anything_is_read() {
    let flag = |name: &str, value: &str| {
        let text = format!("[{}]\n", section(name));
        let plain = value.parse::<f64>().is_ok() || value == "true" || value.starts_with('{');
        let quoted = if plain { value.to_string() } else { format!("{value:?}") };
        format!("{text}{name} = {quoted}\n")
    };
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("loss", "ldan")], "did you mean `ldam`"),
        (&[("loss", "ldam")], "--head cosine"),
        (&[("loss", "focal"), ("loss_options", "{ gama = 2.0 }")], "did you mean `gamma`"),
        (&[("loss_options", "{ gamma = 2.0 }")], "takes no options"),
        (&[("loss", "focal"), ("loss_options", "{ gamma = -1.0 }")], "gamma is -1"),
        (&[("loss", "focal"), ("label_smoothing", "0.1")], "label_smoothing"),
        (&[("loss", "balanced-softmax"), ("logit_adjust", "1.0")], "leave logit_adjust out"),
        (&[("reweight_from", "0.8")], "--class-weights"),
        (&[("sampler_from", "0.8")], "--sampler"),
        (&[("sampler", "class-balanced"), ("shuffle", "none")], "contradicts"),
        (&[("sampler", "class_balanced")], "did you mean `class-balanced`"),
        (&[("mix_prob", "0.5")], "--mix"),
        (&[("train_only", "head")], "--init"),
        (&[("train_only", "scale"), ("after", "cifar10-lt/ce")], "lws or disalign"),
        (&[("start_head", "fresh")], "--init"),
        (&[("frozen_norms", "shift")], "--train-only"),
        (&[("post", "tau-norm"), ("head", "cosine")], "linear head"),
        (&[("after_epochs", "3")], "--after"),
        (&[("experts", "3"), ("combine", "evidence")], "--head cosine"),
        (&[("branches", "whole")], "--experts"),
        (&[("engage", "0.5")], "--combine evidence"),
        (&[("suppress", "1.0")], "--combine groups"),
        (&[("distill", "kd")], "--teacher RECIPE"),
        (&[("teacher", "cifar10-lt/ce")], "--distill or --attention"),
        (&[("teacher_epochs", "3"), ("teacher_from", "x")], "nothing is learned"),
        (&[("train_only", "head"), ("head", "lr"), ("after", "cifar10-lt/ce")], "shift"),
        (&[("norm", "transnorm")], "--sampler paired"),
        (&[("norm", "transnorm"), ("sampler", "paired"), ("sampler_from", "0.5")], "sampler_from"),
        (&[("norm", "transnorm"), ("sampler", "paired"), ("post", "adabn")], "each domain"),
        (&[("sampler", "paired"), ("batch_size", "15")], "batch_size is 15"),
        (&[("sampler", "paired"), ("mix", "mixup")], "halves"),
        (&[("contrast", "bcl"), ("mix", "mixup")], "unmixed"),
        (&[("loss_factor", "2")], "--contrast"),
        (&[("contrast", "bcl"), ("experts", "3")], "one classifier"),
        (&[("contrast", "bcl"), ("sampler", "paired")], "views"),
        (&[("contrast", "paco")], "--drop-last"),
        (&[("contrast", "paco"), ("drop_last", "true"), ("queue", "100")], "multiple of"),
        (&[("contrast", "paco"), ("drop_last", "true"), ("loss", "focal")], "leave loss out"),
        (&[("contrast", "paco"), ("drop_last", "true"), ("loss_factor", "0")], "above 0"),
        (&[("queue", "64")], "--contrast paco"),
        (&[("head", "memory"), ("mix", "cutmix")], "one label"),
        (&[("head", "memory"), ("experts", "3")], "--experts"),
        (&[("centroids", "0.5")], "--head memory"),
        (&[("sampler", "smote")], "--train-only head"),
        (
            &[("sampler", "smote"), ("train_only", "head"), ("after", "cifar10-lt/ce")],
            "--augment none",
        ),
        (&[("weight_norm", "head"), ("head", "cosine")], "head cosine does not use"),
        (&[("weight_norm", "all"), ("post", "tau-norm")], "length and direction"),
    ];
    for (settings, part) in cases {
        let mut sections: std::collections::BTreeMap<&str, String> = Default::default();
        for (name, value) in *settings {
            let line = flag(name, value);
            let (head, line) = line.split_once('\n').expect("two lines");
            assert_eq!(head, format!("[{}]", section(name)));
            sections.entry(section(name)).or_default().push_str(line);
        }
        let text: String = sections.iter().map(|(s, t)| format!("[{s}]\n{t}")).collect();
        let error = Config::from_toml_str(&text)
            .and_then(|c| c.validate())
            .expect_err(&format!("{text} is refused"));
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    let mut nested = tiny("cifar10-lt/crt");
    nested.train.after = Some("cifar10-lt/lws".into());
    let error = stages::first_stage(&nested).expect_err("three stages").to_string();
    assert!(error.contains("two stages"), "{error}");
}

fn section(name: &str) -> &'static str {
    let keys = evenkeel::train::config::KEYS;
    keys.iter().find(|k| k.name == name).expect("a setting").section
}

#[test]
fn named_numbers_are_read_from_flags() {
    let mut config = Config::default();
    let options = |text: &str| Overrides {
        loss: Some("seesaw".into()),
        loss_options: Some(text.into()),
        ..Overrides::default()
    };
    config.apply(&options("p=0.5, q=1")).expect("options");
    assert_eq!(config.loss.loss_options["p"], 0.5);
    assert_eq!(config.loss.loss_options["q"], 1.0);
    let again = Config::from_toml_str(&config.to_toml().expect("text")).expect("a recipe");
    assert_eq!(again, config);
    for (text, part) in [("p", "by name"), ("p=x", "number")] {
        let error = config.apply(&options(text)).expect_err("a refusal").to_string();
        assert!(error.contains("--loss-options") && error.contains(part), "{error}");
    }
}

#[test]
fn weight_balancing_keeps_rows_within_their_limit() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/weight-balancing");
    config.optim.lr = 0.5;
    config.optim.weight_decay = 0.0;
    config.train.epochs = 3;
    train(&config, folder.path());
    let rows = |all: &[(String, Vec<f32>)]| -> Vec<f32> {
        let weight = &all.iter().find(|(n, _)| n == "linear.weight").expect("a weight").1;
        weight.chunks(32).map(|r| r.iter().map(|w| w * w).sum::<f32>().sqrt()).collect()
    };
    let (before, after) =
        (rows(&tensors(&folder.path().join("first"))), rows(&tensors(folder.path())));
    let least = before.iter().copied().fold(f32::INFINITY, f32::min);
    let limit = least + 0.1 * (before.iter().copied().fold(0.0, f32::max) - least);
    assert!(after.iter().all(|n| *n <= limit * 1.0001), "{after:?} beyond {limit}");
    assert!(after.iter().any(|n| (n - limit).abs() < 1e-4), "{after:?}: none reached {limit}");
}

#[test]
fn experts_differ_and_are_averaged() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/ride-nbn-lr");
    config.train.epochs = 2;
    train(&config, folder.path());
    let all = tensors(folder.path());
    let of = |name: &str| {
        all.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}")).1.clone()
    };
    // Three quarters of 32 features; an α and a head of its own for each expert.
    assert_eq!(of("linear.weight").len(), 4 * 24);
    assert_ne!(of("linear.weight"), of("experts.1.linear.weight"));
    assert_ne!(of("layer3.0.conv1.weight"), of("experts.2.layer3.0.conv1.weight"));
    for alpha in ["scale_factor", "experts.1.scale_factor", "experts.2.scale_factor"] {
        assert!(of(alpha)[0] != 1.0, "{alpha} did not learn");
    }
    assert!(
        all.iter().all(|(n, _)| !n.starts_with("experts.1.layer1")),
        "the first stage is shared"
    );
}
