//! Every case of every op on the device: forward against the 64-bit reference, gradients at the end
//! and in the middle of a graph; and PyTorch's golden files.

mod common;
#[macro_use]
#[path = "common/ops.rs"]
mod list;

use evenkeel::check::cases::{self, Case};
use evenkeel::check::golden::Golden;
use evenkeel::check::reference::{self, Array};
use evenkeel::check::{device, run};
use evenkeel::gpu::Gpu;
use std::path::Path;
use std::rc::Rc;

/// The first comparison that is off.
fn complaint(name: &str, found: evenkeel::error::Result<Vec<run::Finding>>) -> Option<String> {
    match found {
        Err(e) => Some(format!("{name}: {e}")),
        Ok(list) if list.is_empty() => Some(format!("{name}: nothing was compared")),
        Ok(list) => {
            let wrong = list.iter().find(|f| !f.report.ok)?;
            Some(format!("{name} {}: {}", wrong.what, wrong.report))
        }
    }
}

fn check(gpu: &Rc<Gpu>, case: &Case) -> Option<String> {
    complaint(&case.name, run::case(gpu, case))
}

fn check_op(op: &str) {
    let gpu = common::gpu();
    let chosen: Vec<Case> = cases::all().into_iter().filter(|c| c.op == op).collect();
    assert!(!chosen.is_empty(), "no case of {op}");
    let wrong: Vec<String> = chosen.iter().filter_map(|c| check(&gpu, c)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), chosen.len(), wrong.join("\n"));
}

tests_of_every_op!(check_op);

#[test]
fn pytorch_agrees() {
    let gpu = common::gpu();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ops");
    let mut files = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).expect("golden files") {
        let path = entry.expect("an entry").path();
        let golden = Golden::read(&path).expect("a golden file");
        files += 1;
        let name = path.display().to_string();
        wrong.extend(complaint(&name, run::golden(&gpu, &golden)));
    }
    assert!(files >= 100, "only {files} golden files");
    assert!(wrong.is_empty(), "{} of {files}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn inputs_that_are_missing_or_too_many_are_refused() {
    let gpu = common::gpu();
    let attrs = serde_json::json!({});
    for info in reference::OPS {
        let most = info.inputs.len();
        for count in [0, info.required - 1, most + 1] {
            let inputs = vec![Array::new([2, 2], vec![1.0; 4]); count];
            let found = device::run(&gpu, info.name, &attrs, &inputs, None);
            let said = found.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(said.contains(info.name) && said.contains("inputs"), "{}: {said}", info.name);
        }
    }
}
