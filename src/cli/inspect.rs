//! `evenkeel inspect`: every kernel with its variants, one kernel in any backend's language, what a
//! run's folder holds, a planned step as graph and trace. Only `step` opens a device.

mod step;

use crate::error::{Error, Result, unknown};
use crate::gpu::{Limits, adapters};
use crate::report::{Run, number};
use crate::train::progress::say;
use evenkeel_kernels::catalog::{self, Kernel, Made};
use evenkeel_kernels::{Arg, Call, Caps, Constant, Cost, Launch, ShaderModel};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Every kernel: what it computes, its sizes and variants
    Kernels {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// One kernel: bindings, grid and cost, or its text for a backend
    Kernel(KernelArgs),
    /// What a run's folder holds
    Run {
        /// The run's folder
        run: PathBuf,
    },
    /// The planned training step: a graph (SVG) and a trace for Perfetto
    Step(step::Args),
}

#[derive(Debug, clap::Args)]
struct KernelArgs {
    /// A name of `inspect kernels`
    name: String,
    /// Print its text in this language instead: wgsl, spirv, msl or hlsl
    #[arg(long)]
    to: Option<String>,
    /// Sizes, such as n=64,h=16; the rest as `inspect kernels` shows them
    #[arg(long, value_delimiter = ',', value_name = "SIZE=N,…")]
    shape: Vec<String>,
    /// A variant; the device's choice without
    #[arg(long)]
    variant: Option<String>,
    /// A device to choose for: portable, gpu, lavapipe, or an adapter's number or part of its name
    #[arg(long, value_name = "DEVICE")]
    on: Option<String>,
    /// Which of the kernel's launches, from 0
    #[arg(long)]
    launch: Option<usize>,
    /// One JSON object: launches with files, constants, grid and arguments, as another host needs them
    #[arg(long, conflicts_with = "to")]
    json: bool,
    /// Write there instead of stdout; SPIR-V as binary
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Kernels { json } => list(*json),
        What::Kernel(args) => kernel(args),
        What::Run { run } => folder(run),
        What::Step(args) => step::run(args),
    }
}

const LANGUAGES: &[&str] = &["wgsl", "spirv", "msl", "hlsl"];

/// A kernel's variants over all kinds of devices.
fn variants(kernel: &Kernel) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    let sizes = kernel.sizes(&[]).map_err(Error::Usage)?;
    for (_, caps) in catalog::devices() {
        for made in kernel.variants(&sizes, &caps).map_err(Error::Usage)? {
            if !found.contains(&made.variant) {
                found.push(made.variant);
            }
        }
    }
    Ok(found)
}

fn list(as_json: bool) -> Result<()> {
    for kernel in catalog::all() {
        let variants = variants(&kernel)?;
        if as_json {
            let sizes: Map<String, Value> =
                kernel.sizes.iter().map(|(n, v)| (n.to_string(), json!(v))).collect();
            say(format_args!(
                "{}",
                json!({"name": kernel.name, "equation": kernel.equation, "sizes": sizes, "variants": variants})
            ));
            continue;
        }
        let sizes: Vec<String> = kernel.sizes.iter().map(|(n, v)| format!("{n}={v}")).collect();
        say(format_args!("{}\n    {}", kernel.name, kernel.equation));
        let many = variants.len() > 1;
        let variants =
            if many { format!("  variants: {}", variants.join(", ")) } else { String::new() };
        say(format_args!("    sizes: {}{variants}", sizes.join(",")));
    }
    Ok(())
}

/// The devices to choose among: the one asked for, else each kind in turn.
fn devices(on: Option<&str>) -> Result<Vec<(String, Caps)>> {
    let kinds = catalog::devices().map(|(name, caps)| (name.to_string(), caps));
    let Some(on) = on else { return Ok(kinds.to_vec()) };
    if let Some(found) = kinds.iter().find(|(name, _)| name == on) {
        return Ok(vec![found.clone()]);
    }
    let adapters = adapters();
    let asked = Limits::asked()?;
    let chosen = match on.parse::<usize>() {
        Ok(i) => adapters.get(i),
        Err(_) => adapters.iter().find(|a| a.info.name.to_lowercase().contains(&on.to_lowercase())),
    };
    let chosen = chosen.map(|a| vec![(a.info.name.clone(), a.caps(asked))]);
    chosen.ok_or_else(|| {
        let kinds = catalog::devices().map(|(name, _)| name);
        let names: Vec<&str> =
            kinds.into_iter().chain(adapters.iter().map(|a| a.info.name.as_str())).collect();
        unknown("device", on, &names)
    })
}

/// A kernel, the device it was chosen for, the variant made, its sizes.
type Found = (Kernel, String, Made, Vec<(&'static str, u32)>);

fn find(args: &KernelArgs) -> Result<Found> {
    let all = catalog::all();
    let names: Vec<&str> = all.iter().map(|k| k.name.as_str()).collect();
    let Some(at) = names.iter().position(|n| *n == args.name) else {
        return Err(unknown("kernel", &args.name, &names));
    };
    let changes = args.shape.iter().map(|s| size(s)).collect::<Result<Vec<_>>>()?;
    let mut all = all;
    let kernel = all.swap_remove(at);
    let sizes = kernel.sizes(&changes).map_err(Error::Usage)?;
    let mut offered = Vec::new();
    for (device, caps) in devices(args.on.as_deref())? {
        for made in kernel.variants(&sizes, &caps).map_err(Error::Usage)? {
            if args.variant.as_deref().is_none_or(|v| v == made.variant) {
                return Ok((kernel, device, made, sizes.all().to_vec()));
            }
            offered.push(made.variant);
        }
    }
    let wanted = args.variant.as_deref().unwrap_or_default();
    offered.sort_unstable();
    offered.dedup();
    Err(unknown("variant for these sizes and this device", wanted, &offered))
}

fn size(text: &str) -> Result<(String, u32)> {
    let parsed = text
        .split_once('=')
        .and_then(|(n, v)| Some((n.trim().to_string(), v.trim().parse().ok()?)));
    parsed.ok_or_else(|| {
        Error::usage(format!("--shape takes sizes as name=number, such as n=64, not `{text}`"))
    })
}

fn kernel(args: &KernelArgs) -> Result<()> {
    if let Some(to) = args.to.as_deref().filter(|t| !LANGUAGES.contains(t)) {
        return Err(unknown("language", to, LANGUAGES));
    }
    let (kernel, device, made, sizes) = find(args)?;
    let calls = &made.program.calls;
    if let Some(i) = args.launch.filter(|i| *i >= calls.len()) {
        let n = calls.len();
        return Err(Error::usage(format!(
            "{} has {n} launches, 0 to {}, not {i}",
            kernel.name,
            n - 1
        )));
    }
    if let Some(to) = &args.to {
        return text(args, to, calls.iter().map(|c| &c.launch).collect());
    }
    if args.json {
        return put(args, described(&kernel, &made, &sizes)?.to_string().as_bytes());
    }
    let sizes: Vec<String> = sizes.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let mut out = format!("{}: {}\n", kernel.name, kernel.equation);
    out += &format!("sizes {}, variant {}, for {device}\n", sizes.join(" "), made.variant);
    out += &format!("in all {}\n", cost(made.program.cost()));
    for (i, words) in made.program.temps.iter().enumerate() {
        out += &format!("temporary {i}: {} bytes\n", words * 4);
    }
    for (i, call) in calls.iter().enumerate().filter(|(i, _)| args.launch.is_none_or(|l| l == *i)) {
        let launch = &call.launch;
        let compiled = launch.assemble().and_then(|a| a.compile()).map_err(shader)?;
        let [x, y, z] = launch.grid;
        let [a, b, c] = compiled.workgroup_size;
        out += &format!(
            "\nlaunch {i}: {} {}\n  grid {x} x {y} x {z} workgroups of {a} x {b} x {c}\n  {}\n",
            launch.source.path,
            launch.entry,
            cost(launch.cost)
        );
        for binding in &compiled.bindings {
            let what = call.args.get(binding.index as usize).map(|a| format!("{a:?}"));
            let what = what.unwrap_or_default();
            out += &format!(
                "  @binding({}) {:<14} {:?} {what}\n",
                binding.index, binding.name, binding.access
            );
        }
        let constants: Vec<String> =
            launch.constants.iter().map(|(n, v)| format!("{n} = {v:?}")).collect();
        if !constants.is_empty() {
            out += &format!("  constants {}\n", constants.join(", "));
        }
    }
    out += "\nIts text: --to wgsl, spirv, msl or hlsl\n";
    put(args, out.as_bytes())
}

/// What a host in another language needs to run the kernel from its files.
fn described(kernel: &Kernel, made: &Made, sizes: &[(&str, u32)]) -> Result<Value> {
    let sizes: Map<String, Value> = sizes.iter().map(|(n, v)| (n.to_string(), json!(v))).collect();
    let launches = made.program.calls.iter().map(launch_described).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "kernel": kernel.name, "variant": made.variant, "sizes": sizes,
        "temporary_words": made.program.temps, "launches": launches,
    }))
}

fn launch_described(call: &Call) -> Result<Value> {
    let l = &call.launch;
    let constant = |v: &Constant| match v {
        Constant::U32(v) => json!(["u32", v]),
        Constant::I32(v) => json!(["i32", v]),
        Constant::F32(v) => json!(["f32", v]),
        Constant::Bool(v) => json!(["bool", v]),
    };
    let argument = |a: &Arg| match a {
        Arg::In(i) => json!(["in", i]),
        Arg::Out(i) => json!(["out", i]),
        Arg::Temp(i) => json!(["temp", i]),
        Arg::Step => json!(["step", 0]),
    };
    let constants: Map<String, Value> =
        l.constants.iter().map(|(n, v)| (n.to_string(), constant(v))).collect();
    let parts: Map<String, Value> =
        l.parts.iter().map(|(n, s)| (n.to_string(), json!(s.path))).collect();
    let args: Vec<Value> = call.args.iter().map(argument).collect();
    let compiled = l.assemble().and_then(|a| a.compile()).map_err(shader)?;
    Ok(json!({
        "file": l.source.path, "entry": l.entry, "constants": constants, "parts": parts,
        "grid": l.grid, "args": args, "used": compiled.used(l.entry),
    }))
}

fn shader(e: evenkeel_kernels::ShaderError) -> Error {
    Error::Shader(e.to_string())
}

/// The launches' texts in a language, one after the other.
fn text(args: &KernelArgs, to: &str, launches: Vec<&Launch>) -> Result<()> {
    let mut out = Vec::new();
    let chosen: Vec<&Launch> = match args.launch {
        Some(i) => vec![launches[i]],
        None => launches,
    };
    if to == "spirv" && args.out.is_some() && chosen.len() > 1 {
        return Err(Error::usage(format!(
            "a SPIR-V file holds one module, and this kernel has {}: choose with --launch",
            chosen.len()
        )));
    }
    for launch in &chosen {
        let assembled = launch.assemble().map_err(shader)?;
        let name = format!("{} {}", launch.source.path, launch.entry);
        if to == "wgsl" {
            out.extend(format!("// {name}\n{}\n", assembled.text).into_bytes());
            continue;
        }
        let compiled = assembled.compile().map_err(shader)?;
        match to {
            "msl" => out.extend(
                format!("// {name}\n{}\n", compiled.msl(launch.entry).map_err(shader)?)
                    .into_bytes(),
            ),
            "hlsl" => out.extend(
                format!(
                    "// {name}\n{}\n",
                    compiled.hlsl(launch.entry, ShaderModel::of(launch)).map_err(shader)?
                )
                .into_bytes(),
            ),
            _ => {
                let words = compiled.spirv(launch.entry).map_err(shader)?;
                match args.out {
                    Some(_) => out.extend(words.iter().flat_map(|w| w.to_le_bytes())),
                    None => {
                        out.extend(format!("; {name}\n{}\n", disassembled(&words)?).into_bytes())
                    }
                }
            }
        }
    }
    put(args, &out)
}

fn disassembled(words: &[u32]) -> Result<String> {
    use rspirv::binary::Disassemble as _;
    let module = rspirv::dr::load_words(words)
        .map_err(|e| Error::Failure(format!("naga's SPIR-V does not parse: {e}")))?;
    Ok(module.disassemble())
}

fn put(args: &KernelArgs, bytes: &[u8]) -> Result<()> {
    match &args.out {
        Some(path) => {
            crate::train::atomic::write_atomic(path, bytes)?;
            say(format_args!("{}", path.display()));
        }
        None => say(format_args!("{}", String::from_utf8_lossy(bytes).trim_end())),
    }
    Ok(())
}

fn cost(cost: Cost) -> String {
    let mb = |b: u64| number(b as f64 / 1e6);
    let bytes = cost.read + cost.written;
    let intensity = number(cost.flops as f64 / (bytes as f64).max(1.0));
    format!(
        "{} MFLOP, reads {} MB, writes {} MB: {intensity} FLOP a byte",
        number(cost.flops as f64 / 1e6),
        mb(cost.read),
        mb(cost.written)
    )
}

fn folder(path: &std::path::Path) -> Result<()> {
    let run = Run::read(path)?;
    say(format_args!("{}: {}", run.folder_name(), run.name));
    if let Some(about) = &run.about {
        say(format_args!(
            "{} with {} classes, {} training images; NBN layers: {}",
            about.model,
            about.classes.len(),
            about.counts.iter().sum::<usize>(),
            about.nbn_layers
        ));
    }
    if let Some((epoch, summary)) = run.tested() {
        say(format_args!("epoch {}: {}", epoch.epoch + 1, summary.line()));
    }
    if let Some(alpha) = run.alpha {
        say(format_args!("alpha {}", number(alpha)));
    }
    if !run.layers.is_empty() {
        say(format_args!(
            "{:<18} {:>4} {:>9} {:>8} {:>8} {:>9} {:>8} {:>9} {:>9}",
            "layer",
            "kind",
            "mean |w|",
            "max/mean",
            "CV |w|",
            "mean |b|",
            "CV |b|",
            "γ turned",
            "β turned"
        ));
    }
    let or = |v: Option<f64>| v.map_or("–".to_string(), number);
    for l in &run.layers {
        say(format_args!(
            "{:<18} {:>4} {:>9} {:>8} {:>8} {:>9} {:>8} {:>8}° {:>8}°",
            l.layer,
            if l.normalized { "NBN" } else { "BN" },
            number(l.w.mean),
            or(l.w.max_over_mean()),
            number(l.w.cv),
            number(l.b.mean),
            number(l.b.cv),
            or(l.gamma_angle),
            or(l.beta_angle)
        ));
    }
    for note in &run.notes {
        say(format_args!("note: {note}"));
    }
    Ok(())
}
