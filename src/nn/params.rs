//! Parameters and statistics in flat buffers: every parameter's values, gradient and momentum lie at
//! the same place of three twin buffers, so that the optimizer is one launch; every running
//! statistic and its batch's value lie likewise in two.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Slice, mib};
use crate::tensor::{DType, Shape, Tensor};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Words a parameter's place is a multiple of: 256 bytes, the portable binding alignment.
pub const BLOCK: usize = 64;

/// A name, a shape and its values.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// How an entry's values start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element this value.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between −bound and bound.
    Uniform(f32),
    /// The length ‖v_i‖ at which each i of another entry's first axis starts.
    RowLengths(Slot),
}

/// What an entry is to training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Learned.
    Parameter,
    /// A running statistic.
    Statistic,
}

/// Names an entry of a [`Builder`] and of the [`Params`] made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(usize);

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    shape: Shape,
    init: Init,
    kind: Kind,
}

/// Collects entries while layers are made.
#[derive(Debug, Default)]
pub struct Builder {
    entries: Vec<Entry>,
}

impl Builder {
    /// Declares a learned tensor.
    pub fn parameter(&mut self, name: String, shape: impl Into<Shape>, init: Init) -> Slot {
        self.entry(name, shape.into(), init, Kind::Parameter)
    }

    /// Declares a running statistic.
    pub fn statistic(&mut self, name: String, shape: impl Into<Shape>, start: f32) -> Slot {
        self.entry(name, shape.into(), Init::Constant(start), Kind::Statistic)
    }

    /// Names and shapes of all entries, in the order they were declared.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|e| (e.name.as_str(), e.shape.dims()))
    }

    fn entry(&mut self, name: String, shape: Shape, init: Init, kind: Kind) -> Slot {
        self.entries.push(Entry { name, shape, init, kind });
        Slot(self.entries.len() - 1)
    }
}

/// The entries on the device.
pub struct Params {
    gpu: Rc<Gpu>,
    entries: Vec<Entry>,
    places: Vec<Place>,
    /// Values of the parameters.
    pub values: Tensor,
    /// Their gradients.
    pub gradients: Tensor,
    /// The optimizer's momentum.
    pub momentum: Tensor,
    /// Running statistics.
    pub running: Tensor,
    /// The batch's value of each.
    pub batch: Tensor,
}

#[derive(Clone, Debug)]
struct Place {
    start: usize,
    leaf: Tensor,
}

impl Params {
    /// Lays the entries out and fills them from `seed`; each entry's numbers depend on the seed and
    /// its name alone.
    ///
    /// # Errors
    /// No memory.
    pub fn new(gpu: &Rc<Gpu>, builder: Builder, seed: u64) -> Result<Self> {
        let mut words = [0usize; 2];
        let mut starts = Vec::new();
        for e in &builder.entries {
            let total = &mut words[usize::from(e.kind == Kind::Statistic)];
            starts.push(*total);
            *total += e.shape.len().next_multiple_of(BLOCK);
        }
        let flat = |label: &str, words: usize| -> Result<Tensor> {
            let words = words.max(BLOCK);
            if words as u64 * 4 > gpu.caps.max_binding {
                let [need, most] = [words as u64 * 4, gpu.caps.max_binding].map(mib);
                return Err(Error::Device(format!(
                    "the network's {label} need {need} in one buffer; this device binds at most {most}: \
                     a smaller network fits"
                )));
            }
            let buffer = gpu.alloc(label, words)?;
            Ok(Tensor::from_slice(gpu, Slice::whole(buffer), [words], DType::F32))
        };
        let values = flat("parameters", words[0])?;
        let running = flat("statistics", words[1])?;
        let mut params = Params {
            gpu: gpu.clone(),
            gradients: flat("gradients", words[0])?,
            momentum: flat("momentum", words[0])?,
            batch: flat("batch statistics", words[1])?,
            places: Vec::new(),
            entries: builder.entries,
            values,
            running,
        };
        for (e, start) in params.entries.iter().zip(starts) {
            let whole = if e.kind == Kind::Parameter { &params.values } else { &params.running };
            let slice = within(whole, start, e.shape.len());
            let leaf = Tensor::from_slice(gpu, slice, e.shape.clone(), DType::F32);
            params.places.push(Place { start, leaf });
        }
        for (i, e) in params.entries.iter().enumerate() {
            params.write(Slot(i), &start_values(&params.entries, e, seed));
        }
        Ok(params)
    }

    /// The tensor of an entry.
    pub fn tensor(&self, slot: Slot) -> &Tensor {
        &self.places[slot.0].leaf
    }

    /// An entry's name.
    pub fn name(&self, slot: Slot) -> &str {
        &self.entries[slot.0].name
    }

    /// The entries of one kind, in declaration order.
    pub fn slots(&self, kind: Kind) -> impl Iterator<Item = Slot> + '_ {
        self.entries.iter().enumerate().filter(move |(_, e)| e.kind == kind).map(|(i, _)| Slot(i))
    }

    /// The number of learned values.
    pub fn count(&self) -> usize {
        self.slots(Kind::Parameter).map(|s| self.tensor(s).shape().len()).sum()
    }

    /// Where an entry's gradient (of a parameter) or batch value (of a statistic) goes.
    pub fn twin(&self, slot: Slot) -> Slice {
        let whole = match self.entries[slot.0].kind {
            Kind::Parameter => &self.gradients,
            Kind::Statistic => &self.batch,
        };
        self.beside(slot, whole)
    }

    /// The entry's place in a flat buffer laid out as its own.
    fn beside(&self, slot: Slot, whole: &Tensor) -> Slice {
        within(whole, self.places[slot.0].start, self.entries[slot.0].shape.len())
    }

    /// The parameter to which a block of the flat buffers belongs.
    pub fn owner(&self, block: usize) -> Option<&str> {
        let word = block * BLOCK;
        self.slots(Kind::Parameter)
            .take_while(|s| self.places[s.0].start <= word)
            .last()
            .map(|s| self.name(s))
    }

    /// For each block of the flat buffers a number given by the parameter's name.
    pub fn blocks(&self, of: impl Fn(&str) -> u32) -> Vec<u32> {
        let mut blocks = vec![0; self.values.shape().len() / BLOCK];
        for slot in self.slots(Kind::Parameter) {
            let first = self.places[slot.0].start / BLOCK;
            let count = self.entries[slot.0].shape.len().div_ceil(BLOCK);
            blocks[first..first + count].fill(of(self.name(slot)));
        }
        blocks
    }

    fn write(&self, slot: Slot, values: &[f32]) {
        if let Some(slice) = self.tensor(slot).leaf() {
            self.gpu.write(slice, values);
        }
    }

    /// Every entry's name, shape and values; with `optimizer`, each parameter's momentum too, under
    /// `optimizer.momentum.` and its name.
    ///
    /// # Errors
    /// A lost device.
    pub fn export(&self, optimizer: bool) -> Result<Vec<Named>> {
        let read = |whole: &Tensor| -> Result<Vec<f32>> {
            match whole.leaf() {
                Some(slice) => self.gpu.read(slice),
                None => Ok(Vec::new()),
            }
        };
        let values = read(&self.values)?;
        let running = read(&self.running)?;
        let mut out = Vec::new();
        for (i, e) in self.entries.iter().enumerate() {
            let flat = if e.kind == Kind::Parameter { &values } else { &running };
            let start = self.places[i].start;
            let data = flat[start..start + e.shape.len()].to_vec();
            out.push((e.name.clone(), e.shape.dims().to_vec(), data));
        }
        if optimizer {
            let momentum = read(&self.momentum)?;
            for slot in self.slots(Kind::Parameter) {
                let e = &self.entries[slot.0];
                let start = self.places[slot.0].start;
                let data = momentum[start..start + e.shape.len()].to_vec();
                out.push((format!("{MOMENTUM}{}", e.name), e.shape.dims().to_vec(), data));
            }
        }
        Ok(out)
    }

    /// The gradients of the step that ran last, by parameter.
    ///
    /// # Errors
    /// A lost device.
    pub fn export_gradients(&self) -> Result<Vec<Named>> {
        let Some(slice) = self.gradients.leaf() else { return Ok(Vec::new()) };
        let flat: Vec<f32> = self.gpu.read(slice)?;
        let of = |slot: Slot| {
            let (e, start) = (&self.entries[slot.0], self.places[slot.0].start);
            let data = flat[start..start + e.shape.len()].to_vec();
            (e.name.clone(), e.shape.dims().to_vec(), data)
        };
        Ok(self.slots(Kind::Parameter).map(of).collect())
    }

    /// Takes values by name: every entry must be there with its shape; momentum may be absent;
    /// `num_batches_tracked` is passed over; any other name is an error.
    ///
    /// # Errors
    /// Missing, misshapen or unknown names, all told at once.
    pub fn import(&self, tensors: &[Named]) -> Result<()> {
        let by_name: HashMap<&str, Slot> =
            self.entries.iter().enumerate().map(|(i, e)| (e.name.as_str(), Slot(i))).collect();
        let mut wrong = Vec::new();
        let mut seen = vec![false; self.entries.len()];
        for (name, shape, data) in tensors {
            let (base, momentum) = match name.strip_prefix(MOMENTUM) {
                Some(base) => (base, true),
                None => (name.as_str(), false),
            };
            let Some(slot) = by_name.get(base) else {
                if !name.ends_with("num_batches_tracked") {
                    wrong.push(format!("`{name}` is no parameter of this model"));
                }
                continue;
            };
            let want = &self.entries[slot.0].shape;
            if want.dims() != shape.as_slice() {
                wrong.push(format!("`{name}` is {shape:?}, the model's is {want}"));
                continue;
            }
            if momentum {
                self.gpu.write(&self.beside(*slot, &self.momentum), data);
            } else {
                seen[slot.0] = true;
                self.write(*slot, data);
            }
        }
        for (e, seen) in self.entries.iter().zip(seen) {
            if !seen {
                wrong.push(format!("`{}` {} is missing", e.name, e.shape));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let more = wrong.len().saturating_sub(SHOWN);
        wrong.truncate(SHOWN);
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        Err(Error::Failure(format!("the parameters do not fit the model: {}", wrong.join("; "))))
    }
}

/// Prefix of an exported parameter's momentum.
pub const MOMENTUM: &str = "optimizer.momentum.";
/// Misfits an import error lists.
const SHOWN: usize = 8;

fn within(whole: &Tensor, start: usize, words: usize) -> Slice {
    match whole.leaf() {
        Some(s) => Slice { buffer: s.buffer.clone(), start: s.start + start, words },
        None => unreachable!("flat buffers are leaves"),
    }
}

fn start_values(entries: &[Entry], entry: &Entry, seed: u64) -> Vec<f32> {
    if let Init::RowLengths(of) = entry.init {
        return row_lengths(&start_values(entries, &entries[of.0], seed), entry.shape.len());
    }
    // FNV-1a of the name, so that no entry's numbers depend on another's.
    let name = entry.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut rng = StdRng::seed_from_u64(seed ^ name);
    let mut unit = || rng.random::<f64>();
    (0..entry.shape.len())
        .map(|_| match entry.init {
            Init::Constant(v) => v,
            Init::RowLengths(_) => 0.0,
            Init::Uniform(bound) => ((unit() * 2.0 - 1.0) as f32) * bound,
            Init::Normal(sd) => {
                // Box-Muller
                let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
                (radius * (std::f64::consts::TAU * unit()).cos()) as f32 * sd
            }
        })
        .collect()
}

/// ‖v_i‖ of each of `rows` equal parts.
fn row_lengths(values: &[f32], rows: usize) -> Vec<f32> {
    let length = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    values.chunks((values.len() / rows.max(1)).max(1)).map(length).collect()
}

/// Training normalizes by the batch and learns; evaluation uses the running statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics.
    Train,
    /// Running statistics.
    Eval,
}

/// What a layer's forward is given.
pub struct Scope<'a> {
    /// The entries.
    pub params: &'a Params,
    /// Train or evaluate.
    pub mode: Mode,
    /// The batch norms below the classifier: as `mode`, or `Eval` where it learns alone.
    pub backbone: Mode,
    /// Do ReLU and residual sum inside batch norm's pass.
    pub fuse: bool,
    noted: RefCell<Vec<(Slot, Tensor)>>,
}

impl<'a> Scope<'a> {
    /// A scope with fusion.
    pub fn new(params: &'a Params, mode: Mode) -> Self {
        Scope { params, mode, backbone: mode, fuse: true, noted: RefCell::default() }
    }

    /// The tensor of an entry.
    pub fn get(&self, slot: Slot) -> &Tensor {
        self.params.tensor(slot)
    }

    /// Notes the batch's value of a statistic.
    pub fn note(&self, slot: Slot, value: Tensor) {
        self.noted.borrow_mut().push((slot, value));
    }

    /// The batch's statistics noted so far.
    pub fn noted(&self) -> Vec<(Slot, Tensor)> {
        self.noted.borrow().clone()
    }
}
