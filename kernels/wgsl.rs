//! From files to a validated module: constants, includes and inputs are joined into one text with a
//! source map, naga parses and validates it, and the bindings are read off the module.
//!
//! A line `#input x 0 vec4<f32>` declares binding 0 as an array of vec4 that the kernel reads as
//! `x(i)`: from a read-only storage buffer, or as texels where the launch says so
//! ([`Launch::texels`]). `#input x 0 vec4<f32> 3` also gives `x_length()`, the number of elements: a
//! texture does not know it, so with texels the argument is bound once more, as a buffer at 3.

use crate::launch::{Constant, Launch, Source, TEXEL_ROW};
use crate::pieces;
use std::fmt::Write as _;

/// A WGSL file that does not assemble, parse or validate.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{file}{}: {message}", at(.line))]
pub struct ShaderError {
    /// The `.wgsl` file, from the repository's root.
    pub file: String,
    /// The line in it, from 1 (0: no line is known).
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// `:7`, where a line is known.
fn at(line: &usize) -> String {
    if *line == 0 { String::new() } else { format!(":{line}") }
}

/// The joined text of a launch.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// WGSL, ready for any front end.
    pub text: String,
    /// For each line of `text`: the file and line it came from.
    pub map: Vec<(&'static str, usize)>,
    /// The entry point.
    pub entry: &'static str,
    path: &'static str,
    subgroups: bool,
    f16: bool,
}

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
    /// `var<uniform>`
    Uniform,
    /// `texture_storage_2d<rgba32float, read>`, holding a copy of the argument
    Texels,
}

/// One `@group(0) @binding(index)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The binding's index.
    pub index: u32,
    /// The variable's name.
    pub name: String,
    /// Its access.
    pub access: Access,
    /// Its elements are integers.
    pub integer: bool,
}

/// A parsed and validated kernel.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// naga's module.
    pub module: naga::Module,
    /// naga's analysis of it.
    pub info: naga::valid::ModuleInfo,
    /// The bindings of group 0, by index.
    pub bindings: Vec<Binding>,
    /// Workgroup size in x, y, z.
    pub workgroup_size: [u32; 3],
}

pub(crate) fn assemble(launch: &Launch) -> Result<Assembled, ShaderError> {
    let mut out = Assembled {
        text: String::new(),
        map: Vec::new(),
        entry: launch.entry,
        path: launch.source.path,
        subgroups: launch.subgroups,
        f16: launch.f16,
    };
    if launch.f16 {
        out.line("enable f16;", "(features)", 0);
    }
    for (name, value) in &launch.constants {
        let text = match value {
            Constant::U32(v) => format!("const {name}: u32 = {v}u;"),
            Constant::I32(v) => format!("const {name}: i32 = {v}i;"),
            Constant::F32(v) => format!("const {name}: f32 = {v:e}f;"),
            Constant::Bool(v) => format!("const {name}: bool = {v};"),
        };
        out.line(&text, "(constants)", 0);
    }
    include(&mut out, launch, launch.source, &mut Vec::new())?;
    if launch.in_pieces {
        out.text = pieces::shift(&out.text, launch.entry, launch.source.path)?;
        out.line(pieces::DECLARATION, "(pieces)", 0);
    }
    Ok(out)
}

/// Appends a file, following `#include "name"` lines; each file is joined once.
fn include(
    out: &mut Assembled,
    launch: &Launch,
    source: Source,
    seen: &mut Vec<&'static str>,
) -> Result<(), ShaderError> {
    if seen.contains(&source.path) {
        return Ok(());
    }
    seen.push(source.path);
    for (i, line) in source.text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("#input ") {
            let text = input(launch, rest, &out.text);
            out.line(&text, source.path, i + 1);
            continue;
        }
        let Some(rest) = line.trim_start().strip_prefix("#include") else {
            out.line(line, source.path, i + 1);
            continue;
        };
        let name = rest.trim().trim_matches('"');
        let part = launch.parts.iter().find(|(n, _)| *n == name).map(|(_, s)| *s);
        let file = part.or_else(|| {
            crate::LIBRARY.iter().copied().find(|s| s.path.strip_prefix("shaders/") == Some(name))
        });
        let Some(file) = file else {
            return Err(ShaderError {
                file: source.path.into(),
                line: i + 1,
                message: format!("no file for #include \"{name}\""),
            });
        };
        include(out, launch, file, seen)?;
    }
    Ok(())
}

/// The declarations behind `#input NAME BINDING TYPE [BINDING]`; `before` is the text they follow.
fn input(launch: &Launch, rest: &str, before: &str) -> String {
    let mut words = rest.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let (name, binding, ty) = (word(), word(), word());
    let again = word();
    let buffer = |binding: &str| {
        format!("@group(0) @binding({binding}) var<storage, read> {name}_data: array<{ty}>; ")
    };
    let texels = launch.texels.contains(&name);
    let fetch = |texel: &str| {
        format!(
            "textureLoad({name}_texels, vec2<u32>({texel} % {TEXEL_ROW}u, {texel} / {TEXEL_ROW}u))"
        )
    };
    let mut text = if texels {
        // An f32 is a component of a texel.
        let scalar = ty == "f32" || before.contains(&format!("alias {ty} = f32;"));
        let (texel, component) = if scalar { ("(i / 4u)", "[i % 4u]") } else { ("i", "") };
        // A texel holds the bits of its buffer, whatever they are of.
        let bits = if ty.ends_with("<u32>") { format!("bitcast<{ty}>") } else { String::new() };
        format!(
            "@group(0) @binding({binding}) var {name}_texels: texture_storage_2d<rgba32float, read>; \
             fn {name}(i: u32) -> {ty} {{ return {bits}({}{component}); }} ",
            fetch(texel)
        )
    } else {
        buffer(binding) + &format!("fn {name}(i: u32) -> {ty} {{ return {name}_data[i]; }} ")
    };
    if ty == "f32" {
        // Four neighbours: of texels the two that they lie in, by what is left of the first.
        text += &if texels {
            format!(
                "fn {name}_four(i: u32) -> vec4<f32> {{ let t = i / 4u; let a = {}; \
                 let u = t + 1u; let b = {}; \
                 let two = (i & 2u) != 0u; let v = select(a, vec4<f32>(a.zw, b.xy), two); \
                 return select(v, vec4<f32>(v.yzw, select(b.x, b.z, two)), (i & 1u) != 0u); }} ",
                fetch("t"),
                fetch("u")
            )
        } else {
            format!(
                "fn {name}_four(i: u32) -> vec4<f32> {{ \
                 return vec4<f32>({name}(i), {name}(i + 1u), {name}(i + 2u), {name}(i + 3u)); }} "
            )
        };
    }
    if !again.is_empty() {
        if texels {
            text += &buffer(again);
        }
        text += &format!("fn {name}_length() -> u32 {{ return arrayLength(&{name}_data); }}");
    }
    text
}

impl Assembled {
    fn line(&mut self, text: &str, file: &'static str, line: usize) {
        self.text.push_str(text);
        self.text.push('\n');
        self.map.push((file, line));
    }

    /// An error at a byte offset of the joined text, told in the file it came from.
    fn error_at(&self, offset: Option<usize>, message: String) -> ShaderError {
        let line_of = |o: usize| self.text[..o.min(self.text.len())].matches('\n').count();
        // The end of the text belongs to its last line.
        let at = offset.map(|o| line_of(o).min(self.map.len().saturating_sub(1)));
        let (file, line) = at.and_then(|l| self.map.get(l).copied()).unwrap_or((self.path, 0));
        let mut message = message;
        if let Some(text) = at.and_then(|l| self.text.lines().nth(l)) {
            let _ = write!(message, "\n  | {}", text.trim());
        }
        ShaderError { file: file.into(), line, message }
    }

    /// Parses and validates with naga at the capabilities the launch declares, nothing more.
    pub fn compile(&self) -> Result<Compiled, ShaderError> {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        let module = naga::front::wgsl::parse_str(&self.text).map_err(|e| {
            let at = e.location(&self.text).map(|l| l.offset as usize);
            self.error_at(at, e.message().to_string())
        })?;
        let mut caps = Capabilities::empty();
        if self.subgroups {
            caps |= Capabilities::SUBGROUP | Capabilities::SUBGROUP_BARRIER;
        }
        if self.f16 {
            caps |= Capabilities::SHADER_FLOAT16;
        }
        let mut validator = Validator::new(ValidationFlags::all(), caps);
        let info = validator.validate(&module).map_err(|e| {
            let at = e.spans().next().and_then(|(s, _)| s.to_range()).map(|r| r.start);
            let mut message = e.as_inner().to_string();
            let mut cause = std::error::Error::source(e.as_inner());
            while let Some(c) = cause {
                let _ = write!(message, ": {c}");
                cause = c.source();
            }
            self.error_at(at, message)
        })?;
        let entry = module.entry_points.iter().find(|e| e.name == self.entry).ok_or_else(|| {
            let there: Vec<&str> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
            let there = if there.is_empty() { "none".into() } else { there.join(", ") };
            self.error_at(None, format!("no entry point `{}` (there: {there})", self.entry))
        })?;
        let workgroup_size = entry.workgroup_size;
        let bindings = bindings(&module);
        Ok(Compiled { module, info, bindings, workgroup_size })
    }
}

fn bindings(module: &naga::Module) -> Vec<Binding> {
    let mut found: Vec<Binding> = module
        .global_variables
        .iter()
        .filter_map(|(_, v)| {
            let index = v.binding.filter(|b| b.group == 0)?.binding;
            let integer = is_integer(module, v.ty);
            let access = match v.space {
                naga::AddressSpace::Uniform => Access::Uniform,
                naga::AddressSpace::Handle => Access::Texels,
                naga::AddressSpace::Storage { access }
                    if access.contains(naga::StorageAccess::STORE) =>
                {
                    Access::ReadWrite
                }
                _ => Access::Read,
            };
            Some(Binding { index, name: v.name.clone().unwrap_or_default(), access, integer })
        })
        .collect();
    found.sort_by_key(|b| b.index);
    found
}

/// Whether an array's elements, or a value itself, are integers.
fn is_integer(module: &naga::Module, ty: naga::Handle<naga::Type>) -> bool {
    use naga::{ScalarKind, TypeInner};
    match module.types[ty].inner {
        TypeInner::Array { base, .. } => is_integer(module, base),
        TypeInner::Scalar(s) | TypeInner::Atomic(s) | TypeInner::Vector { scalar: s, .. } => {
            matches!(s.kind, ScalarKind::Uint | ScalarKind::Sint)
        }
        _ => false,
    }
}
