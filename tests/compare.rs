//! `evenkeel compare` as its user meets it: runs made once, gone on with and used again, and the table.

#[path = "common/command.rs"]
mod command;

use command::evenkeel;
use serde_json::Value;
use std::path::Path;
use tempfile::tempdir;

fn compare(out: &Path, recipes: &[&str], seeds: &str, more: &[&str]) -> command::Ran {
    let flags = [
        "--seeds",
        seeds,
        "--out",
        out.to_str().expect("a path"),
        "--dataset",
        "synthetic",
        "--classes",
        "6",
        "--train-per-class",
        "24",
        "--test-per-class",
        "4",
        "--imbalance",
        "4",
        "--model",
        "small",
        "--batch-size",
        "16",
        "--epochs",
        "2",
    ];
    evenkeel(&[&["compare"], recipes, &flags, more].concat())
}

fn rows(ran: &command::Ran) -> Vec<Value> {
    ran.lines()[0]["rows"].as_array().expect("rows").clone()
}

fn last_row(out: &Path, recipe: &str, seed: u64) -> Value {
    let file = out.join(recipe).join(format!("seed-{seed}/metrics.jsonl"));
    let text = std::fs::read_to_string(file).expect("metrics");
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

#[test]
fn runs_are_made_once_and_the_table_is_theirs() {
    let folder = tempdir().expect("a folder");
    let out = folder.path();
    let two = ["cifar10-lt/crt", "cifar10-lt/ce"];
    let ran = compare(out, &two, "2", &["--json"]).fine();
    assert_eq!(ran.err.matches(": done").count(), 4, "{}", ran.err);
    let found = rows(&ran);
    assert_eq!(found[0]["recipe"], two[0]);
    for (row, recipe) in found.iter().zip(two) {
        assert_eq!(row["seeds"], serde_json::json!([0, 1]));
        let each: Vec<f64> = (0..2)
            .map(|s| last_row(out, recipe, s)["test"]["overall"].as_f64().expect("an accuracy"))
            .collect();
        let mean = (each[0] + each[1]) / 2.0;
        assert!((row["overall"]["mean"].as_f64().expect("a mean") - mean).abs() < 1e-12);
        let std = (each[0] - each[1]).abs() / 2f64.sqrt();
        assert!((row["overall"]["std"].as_f64().expect("a deviation") - std).abs() < 1e-12);
        // The two of six classes with the fewest images.
        let rarest = |s| {
            let classes = last_row(out, recipe, s)["test"]["per_class"].clone();
            (classes[4].as_f64().expect("a share") + classes[5].as_f64().expect("a share")) / 2.0
        };
        let rarest = (rarest(0) + rarest(1)) / 2.0;
        assert!((row["rarest"]["mean"].as_f64().expect("a mean") - rarest).abs() < 1e-12);
        let differs = row["differs"].to_string();
        assert!(differs.contains("model small instead of resnet32"), "{differs}");
    }
    assert_eq!(found[0]["published"], 74.99);

    // A third seed, and the rest as it is; one run broken off is gone on with.
    let last = out.join("cifar10-lt/ce/seed-1/checkpoint/last.safetensors");
    let before = std::fs::read(&last).expect("a checkpoint");
    let again = compare(out, &two, "3", &["--json"]).fine();
    assert_eq!(again.err.matches(": was there").count(), 4, "{}", again.err);
    assert_eq!(again.err.matches(": done").count(), 2, "{}", again.err);
    assert_eq!(std::fs::read(&last).expect("a checkpoint"), before);
    for file in ["comparison.csv", "comparison.html"] {
        let text = std::fs::read_to_string(out.join(file)).expect("a table");
        assert!(text.contains("cifar10-lt/crt"), "{text}");
    }
    let runs = std::fs::read_to_string(out.join("runs.csv")).expect("a table");
    assert!(runs.starts_with("recipe,seed,epochs,overall,many,medium,few,rarest_third,"), "{runs}");
    assert_eq!(runs.lines().count(), 1 + 2 * 3, "{runs}");
    let table = compare(out, &two, "3", &["--table"]).fine();
    assert!(table.out.contains("rarest third") && !table.err.contains("done"), "{}", table.out);
}

#[test]
fn wrong_requests_end_before_anything_is_run() {
    let folder = tempdir().expect("a folder");
    let out = folder.path().join("new");
    let cases: [(&[&str], &[&str], &[&str]); 5] = [
        (&["cifar10-lt/crtt"], &[], &["cifar10-lt/crt"]),
        (&["cifar10-lt/ce"], &["--device", "0"], &["--devices"]),
        (&["cifar10-lt/ce"], &["--after", "cifar10-lt/ce"], &["--after"]),
        (&["cifar10-lt/ce"], &["--loss", "ldam"], &["--head cosine"]),
        (&["cifar10-lt/ce"], &["--lr", "-1"], &["--lr"]),
    ];
    for (recipes, more, words) in cases {
        compare(&out, recipes, "1", more).failed(2, words);
        assert!(!out.exists(), "{more:?}");
    }
    compare(&out, &["cifar10-lt/ce"], "0", &[]).failed(2, &["--seeds"]);
    // A run that fails is told, and what ended well is in the table.
    let ran = compare(&out, &["cifar10-lt/ce"], "1", &["--devices", "no such adapter"]);
    ran.failed(1, &["not finished: cifar10-lt/ce seed 0", "no such adapter"]);
    assert!(ran.out.contains("cifar10-lt/ce"), "{}", ran.out);
}
