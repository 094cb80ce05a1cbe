//! Parts of methods beside losses against PyTorch (`tools/golden.py methods`): normalized weights, norms with
//! statistics by domain; and statistics taken anew against what they are.

mod common;
#[path = "common/parts.rs"]
mod golden;

use common::gpu;
use evenkeel::data::{self, DataSpec};
use evenkeel::loss::centroids::centroid_loss;
use evenkeel::loss::contrast::balanced_contrast;
use evenkeel::loss::parametric::{Compared, Parametric, parametric_contrast};
use evenkeel::loss::{Objective, ObjectiveSpec};
use evenkeel::nn::{self, After};
use evenkeel::ops;
use evenkeel::optim::SgdOptions;
use evenkeel::tensor::Tensor;
use evenkeel::train::about::About;
use evenkeel::train::adabn;
use evenkeel::train::config::{BiasStart, Config};
use evenkeel::train::device_set::DeviceSet;
use evenkeel::train::session::Session;
use golden::{Golden, close};

/// Σ c·y
fn weighted(y: &Tensor, c: &Tensor) -> Tensor {
    let product = ops::binary("mul", y, c).expect("a product");
    ops::reshape(&ops::sum(&product, &[], true).expect("a sum"), [1]).expect("a number")
}

#[test]
fn normalized_weights_are_pytorchs() {
    for kind in ["linear", "conv"] {
        let file = Golden::open(&format!("weight-norm-{kind}"));
        let [v, g, c] = ["v", "g", "c"].map(|name| file.tensor(name));
        let w = nn::weight_norm(&v, &g).expect("a weight");
        file.check(&weighted(&w, &c), &[("v", &v), ("g", &g)], &[("w", &w)]);
    }
}

#[test]
fn a_memory_and_its_centroids_are_their_authors() {
    let file = Golden::open("memory");
    let [f, v, a, u, b, w, m, c] =
        ["f", "v", "a", "u", "b", "w", "m", "c"].map(|name| file.tensor(name));
    let parts = nn::MemoryParts {
        asked: ops::linear(&f, &v, Some(&a)).expect("rows"),
        selected: ops::linear(&f, &u, Some(&b)).expect("rows"),
        weight: w.clone(),
        centroids: m.clone(),
    };
    let z = nn::memory_logits(&f, &parts).expect("logits");
    let centroids = centroid_loss(&f, &file.labels("labels"), &m).expect("a loss");
    let share = ops::fill(f.gpu(), [1], 0.3);
    let shared = ops::binary("mul", &centroids, &share).expect("a product");
    let loss = ops::binary("add", &weighted(&z, &c), &shared).expect("a sum");
    let inputs = [("f", &f), ("v", &v), ("a", &a), ("u", &u), ("b", &b), ("w", &w), ("m", &m)];
    file.check(&loss, &inputs, &[("z", &z), ("centroids", &centroids)]);
}

#[test]
fn the_parametric_contrast_is_its_authors() {
    let file = Golden::open("parametric-contrast");
    let [f, z, k, queue] = ["f", "z", "k", "queue"].map(|name| file.tensor(name));
    let spec = ObjectiveSpec { counts: vec![50, 20, 5, 1], ..ObjectiveSpec::default() };
    let objective = Objective::new(f.gpu(), &spec).expect("an objective");
    let unit = |x: &Tensor| nn::unit_rows(x).expect("unit rows");
    let with = Compared {
        anchors: &unit(&f),
        keys: &unit(&k),
        queue: &queue,
        labels: &file.labels("labels"),
        queue_labels: &file.labels("queue_labels"),
        centres: &objective.with_shares(&z).expect("logits"),
    };
    let factors = Parametric { others: 0.05, centre: 0.7, temperature: 0.05 };
    let loss = parametric_contrast(&with, &factors).expect("a loss");
    file.check(&loss, &[("f", &f), ("z", &z)], &[]);
}

#[test]
fn norms_by_domain_are_their_authors() {
    let file = Golden::open("trans-norm");
    let names = ["x", "weight", "bias", "residual", "c"];
    let [x, weight, bias, residual, c] = names.map(|name| file.tensor(name));
    let after = After { weight: &weight, bias: &bias, residual: Some(&residual), relu: true };
    let (y, moments) = nn::trans_norm_train(&x, &after).expect("a norm");
    let inputs = [("x", &x), ("weight", &weight), ("bias", &bias), ("residual", &residual)];
    file.check(&weighted(&y, &c), &inputs, &[("y", &y)]);
    let channels = weight.dims()[0];
    for (domain, [mean, variance]) in moments.iter().enumerate() {
        let part = domain * channels..(domain + 1) * channels;
        close("mean", &mean.to_vec().expect("values"), &file.values("mean")[part.clone()]);
        close("variance", &variance.to_vec().expect("values"), &file.values("variance")[part]);
    }
    let fixed = ["source", "target"]
        .map(|domain| ["mean", "variance"].map(|m| file.tensor(&format!("{m}_{domain}"))));
    let plain = After { residual: None, relu: false, ..after };
    let y = nn::trans_norm_eval(&x, &fixed, &plain).expect("a norm");
    close("evaluated", &y.to_vec().expect("values"), &file.values("evaluated"));
    let odd = Tensor::new(x.gpu(), &[0.0; 15], [3, 5, 1, 1]).expect("a tensor");
    assert!(nn::trans_norm_train(&odd, &plain).is_err());
}

#[test]
fn adabn_takes_the_statistics_of_class_balanced_images() {
    let gpu = gpu();
    let spec = DataSpec {
        classes: Some(3),
        train_per_class: Some(400),
        test_per_class: Some(1),
        imbalance: 10.0,
        ..DataSpec::default()
    };
    let splits = data::load(&spec).expect("images");
    let config = Config::default();
    let about = About::new(&config, &splits);
    let network = about.spec(BiasStart::Random).expect("a network");
    let session = || {
        let loss = ObjectiveSpec::default();
        Session::new(&gpu, &network, &loss, SgdOptions::default(), 1).expect("a session")
    };
    let set = DeviceSet::upload(&gpu, &splits.train).expect("a set");
    let labels = splits.train.labels.as_slice();
    let n = labels.len();
    assert_eq!(n, 566);
    let statistics = |batch: usize| {
        let mut session = session();
        adabn::reestimate(&mut session, (&set, labels), 3, batch, 7).expect("statistics");
        session.params.export(false).expect("tensors")
    };
    let of = |all: &[nn::Named], name: &str| -> Vec<f32> {
        all.iter().find(|(n, ..)| n == name).expect("a tensor").2.clone()
    };
    // The first norm sees what no batch has changed, so its mean is the same however the stream is cut.
    let (whole, parts) = (statistics(n), statistics(n / 2));
    close("mean", &of(&parts, "bn1.running_mean"), &of(&whole, "bn1.running_mean"));
    let (a, b) = (of(&parts, "bn1.running_var"), of(&whole, "bn1.running_var"));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3 * b), "{a:?} {b:?}");
    assert_eq!(
        of(&whole, "conv1.weight"),
        of(&session().params.export(false).unwrap(), "conv1.weight")
    );
    // The stream shows every class as often: its mean is that of the classes' means, not of the images.
    let mut by_class = Vec::new();
    for class in 0..3 {
        let own: Vec<u32> = (0..n as u32).filter(|i| labels[*i as usize] == class).collect();
        set.set_order(&own);
        let mut mean = Vec::new();
        session()
            .batch_statistics(&set, own.len(), own.len(), |name, values| {
                if name == "bn1.running_mean" {
                    mean = values;
                }
            })
            .expect("statistics");
        by_class.push((own.len() as f32, mean));
    }
    let found = of(&whole, "bn1.running_mean");
    let distance = |weights: &dyn Fn(f32) -> f32| -> f32 {
        let total: f32 = by_class.iter().map(|(n, _)| weights(*n)).sum();
        let mean = |k: usize| by_class.iter().map(|(n, m)| weights(*n) * m[k]).sum::<f32>() / total;
        found.iter().enumerate().map(|(k, f)| (f - mean(k)).powi(2)).sum::<f32>().sqrt()
    };
    let (balanced, as_stored) = (distance(&|_| 1.0), distance(&|n| n));
    assert!(
        balanced < as_stored / 2.0,
        "{balanced} from the balanced mean, {as_stored} from the other"
    );
}

#[test]
fn features_between_neighbours_are_a_uniform_share_of_the_way() {
    let gpu = gpu();
    let (n, width) = (400, 3);
    let numbers =
        |k: usize| -> Vec<f32> { (0..n * width).map(|i| ((i * k) % 17) as f32).collect() };
    let (a, b) = (numbers(5), numbers(7));
    let [x, other] = [&a, &b].map(|v| Tensor::new(&gpu, v, [n, width]).expect("features"));
    let found = ops::between(&x, &other).and_then(|y| y.to_vec()).expect("features");
    let mut shares = Vec::new();
    for row in 0..n {
        let at = row * width..(row + 1) * width;
        let (a, b, y) = (&a[at.clone()], &b[at.clone()], &found[at]);
        let Some(k) = (0..width).find(|k| (a[*k] - b[*k]).abs() > 3.0) else { continue };
        let share = (y[k] - a[k]) / (b[k] - a[k]);
        for k in 0..width {
            assert!((y[k] - (a[k] + share * (b[k] - a[k]))).abs() < 1e-4, "one share a row");
        }
        shares.push(share);
    }
    assert!(shares.iter().all(|s| (-1e-6..1.0).contains(s)), "{shares:?}");
    let mean = shares.iter().sum::<f32>() / shares.len() as f32;
    let variance = shares.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / shares.len() as f32;
    assert!((mean - 0.5).abs() < 0.06 && (variance - 1.0 / 12.0).abs() < 0.02, "{mean} {variance}");
}

#[test]
fn the_balanced_contrast_is_its_authors() {
    let file = Golden::open("balanced-contrast");
    let [f, p] = ["f", "p"].map(|name| file.tensor(name));
    let [z, prototypes] = [&f, &p].map(|x| nn::unit_rows(x).expect("unit vectors"));
    let labels = file.labels("labels");
    let loss = balanced_contrast(&z, &labels, &prototypes, 0.1).expect("a loss");
    file.check(&loss, &[("f", &f), ("p", &p)], &[]);
    // Far beyond what exp holds, if it were taken of s itself.
    let cold = balanced_contrast(&z, &labels, &prototypes, 0.03).and_then(|l| l.to_vec());
    assert!(cold.expect("a loss")[0].is_finite());
}
