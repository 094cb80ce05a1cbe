//! What `--trace-nan` says: the op that made the first number that is not finite, where it stands in
//! the network, and what it was given.

use crate::error::Error;
use crate::graph::{Culprit, Step};
use crate::nn::Params;
use crate::optim::Alarm;
use std::path::Path;

/// What is said without the flag.
pub(super) const ASK: &str =
    "--trace-nan (with --resume, from the last checkpoint) names the op that made it.";

/// What the guard found.
pub(super) fn found(alarm: &Alarm) -> String {
    let what = match (alarm.loss, &alarm.parameter) {
        (true, _) => "the loss".to_string(),
        (false, Some(name)) => format!("the gradient of {name}"),
        (false, None) => "a gradient".to_string(),
    };
    let first = match (&alarm.parameter, alarm.loss) {
        (Some(name), true) => format!(" (first in the gradient of {name})"),
        _ => String::new(),
    };
    format!("{what} is not finite at step {}{first}", alarm.step + 1)
}

/// The error that ends a run: what the guard found, what tracing it told, and the `last` checkpoint.
pub(super) fn not_finite(alarm: &Alarm, traced: &str, last: &Path) -> Error {
    Error::NonFinite(format!(
        "{}; nothing was updated or saved since. {traced} A lower --lr or a warm-up helps; the last \
         good checkpoint, if any, is {}",
        found(alarm),
        last.display()
    ))
}

/// A sentence on `culprit`, which is one of `steps`.
pub(super) fn explain(steps: &[Step], culprit: Option<&Culprit>, params: &Params) -> String {
    let Some(found) = culprit else {
        return "Replayed op by op, the step is finite.".into();
    };
    let step = &steps[found.at];
    let kernels: Vec<&str> = step.calls.iter().map(|(name, _)| name.as_str()).collect();
    let first = found.output.first.map_or(String::new(), |(at, value)| {
        format!(", the first of them {value} at {:?}", position(at, &found.shape))
    });
    let total: usize = found.shape.iter().product();
    let given = match found.inputs.iter().map(|i| i.bad).sum::<usize>() {
        0 => {
            let largest = found.inputs.iter().map(|i| i.largest).fold(0.0, f32::max);
            format!("its inputs are finite, up to {largest:.3e} in size")
        }
        bad => format!("{bad} numbers that are not finite were given to it (parameters or data)"),
    };
    format!(
        "Traced to {} {:?} ({}){}: {} of {total} elements{first}; {given}.",
        step.op,
        found.shape,
        kernels.join(", "),
        layer(&steps[..=found.at], params),
        found.output.bad
    )
}

/// Where the last of `steps` stands: the parameter that it reads, or whose gradient it makes, or else
/// the last one that a step before it did.
fn layer(steps: &[Step], params: &Params) -> String {
    let named = |step: &Step| {
        let places = step.inputs.iter().chain(step.outputs.iter().map(|(slice, _)| slice));
        places.filter_map(|slice| params.at(slice)).next()
    };
    let mut backwards = steps.iter().rev();
    match backwards.next().and_then(named) {
        Some(name) => format!(" of {name}"),
        None => backwards.find_map(named).map_or(String::new(), |name| format!(" after {name}")),
    }
}

/// Flat position `at` as an index of each axis.
fn position(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut found: Vec<usize> = shape
        .iter()
        .rev()
        .map(|extent| {
            let i = at % extent;
            at /= extent;
            i
        })
        .collect();
    found.reverse();
    found
}
