//! Lists `elementwise/unary/*.wgsl` and `elementwise/binary/*.wgsl`, so that adding an elementwise op
//! takes one file: the tables `UNARY` and `BINARY` of name and source are generated from the folders.

use std::fmt::Write as _;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    for (table, folder) in [("UNARY", "elementwise/unary"), ("BINARY", "elementwise/binary")] {
        println!("cargo:rerun-if-changed={folder}");
        let mut names: Vec<String> = std::fs::read_dir(folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|file| file.strip_suffix(".wgsl").map(str::to_string))
            .collect();
        names.sort();
        let _ = writeln!(text, "/// The ops of `{folder}`: name and file.");
        let _ = writeln!(text, "const {table}: &[(&str, crate::Source)] = &[");
        for name in names {
            println!("cargo:rerun-if-changed={folder}/{name}.wgsl");
            let _ = writeln!(text, "    ({name:?}, source!(\"{folder}/{name}.wgsl\")),");
        }
        let _ = writeln!(text, "];");
    }
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("no OUT_DIR"))?;
    std::fs::write(Path::new(&out).join("elementwise_ops.rs"), text)
}
