//! Writes every kernel the engine launches, in every backend's language, for `tools/portability`:
//! `translate DIR` fills DIR with N.wgsl, N.spv, N.metal, N.dxc.hlsl and, where the old compiler's
//! shader model has what the kernel needs, N.fxc.hlsl; index.json tells what each N is.
//! `translate DIR FILE.wgsl…` does so with kernels from elsewhere, entry point `main`; a line
//! `// needs: subgroups f16` says what a device must offer.

use evenkeel_kernels::{Launch, ShaderModel, Source, census};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let folder = args.next().ok_or("usage: translate DIR [FILE.wgsl…]")?;
    std::fs::create_dir_all(&folder)?;
    let files: Vec<PathBuf> = args.collect();
    let index = if files.is_empty() { every_kernel(&folder)? } else { given(&folder, &files)? };
    std::fs::write(folder.join("index.json"), serde_json::to_string_pretty(&index)?)?;
    println!("{} kernels in {}", index.as_array().map_or(0, Vec::len), folder.display());
    Ok(())
}

/// The census, each text once, with the devices that launch it; and each kernel once in pieces.
fn every_kernel(folder: &Path) -> Result<Value, Failure> {
    let mut index: Vec<Map<String, Value>> = Vec::new();
    let mut known: HashMap<(String, &str), usize> = HashMap::new();
    let mut cut = HashSet::new();
    for all in census::all() {
        for (what, program) in &all.programs {
            let whole = program.calls.iter().map(|call| call.launch.clone());
            let pieces = whole.clone().map(|launch| Launch { in_pieces: true, ..launch });
            let pieces: Vec<Launch> =
                pieces.filter(|l| l.grid != [1, 1, 1] && cut.insert(l.form())).collect();
            for launch in whole.chain(pieces) {
                let text = launch.assemble()?.text;
                let next = index.len();
                let at = *known.entry((text, launch.entry)).or_insert(next);
                if at == next {
                    index.push(write(folder, at, &launch, what)?);
                }
                if let Some(Value::Array(devices)) = index[at].get_mut("devices") {
                    let device = Value::from(all.device);
                    if !devices.contains(&device) {
                        devices.push(device);
                    }
                }
            }
        }
    }
    Ok(index.into_iter().map(Value::Object).collect())
}

fn given(folder: &Path, files: &[PathBuf]) -> Result<Value, Failure> {
    let mut index = Vec::new();
    for (at, file) in files.iter().enumerate() {
        // Embedded sources live as long as the program; so may these few.
        let path: &'static str = Box::leak(file.display().to_string().into_boxed_str());
        let text: &'static str = Box::leak(std::fs::read_to_string(file)?.into_boxed_str());
        let mut launch = Launch::new(Source { path, text }, "main");
        let needs =
            text.lines().find_map(|line| line.strip_prefix("// needs:")).unwrap_or_default();
        launch.subgroups = needs.contains("subgroups");
        launch.f16 = needs.contains("f16");
        index.push(Value::Object(write(folder, at, &launch, path)?));
    }
    Ok(Value::Array(index))
}

/// Writes one kernel's files; its entry of the index. What naga refuses is told in `refused`.
fn write(
    folder: &Path,
    at: usize,
    launch: &Launch,
    what: &str,
) -> Result<Map<String, Value>, Failure> {
    let file = |extension: &str| folder.join(format!("{at}.{extension}"));
    let assembled = launch.assemble()?;
    std::fs::write(file("wgsl"), &assembled.text)?;
    let entry = launch.entry;
    let refused = match assembled.compile() {
        Err(e) => Some(e.to_string()),
        Ok(compiled) => {
            let words = compiled.spirv(entry)?;
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            std::fs::write(file("spv"), bytes)?;
            std::fs::write(file("metal"), compiled.msl(entry)?)?;
            std::fs::write(file("dxc.hlsl"), compiled.hlsl(entry, ShaderModel::of(launch))?)?;
            if !launch.subgroups && !launch.f16 {
                std::fs::write(file("fxc.hlsl"), compiled.hlsl(entry, ShaderModel::V5_1)?)?;
            }
            compiled.beyond_limits().map(|what| format!("{what}: beyond WebGPU's default limits"))
        }
    };
    let entry = json!({
        "id": at,
        "file": launch.source.path,
        "entry": launch.entry,
        "parts": launch.parts.iter().map(|(_, s)| s.path).collect::<Vec<_>>(),
        "form": launch.form(),
        "what": what,
        "subgroups": launch.subgroups,
        "f16": launch.f16,
        "texels": !launch.texels.is_empty(),
        "devices": [],
        "refused": refused,
    });
    match entry {
        Value::Object(map) => Ok(map),
        _ => unreachable!("an object was written above"),
    }
}
