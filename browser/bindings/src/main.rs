//! bindings FILE.wasm FOLDER: writes engine.js and engine_bg.wasm into the folder, as a module of the web.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [wasm, folder] = args.as_slice() else {
        eprintln!("usage: bindings FILE.wasm FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name("engine").typescript(false);
    // engine.js finds the .wasm beside itself; names are for debuggers.
    bindgen
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    match bindgen.web(true).and_then(|b| b.generate(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{wasm}: {e:?}");
            ExitCode::FAILURE
        }
    }
}
