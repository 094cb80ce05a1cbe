//! Times meganeura (WGSL through blade-graphics: Vulkan, Metal) on the work that `evenkeel bench` times; see
//! `../clock.rs` for the command line. Groups: conv, ce, matmul. Batch norm it folds into weights when it loads a
//! network and can't train, so there is no group bn and no step.

#[path = "../../clock.rs"]
mod clock;

use clock::{Clock, Wanted};
use meganeura::{Graph, NodeId, Session, SessionConfig, build, build_session};
use std::cell::RefCell;

fn main() {
    let wanted = Wanted::read(&["conv", "ce", "matmul"], &[]);
    if wanted.has("matmul") {
        let mut g = Graph::new();
        let (a, b) = (g.input("a", &[512, 512]), g.input("b", &[512, 512]));
        let c = g.matmul(a, b);
        time(&wanted, "matmul_512x512x512", inference(g, c), &[("a", 512 * 512), ("b", 512 * 512)]);
    }
    if wanted.has("ce") {
        let mut g = Graph::new();
        let logits = g.parameter("logits", &[128, 1000]);
        let labels = g.input("labels", &[128, 1000]);
        let loss = g.cross_entropy_loss(logits, labels);
        g.set_outputs(vec![loss]);
        let mut session = build_session(&g);
        session.set_parameter("logits", &numbers(128 * 1000));
        let labels: Vec<f32> = (0..128 * 1000)
            .map(|i| f32::from(u8::from(i % 1000 == i / 1000 * 37 % 1000)))
            .collect();
        session.set_input("labels", &labels);
        time(&wanted, "softmax_ce_fwd_bwd_128x1000", session, &[]);
    }
    if wanted.has("conv") {
        for (n, c, side) in [(128, 16, 32), (128, 32, 16), (128, 64, 8)] {
            convolutions(&wanted, n, c, side);
        }
    }
}

/// 3x3 with padding 1 and as many output channels as input channels: each direction by itself.
fn convolutions(wanted: &Wanted, n: u32, c: u32, side: u32) {
    let (pixels, weights) = ((n * c * side * side) as usize, (9 * c * c) as usize);
    for name in ["fwd", "bwd_data", "bwd_weight"] {
        let mut g = Graph::new();
        let second = if name == "bwd_weight" { pixels } else { weights };
        let (a, b) = (g.input("a", &[pixels]), g.input("b", &[second]));
        let out = match name {
            "fwd" => g.conv2d(a, b, n, c, side, side, c, 3, 3, 1, 1),
            "bwd_data" => g.conv2d_grad_input(a, b, n, c, side, side, c, 3, 3, 1, 1, 1),
            _ => g.conv2d_grad_weight(a, b, c, side, side, c, 3, 3, 1, 1, 1),
        };
        let case = format!("conv3x3_{name}_{n}x{c}x{side}x{side}");
        time(wanted, &case, inference(g, out), &[("a", pixels), ("b", second)]);
    }
}

fn inference(mut g: Graph, out: NodeId) -> Session {
    g.set_outputs(vec![out]);
    build(&g, SessionConfig::inference_from_env()).0
}

fn time(wanted: &Wanted, case: &str, mut session: Session, inputs: &[(&str, usize)]) {
    for (name, len) in inputs {
        session.set_input(name, &numbers(*len));
    }
    let clock = Clock {
        peer: "meganeura",
        version: "0.3.0",
        device: session.device_information().device_name.clone(),
        repeats: wanted.repeats,
    };
    let session = RefCell::new(session);
    clock.time(case, || session.borrow_mut().step(), || session.borrow_mut().wait());
}

/// Numbers between -1 and 1 without a pattern.
fn numbers(len: usize) -> Vec<f32> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
        .collect()
}
