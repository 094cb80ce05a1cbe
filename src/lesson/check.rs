//! Is a reader's kernel right? Read → compiled as the engine's own are → held to the exercise's bindings
//! → run on every trial → each element against the 64-bit reference.
//!
//! Outputs are filled with one particular NaN before a run, so an element that the kernel did not write
//! is known from one that it computed.

use super::exercise::{ENTRY, Exercise, Grid, Trial};
use crate::check::cases::drawn;
use crate::check::golden::{Tolerance, compare};
use crate::check::reference::Array;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, StepUniform};
use crate::graph::{Effect, Plan, Work, Workspace};
use crate::tensor::Tensor;
use evenkeel_kernels::{Access, Arg, Compiled, Launch, Program, Source};
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// The bits of an element that was not written: a quiet NaN that no kernel computes.
const UNWRITTEN: u32 = 0x7fc5_1e55;

/// The largest file that is read as a kernel.
const MAX_FILE: u64 = 1 << 20;

/// A trial that came out right, ready to be timed.
pub struct Right {
    /// The trial.
    pub trial: Trial,
    /// Its inputs on the device.
    pub inputs: Vec<Tensor>,
    /// The kernel on them.
    pub plan: Plan,
    /// Trials in all.
    pub trials: usize,
    /// The largest error of any trial, as a share of what is allowed.
    pub worst: f64,
}

/// The first element that is not what it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// Sizes, and what is special about the inputs.
    pub trial: String,
    /// The output's name.
    pub output: &'static str,
    /// The element's index.
    pub index: Vec<usize>,
    /// What the kernel wrote; `None` if it wrote nothing there.
    pub got: Option<f64>,
    /// What it should be.
    pub wanted: f64,
    /// Elements of this output that are wrong.
    pub count: usize,
    /// Elements of this output.
    pub of: usize,
    /// The kernel wrote nothing to this output at all.
    pub nothing: bool,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wrong { trial, output, index, wanted, count, of, .. } = self;
        if self.nothing {
            return write!(f, "{trial}: nothing was written to `{output}`");
        }
        let index: Vec<String> = index.iter().map(usize::to_string).collect();
        write!(f, "{trial}: {output}[{}] ", index.join(", "))?;
        match self.got {
            None => write!(f, "was not written")?,
            Some(got) if got.is_nan() => write!(f, "is NaN")?,
            Some(got) => write!(f, "is {}", digits(got))?,
        }
        write!(f, "; it should be {}", digits(*wanted))?;
        write!(f, " ({count} of {of} elements are wrong)")
    }
}

/// As many digits as a 32-bit float has.
fn digits(v: f64) -> String {
    if v == 0.0 || (1e-3..1e6).contains(&v.abs()) { format!("{v:.7}") } else { format!("{v:.7e}") }
}

/// What became of a kernel.
pub enum Outcome {
    /// Every element of every trial is right.
    Right(Box<Right>),
    /// One is not.
    Wrong(Wrong),
}

/// Sizes with their names, and what is special: `M=7 N=3 K=5`.
pub fn describe(exercise: &Exercise, trial: &Trial) -> String {
    let sizes = exercise.sizes.iter().zip(&trial.sizes).map(|(n, v)| format!("{n}={v}"));
    let note = (!trial.note.is_empty()).then(|| format!("({})", trial.note));
    sizes.chain(note).collect::<Vec<_>>().join(" ")
}

/// Reads a reader's kernel. Kernels live as long as the process, so its text does too.
///
/// # Errors
/// A file that can't be read, is no text, or is far too large for a kernel.
pub fn read(path: &Path) -> Result<Source> {
    let io = |e| Error::io("read", path, e);
    if std::fs::metadata(path).map_err(io)?.len() > MAX_FILE {
        return Err(Error::data(path, "is larger than 1 MiB, and so hardly one kernel"));
    }
    let text = String::from_utf8(std::fs::read(path).map_err(io)?)
        .map_err(|_| Error::data(path, "is no text in UTF-8"))?;
    Ok(Source { path: path.display().to_string().leak(), text: text.leak() })
}

/// Compiles, runs and compares.
///
/// # Errors
/// A kernel that does not compile (file and line), whose bindings are not the exercise's, or that this
/// device cannot run. A wrong result is no error: it is [`Outcome::Wrong`].
pub fn check(gpu: &Rc<Gpu>, exercise: &Exercise, source: Source) -> Result<Outcome> {
    let mut worst: f64 = 0.0;
    let mut last = None;
    let trials = (exercise.trials)();
    let count = trials.len();
    for trial in trials {
        let label = describe(exercise, &trial);
        let launch = launch(gpu, exercise, source, &trial)?;
        let given = drawn(&format!("lesson/{label}"), &trial.inputs);
        let expected = (exercise.expected)(&trial.sizes, &given)?;
        let told = |e: Error| match e {
            Error::Device(m) => Error::Device(format!("{}: {label}: {m}", source.path)),
            other => other,
        };
        let ran = run(gpu, launch, &trial, &given, &expected).map_err(told)?;
        let judged = judge(exercise, &label, trial.tolerance, &expected, &ran.outputs);
        match judged {
            Ok(share) => worst = worst.max(share),
            Err(wrong) => return Ok(Outcome::Wrong(wrong)),
        }
        last = Some(Right { trial, inputs: ran.inputs, plan: ran.plan, trials: count, worst });
    }
    let right = last.ok_or_else(|| Error::Failure("this exercise has no trials".into()))?;
    Ok(Outcome::Right(Box::new(right)))
}

/// The kernel with the trial's sizes and grid, after it was compiled and held to the exercise.
fn launch(gpu: &Gpu, exercise: &Exercise, source: Source, trial: &Trial) -> Result<Launch> {
    let mut launch = Launch::new(source, ENTRY).texels(&gpu.caps, &readable(source.text));
    for (name, value) in exercise.sizes.iter().zip(&trial.sizes) {
        launch = launch.constant(name, *value);
    }
    launch.subgroups = gpu.caps.subgroups;
    launch.cost = (exercise.cost)(&trial.sizes);
    let compiled = launch.assemble().and_then(|a| a.compile());
    let compiled = compiled.map_err(|e| Error::Shader(e.to_string()))?;
    bindings(exercise, source.path, &compiled)?;
    let [x, y, z] = compiled.workgroup_size;
    let threads = u64::from(x) * u64::from(y) * u64::from(z);
    if threads > u64::from(gpu.caps.max_invocations) {
        return Err(Error::Shader(format!(
            "{}: a workgroup of {x} × {y} × {z} is {threads} invocations, and this device takes at \
             most {}",
            source.path, gpu.caps.max_invocations
        )));
    }
    let (memory, most) = (compiled.workgroup_bytes(), u64::from(gpu.caps.workgroup_memory));
    if memory > most {
        return Err(Error::Shader(format!(
            "{}: {memory} bytes of workgroup memory, and this device has {most}",
            source.path
        )));
    }
    launch.grid = match exercise.grid {
        Grid::Workgroups(of) => of(&trial.sizes),
        Grid::Invocations(of) => {
            let wanted = of(&trial.sizes);
            let mut grid = [1; 3];
            for (i, name) in ["TILE_X", "TILE_Y", "TILE_Z"].into_iter().enumerate() {
                let tile = tile(&compiled.module, name);
                let each = tile.checked_mul(compiled.workgroup_size[i]).filter(|n| *n > 0);
                let each = each.ok_or_else(|| {
                    Error::Shader(format!("{}: {name} cannot be {tile}", source.path))
                })?;
                grid[i] = wanted[i].div_ceil(each).max(1);
            }
            grid
        }
    };
    Ok(launch)
}

/// The inputs declared by `#input`, which the device may read as texels.
fn readable(text: &'static str) -> Vec<&'static str> {
    let name = |line: &'static str| {
        let mut words = line.strip_prefix("#input ")?.split_whitespace();
        let (name, ty) = (words.next()?, words.nth(1)?);
        matches!(ty, "f32" | "vec4<f32>" | "vec4f").then_some(name)
    };
    text.lines().filter_map(name).collect()
}

/// A whole number that the kernel declares as a constant, else 1.
fn tile(module: &naga::Module, name: &str) -> u32 {
    let found = module.constants.iter().find(|(_, c)| c.name.as_deref() == Some(name));
    let value = found.map(|(_, c)| &module.global_expressions[c.init]);
    match value {
        Some(naga::Expression::Literal(naga::Literal::U32(v))) => *v,
        Some(naga::Expression::Literal(naga::Literal::I32(v))) => u32::try_from(*v).unwrap_or(0),
        Some(_) => 0,
        None => 1,
    }
}

/// The kernel has the exercise's bindings, no other, and each as it is used.
fn bindings(exercise: &Exercise, file: &str, compiled: &Compiled) -> Result<()> {
    let wrong = |message: String| Err(Error::Shader(format!("{file}: {message}")));
    let names = exercise.inputs.iter().chain(exercise.outputs);
    let declare = |i: usize, name: &str| {
        let access = if i < exercise.inputs.len() { "read" } else { "read_write" };
        format!("`@group(0) @binding({i}) var<storage, {access}> {name}: array<…>;`")
    };
    let groups = compiled.module.global_variables.iter().filter_map(|(_, v)| v.binding);
    if let Some(other) = groups.into_iter().find(|b| b.group != 0) {
        return wrong(format!("binding {} must be in group 0, not {}", other.binding, other.group));
    }
    for (i, name) in names.enumerate() {
        let found: Vec<_> = compiled.bindings.iter().filter(|b| b.index as usize == i).collect();
        let access = match found[..] {
            [] => return wrong(format!("binding {i} is missing: {}", declare(i, name))),
            [one] => one.access,
            _ => return wrong(format!("binding {i} is declared more than once")),
        };
        let fits = match i < exercise.inputs.len() {
            true => matches!(access, Access::Read | Access::Texels),
            false => access == Access::ReadWrite,
        };
        if !fits {
            return wrong(format!("binding {i} must be {}", declare(i, name)));
        }
    }
    let count = exercise.inputs.len() + exercise.outputs.len();
    if let Some(b) = compiled.bindings.iter().find(|b| b.index as usize >= count) {
        let (index, name) = (b.index, &b.name);
        return wrong(format!("binding {index} (`{name}`) is too many: there are {count}, from 0"));
    }
    Ok(())
}

/// A run: the leaves, the plan, and each output's bits.
struct Ran {
    inputs: Vec<Tensor>,
    plan: Plan,
    outputs: Vec<Vec<u32>>,
}

fn run(
    gpu: &Rc<Gpu>,
    launch: Launch,
    trial: &Trial,
    given: &[Array],
    expected: &[Array],
) -> Result<Ran> {
    let mut inputs = Vec::new();
    for (spec, x) in trial.inputs.iter().zip(given) {
        inputs.push(if spec.fill.integer() {
            let data: Vec<u32> = x.data.iter().map(|v| *v as u32).collect();
            Tensor::integers(gpu, &data, x.shape.clone())?
        } else {
            let data: Vec<f32> = x.data.iter().map(|v| *v as f32).collect();
            Tensor::new(gpu, &data, x.shape.clone())?
        });
    }
    let mut args = inputs.clone();
    for y in expected {
        args.push(Tensor::integers(gpu, &vec![UNWRITTEN; y.len()], y.shape.clone())?);
    }
    let program = Program::single(launch, (0..args.len()).map(Arg::In).collect::<Vec<_>>());
    let outputs = args[inputs.len()..].to_vec();
    let mut work = Work::new();
    work.effect(Effect { name: "lesson", program, args });
    let plan = Plan::build(&mut Workspace::new(gpu), work)?;
    plan.run(&StepUniform::default())?;
    let outputs = outputs.iter().map(|t| plan.read(t)).collect::<Result<_>>()?;
    Ok(Ran { inputs, plan, outputs })
}

/// The largest error as a share of what is allowed, or the first element that is wrong.
fn judge(
    exercise: &Exercise,
    label: &str,
    tolerance: Tolerance,
    expected: &[Array],
    outputs: &[Vec<u32>],
) -> std::result::Result<f64, Wrong> {
    let mut worst: f64 = 0.0;
    for ((name, wanted), bits) in exercise.outputs.iter().zip(expected).zip(outputs) {
        let got: Vec<f64> = bits.iter().map(|b| f64::from(f32::from_bits(*b))).collect();
        let report = compare(wanted, &Array::new(wanted.shape.clone(), got.clone()), tolerance);
        if report.ok {
            worst = worst.max(report.max_share);
            continue;
        }
        let one = |i: usize| Array::scalar(wanted.data[i]);
        let fits = |i: usize| compare(&one(i), &Array::scalar(got[i]), tolerance).ok;
        let first = (0..got.len()).find(|i| !fits(*i)).unwrap_or(0);
        let nothing = bits.iter().all(|b| *b == UNWRITTEN);
        return Err(Wrong {
            trial: label.to_string(),
            output: name,
            index: unravel(first, &wanted.shape),
            got: (bits[first] != UNWRITTEN).then(|| got[first]),
            wanted: wanted.data[first],
            count: report.failures,
            of: got.len(),
            nothing,
        });
    }
    Ok(worst)
}

/// The index of the i-th element in row-major order.
fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (at, extent) in index.iter_mut().zip(shape).rev() {
        *at = i % extent;
        i /= extent;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elements_index_is_row_major() {
        assert_eq!(unravel(23, &[2, 3, 4]), [1, 2, 3]);
        assert_eq!(unravel(4, &[2, 3, 4]), [0, 1, 0]);
        assert_eq!(unravel(0, &[]), Vec::<usize>::new());
    }

    #[test]
    fn only_float_inputs_are_read_as_texels() {
        let text = "#input x 0 vec4<f32>\n#input labels 1 u32\n#input y 2 f32\n";
        assert_eq!(readable(text), ["x", "y"]);
    }
}
