//! Tests of the recipe: its file, its flags, and what they refuse.

use super::*;
use crate::data::{Profile, SubsetRule};

fn message(result: Result<impl std::fmt::Debug>) -> String {
    let error = result.expect_err("must be refused");
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[track_caller]
fn refused(toml: &str, parts: &[&str]) {
    let found = message(Config::from_toml_str(toml));
    for part in parts {
        assert!(found.contains(part), "{found:?} lacks {part:?}");
    }
}

fn flags(args: &[&str]) -> Overrides {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        overrides: Overrides,
    }
    let args = std::iter::once("train").chain(args.iter().copied());
    <Cli as clap::Parser>::try_parse_from(args).expect("flags").overrides
}

fn applied(args: &[&str]) -> Result<Config> {
    let mut config = Config::default();
    config.apply(&flags(args)).map(|()| config)
}

/// Every optional value set, so that every key shows.
fn full() -> Config {
    let mut config = Config::default();
    config.data = DataSpec {
        dataset: "folder".into(),
        data: Some("a \"folder\"/ü".into()),
        profile: Profile::Step,
        subset: SubsetRule::First,
        classes: Some(10),
        train_per_class: Some(500),
        test_per_class: Some(100),
        image_size: Some(32),
        resize_size: Some(128),
        ..config.data
    };
    config.input.shuffle = Shuffle::None;
    config.schedule.warmup_epochs = Some(3);
    config.schedule.milestones = Some(vec![6, 8]);
    config.schedule.factors = Some(vec![0.1, 1e-7]);
    config.input.policy_magnitude = Some(3.0);
    config.optim.max_norm = Some(0.1);
    config.optim.clip_norm = Some(1.0);
    config.optim.ema = Some(0.999);
    config.loss.loss_options = [("gamma".to_string(), 2.0)].into();
    let train = TrainCfg { max_steps: Some(5), log_steps: Some(1), ..config.train };
    let train = TrainCfg { after: Some("cifar10-lt/ce".into()), after_epochs: Some(2), ..train };
    config.train = TrainCfg { init: Some("i".into()), device: Some("0".into()), ..train };
    config.teacher = TeacherCfg {
        teacher: Some("cifar10-lt/ce".into()),
        teacher_epochs: Some(2),
        teacher_model: Some("resnet56".into()),
        teacher_from: Some("t".into()),
        ..config.teacher
    };
    config
}

#[test]
fn default_is_valid_and_survives_its_file() {
    for config in [Config::default(), full()] {
        let text = config.to_toml().unwrap();
        assert_eq!(Config::from_toml_str(&text).unwrap(), config, "{text}");
        assert_eq!(config.to_toml().unwrap(), text);
    }
    Config::default().validate().unwrap();
    assert_eq!(Config::from_toml_str("").unwrap(), Config::default());
}

#[test]
fn the_table_lists_every_field_once() {
    let mut stored: Vec<(&str, String)> = Vec::new();
    for (group, table) in full().tables().unwrap() {
        stored.extend(table.keys().map(|name| (group, name.clone())));
    }
    let mut listed: Vec<_> = KEYS.iter().map(|k| (k.group, k.name.to_string())).collect();
    stored.sort();
    listed.sort();
    assert_eq!(stored, listed);
}

#[test]
fn unknown_names_get_the_nearest_one_and_the_line() {
    refused("[train]\nepochs = 3\nepoch = 4\n", &["recipe:3", "`epoch`", "`epochs`"]);
    refused("\n[trian]\nepochs = 3", &["recipe:2", "`trian`", "`train`"]);
    refused("epochs = 3", &["recipe:1", "`epochs` belongs under [train]"]);
    refused("[model]\nlr = 3", &["recipe:2", "belongs under [optim], not [model]"]);
    refused("train = 3", &["write [train]"]);
    refused("[model]\nmodel = \"resnett32\"", &["recipe:2", "resnett32", "`resnet32`"]);
    refused("[data]\nprofile = \"expo\"", &["did you mean `exp`", "exp, step"]);
    refused("[train]\nepochs = \"ten\"", &["recipe:2", "a whole number", "ten"]);
    refused("[train]\nepochs = 2.5", &["a whole number, not 2.5"]);
    refused("[optim]\nnesterov = 1", &["true or false, not 1"]);
    refused("[schedule]\nmilestones = [1, \"x\"]", &["a whole number"]);
    refused("[train\nepochs = 2", &["recipe", "line 1"]);
    refused("[train]\nepochs = 1\nepochs = 2", &["duplicate"]);
}

#[test]
fn values_out_of_range_are_named() {
    refused("[optim]\nlr = -0.1", &["`lr` must be at least 0", "-0.1"]);
    refused("[optim]\nlr = nan", &["must be at least 0", "nan"]);
    refused("[optim]\nlr = inf", &["finite"]);
    refused("[optim]\nmomentum = 1", &["at least 0 and below 1"]);
    refused("[train]\nbatch_size = 0", &["from 1 to 65535, not 0"]);
    refused("[train]\nepochs = 0", &["from 1 to 999999"]);
    refused("[train]\naccumulate = 0", &["from 1 to 65535, not 0"]);
    refused("[optim]\nclip_norm = 0", &["`clip_norm` must be", "not 0"]);
    refused("[optim]\nema = 1.0", &["`ema` must be at least 0 and below 1"]);
    refused("[train]\nseed = -1", &["at least 0"]);
    refused("[data]\nimbalance = 0.5", &["imbalance", "at least 1"]);
    refused("[loss]\nlabel_smoothing = 1.0", &["below 1"]);
    let mut config = Config::default();
    config.optim.lr = f64::NAN;
    assert!(message(config.validate()).contains("[optim] lr must be at least 0"));
    config = Config::default();
    config.train.seed = u64::MAX;
    assert!(message(config.validate()).contains("[train]"));
}

#[test]
fn contradictions_are_named() {
    #[track_caller]
    fn check(args: &[&str], part: &str) {
        let found = message(applied(args).unwrap().validate());
        assert!(found.contains(part), "{found:?} lacks {part:?}");
    }
    check(&["--dataset", "cifar10"], "--data PATH");
    check(&["--dataset", "folder", "--data", "/no/such"], "/no/such: no such");
    check(&["--data", "/"], "reads no files");
    check(&["--nesterov", "--momentum", "0"], "nesterov needs");
    check(&["--head", "lr", "--batch-size", "1"], "at least 2");
    check(&["--contrast", "paco", "--drop-last", "--accumulate", "2"], "leave accumulate out");
    check(&["--warmup-epochs", "17"], "never reach");
    check(&["--init", "/no/such"], "no such checkpoint");
    check(&["--nbn-layers", "last_stage"], "did you mean `last-stage`");
    check(&["--nbn-layers", "layer3.*.bn2,,"], "unknown nbn_layers");
}

#[test]
fn flags_replace_values() {
    let args = "--epochs 3 --lr 1e-3 --imbalance 50 --nesterov --skip-bad=true --norm bn \
        --factors 0.1,0.01 --milestones 4,5 --seed 7 --data-seed 9 --device 1 --data=some/folder";
    let config = applied(&args.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert_eq!((config.train.epochs, config.optim.lr, config.data.imbalance), (3, 1e-3, 50.0));
    assert!(config.optim.nesterov && config.data.skip_bad);
    assert_eq!((config.model.norm, config.train.seed, config.data.seed), (Norm::Bn, 7, 9));
    assert_eq!(config.schedule.milestones, Some(vec![4, 5]));
    assert_eq!(config.schedule.factors, Some(vec![0.1, 0.01]));
    assert_eq!(config.train.device.as_deref(), Some("1"));
    assert_eq!(config.data.data, Some("some/folder".into()));
    let mut back = config;
    back.apply(&flags(&["--nesterov=false", "--dataset", "synthetic"])).unwrap();
    assert!(!back.optim.nesterov && back.data.data.is_none());
}

#[test]
fn wrong_flags_are_refused_and_change_nothing() {
    for (args, parts) in [
        (["--epochs", "ten"], ["--epochs must be a whole number", "ten"]),
        (["--epochs", "-3"], ["--epochs must be from 1 to", "-3"]),
        (["--lr", "nan"], ["--lr must be at least 0", "nan"]),
        (["--model", "resnett32"], ["--model: unknown model", "did you mean `resnet32`"]),
        (["--shuffle", "epochs"], ["--shuffle", "did you mean `epoch`"]),
        (["--factors", "0.1,x"], ["--factors must be a number", "x"]),
    ] {
        let mut config = Config::default();
        let found = message(config.apply(&flags(&args)));
        assert!(parts.iter().all(|p| found.contains(p)), "{found}");
        assert_eq!(config, Config::default());
    }
}

#[test]
fn layers_are_chosen_by_pattern() {
    let selects = |text: &str, name| NbnLayers::parse(text).unwrap().selects(name, "layer3");
    assert!(selects("last-stage", "layer3.4.bn2") && !selects("last-stage", "layer3.4.bn1"));
    assert!(!selects("last-stage", "layer2.0.bn2") && !selects("none", "bn1"));
    assert!(selects("all", "bn1") && selects("bn1, layer2.*", "layer2.0.bn1"));
    assert!(selects("layer*.bn2", "layer1.0.bn2") && !selects("*.bn2", "layer1.0.bn1"));
}
