//! A new variant of a kernel, checked and then timed: matrix product with a few rows a thread, beside
//! the variants that ship. `cargo run --release --example kernel_variant`

use evenkeel::error::Result;
use evenkeel::gpu::{Binding, Gpu, Slice};
use evenkeel_kernels::matmul::{self, Matmul};
use evenkeel_kernels::{Arg, Caps, Launch, Program, Source};
use std::error::Error;
use std::rc::Rc;

const SOURCE: Source =
    Source { path: "examples/kernel_variant.wgsl", text: include_str!("kernel_variant.wgsl") };
const SIZE: u32 = 128;

/// The new variant: `rows` rows of c a thread.
fn variant(p: &Matmul, rows: u32) -> Program {
    let launch = Launch::new(SOURCE, "rows")
        .constant("N", p.n)
        .constant("K", p.k)
        .constant("ROWS", rows)
        .grid(p.n / 32, p.m / rows / 8, 1)
        .cost(2 * u64::from(p.m * p.n) * u64::from(p.k), 0, 0);
    Program::single(launch, [Arg::In(0), Arg::In(1), Arg::Out(0)])
}

/// Runs a program on a and b; the least time of a few runs in seconds, and c.
fn run(gpu: &Rc<Gpu>, program: &Program, ab: &[Slice; 2]) -> Result<(f64, Vec<f32>)> {
    let words = |n: usize| gpu.alloc("example", n).map(Slice::whole);
    let c = words((SIZE * SIZE) as usize)?;
    let temps = program.temps.iter().map(|n| words(*n)).collect::<Result<Vec<_>>>()?;
    let mut dispatches = Vec::new();
    for call in &program.calls {
        let of = |arg: &Arg| match arg {
            Arg::In(i) => &ab[*i],
            Arg::Temp(i) => &temps[*i],
            _ => &c,
        };
        let buffers: Vec<Binding<'_>> = call.args.iter().map(|a| Binding::Storage(of(a))).collect();
        dispatches.push(gpu.bind(&call.launch, &buffers)?);
    }
    gpu.submit(&dispatches)?;
    let result = gpu.read(&c)?;
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        least = least.min(gpu.profile(&dispatches)?.iter().sum::<f64>() * 1e-9);
    }
    Ok((least, result))
}

/// Runs the example.
pub fn main() -> std::result::Result<(), Box<dyn Error>> {
    let gpu = Gpu::open(None)?;
    let [m, n, k] = [SIZE; 3];
    let p = Matmul { batch: 1, m, n, k, transpose_a: false, transpose_b: false, bias: false };
    let data = |step: u32| -> Vec<f32> {
        (0..SIZE * SIZE).map(|i| (i * step % 17) as f32 / 8.0 - 1.0).collect()
    };
    let (a, b) = (data(7), data(5));
    let ab = [Slice::whole(gpu.upload("a", &a)?), Slice::whole(gpu.upload("b", &b)?)];
    let n = SIZE as usize;
    let exact = |i: usize| {
        (0..n).map(|k| f64::from(a[i / n * n + k]) * f64::from(b[k * n + i % n])).sum::<f64>()
    };
    let caps = Caps { texels: false, ..gpu.caps.clone() };
    let shipped = matmul::variants(&p, &caps).into_iter();
    let shipped = shipped.map(|v| (v.name().to_string(), matmul::program(&p, v, &caps)));
    let own = [1, 4, 8].map(|rows| (format!("{rows} rows a thread"), variant(&p, rows)));
    println!("{}: {SIZE} x {SIZE} x {SIZE}", gpu.describe());
    for (name, program) in shipped.chain(own) {
        let (seconds, c) = run(&gpu, &program, &ab)?;
        // Only what is right is worth a time.
        let worst =
            c.iter().enumerate().map(|(i, v)| (f64::from(*v) - exact(i)).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{name} is off by {worst}");
        println!("{name:<18} {:>7.2} GFLOP/s", program.cost().flops as f64 / seconds * 1e-9);
    }
    Ok(())
}
