//! The rules of the house for WGSL, held without a device: where it may stand, and that every kernel
//! validates within WebGPU's default limits, for a device that promises nothing more and for those with
//! subgroups.

use evenkeel_kernels::{Launch, Source, census, webgpu};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// The files under a folder of the repository with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    assert!(!found.is_empty(), "no .{extension} under {folder}");
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a text file")
}

/// The files among `paths` that hold the mark of an entry point.
fn with_entry_points(paths: &[PathBuf]) -> Vec<&PathBuf> {
    paths.iter().filter(|p| text(p).contains("@compute")).collect()
}

#[test]
fn the_library_has_no_entry_points() {
    assert_eq!(with_entry_points(&files("shaders", "wgsl")), Vec::<&PathBuf>::new());
}

#[test]
fn no_wgsl_stands_in_rust_strings() {
    for folder in ["src", "kernels"] {
        assert_eq!(with_entry_points(&files(folder, "rs")), Vec::<&PathBuf>::new());
    }
}

#[test]
fn no_kernel_binds_more_storage_buffers_than_is_said() {
    let mut most = 0;
    for call in census::all().iter().flat_map(|all| &all.programs).flat_map(|(_, p)| &p.calls) {
        let text = call.launch.assemble().expect("an assembled kernel").text;
        most = most.max(text.matches("var<storage").count());
    }
    assert_eq!(most, webgpu::MOST_BUFFERS as usize);
}

#[test]
fn every_kernel_validates_within_the_default_limits() {
    for all in census::all() {
        let mut seen = HashSet::new();
        let mut wrong = Vec::new();
        for (what, program) in &all.programs {
            for call in &program.calls {
                let launch = &call.launch;
                let mut complain = |why: String| {
                    wrong.push(format!("{what}, {}: {why}", launch.source.path));
                };
                if launch.grid.iter().any(|g| !(1..=webgpu::GRID).contains(g)) {
                    complain(format!("a grid of {:?}", launch.grid));
                }
                if launch.subgroups && !all.caps.subgroups || launch.f16 && !all.caps.f16 {
                    complain("uses a feature that the device lacks".into());
                }
                let assembled = match launch.assemble() {
                    Ok(assembled) => assembled,
                    Err(e) => {
                        complain(e.to_string());
                        continue;
                    }
                };
                if !seen.insert((launch.entry, assembled.text.clone())) {
                    continue;
                }
                match assembled.compile() {
                    Err(e) => complain(e.to_string()),
                    Ok(compiled) => {
                        if let Some(why) = compiled.beyond_limits() {
                            complain(why);
                        }
                        if compiled.bindings.iter().any(|b| b.index as usize >= call.args.len()) {
                            complain(format!("{} arguments are too few", call.args.len()));
                        }
                    }
                }
            }
        }
        assert!(seen.len() > 200, "{}: only {} kernels", all.device, seen.len());
        assert!(wrong.is_empty(), "{}: {} wrong:\n{}", all.device, wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn every_wgsl_file_is_part_of_a_kernel_checked_here() {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for all in census::all() {
        for call in all.programs.iter().flat_map(|(_, program)| &program.calls) {
            let assembled = call.launch.assemble().expect("an assembled kernel");
            used.extend(assembled.map.iter().map(|(file, _)| *file));
        }
    }
    let paths = [files("kernels", "wgsl"), files("shaders", "wgsl")].concat();
    let names = paths.iter().map(|p| {
        let inside = p.strip_prefix(root()).expect("a file of the repository");
        inside.to_string_lossy().replace('\\', "/")
    });
    let unused: Vec<String> = names.filter(|name| !used.contains(name.as_str())).collect();
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn every_program_says_what_it_costs() {
    let [portable, ..] = census::all();
    for (what, program) in &portable.programs {
        assert!(!program.calls.is_empty(), "{what} launches nothing");
        let cost = program.cost();
        assert!(cost.read + cost.written > 0 || what.contains("record"), "{what} moves no bytes");
    }
}

const BAD: &str = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() {
    y[0] = 1u;
}
";

/// A launch of a text that stands in no file.
fn made_up(text: &'static str) -> Launch {
    Launch::new(Source { path: "kernels/made/up.wgsl", text }, "main")
}

fn fault(launch: &Launch) -> evenkeel_kernels::ShaderError {
    match launch.assemble() {
        Err(e) => e,
        Ok(assembled) => assembled.compile().expect_err("a faulty kernel"),
    }
}

#[test]
fn an_error_of_types_names_file_and_line() {
    let launch = made_up(BAD).constant("N", 3u32).constant("SCALE", 0.5f32);
    let error = fault(&launch);
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/up.wgsl", 5), "{error}");
    assert!(error.to_string().contains("y[0] = 1u;"), "{error}");
}

#[test]
fn an_error_of_syntax_names_file_and_line() {
    let error = fault(&made_up("const a = 1;\nlet = ;\n"));
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/up.wgsl", 2), "{error}");
}

#[test]
fn an_error_in_an_included_file_names_that_file() {
    let part = Source {
        path: "kernels/made/part.wgsl",
        text: "\n\nfn twice(x: f32) -> u32 { return x; }\n",
    };
    let error = fault(&made_up("#include \"part\"\nconst a = 1;\n").part("part", part));
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/part.wgsl", 3), "{error}");
}

#[test]
fn an_include_of_nothing_names_file_line_and_what_was_sought() {
    let error = fault(&made_up("const a = 1;\n#include \"nothing.wgsl\"\n"));
    assert_eq!((error.file.as_str(), error.line), ("kernels/made/up.wgsl", 2), "{error}");
    assert!(error.to_string().contains("nothing.wgsl"), "{error}");
}

#[test]
fn a_missing_entry_point_is_named() {
    let error = fault(&Launch { entry: "start", ..made_up("const a = 1;\n") });
    assert!(error.to_string().contains("kernels/made/up.wgsl"), "{error}");
    assert!(error.to_string().contains("start"), "{error}");
}
