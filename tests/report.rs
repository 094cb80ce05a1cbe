//! The report: its numbers against those recomputed from the checkpoint, and what it says of runs that
//! are not whole.

use evenkeel::data;
use evenkeel::nn::Mode;
use evenkeel::report;
use evenkeel::train::about::floats;
use evenkeel::train::checkpoint::Checkpoint;
use evenkeel::train::config::Config;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

mod common;

const TINY: &[&str] = &[
    "--train-per-class",
    "130",
    "--imbalance",
    "20",
    "--test-per-class",
    "4",
    "--batch-size",
    "64",
    "--epochs",
    "2",
    "--classes",
    "4",
    "--quiet",
];

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn evenkeel(args: &[&str]) -> Ran {
    let ran = Command::new(env!("CARGO_BIN_EXE_evenkeel")).args(args).output().expect("it starts");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let ran = Ran { code: ran.status.code(), out: text(&ran.stdout), err: text(&ran.stderr) };
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

fn fine(args: &[&str]) -> Ran {
    let ran = evenkeel(args);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    ran
}

/// A finished run of either norm, trained once.
fn trained(norm: &str) -> PathBuf {
    static RUNS: OnceLock<[PathBuf; 2]> = OnceLock::new();
    let runs = RUNS.get_or_init(|| {
        ["bn", "nbn"].map(|norm| {
            let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{norm}"));
            let _ = std::fs::remove_dir_all(&out);
            fine(&[&["train", "--norm", norm, "--out", text(&out)], TINY].concat());
            out
        })
    });
    runs[usize::from(norm == "nbn")].clone()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A copy of a run whose files a test may spoil.
fn copy(norm: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy_into(&trained(norm), folder.path());
    folder
}

fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(report::FILE)).expect("a page")
}

/// The page's own numbers.
fn numbers(page: &str) -> Value {
    let data =
        page.split("<script id=\"numbers\" type=\"application/json\">").nth(1).expect("data");
    serde_json::from_str(data.split("</script>").next().expect("an end")).expect("JSON")
}

fn close(found: &Value, want: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((found - want).abs() <= 1e-9 + 1e-6 * want.abs(), "{found}, recomputed {want}");
}

fn vector(file: &Checkpoint, name: &str) -> Vec<f64> {
    let all = floats(file);
    let found = all.iter().find(|(n, ..)| n == name).unwrap_or_else(|| panic!("no {name}"));
    found.2.iter().map(|v| f64::from(*v)).collect()
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// mean, largest and coefficient of variation of absolute values, from moments.
fn spread(v: &[f64]) -> (f64, f64, f64) {
    let n = v.len() as f64;
    let mean = v.iter().map(|x| x.abs()).sum::<f64>() / n;
    let square = v.iter().map(|x| x * x).sum::<f64>() / n;
    let max = v.iter().map(|x| x.abs()).fold(0.0, f64::max);
    let cv = if mean > 0.0 { (square - mean * mean).max(0.0).sqrt() / mean } else { 0.0 };
    (mean, max, cv)
}

#[test]
fn layers_equal_those_recomputed_from_the_checkpoint() {
    for norm in ["bn", "nbn"] {
        let run = trained(norm);
        let file =
            Checkpoint::load(&run.join("checkpoint/last.safetensors")).expect("a checkpoint");
        let first = Checkpoint::load(&run.join("first-directions.safetensors")).expect("a file");
        let found = &numbers(&page(&run))["runs"][0];
        let alpha = if norm == "nbn" { vector(&file, "scale_factor")[0] } else { 1.0 };
        if norm == "nbn" {
            close(&found["alpha"], alpha);
        } else {
            assert!(found["alpha"].is_null());
        }
        let layers = found["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), 7, "{layers:?}");
        for layer in layers {
            let name = layer["layer"].as_str().expect("a name");
            let normalized = norm == "nbn" && name == "layer3.0.bn2";
            assert_eq!(layer["normalized"], normalized, "{name}");
            for (part, key, turned) in [("weight", "w", "gamma_angle"), ("bias", "b", "beta_angle")]
            {
                let stored = vector(&file, &format!("{name}.{part}"));
                let scale = if normalized { alpha / (length(&stored) + 1e-6) } else { 1.0 };
                let effective: Vec<f64> = stored.iter().map(|v| v * scale).collect();
                let (mean, max, cv) = spread(&effective);
                close(&layer[key]["mean"], mean);
                close(&layer[key]["max"], max);
                assert!((layer[key]["cv"].as_f64().expect("cv") - cv).abs() < 1e-5, "{layer}");
                let then = vector(&first, &format!("{name}.{part}"));
                let dot: f64 = stored.iter().zip(&then).map(|(a, b)| a * b).sum();
                let cos = (dot / length(&stored) / length(&then)).clamp(-1.0, 1.0);
                let angle = layer[turned].as_f64().expect("an angle");
                assert!((angle.to_radians().cos() - cos).abs() < 1e-9, "{layer}: {cos}");
            }
        }
    }
}

#[test]
fn accuracies_equal_those_of_an_evaluation_of_the_checkpoint() {
    let run = trained("nbn");
    let checkpoint = run.join("checkpoint/last.safetensors");
    let eval: Value =
        serde_json::from_str(&fine(&["eval", text(&checkpoint), "--json"]).out).expect("JSON");
    let html = page(&run);
    let found = &numbers(&html)["runs"][0];
    assert_eq!(found["test"], eval["test"]);
    let classes = found["classes"].as_array().expect("classes").len();
    let mut matrix = vec![0u64; classes * classes];
    for pair in found["mistakes"]["pairs"].as_array().expect("pairs") {
        let [t, p, n] = [0, 1, 2].map(|i| pair[i].as_u64().expect("a number"));
        matrix[t as usize * classes + p as usize] = n;
    }
    let tested = found["mistakes"]["tested"].as_array().expect("counts");
    for (t, all) in tested.iter().enumerate() {
        let wrong: u64 = matrix[t * classes..(t + 1) * classes].iter().sum();
        matrix[t * classes + t] = all.as_u64().expect("a count") - wrong;
    }
    assert_eq!(Value::from(matrix), eval["confusion"]);
    let overall = eval["test"]["overall"].as_f64().expect("an accuracy");
    assert!(html.contains(&format!("<b>{:.1}\u{a0}%</b>", overall * 100.0)), "the tile's accuracy");
    // Table cells are the same numbers.
    for value in eval["test"]["per_class"].as_array().expect("classes") {
        let cell = format!("<td>{:.1}\u{a0}%</td>", value.as_f64().expect("an accuracy") * 100.0);
        assert!(html.contains(&cell), "{cell}");
    }
}

#[test]
fn feature_strengths_equal_those_recomputed_from_the_maps() {
    use evenkeel::gpu::StepUniform;
    use evenkeel::graph::{Plan, Work, Workspace};
    use evenkeel::nn::{Builder, Params, ResNet, Scope};
    use evenkeel::train::about::About;
    use evenkeel::train::config::BiasStart;
    use evenkeel::train::device_set::DeviceSet;

    let run = trained("nbn");
    let found = &numbers(&page(&run))["runs"][0]["features"];
    let config = Config::from_toml_file(&run.join("config.toml")).expect("a recipe");
    let splits = data::load(&config.data).expect("data");
    let file = Checkpoint::load(&run.join("checkpoint/last.safetensors")).expect("a checkpoint");
    let about: About = serde_json::from_str(&file.meta["about"]).expect("a description");
    let gpu = common::gpu();
    let mut builder = Builder::default();
    let spec = about.spec(BiasStart::Zero).expect("a network");
    let model = ResNet::new(&mut builder, &spec).expect("a network");
    let params = Params::new(&gpu, builder, 0).expect("memory");
    params.import(&floats(&file)).expect("parameters that fit");
    // All test images at once: another way to the same maps.
    let set = DeviceSet::upload(&gpu, &splits.test).expect("memory");
    let scope = Scope::new(&params, Mode::Eval);
    let (x, _) = set.batch(set.len()).expect("a batch");
    let maps = model.maps(&scope, &x).expect("maps");
    let mut work = Work::new();
    work.keep(&maps);
    let plan = Plan::build(&mut Workspace::new(&gpu), work).expect("a plan");
    plan.run(&StepUniform::default()).expect("a run");
    let values: Vec<f32> = plan.read(&maps).expect("values");
    let [n, channels, h, w] = *maps.dims() else { panic!("four axes") };
    assert_eq!(found["images"], n as u64);

    let list = |v: &Value| -> Vec<usize> {
        v.as_array()
            .expect("a list")
            .iter()
            .map(|i| i.as_u64().expect("a number") as usize)
            .collect()
    };
    let (many, few) = (list(&found["frequent_classes"]), list(&found["rare_classes"]));
    assert_eq!((&many[..], &few[..]), (&[0][..], &[2, 3][..]), "130, 47, 17, 6 images");
    let head = vector(&file, "linear.weight");
    let mean_of = |class: usize, k: usize| -> f64 {
        let own = (0..n).filter(|i| splits.test.labels[*i] as usize == class);
        let all: Vec<f64> = own
            .flat_map(|i| &values[(i * channels + k) * h * w..(i * channels + k + 1) * h * w])
            .map(|v| f64::from(*v))
            .collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let top = |group: &[usize]| -> Vec<usize> {
        let of = |k: usize| {
            let each = group.iter().map(|j| head[j * channels + k] * mean_of(*j, k));
            (each.sum::<f64>() / group.len() as f64, k)
        };
        let mut all: Vec<(f64, usize)> = (0..channels).map(of).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all[..channels.div_ceil(5)].iter().map(|(_, k)| *k).collect()
    };
    let (frequent, rare) = (top(&many), top(&few));
    let own = |a: &[usize], b: &[usize]| {
        let mut kept: Vec<usize> = a.iter().copied().filter(|k| !b.contains(k)).collect();
        kept.sort_unstable();
        kept
    };
    assert_eq!(list(&found["frequent_channels"]), own(&frequent, &rare));
    assert_eq!(list(&found["rare_channels"]), own(&rare, &frequent));
    for (images, of) in [("on_rare", &few), ("on_frequent", &many)] {
        for (kind, channel_set) in
            [("frequent", own(&frequent, &rare)), ("rare", own(&rare, &frequent))]
        {
            let all: Vec<f64> = (0..n)
                .filter(|i| of.contains(&(splits.test.labels[*i] as usize)))
                .flat_map(|i| channel_set.iter().map(move |k| (i, *k)))
                .flat_map(|(i, k)| {
                    &values[(i * channels + k) * h * w..(i * channels + k + 1) * h * w]
                })
                .map(|v| f64::from(*v))
                .collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let sd =
                (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
            let near = |key: String, want: f64| {
                let got = found[images][&key].as_f64().expect("a number");
                assert!(
                    (got - want).abs() < 1e-4 * want.abs().max(1e-3),
                    "{images} {key}: {got}, {want}"
                );
            };
            near(format!("mean_{kind}"), mean);
            near(format!("sd_{kind}"), sd);
        }
    }
}

#[test]
fn two_runs_stand_beside_each_other_in_one_page_that_needs_nothing() {
    let (bn, nbn) = (copy("bn"), trained("nbn"));
    fine(&["report", text(bn.path()), text(&nbn)]);
    let html = page(bn.path());
    for word in
        ["BN beside NBN", "layer3.0.bn2", "Confusion, NBN", "<svg", "<title>", "Feature strength"]
    {
        assert!(html.contains(word), "{word}");
    }
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    for word in ["http://", "https://", "src=", "<link", "@import", "NaN"] {
        assert!(!outside.contains(word), "{word}");
    }
    let found = numbers(&html);
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["notes"].as_array().map(Vec::len), Some(0), "{}", found["notes"]);
}

#[test]
fn a_run_that_just_began_shows_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(trained("bn").join("config.toml"), folder.path().join("config.toml"))
        .expect("a copy");
    let ran = fine(&["report", text(folder.path())]);
    for word in ["no finished epoch", "No checkpoint"] {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
        assert!(page(folder.path()).contains(word), "{word}");
    }
    // A line cut off in the middle, and one that is not a run's.
    let whole = std::fs::read_to_string(trained("bn").join("metrics.jsonl")).expect("lines");
    let first = whole.lines().next().expect("a line");
    let broken = format!("{first}\n{{\"epoch\":1}}\n{}", &first[..first.len() / 2]);
    std::fs::write(folder.path().join("metrics.jsonl"), broken).expect("a file");
    let ran = fine(&["report", text(folder.path())]);
    assert!(
        ran.err.contains("line 2, left out") && ran.err.contains("1 of 2 epochs"),
        "{}",
        ran.err
    );
    assert!(page(folder.path()).contains("Training loss"));
}

#[test]
fn a_checkpoint_without_metrics_still_shows_its_layers() {
    let run = copy("nbn");
    std::fs::remove_file(run.path().join("metrics.jsonl")).expect("a file less");
    std::fs::remove_file(run.path().join("first-directions.safetensors")).expect("a file less");
    let ran = fine(&["report", "--no-features", text(run.path())]);
    assert!(ran.err.contains("No curves") && ran.err.contains("no angles"), "{}", ran.err);
    let html = page(run.path());
    assert!(html.contains("layer3.0.bn2: |w| and |b|, sorted") && !html.contains("Training loss"));
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_used() {
    let run = copy("nbn");
    let last = run.path().join("checkpoint/last.safetensors");
    let mut bytes = std::fs::read(&last).expect("a checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&last, bytes).expect("a file");
    let ran = fine(&["report", text(run.path())]);
    assert!(ran.err.contains("checksum"), "{}", ran.err);
    let found = &numbers(&page(run.path()))["runs"][0];
    // The run's strengths belong to another step, so they were measured anew.
    assert_eq!(
        found["step"].as_u64().map(|s| s * 2),
        numbers(&page(&trained("nbn")))["runs"][0]["step"].as_u64()
    );
    assert!(found["features"].is_object(), "{}", ran.err);
}

#[test]
fn runs_of_different_models_are_told_apart() {
    let (a, b) = (copy("bn"), copy("nbn"));
    let path = b.path().join("checkpoint/last.safetensors");
    let mut file = Checkpoint::load_own(&path).expect("a checkpoint");
    let about = file.meta["about"].replace("\"small\"", "\"resnet20\"");
    file.meta.insert("about".into(), about);
    file.save(&path).expect("a file");
    fine(&["report", "--no-features", text(a.path()), text(b.path())]);
    assert!(page(a.path()).contains("different models, small and resnet20"));
}

#[test]
fn requests_that_name_no_run_are_refused() {
    let empty = tempfile::tempdir().expect("a folder");
    for (path, word) in
        [(Path::new("/no/such/run"), "no such folder"), (empty.path(), "holds no run")]
    {
        let ran = evenkeel(&["report", text(path)]);
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(word), "{}", ran.err);
        assert!(!path.join(report::FILE).exists());
    }
    let run = copy("nbn");
    let ran = evenkeel(&["report", text(run.path()), "--classes", "1 flat squar"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("did you mean"), "{}", ran.err);
}

#[test]
fn chosen_classes_get_pictures() {
    let run = copy("nbn");
    fine(&["report", text(run.path()), "--classes", "2,0"]);
    assert_eq!(page(run.path()).matches("data:image/png;base64").count(), 2 * 3);
}
