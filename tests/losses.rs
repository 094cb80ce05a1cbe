//! Every loss of `src/loss/` against PyTorch: value and gradient, alone and in the middle of a graph, with
//! and without class weights; and the parts around them (mixed batches, heads, deferred weights).

mod common;
#[path = "common/golden.rs"]
mod golden;

use common::gpu;
use evenkeel::gpu::{Gpu, StepUniform};
use evenkeel::graph::{Plan, Work, Workspace, grad};
use evenkeel::loss::{Evidence, LOSSES, Objective, ObjectiveSpec, Weights};
use evenkeel::nn::{evidence, groups};
use evenkeel::ops;
use evenkeel::tensor::Tensor;
use evenkeel::train::checkpoint::Checkpoint;
use golden::{close, computed, floats, labels, meta, open};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

fn folder() -> PathBuf {
    golden::folder().join("losses")
}

#[test]
fn every_loss_has_pytorchs_value_and_gradient() {
    let gpu = gpu();
    for definition in LOSSES {
        let path = folder().join(format!("{}.safetensors", definition.name));
        let file = open(&path);
        let cases: Vec<BTreeMap<String, f64>> = meta(&file, "options");
        let seed: [u32; 2] = meta(&file, "seed");
        let defaults = definition.values(&BTreeMap::new()).expect("defaults");
        let usual = |case: &BTreeMap<String, f64>| {
            case.iter().all(|(k, v)| (defaults[k.as_str()] - v).abs() < 1e-12)
        };
        assert!(cases.iter().any(usual), "{}: no case has its defaults", definition.name);
        for (i, options) in cases.into_iter().enumerate() {
            for (kind, weights) in
                [("plain", Weights::Even), ("weighted", Weights::Effective(meta(&file, "beta")))]
            {
                let what = format!("{} {i} {kind}", definition.name);
                let spec = ObjectiveSpec {
                    loss: definition.name.into(),
                    options: options.clone(),
                    counts: meta(&file, "counts"),
                    weights,
                    scale: meta(&file, "scale"),
                    ..ObjectiveSpec::default()
                };
                let logits = floats(&file, &format!("logits.{i}"));
                let y = labels(&file, &format!("labels.{i}"));
                let z = Tensor::new(&gpu, &logits, [y.len(), spec.counts.len()]).expect("logits");
                let y = Tensor::integers(&gpu, &y, [y.len()]).expect("labels");
                let loss = Objective::new(&gpu, &spec).and_then(|o| o.of(&z, &y)).expect("a loss");
                let end = grad(&loss, &[&z]).expect("gradients").remove(0).expect("a gradient");
                // In the middle of a graph: used twice, with coefficients.
                let minus =
                    ops::binary("mul", &loss, &ops::fill(&gpu, [1], -0.7)).expect("a product");
                let both = ops::binary("mul", &minus, &loss).expect("a product");
                let middle = grad(&both, &[&z]).expect("gradients").remove(0).expect("a gradient");
                let found = computed(&gpu, &[&loss, &end, &middle], seed);
                let value = floats(&file, &format!("{kind}_loss.{i}"));
                let gradient = floats(&file, &format!("{kind}_gradient.{i}"));
                close(&what, &found[0], &value);
                close(&format!("{what}: gradient"), &found[1], &gradient);
                // d(−0.7 L²) = −1.4 L dL
                let scaled: Vec<f32> = gradient.iter().map(|g| -1.4 * value[0] * g).collect();
                close(&format!("{what}: in a graph"), &found[2], &scaled);
            }
        }
    }
}

/// The tensors `name.0` to `name.2` of a file.
fn three(gpu: &Rc<Gpu>, file: &Checkpoint, name: &str, shape: [usize; 2]) -> Vec<Tensor> {
    let one = |e: usize| Tensor::new(gpu, &floats(file, &format!("{name}.{e}")), shape);
    (0..3).map(|e| one(e).expect("a tensor")).collect()
}

/// The loss of three experts and its gradients of their logits.
struct Experts<'a> {
    gpu: &'a Rc<Gpu>,
    wanted: Vec<Tensor>,
}

impl<'a> Experts<'a> {
    fn of(gpu: &'a Rc<Gpu>, loss: &Tensor, each: &[Tensor]) -> Self {
        let gradients = grad(loss, &each.iter().collect::<Vec<_>>()).expect("gradients");
        let gradients = gradients.into_iter().map(|g| g.expect("a gradient"));
        Experts { gpu, wanted: std::iter::once(loss.clone()).chain(gradients).collect() }
    }

    /// Fails where they are not the file's `kind_loss` and `kind_gradient.0` to `.2`.
    fn same_as(&self, file: &Checkpoint, kind: &str) {
        let found = computed(self.gpu, &self.wanted.iter().collect::<Vec<_>>(), [0; 2]);
        close(kind, &found[0], &floats(file, &format!("{kind}_loss")));
        for e in 0..3 {
            close(kind, &found[1 + e], &floats(file, &format!("{kind}_gradient.{e}")));
        }
    }
}

#[test]
fn several_experts_have_pytorchs_diversity() {
    let gpu = gpu();
    let path = folder().with_file_name("experts").join("ride.safetensors");
    let file = open(&path);
    let labels = labels(&file, "labels");
    let y = Tensor::integers(&gpu, &labels, [labels.len()]).expect("labels");
    let spec = ObjectiveSpec {
        counts: meta(&file, "counts"),
        diversity: meta(&file, "factor"),
        diversity_spread: meta(&file, "spread"),
        ..ObjectiveSpec::default()
    };
    let objective = Objective::new(&gpu, &spec).expect("an objective");
    let each = three(&gpu, &file, "logits", [labels.len(), spec.counts.len()]);
    let loss = objective.of_all(&each, &y).expect("a loss");
    let experts = Experts::of(&gpu, &loss, &each);
    for (kind, on) in [("even", false), ("spread", true)] {
        objective.weigh(on);
        experts.same_as(&file, kind);
    }
}

#[test]
fn experts_learn_by_evidence_as_in_pytorch() {
    let gpu = gpu();
    let file = open(&golden::folder().join("experts/tlc.safetensors"));
    let labels = labels(&file, "labels");
    let y = Tensor::integers(&gpu, &labels, [labels.len()]).expect("labels");
    let spec = ObjectiveSpec {
        loss: "ldam".into(),
        counts: meta(&file, "counts"),
        weights: Weights::Effective(0.999),
        scale: 30.0,
        evidence: Some(Evidence { rate: meta(&file, "rate"), engage: meta(&file, "engage") }),
        ..ObjectiveSpec::default()
    };
    let objective = Objective::new(&gpu, &spec).expect("an objective");
    let each = three(&gpu, &file, "logits", [labels.len(), spec.counts.len()]);
    let weights = evidence::weights(&each).expect("weights");
    let output = evidence::combine(&each).expect("logits");
    let found = computed(&gpu, &[&weights[0], &weights[1], &weights[2], &output], [0; 2]);
    for (e, found) in found[..3].iter().enumerate() {
        close(&format!("weight {e}"), found, &floats(&file, &format!("weight.{e}")));
    }
    close("the network's logits", &found[3], &floats(&file, "output"));
    // The later experts are spared some of the samples.
    let engaged: Vec<usize> = meta(&file, "engaged");
    assert!(engaged[0] == labels.len() && engaged[1] < engaged[0] && engaged[2] > 0);
    let loss = objective.of_all(&each, &y).expect("a loss");
    let experts = Experts::of(&gpu, &loss, &each);
    for (kind, share) in [("start", 0.0), ("half", 0.5)] {
        objective.progress(share);
        experts.same_as(&file, kind);
    }
}

#[test]
fn experts_for_groups_of_classes_learn_as_in_pytorch() {
    let gpu = gpu();
    let file = open(&golden::folder().join("experts/ace.safetensors"));
    let labels = labels(&file, "labels");
    let y = Tensor::integers(&gpu, &labels, [labels.len()]).expect("labels");
    let spec = ObjectiveSpec {
        counts: meta(&file, "counts"),
        weights: Weights::Effective(0.999),
        suppress: Some(meta(&file, "suppress")),
        ..ObjectiveSpec::default()
    };
    let each = three(&gpu, &file, "logits", [labels.len(), spec.counts.len()]);
    let weights = three(&gpu, &file, "weight", [spec.counts.len(), 4]);
    let targets = groups::targets(&spec.counts, 3).expect("groups");
    let output = groups::combine(&each, &weights.iter().collect::<Vec<_>>(), &targets);
    let loss = Objective::new(&gpu, &spec).and_then(|o| o.of_all(&each, &y)).expect("a loss");
    let gradients = grad(&loss, &each.iter().collect::<Vec<_>>()).expect("gradients");
    let output = output.expect("logits");
    let mut wanted = vec![&loss, &output];
    wanted.extend(gradients.iter().map(|g| g.as_ref().expect("a gradient")));
    let found = computed(&gpu, &wanted, [0; 2]);
    close("loss", &found[0], &floats(&file, "loss"));
    close("the network's logits", &found[1], &floats(&file, "output"));
    for e in 0..3 {
        close("gradient", &found[2 + e], &floats(&file, &format!("gradient.{e}")));
    }
}

#[test]
fn evidence_of_sure_experts_stays_finite() {
    let gpu = gpu();
    let spec = ObjectiveSpec {
        counts: vec![90, 9, 1],
        scale: 60.0,
        evidence: Some(Evidence { rate: 1.0, engage: 0.54 }),
        ..ObjectiveSpec::default()
    };
    let objective = Objective::new(&gpu, &spec).expect("an objective");
    objective.progress(1.0);
    let y = Tensor::integers(&gpu, &[0, 2, 1], [3]).expect("labels");
    let far = [60.0, -60.0, -60.0, 60.0, 60.0, -60.0, -60.0, -60.0, 60.0];
    let each: Vec<Tensor> =
        (0..4).map(|_| Tensor::new(&gpu, &far, [3, 3]).expect("logits")).collect();
    let loss = objective.of_all(&each, &y).expect("a loss");
    let gradient = grad(&loss, &[&each[0]]).expect("gradients").remove(0).expect("a gradient");
    let output = evidence::combine(&each).expect("logits");
    let found = computed(&gpu, &[&loss, &gradient, &output], [0; 2]);
    assert!(found.iter().flatten().all(|v| v.is_finite()), "{found:?}");
}

#[test]
fn no_golden_file_is_without_its_loss() {
    for entry in std::fs::read_dir(folder()).expect("golden files") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        let loss = name.trim_end_matches(".safetensors");
        assert!(LOSSES.iter().any(|d| d.name == loss), "{name} is for no loss");
    }
}

#[test]
fn losses_are_finite_where_probabilities_are_0_and_1() {
    let gpu = gpu();
    for definition in LOSSES {
        let scale = if definition.cosine { 30.0 } else { 1.0 };
        let far = if definition.cosine { 30.0 } else { 200.0 };
        let spec = ObjectiveSpec {
            loss: definition.name.into(),
            counts: vec![90, 9, 1],
            scale,
            ..ObjectiveSpec::default()
        };
        let logits = [far, -far, -far, far, -far, -far, 0.0, 0.0, 0.0];
        let z = Tensor::new(&gpu, &logits, [3, 3]).expect("logits");
        let y = Tensor::integers(&gpu, &[0, 2, 1], [3]).expect("labels");
        let loss = Objective::new(&gpu, &spec).and_then(|o| o.of(&z, &y)).expect("a loss");
        let dz = grad(&loss, &[&z]).expect("gradients").remove(0).expect("a gradient");
        let found = computed(&gpu, &[&loss, &dz], [1, 2]);
        let all = found.iter().flatten();
        assert!(all.clone().all(|v| v.is_finite()), "{}: {found:?}", definition.name);
    }
}

#[test]
fn a_mixed_batch_has_the_blended_images_and_loss() {
    let gpu = gpu();
    let (n, w) = (3, 4);
    let pixels: Vec<f32> = (0..n * w * w).map(|i| i as f32).collect();
    let x = Tensor::new(&gpu, &pixels, [n, 1, w, w]).expect("images");
    let y = Tensor::integers(&gpu, &[0, 1, 2], [n]).expect("labels");
    let logits: Vec<f32> = (0..9).map(|i| (i * i % 7) as f32).collect();
    let z = Tensor::new(&gpu, &logits, [3, 3]).expect("logits");
    let objective = Objective::new(&gpu, &ObjectiveSpec::default()).expect("an objective");
    for cut in [false, true] {
        let mixed = ops::mix(&x, &x, &y, cut).expect("a mix");
        let loss = objective
            .of_mixed(std::slice::from_ref(&z), [&y, &mixed.labels], &mixed.share)
            .expect("a loss");
        let own = objective.of(&z, &y).expect("a loss");
        let theirs = objective.of(&z, &mixed.labels).expect("a loss");
        let mut work = Work::new();
        for t in [&mixed.x, &mixed.share, &loss, &own, &theirs] {
            work.keep(t);
        }
        work.keep(&mixed.labels);
        let plan = Plan::build(&mut Workspace::new(&gpu), work).expect("a plan");
        for (lambda, step) in [(0.3f32, 0), (0.9, 1), (0.75, 2), (1.0, 3)] {
            let uniform =
                StepUniform { lambda, shift: 2, step, seed: [9, 9], ..Default::default() };
            plan.run(&uniform).expect("a run");
            assert_eq!(plan.read::<u32>(&mixed.labels).expect("labels"), [2, 0, 1]);
            let share = plan.read::<f32>(&mixed.share).expect("a share")[0];
            let images = plan.read::<f32>(&mixed.x).expect("images");
            let partner = |i: usize| pixels[(i / 16 + 2) % 3 * 16 + i % 16];
            if cut {
                let taken: Vec<usize> = (0..16).filter(|i| images[*i] == partner(*i)).collect();
                assert!((share - (1.0 - taken.len() as f32 / 16.0)).abs() < 1e-6);
                // The box has at most the sides √(1−λ)·4, rounded down to even.
                let side = ((1.0 - lambda).sqrt() * 4.0) as usize / 2 * 2;
                assert!(taken.len() <= side * side, "λ = {lambda}: {taken:?}");
                for (i, v) in images.iter().enumerate() {
                    let inside = taken.contains(&(i % 16));
                    assert_eq!(*v, if inside { partner(i) } else { pixels[i] });
                }
            } else {
                assert_eq!(share, lambda);
                for (i, v) in images.iter().enumerate() {
                    let want = lambda * pixels[i] + (1.0 - lambda) * partner(i);
                    assert!((v - want).abs() < 1e-4, "{v}, not {want}");
                }
            }
            let [mix, own, theirs] =
                [&loss, &own, &theirs].map(|t| plan.read::<f32>(t).expect("a loss")[0]);
            assert!((mix - (share * own + (1.0 - share) * theirs)).abs() < 1e-5);
        }
    }
}

#[test]
fn deferred_weights_are_turned_on_in_a_plan_that_is_there() {
    let gpu = gpu();
    let spec = ObjectiveSpec {
        counts: vec![100, 1],
        weights: Weights::Power(1.0),
        ..ObjectiveSpec::default()
    };
    let objective = Objective::new(&gpu, &spec).expect("an objective");
    let z = Tensor::new(&gpu, &[2.0, 0.0, 0.0, 1.0], [2, 2]).expect("logits");
    let y = Tensor::integers(&gpu, &[0, 1], [2]).expect("labels");
    let loss = objective.of(&z, &y).expect("a loss");
    let mut work = Work::new();
    work.keep(&loss);
    let plan = Plan::build(&mut Workspace::new(&gpu), work).expect("a plan");
    let at = |on: bool| {
        objective.weigh(on);
        plan.run(&StepUniform::default()).expect("a run");
        plan.read::<f32>(&loss).expect("a loss")[0]
    };
    let rows = [2.0f32, 1.0].map(|gap| (1.0 + (-gap).exp()).ln());
    assert!((at(false) - (rows[0] + rows[1]) / 2.0).abs() < 1e-6);
    assert!((at(true) - (rows[0] + 100.0 * rows[1]) / 101.0).abs() < 1e-5);
    assert!((at(false) - (rows[0] + rows[1]) / 2.0).abs() < 1e-6);
}

#[test]
fn random_numbers_have_their_distribution() {
    let gpu = gpu();
    let n = 20_000;
    let draws = [
        ops::noise(&gpu, [n], ops::Noise::Uniform, 0),
        ops::noise(&gpu, [n], ops::Noise::Normal, 0),
        ops::noise(&gpu, [n], ops::Noise::Bernoulli(0.9), 0),
        ops::noise(&gpu, [n], ops::Noise::Uniform, 1),
    ];
    let found = computed(&gpu, &draws.iter().collect::<Vec<_>>(), [3, 4]);
    let moments = |v: &[f32]| {
        let mean = v.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
        (mean, v.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n as f64)
    };
    for (values, (mean, variance)) in found.iter().zip([(0.5, 1.0 / 12.0), (0.0, 1.0), (0.9, 0.09)])
    {
        let (m, v) = moments(values);
        assert!((m - mean).abs() < 0.025 && (v - variance).abs() < 0.03, "{m} {v}");
    }
    assert_ne!(found[0], found[3]);
}
