//! Learning from a frozen teacher: its losses against PyTorch, its bits after training, runs that are broken
//! off, the order of a comparison's runs, and the teachers that are refused.

#[path = "common/command.rs"]
mod command;
mod common;
#[path = "common/golden.rs"]
mod golden;
#[path = "common/trained.rs"]
mod trained;

use common::gpu;
use evenkeel::graph::grad;
use evenkeel::loss::{Distillation, Objective, ObjectiveSpec, Teaching};
use evenkeel::nn::Pass;
use evenkeel::ops;
use evenkeel::tensor::Tensor;
use evenkeel::train::checkpoint::{Checkpoint, TensorData};
use evenkeel::train::config::{Config, Distill, MixKind, Overrides};
use evenkeel::train::{compare, recipes, stages};
use golden::{close, computed, floats, labels, meta, open};
use std::path::Path;
use tempfile::tempdir;
use trained::{options, tensors};

#[test]
fn what_a_teacher_adds_is_pytorchs() {
    let gpu = gpu();
    let file = open(&golden::folder().join("experts/teacher.safetensors"));
    let truth = labels(&file, "labels");
    let y = Tensor::integers(&gpu, &truth, [truth.len()]).expect("labels");
    let tensors = |name: &str, count: usize| -> Vec<Tensor> {
        let one = |i: usize| {
            let name = format!("{name}.{i}");
            let shape = file.get(&name).expect("a tensor").0.to_vec();
            Tensor::new(&gpu, &floats(&file, &name), shape).expect("a tensor")
        };
        (0..count).map(one).collect()
    };
    let pass = |logits: Vec<Tensor>, stages: Vec<Tensor>| {
        let output = ops::mean_of(&logits).expect("a mean");
        Pass { features: Vec::new(), logits, output, stages }
    };
    let learner = pass(tensors("logits", 2), tensors("maps", 2));
    let teacher = pass(tensors("teacher", 3), tensors("teacher_maps", 2));
    let kd =
        Distillation::Kd { weight: meta(&file, "weight"), temperature: meta(&file, "temperature") };
    let xerm = Distillation::Xerm { gamma: meta(&file, "gamma") };
    let none = Distillation::None;
    for (kind, logits, attention, by) in [
        ("kd", kd, 0.0, &learner.logits),
        ("xerm", xerm, 0.0, &learner.logits),
        ("attention", none, meta(&file, "beta"), &learner.stages),
    ] {
        let spec = ObjectiveSpec {
            counts: meta(&file, "counts"),
            teaching: Teaching { logits, attention },
            ..ObjectiveSpec::default()
        };
        let objective = Objective::new(&gpu, &spec).expect("an objective");
        let hard = objective.of_all(&learner.logits, &y).expect("a loss");
        let loss = objective.taught(hard, &y, &learner, &teacher).expect("a loss");
        let gradients = grad(&loss, &by.iter().collect::<Vec<_>>()).expect("gradients");
        let mut wanted = vec![&loss];
        wanted.extend(gradients.iter().map(|g| g.as_ref().expect("a gradient")));
        let found = computed(&gpu, &wanted, [0; 2]);
        close(kind, &found[0], &floats(&file, &format!("{kind}_loss")));
        for (i, g) in found[1..].iter().enumerate() {
            close(&format!("{kind} {i}"), g, &floats(&file, &format!("{kind}_gradient.{i}")));
        }
        // The teacher is a constant.
        let theirs: Vec<&Tensor> = teacher.logits.iter().chain(&teacher.stages).collect();
        assert!(grad(&loss, &theirs).expect("gradients").iter().all(Option::is_none), "{kind}");
    }
}

/// A recipe on 4 classes of 24 to 6 images, with the small network.
fn tiny(name: &str) -> Config {
    let mut config = recipes::load(name).expect("a recipe that comes along");
    config.apply(&flags("1")).expect("flags");
    config.schedule = Default::default();
    config.teacher.teacher_epochs = Some(1);
    config
}

fn flags(epochs: &str) -> Overrides {
    let text = |v: &str| Some(v.to_string());
    Overrides {
        dataset: text("synthetic"),
        classes: text("4"),
        train_per_class: text("24"),
        test_per_class: text("4"),
        imbalance: text("4"),
        model: text("small"),
        batch_size: text("16"),
        epochs: text(epochs),
        ..Overrides::default()
    }
}

fn bytes(run: &Path) -> Vec<u8> {
    std::fs::read(stages::last_checkpoint(run)).expect("a checkpoint")
}

#[test]
fn a_taught_run_broken_off_goes_on_to_the_same_bits() {
    let mut config = tiny("cifar10-lt/xerm");
    config.teacher.attention = 1000.0;
    config.train.epochs = 3;
    config.train.eval_every = 3;
    let (whole, parts) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    stages::run(&config, &options(whole.path(), false)).expect("a run");
    let mut part = config.clone();
    part.train.max_steps = Some(4);
    // The teacher's run of one epoch has more steps than that, so it is made beforehand.
    let teacher = stages::teacher(&config).expect("a recipe").expect("a teacher");
    let beside = parts.path().join("teacher");
    stages::ensure(&teacher, &options(&beside, false)).expect("a teacher");
    let before = bytes(&beside);
    stages::run(&part, &options(parts.path(), false)).expect("a part");
    // A resumed run reads its own recipe, as the command does.
    let text = std::fs::read_to_string(parts.path().join("config.toml")).expect("a recipe");
    let mut kept = Config::from_toml_str(&text).expect("a recipe");
    kept.train.max_steps = None;
    stages::run(&kept, &options(parts.path(), true)).expect("the rest");
    assert_eq!(tensors(whole.path()), tensors(parts.path()), "what was learned");
    assert!(bytes(&beside) == before, "the teacher's file changed");
    assert_eq!(tensors(&whole.path().join("teacher")), tensors(&beside), "what was learned");
    assert_ne!(tensors(whole.path()), tensors(&beside), "nothing was learned");
}

#[test]
fn a_run_is_not_resumed_below_another_teacher() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/distillation");
    config.teacher.teacher = Some("cifar10-lt/ce".into());
    config.train.epochs = 2;
    stages::run(&config, &options(folder.path(), false)).expect("a run");
    let text = std::fs::read_to_string(folder.path().join("config.toml")).expect("a recipe");
    let kept = Config::from_toml_str(&text).expect("a recipe");
    let path = stages::last_checkpoint(&folder.path().join("teacher"));
    let mut file = Checkpoint::load_own(&path).expect("a checkpoint");
    for (name, _, data) in &mut file.tensors {
        if let (TensorData::F32(values), "linear.bias") = (data, name.as_str()) {
            values[0] += 1.0;
        }
    }
    file.save(&path).expect("a file");
    let error = stages::run(&kept, &options(folder.path(), true)).err().expect("a refusal");
    assert!(error.to_string().contains("the teacher has changed"), "{error}");
}

#[test]
fn a_session_leaves_its_teacher_as_it_is() {
    use evenkeel::gpu::StepUniform;
    use evenkeel::train::{
        about::About, device_set::DeviceSet, session::Session, teacher::Teacher,
    };
    let gpu = gpu();
    let folder = tempdir().expect("a folder");
    let config = tiny("cifar10-lt/attention-transfer");
    let recipe = stages::teacher(&config).expect("a recipe").expect("a teacher");
    stages::ensure(&recipe, &options(folder.path(), false)).expect("a run");
    let splits = evenkeel::data::load(&config.data).expect("images");
    let about = About::new(&config, &splits);
    let mut session = Session::of(&gpu, &config, &about).expect("a session");
    let path = stages::last_checkpoint(folder.path());
    let teacher = Teacher::load(&gpu, &path, &about, true).expect("a teacher");
    let before = teacher.params.export(false).expect("values");
    session.teacher = Some(teacher);
    let set = DeviceSet::upload(&gpu, &splits.train).expect("a set");
    let own = session.params.export(false).expect("values");
    for step in 0..5 {
        let plan = session.train_plan(&set, 16, true).expect("a plan");
        let uniform = StepUniform { learning_rate: 0.1, step, ..Default::default() };
        plan.run(&uniform).expect("a step");
    }
    let after = session.teacher.as_ref().map(|t| t.params.export(false).expect("values"));
    assert_eq!(Some(before), after);
    assert_ne!(own, session.params.export(false).expect("values"));
}

#[test]
fn a_teacher_is_run_once_and_before() {
    let names: Vec<String> =
        ["cifar10-lt/xerm", "cifar10-lt/ce", "cifar10-lt/attention-transfer", "cifar10-lt/crt"]
            .map(String::from)
            .to_vec();
    let jobs = compare::jobs(&names, &flags("50"), 2, Path::new("x")).expect("jobs");
    assert_eq!(jobs.len(), 8);
    assert_eq!(
        (jobs[0].recipe.as_str(), jobs[1].recipe.as_str()),
        ("cifar10-lt/ce", "cifar10-lt/ce")
    );
    for job in &jobs[2..] {
        let ce = jobs.iter().find(|j| j.recipe == "cifar10-lt/ce" && j.seed == job.seed);
        let ce = Some(ce.expect("its first run").folder.clone());
        let waits = if job.recipe.ends_with("crt") { &job.first } else { &job.teacher };
        assert_eq!(*waits, ce, "{}", job.recipe);
    }
    let xerm = &jobs[2].config.schedule;
    assert_eq!(xerm.milestones, Some(vec![30, 40]), "120 and 160 of 200 epochs");
    // A teacher of another network has a folder of its own, and is no row of the plain recipe.
    let file = tempdir().expect("a folder");
    let path = file.path().join("large.toml");
    let text = std::fs::read_to_string("recipes/cifar10-lt/xerm.toml").expect("a recipe");
    std::fs::write(&path, text + "teacher_model = \"resnet20\"\n").expect("a recipe");
    let names = [path.display().to_string(), "cifar10-lt/ce".into()];
    let jobs = compare::jobs(&names, &flags("50"), 1, Path::new("x")).expect("jobs");
    let listed: Vec<&str> = jobs.iter().map(|j| j.recipe.as_str()).collect();
    assert_eq!(listed, ["cifar10-lt/ce-resnet20", "cifar10-lt/ce", names[0].as_str()]);
    assert_eq!(jobs[0].config.model.model, "resnet20");
    assert_eq!(jobs[1].config.model.model, "small");
}

#[test]
fn a_comparison_teaches_from_the_run_beside() {
    let folder = tempdir().expect("a folder");
    let out = folder.path().join("lt");
    let args = ["compare", "cifar10-lt/xerm", "--json", "--seeds", "1", "--out"];
    let mut args: Vec<String> = args.map(String::from).to_vec();
    args.push(out.display().to_string());
    let settings = [
        ["--dataset", "synthetic"],
        ["--classes", "4"],
        ["--train-per-class", "24"],
        ["--test-per-class", "4"],
        ["--imbalance", "4"],
        ["--model", "small"],
        ["--batch-size", "16"],
        ["--epochs", "1"],
    ];
    args.extend(settings.concat().into_iter().map(String::from));
    let run = || command::evenkeel(&args.iter().map(String::as_str).collect::<Vec<_>>()).fine();
    let rows = run().lines().remove(0)["rows"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "the teacher is no row: {rows}");
    assert!(rows[0]["overall"]["mean"].as_f64() > Some(0.0), "{rows}");
    let ce = out.join("cifar10-lt/ce/seed-0");
    let made = bytes(&ce);
    let recipe = std::fs::read_to_string(out.join("cifar10-lt/xerm/seed-0/config.toml"));
    assert!(recipe.expect("a recipe").contains("cifar10-lt/ce/seed-0/checkpoint/last.safetensors"));
    let told = run().err;
    assert!(told.matches("was there").count() == 2, "{told}");
    assert!(bytes(&ce) == made);
    let alone = ["train", "cifar10-lt/ce", "--dataset", "synthetic", "--distill", "kd"];
    command::evenkeel(&alone).failed(2, &["--teacher RECIPE"]);
}

/// The error of training `config`, which has `code`.
fn refused(config: &Config, code: i32) -> String {
    let folder = tempdir().expect("a folder");
    let run = stages::run(config, &options(&folder.path().join("run"), false));
    let error = run.err().expect("a refusal");
    assert_eq!(i32::from(error.exit_code()), code, "{error}");
    error.to_string()
}

#[test]
fn teachers_that_do_not_fit_are_refused() {
    let folder = tempdir().expect("a folder");
    let mut config = tiny("cifar10-lt/xerm");
    let recipe = stages::teacher(&config).expect("a recipe").expect("a teacher");
    stages::ensure(&recipe, &options(folder.path(), false)).expect("a run");
    config.teacher.teacher_from = Some(stages::last_checkpoint(folder.path()));
    let with = |change: &dyn Fn(&mut Config)| {
        let mut other = config.clone();
        change(&mut other);
        other
    };
    for (change, part) in [
        (&(|c: &mut Config| c.data.classes = Some(3)) as &dyn Fn(&mut Config), "knows 4 classes"),
        (&|c: &mut Config| c.data.image_size = Some(16), "images of [3, 32, 32]"),
    ] {
        let error = refused(&with(change), 1);
        assert!(error.contains(part), "{error}");
    }
    for (change, part) in [
        (
            &(|c: &mut Config| c.teacher.teacher_from = Some("/no/such".into()))
                as &dyn Fn(&mut Config),
            "no such checkpoint (--teacher-from)",
        ),
        (&|c: &mut Config| c.teacher.distill = Distill::None, "nothing is learned"),
        (
            &|c: &mut Config| {
                c.teacher.teacher_from = None;
                c.teacher.teacher = None;
                c.teacher.teacher_epochs = None;
            },
            "--teacher RECIPE",
        ),
        (&|c: &mut Config| c.loss.loss = "focal".into(), "leave loss out"),
        (&|c: &mut Config| c.input.mix = MixKind::Mixup, "leave mix out"),
        (
            &|c: &mut Config| {
                c.model.experts = 3;
                c.teacher.attention = 1.0;
            },
            "leave --experts out",
        ),
    ] {
        let error = refused(&with(change), 2);
        assert!(error.contains(part), "{error}");
    }
    let chained = with(&|c: &mut Config| {
        c.teacher.teacher_from = None;
        c.teacher.teacher = Some("cifar10-lt/crt".into());
    });
    assert!(refused(&chained, 2).contains("comes after another one"));
    let chained = with(&|c: &mut Config| {
        c.teacher.teacher_from = None;
        c.teacher.teacher = Some("cifar10-lt/xerm".into());
    });
    assert!(refused(&chained, 2).contains("has a teacher"));
}
