//! A golden file: any bytes are refused with an error or read; what was read is computed by the
//! reference, which refuses what does not fit.
#![no_main]

use evenkeel::check::golden::Golden;
use evenkeel::check::reference;
use libfuzzer_sys::fuzz_target;

/// Attributes that pad or repeat make small inputs large, which is slow and no fault.
fn small(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(n) => n.as_f64().is_some_and(|v| v.abs() <= 64.0),
        serde_json::Value::Array(list) => list.iter().all(small),
        serde_json::Value::Object(map) => map.values().all(small),
        _ => true,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Golden::from_bytes(bytes) else { return };
    if !small(&file.attrs) {
        return;
    }
    let inputs = file.arrays();
    let Ok(outputs) = reference::run(&file.op, &file.attrs, &inputs) else { return };
    let _ = reference::grads(&file.op, &file.attrs, &inputs, &outputs[..1]);
});
