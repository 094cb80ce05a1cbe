//! Every case of every op on the device: forward against the 64-bit reference, gradients at the end
//! and in the middle of a graph; and PyTorch's golden files.

mod common;

use evenkeel::check::cases::{self, Case};
use evenkeel::check::device::{self, Place};
use evenkeel::check::golden::{Golden, Tolerance, compare};
use evenkeel::check::reference;
use evenkeel::gpu::Gpu;
use std::path::Path;
use std::rc::Rc;

fn check(gpu: &Rc<Gpu>, case: &Case) -> Result<(), String> {
    let inputs = case.inputs();
    let say = |e: evenkeel::error::Error| format!("{}: {e}", case.name);
    let expected = reference::run(case.op, &case.attrs, &inputs).map_err(say)?;
    let grad_outs = case.grad_outs(&expected);
    let places: &[Option<Place>] =
        if case.grad { &[Some(Place::End), Some(Place::Middle)] } else { &[None] };
    for place in places {
        let grad = place.map(|p| (&grad_outs[0], p));
        let got = device::run(gpu, case.op, &case.attrs, &inputs, grad).map_err(say)?;
        for (i, (e, g)) in expected.iter().zip(&got.outputs).enumerate() {
            let report = compare(e, g, case.tolerance);
            if !report.ok {
                return Err(format!("{} out.{i}: {report}", case.name));
            }
        }
        if place.is_none() {
            continue;
        }
        let grads = reference::grads(case.op, &case.attrs, &inputs, &grad_outs).map_err(say)?;
        for (i, e) in grads.iter().enumerate() {
            let Some(e) = e else { continue };
            let Some(g) = &got.grads[i] else {
                return Err(format!("{} grad_in.{i} ({place:?}): none", case.name));
            };
            let report = compare(e, g, case.grad_tolerance);
            if !report.ok {
                return Err(format!("{} grad_in.{i} ({place:?}): {report}", case.name));
            }
        }
    }
    Ok(())
}

fn check_op(op: &str) {
    let gpu = common::gpu();
    let chosen: Vec<Case> = cases::all().into_iter().filter(|c| c.op == op).collect();
    assert!(!chosen.is_empty(), "no case of {op}");
    let wrong: Vec<String> = chosen.iter().filter_map(|c| check(&gpu, c).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), chosen.len(), wrong.join("\n"));
}

macro_rules! ops {
    ($($op:ident),* $(,)?) => {
        $(#[test] fn $op() { check_op(stringify!($op)); })*

        #[test]
        fn every_op_of_the_reference_is_listed_here() {
            let here = [$(stringify!($op)),*];
            for op in reference::OPS {
                assert!(here.contains(&op.name), "{} has no test", op.name);
            }
        }
    };
}

ops!(
    conv2d, linear, matmul, batch_norm, normalized_batch_norm, relu, add, mul, max_pool2d,
    avg_pool2d, global_avg_pool, softmax, log_softmax, cross_entropy, sum, mean, reshape,
    shortcut_a,
);

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
        if let Err(e) = against(&gpu, &golden) {
            wrong.push(format!("{}: {e}", path.display()));
        }
    }
    assert!(files >= 100, "only {files} golden files");
    assert!(wrong.is_empty(), "{} of {files}:\n{}", wrong.len(), wrong.join("\n"));
}

fn against(gpu: &Rc<Gpu>, golden: &Golden) -> Result<(), String> {
    let grad = golden.grad_outs.first().and_then(|g| g.as_ref()).map(|g| (&g.array, Place::End));
    let got = device::run(gpu, &golden.op, &golden.attrs, &golden.arrays(), grad)
        .map_err(|e| e.to_string())?;
    let close = |what: String, e, g, t: Tolerance| {
        let report = compare(e, g, t);
        if report.ok { Ok(()) } else { Err(format!("{what}: {report}")) }
    };
    for (i, e) in golden.outputs.iter().enumerate() {
        close(format!("out.{i}"), &e.array, &got.outputs[i], golden.tolerance)?;
    }
    for (i, e) in golden.grad_ins.iter().enumerate() {
        let Some(e) = e else { continue };
        let g = got.grads[i].as_ref().ok_or(format!("grad_in.{i}: none"))?;
        close(format!("grad_in.{i}"), &e.array, g, golden.grad_tolerance)?;
    }
    Ok(())
}
