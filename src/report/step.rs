//! A planned training step as a picture and as a trace.
//!
//! The picture is an arc diagram: launches from top to bottom as they run, each with its time, FLOPs
//! and bytes; an arc leads from what made a value to what reads it, so forward activations that
//! backward needs are the long arcs. The trace is Chrome's JSON, which Perfetto opens.

use super::chart::number;
use crate::graph::Step;
use evenkeel_kernels::Cost;
use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One launch of a step.
#[derive(Clone, Debug)]
pub struct Launched {
    /// The op, or the effect's name.
    pub op: String,
    /// Shape of the op's first output.
    pub shape: String,
    /// Kernel file and entry.
    pub kernel: String,
    /// FLOPs and bytes by the cost model.
    pub cost: Cost,
    /// Nanoseconds, where they were measured.
    pub nanoseconds: Option<f64>,
    /// The earlier launches whose results it reads.
    pub reads: Vec<usize>,
}

impl Launched {
    /// Bytes read and written.
    pub fn bytes(&self) -> u64 {
        self.cost.read + self.cost.written
    }
}

/// The launches of a plan's steps; `nanoseconds` of each launch in order, or none.
pub fn launches(steps: &[Step], nanoseconds: &[f64]) -> Vec<Launched> {
    let mut all: Vec<Launched> = Vec::new();
    // The last launch of each step: the one whose result others read.
    let mut last = Vec::new();
    for step in steps {
        for (i, (kernel, cost)) in step.calls.iter().enumerate() {
            let reads = match i {
                0 => step.reads.iter().map(|s| last[*s]).collect(),
                _ => vec![all.len() - 1],
            };
            all.push(Launched {
                op: step.op.into(),
                shape: step.shape.clone(),
                kernel: kernel.clone(),
                cost: *cost,
                nanoseconds: nanoseconds.get(all.len()).copied(),
                reads,
            });
        }
        last.push(all.len().saturating_sub(1));
    }
    all
}

/// Chrome's trace format: complete events one after the other, in microseconds.
pub fn trace(launches: &[Launched], device: &str) -> Value {
    let mut at = 0.0;
    let mut events = vec![
        json!({"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "training step"}}),
        json!({"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": device}}),
    ];
    for l in launches {
        let microseconds = l.nanoseconds.unwrap_or(0.0) / 1000.0;
        events.push(json!({
            "ph": "X", "pid": 1, "tid": 1, "ts": at, "dur": microseconds, "name": l.op,
            "cat": family(&l.op), "args": {
                "kernel": l.kernel, "shape": l.shape, "flops": l.cost.flops,
                "bytes_read": l.cost.read, "bytes_written": l.cost.written,
            },
        }));
        at += microseconds;
    }
    json!({"displayTimeUnit": "ms", "traceEvents": events})
}

/// Kinds of ops, for colours.
const FAMILIES: [&str; 5] = ["convolution", "batch norm", "optimizer", "head and loss", "other"];

fn family(op: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|p| op.contains(p));
    let i = match () {
        _ if has(&["conv"]) => 0,
        _ if has(&["norm"]) => 1,
        _ if has(&["sgd", "guard", "running", "record"]) => 2,
        _ if has(&["linear", "matmul", "cross_entropy", "softmax", "argmax", "pool"]) => 3,
        _ => 4,
    };
    FAMILIES[i]
}

fn ink(op: &str) -> usize {
    FAMILIES.iter().position(|f| *f == family(op)).unwrap_or(0)
}

const ROW: f64 = 17.0;
const WIDTH: f64 = 900.0;
/// Where the launches' dots stand: arcs to the left of it, words to the right.
const SPINE: f64 = 150.0;
const TOP: f64 = 64.0;

/// The picture, a file of its own.
pub fn svg(launches: &[Launched], title: &str) -> Markup {
    let y = |i: usize| TOP + (i as f64 + 0.5) * ROW;
    let total: f64 = launches.iter().filter_map(|l| l.nanoseconds).sum();
    let most = launches.iter().filter_map(|l| l.nanoseconds).fold(0.0, f64::max).max(1.0);
    let furthest =
        launches.iter().enumerate().flat_map(|(i, l)| l.reads.iter().map(move |r| i - r));
    let furthest = furthest.max().unwrap_or(1).max(2) as f64;
    let mut arcs = String::new();
    for (i, l) in launches.iter().enumerate() {
        for r in &l.reads {
            let reach = 8.0 + (SPINE - 24.0) * ((i - r) as f64).ln_1p() / furthest.ln_1p();
            let (from, to, bend) = (y(*r), y(i), SPINE - 1.33 * reach);
            let _ = write!(
                arcs,
                r#"<path class="arc i{}" d="M{SPINE} {from:.1}C{bend:.1} {from:.1} {bend:.1} {to:.1} {SPINE} {to:.1}"/>"#,
                ink(&launches[*r].op)
            );
        }
    }
    let height = TOP + launches.len() as f64 * ROW + 12.0;
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height:.0}")) width=(WIDTH) height=(format!("{height:.0}")) style="max-width:100%;height:auto" role="img" aria-label=(title) {
            title { (title) }
            style { (PreEscaped(STYLE)) }
            rect.page width="100%" height="100%" {}
            text.head x="12" y="22" { (title) }
            @for (i, name) in FAMILIES.iter().enumerate() {
                circle class={"dot i" (i)} cx=(16 + i * 130) cy="42" r="5" {}
                text x=(26 + i * 130) y="46" { (name) }
            }
            g { (PreEscaped(&arcs)) }
            @for (i, l) in launches.iter().enumerate() {
                @let part = l.nanoseconds.unwrap_or(0.0);
                g {
                    title { (tip(l, total)) }
                    circle class={"dot i" (ink(&l.op))} cx=(SPINE) cy=(format!("{:.1}", y(i))) r="4" {}
                    text x=(SPINE + 10.0) y=(format!("{:.1}", y(i) + 4.0)) { (l.op) " " tspan.soft { (l.shape) } }
                    rect class={"dot i" (ink(&l.op))} x="450" y=(format!("{:.1}", y(i) - 5.0)) width=(format!("{:.1}", 120.0 * part / most)) height="10" {}
                    text.soft x="580" y=(format!("{:.1}", y(i) + 4.0)) { (measures(l, total)) }
                }
            }
        }
    }
}

fn measures(l: &Launched, total: f64) -> String {
    let work = format!(
        "{} MFLOP, {} MiB",
        number(l.cost.flops as f64 / 1e6),
        number(l.bytes() as f64 / f64::from(1 << 20))
    );
    match l.nanoseconds {
        Some(t) => format!("{} ms, {:.1} %, {work}", number(t / 1e6), 100.0 * t / total.max(1.0)),
        None => work,
    }
}

fn tip(l: &Launched, total: f64) -> String {
    format!("{} {}\n{}\n{}", l.op, l.shape, l.kernel, measures(l, total))
}

const STYLE: &str = "
:root { --paper: #fff; --ink: #1b1b1b; --soft: #5d5d5d; }
svg { font: 11px system-ui, sans-serif; --i0: #0072b2; --i1: #d55e00; --i2: #009e73; --i3: #cc79a7; --i4: #8a8a8a; }
@media (prefers-color-scheme: dark) { :root { --paper: #131416; --ink: #ececec; --soft: #a5a5a5; }
svg { --i0: #56b4e9; --i1: #f08a3c; --i2: #2fc49a; --i3: #e09cc4; } }
.page { fill: var(--paper); } text { fill: var(--ink); } .soft { fill: var(--soft); } .head { font-size: 15px; font-weight: 600; }
.i0 { --c: var(--i0); } .i1 { --c: var(--i1); } .i2 { --c: var(--i2); } .i3 { --c: var(--i3); } .i4 { --c: var(--i4); }
.dot { fill: var(--c); } .arc { fill: none; stroke: var(--c); stroke-opacity: .55; }
g:hover > text { font-weight: 600; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_read_the_last_launch_of_what_they_read() {
        let step = |op, calls: usize, reads: &[usize]| Step {
            op,
            shape: "[1]".into(),
            calls: vec![("k:main".into(), Cost { flops: 1, read: 2, written: 3 }); calls],
            reads: reads.to_vec(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        let steps = [step("a", 2, &[]), step("b", 1, &[0]), step("c", 2, &[0, 1])];
        let found = launches(&steps, &[1.0, 2.0, 3.0, 4.0, 5.0]);
        let reads: Vec<_> = found.iter().map(|l| l.reads.clone()).collect();
        assert_eq!(reads, [vec![], vec![0], vec![1], vec![1, 2], vec![3]]);
        let events = trace(&found, "gpu");
        let last = events["traceEvents"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((last["ts"].as_f64(), last["dur"].as_f64()), (Some(0.01), Some(0.005)));
        assert!(svg(&found, "t").into_string().contains("33.3 %"));
    }
}
