//! A recipe: any text is refused with an error or read; what was read can be written, and read again
//! to the same.
#![no_main]

use evenkeel::train::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(recipe) = Config::from_toml_str(text) else { return };
    let _ = recipe.validate();
    let written = recipe.to_toml().expect("a recipe that was read can be written");
    let again = Config::from_toml_str(&written).expect("a recipe that was written can be read");
    assert_eq!(again, recipe);
});
