//! Long work is cut up for devices that may not be kept busy for long: the same bits come out of a
//! kernel in pieces and of a step in many submits, and every kernel can be cut.

mod common;

use evenkeel::check::cases::{self, Case};
use evenkeel::check::{device, reference};
use evenkeel::gpu::{Gpu, Watchdog};
use evenkeel_kernels::{Launch, census};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

/// The bits of a case's outputs and gradients.
fn bits(gpu: &Rc<Gpu>, case: &Case) -> Vec<u64> {
    let inputs = case.inputs();
    let expected = reference::run(case.op, &case.attrs, &inputs).expect("the reference");
    let grads = case.grad.then(|| case.grad_outs(&expected));
    let grad = grads.as_ref().map(|g| (&g[0], device::Place::Middle));
    let got = device::run(gpu, case.op, &case.attrs, &inputs, grad).expect(&case.name);
    let arrays = got.outputs.iter().chain(got.grads.iter().flatten());
    arrays.flat_map(|a| a.data.iter().map(|v| v.to_bits())).collect()
}

#[test]
fn a_dispatch_in_pieces_gives_the_same_bits() {
    let whole = common::gpu();
    let cut = whole.watched_by(Watchdog { seconds: 1e-7 });
    let mut chosen: BTreeMap<&str, Case> = BTreeMap::new();
    for case in cases::all().into_iter().filter(|c| c.grad) {
        chosen.entry(case.op).or_insert(case);
    }
    assert!(chosen.len() > 20, "{} ops", chosen.len());
    for case in chosen.values() {
        assert!(bits(&whole, case) == bits(&cut, case), "{} differs in pieces", case.name);
    }
    let made = cut.kernels_made();
    let in_pieces = made.iter().filter(|form| form.ends_with("+pieces")).count();
    assert!(in_pieces > 30, "{in_pieces} of {}", made.len());
}

#[test]
fn every_kernel_can_be_cut() {
    let mut seen = HashSet::new();
    for all in census::all() {
        for call in all.programs.iter().flat_map(|(_, p)| &p.calls) {
            let cut = Launch { in_pieces: true, ..call.launch.clone() };
            // One workgroup is one piece.
            if cut.grid != [1, 1, 1] && seen.insert(cut.form()) {
                let compiled = cut.assemble().and_then(|a| a.compile());
                let compiled = compiled.unwrap_or_else(|e| panic!("{}: {e}", cut.form()));
                assert_eq!(compiled.beyond_limits(), None, "{}", cut.form());
            }
        }
    }
    assert!(seen.len() > 100, "{} kernels", seen.len());
}
