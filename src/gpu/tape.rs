//! A tape of what is done on the device, which another implementation of WebGPU can replay (`--record DIR`;
//! tools/portable/dawn.mjs does): every buffer made and freed, every write, launch and readback.
//!
//! `DIR/tape.jsonl` holds an event a line, `DIR/data.bin` the words that events point into (equal contents
//! once), `DIR/N.wgsl` the texts as they are compiled. Of each launch that is unlike those before it (text,
//! grid, lengths of its arguments) the event also says what the arguments held before and after, so that it
//! can be repeated alone. docs/portability.md tells the events.

use super::{Binding, Dispatch, Gpu, STEP_BYTES, Slice};
use crate::error::{Error, Result};
use evenkeel_kernels::{Access, Caps, Launch};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

static ASKED: OnceLock<PathBuf> = OnceLock::new();

/// The tape of one device.
pub(super) struct Tape {
    dir: PathBuf,
    buffers: Cell<u64>,
    files: RefCell<Files>,
    known: RefCell<Known>,
}

/// What is being written, and the first failure to.
struct Files {
    events: BufWriter<File>,
    data: BufWriter<File>,
    end: u64,
    failed: Option<Error>,
}

/// What the tape has, and what the device holds that events tell.
#[derive(Default)]
struct Known {
    contents: HashMap<(u64, usize), u64>,
    shaders: HashMap<(String, &'static str), usize>,
    launches: HashSet<String>,
    steps: HashMap<wgpu::Buffer, [u8; STEP_BYTES]>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tape in {}", self.dir.display())
    }
}

/// A launch with what is bound to it, as its events need it.
#[derive(Clone, Debug)]
pub(super) struct Taped {
    shader: usize,
    grid: [u32; 3],
    args: Vec<Bound>,
}

#[derive(Clone, Debug)]
enum Bound {
    Buffer(Slice, Access),
    Step(wgpu::Buffer),
    /// A texture over a slice, or with a copy of it.
    Texels(Slice),
}

/// Devices opened from now on in this process are recorded in `dir`; the first call counts.
pub fn record_in(dir: &Path) {
    let _ = ASKED.set(dir.to_path_buf());
}

impl Tape {
    /// The tape that [`record_in`] asked for.
    ///
    /// # Errors
    /// A folder that can't be written, or that has a tape.
    pub(super) fn asked() -> Result<Option<Rc<Tape>>> {
        let Some(dir) = ASKED.get() else { return Ok(None) };
        std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        let create = |name: &str| {
            let path = dir.join(name);
            File::create_new(&path).map(BufWriter::new).map_err(|e| Error::io("create", &path, e))
        };
        let (events, data) = (create("tape.jsonl")?, create("data.bin")?);
        Ok(Some(Rc::new(Tape {
            dir: dir.clone(),
            buffers: Cell::new(0),
            files: RefCell::new(Files { events, data, end: 0, failed: None }),
            known: RefCell::default(),
        })))
    }

    /// A new buffer; its number.
    pub(super) fn alloc(&self, bytes: u64) -> u64 {
        let id = self.buffers.replace(self.buffers.get() + 1);
        self.event(&json!({"alloc": id, "bytes": bytes}));
        id
    }

    pub(super) fn free(&self, id: u64) {
        self.event(&json!({"free": id}));
    }

    /// Words that the host wrote at the start of `slice`.
    pub(super) fn write(&self, slice: &Slice, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let to = Slice { words: bytes.len() / 4, ..slice.clone() };
        let at = self.content(&bytes);
        self.event(&json!({"write": described(&to), "at": at}));
    }

    /// The step's uniform was given a value.
    pub(super) fn step(&self, uniform: &wgpu::Buffer, bytes: &[u8; STEP_BYTES]) {
        self.known.borrow_mut().steps.insert(uniform.clone(), *bytes);
    }

    /// A readback and what it found; all so far is then in the files.
    ///
    /// # Errors
    /// The first failure to write the tape.
    pub(super) fn read(&self, slice: &Slice, bytes: &[u8]) -> Result<()> {
        let at = self.content(bytes);
        self.event(&json!({"read": described(slice), "at": at}));
        let mut files = self.files.borrow_mut();
        let flushed = files.data.flush().and_then(|()| files.events.flush());
        match (files.failed.take(), flushed) {
            (Some(e), _) => Err(e),
            (None, done) => done.map_err(|e| Error::io("write", &self.dir, e)),
        }
    }

    /// What the events of a launch need.
    ///
    /// # Errors
    /// A text that can't be written.
    pub(super) fn launch(
        &self,
        launch: &Launch,
        access: &[Access],
        bound: &[Binding<'_>],
        caps: &Caps,
    ) -> Result<Taped> {
        let args = bound.iter().zip(access).map(|(b, access)| match b {
            Binding::Storage(slice) => Bound::Buffer((*slice).clone(), *access),
            Binding::Uniform(raw) => Bound::Step((*raw).clone()),
            Binding::Texels(_, slice) => Bound::Texels((*slice).clone()),
        });
        let args = args.collect();
        // Pieces of a grid are this device's affair.
        let whole = Launch { in_pieces: false, ..launch.clone() };
        Ok(Taped { shader: self.shader(&whole, caps)?, grid: launch.grid, args })
    }

    /// The number of a launch's text, which is written when it is new.
    fn shader(&self, launch: &Launch, caps: &Caps) -> Result<usize> {
        let wrong = |e: evenkeel_kernels::ShaderError| Error::Shader(e.to_string());
        let assembled = launch.assemble().map_err(wrong)?;
        let mut known = self.known.borrow_mut();
        let next = known.shaders.len();
        let key = (assembled.text.clone(), launch.entry);
        if let Some(found) = known.shaders.get(&key) {
            return Ok(*found);
        }
        known.shaders.insert(key, next);
        let path = self.dir.join(format!("{next}.wgsl"));
        std::fs::write(&path, &assembled.text).map_err(|e| Error::io("write", &path, e))?;
        let compiled = assembled.compile().map_err(wrong)?;
        let integers: Vec<bool> = compiled.bindings.iter().map(|b| b.integer).collect();
        self.event(&json!({
            "shader": next, "entry": launch.entry, "form": launch.form(), "integers": integers,
            "subgroups": launch.subgroups.then_some(caps.subgroup_size), "f16": launch.f16,
        }));
        Ok(next)
    }

    /// Whether no launch before was like this one.
    fn is_new(&self, taped: &Taped) -> bool {
        let words = taped.args.iter().map(|a| match a {
            Bound::Buffer(slice, _) => slice.words,
            Bound::Step(_) | Bound::Texels(_) => 0,
        });
        let words: Vec<usize> = words.collect();
        let like = format!("{} {:?} {words:?}", taped.shader, taped.grid);
        self.known.borrow_mut().launches.insert(like)
    }

    /// Notes a launch; `found` says what each argument held before and after, where it is told.
    fn launched(&self, taped: &Taped, found: Option<[Vec<Option<u64>>; 2]>) {
        let args: Vec<Value> = taped.args.iter().map(|a| self.argument(a)).collect();
        let mut event = json!({"launch": taped.shader, "grid": taped.grid, "args": args});
        if let Some([before, after]) = found {
            event["before"] = json!(before);
            event["after"] = json!(after);
        }
        self.event(&event);
    }

    fn argument(&self, bound: &Bound) -> Value {
        let known = self.known.borrow();
        let (kind, slice) = match bound {
            Bound::Step(raw) => {
                let bytes = known.steps.get(raw).copied().unwrap_or([0; STEP_BYTES]);
                let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
                return json!({"kind": "uniform", "words": words});
            }
            Bound::Buffer(slice, Access::ReadWrite) => ("write", slice),
            Bound::Buffer(slice, _) => ("read", slice),
            Bound::Texels(slice) => ("texels", slice),
        };
        json!({"kind": kind, "slice": described(slice)})
    }

    /// The slice behind an argument, if it has one; for `written` only if the launch may write it.
    fn slice(&self, bound: &Bound, written: bool) -> Option<Slice> {
        match bound {
            Bound::Buffer(slice, access) => {
                (!written || *access == Access::ReadWrite).then(|| slice.clone())
            }
            Bound::Texels(slice) => (!written).then(|| slice.clone()),
            Bound::Step(_) => None,
        }
    }

    /// Where `bytes` lie in the data.
    fn content(&self, bytes: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let key = (hasher.finish(), bytes.len());
        if let Some(at) = self.known.borrow().contents.get(&key) {
            return *at;
        }
        let mut files = self.files.borrow_mut();
        let at = files.end;
        files.end += bytes.len() as u64;
        let written = files.data.write_all(bytes);
        files.keep(&self.dir, written);
        self.known.borrow_mut().contents.insert(key, at);
        at
    }

    fn event(&self, event: &Value) {
        let mut files = self.files.borrow_mut();
        let written = writeln!(files.events, "{event}");
        files.keep(&self.dir, written);
    }
}

impl Files {
    fn keep(&mut self, dir: &Path, written: std::io::Result<()>) {
        if let Err(e) = written {
            self.failed.get_or_insert(Error::io("write", dir, e));
        }
    }
}

/// A slice of a buffer that the tape has numbered.
fn described(slice: &Slice) -> Value {
    let buffer = slice.buffer.number();
    json!({"buffer": buffer, "start": slice.start, "words": slice.words})
}

impl Gpu {
    /// Runs dispatches one by one, as the tape wants them.
    ///
    /// # Errors
    /// What the device reports; a tape that can't be written, at the next readback.
    pub(super) fn submit_taped(&self, tape: &Tape, dispatches: &[Dispatch]) -> Result<()> {
        for dispatch in dispatches {
            let once = std::slice::from_ref(dispatch);
            let Some(taped) = dispatch.taped() else {
                self.submit_now(once)?;
                continue;
            };
            let new = tape.is_new(taped);
            let before = if new { Some(self.contents(tape, taped, false)?) } else { None };
            self.submit_now(once)?;
            let found = match before {
                Some(before) => Some([before, self.contents(tape, taped, true)?]),
                None => None,
            };
            tape.launched(taped, found);
        }
        Ok(())
    }

    /// Where the data has what each argument holds now.
    fn contents(&self, tape: &Tape, taped: &Taped, written: bool) -> Result<Vec<Option<u64>>> {
        let hold = |bound| {
            let Some(slice) = tape.slice(bound, written) else { return Ok(None) };
            let words: Vec<u32> = self.read_now(&slice)?;
            Ok(Some(tape.content(bytemuck::cast_slice(&words))))
        };
        taped.args.iter().map(hold).collect()
    }
}
